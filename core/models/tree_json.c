/* Trees as JSON: what checkpoints, results and drawings hold of them. */
#include "core/base/text.h"
#include "core/models/tree.h"
#include <stdlib.h>
#include <string.h>

cJSON *tree_json(const struct tree *t, const struct backbone *b)
{
	cJSON *list = cJSON_CreateArray();

	for (int i = 0; i < t->nodes; i++) {
		const struct tree_node *n = &t->node[i];
		cJSON *node = cJSON_CreateObject();
		cJSON *members = cJSON_CreateArray();

		for (int s = 0; s < t->submodels; s++)
			if (n->members >> s & 1)
				cJSON_AddItemToArray(members, cJSON_CreateNumber(s));
		cJSON_AddStringToObject(node, "layer", b->layer[n->layer].name);
		cJSON_AddItemToObject(node, "members", members);
		if (n->kept)
			cJSON_AddItemToObject(node, "kept",
			                      cJSON_CreateIntArray(n->kept, n->channels));
		cJSON_AddItemToArray(list, node);
	}
	return list;
}

/* Whole numbers that rise, from 0 to below `limit`; at least one. */
static bool is_set(const cJSON *list, int limit)
{
	double last = -1;
	const cJSON *item;

	if (!cJSON_IsArray(list) || !list->child)
		return false;
	cJSON_ArrayForEach (item, list) {
		if (!cJSON_IsNumber(item) || item->valuedouble != item->valueint ||
		    item->valuedouble <= last || item->valueint >= limit)
			return false;
		last = item->valuedouble;
	}
	return true;
}

static int read_node(const cJSON *item, const struct backbone *b, int submodels,
                     struct tree_node *n, struct error *e)
{
	const char *name = json_text(item, "layer", "");
	const cJSON *members = json_at(item, "members"), *kept = json_at(item, "kept"), *s;

	*n = (struct tree_node){.layer = backbone_find(b, name)};
	if (n->layer < 0)
		return error_set(e, "\"%s\" is no layer of the model", name);
	if (!is_set(members, submodels))
		return error_set(e, "%s: members: rising submodels below %d are expected", name,
		                 submodels);
	cJSON_ArrayForEach (s, members)
		n->members |= 1u << s->valueint;
	n->channels = b->layer[n->layer].out;
	if (!kept)
		return 0;
	if (!is_set(kept, n->channels))
		return error_set(e, "%s: kept: rising channels below %d are expected", name,
		                 n->channels);
	n->channels = 0;
	n->kept = xmalloc((size_t)cJSON_GetArraySize(kept) * sizeof *n->kept);
	cJSON_ArrayForEach (s, kept)
		n->kept[n->channels++] = s->valueint;
	return 0;
}

/* Whether the sets of each layer are disjoint, complete, and refine those of the layer before; and
 * nodes along a residual stream have the same channels. */
static int check(const struct tree *t, const struct backbone *b, struct error *e)
{
	uint32_t *seen = xcalloc((size_t)b->layers, sizeof *seen);
	int status = 0, last = -1;

	for (int i = 0; i < t->nodes && !status; i++) {
		const struct tree_node *n = &t->node[i];
		const char *name = b->layer[n->layer].name;

		if (seen[n->layer] & n->members)
			status = error_set(e, "%s: a submodel has two nodes", name);
		else if (n->layer > last + 1)
			status = error_set(e, "%s: the layer before it is missing", name);
		seen[n->layer] |= n->members;
		last = n->layer;
	}
	for (int i = 0; i < b->layers && !status; i++)
		if (seen[i] != tree_all(t->submodels))
			status = error_set(e, "%s: a submodel has no node", b->layer[i].name);
	free(seen);
	return status;
}

static bool same_channels(const struct tree_node *a, const struct tree_node *b)
{
	size_t bytes = (size_t)a->channels * sizeof *a->kept;

	return a->channels == b->channels && !a->kept == !b->kept &&
	       (!a->kept || !memcmp(a->kept, b->kept, bytes));
}

/* Parents, from an order that has each branch after its trunk; and what depends on them. */
static int link_nodes(struct tree *t, const struct backbone *b, struct error *e)
{
	for (int i = 0; i < t->nodes; i++) {
		struct tree_node *n = &t->node[i];
		const struct backbone_layer *l = &b->layer[n->layer];

		for (n->parent = i - 1; n->parent >= 0; n->parent--)
			if (t->node[n->parent].layer == n->layer - 1 &&
			    !(n->members & ~t->node[n->parent].members))
				break;
		if (n->parent < 0 && n->layer > 0)
			return error_set(e, "%s: its submodels are not together before it",
			                 l->name);
		if (l->joins && !backbone_reshapes(l) &&
		    !same_channels(n, &t->node[tree_block_input(t, b, i)]))
			return error_set(e, "%s: other channels than the block's input", l->name);
	}
	return 0;
}

struct tree *tree_parse(const cJSON *list, const struct backbone *b, int submodels, struct error *e)
{
	struct tree *t = xcalloc(1, sizeof *t);
	const cJSON *item;
	int status = 0;

	t->submodels = submodels;
	t->node = xcalloc((size_t)cJSON_GetArraySize(list) + 1, sizeof *t->node);
	cJSON_ArrayForEach (item, list)
		if (!status)
			status = read_node(item, b, submodels, &t->node[t->nodes++], e);
	if (!status)
		status = check(t, b, e);
	if (!status)
		status = link_nodes(t, b, e);
	if (!status)
		return t;
	tree_free(t);
	error_prefix(e, "tree");
	return NULL;
}
