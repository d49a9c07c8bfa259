/* A model in the shape of another tree. */
#include "core/models/reshape.h"
#include "core/base/text.h"
#include "core/models/resnet.h"
#include <stdlib.h>
#include <string.h>

/* The items of a model by their places. */
struct places {
	const struct model *model;
	struct resnet_place *item; /* (items) */
	int items;
};

static struct places places_of(const struct model *m)
{
	struct places p = {m, NULL, model_items(m)};

	p.item = xcalloc((size_t)p.items, sizeof *p.item);
	resnet_places(m->net, m->parameters.count, p.item);
	return p;
}

static int find(const struct places *p, int node, int head, int slot)
{
	for (int i = 0; i < p->items; i++)
		if (p->item[i].node == node && p->item[i].head == head && p->item[i].slot == slot)
			return i;
	assert(!"the old model has what the new one has");
	return -1;
}

/* The old node that a new one was, or was part of. */
static int origin(const struct tree *old, const struct tree_node *n)
{
	int i = tree_at(old, n->layer, tree_least(n->members));

	assert(!(n->members & ~old->node[i].members));
	return i;
}

/* Where the channels of a new node lie among those of its origin; null: all of them, in order. */
static int *channels_in(const struct tree_node *n, const struct tree_node *old)
{
	int *at = xmalloc((size_t)n->channels * sizeof *at), j = 0;

	if (n->channels == old->channels) {
		free(at);
		return NULL;
	}
	for (int i = 0; i < n->channels; i++) {
		while (tree_channel(old, j) != tree_channel(n, i))
			j++;
		assert(j < old->channels);
		at[i] = j;
	}
	return at;
}

static int *node_channels(const struct tree *tree, const struct tree *old, int node)
{
	if (node < 0)
		return NULL;
	return channels_in(&tree->node[node], &old->node[origin(old, &tree->node[node])]);
}

struct tensor *reshape_tensor(const struct reshape *r, int item, struct tensor *old)
{
	const struct reshape_item *to = &r->item[item];
	struct tensor *t = tensor_zeros(old->type, to->shape);
	int64_t rows = to->shape.d[0], columns = to->shape.n > 1 ? to->shape.d[1] : 1;
	int64_t old_columns = to->shape.n > 1 ? old->shape.d[1] : 1;
	int64_t rest = shape_count(to->shape) / (rows * columns);
	size_t bytes = (size_t)rest * dtype_bytes(old->type);
	const char *from = tensor_plain(old);
	char *out = tensor_write(t);

	for (int64_t i = 0; i < rows; i++)
		for (int64_t k = 0; k < columns; k++, out += bytes) {
			int64_t row = to->row ? to->row[i] : i;
			int64_t column = to->column ? to->column[k] : k;
			memcpy(out, from + (size_t)(row * old_columns + column) * bytes, bytes);
		}
	return t;
}

struct tensor **reshape_list(const struct reshape *r, int count, struct tensor **old, int old_count)
{
	struct tensor **list = xcalloc((size_t)count, sizeof *list);

	for (int i = 0; i < count; i++)
		list[i] = reshape_tensor(r, i, old[r->item[i].source]);
	for (int i = 0; i < old_count; i++)
		tensor_free(old[i]);
	free(old);
	return list;
}

struct model *model_reshape(const struct model *m, const struct tree *tree, struct reshape *r)
{
	struct model_config c = m->config;

	assert(!m->folded);
	c.tree = tree;
	struct model *to = model_new(&c, m->parameters.item[0].value->type);
	struct places old = places_of(m), new = places_of(to);
	*r = (struct reshape){new.items, xcalloc((size_t) new.items, sizeof *r->item)};
	for (int i = 0; i < new.items; i++) {
		const struct resnet_place *p = &new.item[i];
		int node = p->node < 0 ? -1 : origin(m->tree, &tree->node[p->node]);
		struct parameter *item = model_item(to, i);

		r->item[i] = (struct reshape_item){
		        find(&old, node, p->head, p->slot), node_channels(tree, m->tree, p->rows),
		        node_channels(tree, m->tree, p->columns), item->value->shape};
		tensor_free(item->value);
		item->value = reshape_tensor(r, i, model_item(m, r->item[i].source)->value);
		item->trainable = model_item(m, r->item[i].source)->trainable;
	}
	free(old.item);
	free(new.item);
	return to;
}

void reshape_release(struct reshape *r)
{
	for (int i = 0; i < r->items; i++) {
		free(r->item[i].row);
		free(r->item[i].column);
	}
	free(r->item);
	*r = (struct reshape){0};
}
