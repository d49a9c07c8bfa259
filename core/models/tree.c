/* How the submodels of a network share its layers. */
#include "core/models/tree.h"
#include "core/base/text.h"
#include <stdlib.h>
#include <string.h>

uint32_t tree_all(int submodels)
{
	assert(submodels >= 1 && submodels <= SUBTASKS_MAX);
	return submodels == 32 ? UINT32_MAX : (1u << submodels) - 1;
}

struct tree *tree_trunk(const struct backbone *b, int submodels)
{
	struct tree *t = xcalloc(1, sizeof *t);

	*t = (struct tree){submodels, b->layers, xcalloc((size_t)b->layers, sizeof *t->node)};
	for (int i = 0; i < b->layers; i++)
		t->node[i] = (struct tree_node){.layer = i,
		                                .members = tree_all(submodels),
		                                .parent = i - 1,
		                                .channels = b->layer[i].out};
	return t;
}

static int *kept_copy(const struct tree_node *n)
{
	size_t bytes = (size_t)n->channels * sizeof(int);

	return n->kept ? memcpy(xmalloc(bytes), n->kept, bytes) : NULL;
}

struct tree *tree_copy(const struct tree *t)
{
	struct tree *copy = xcalloc(1, sizeof *copy);

	*copy = (struct tree){t->submodels, t->nodes, xcalloc((size_t)t->nodes, sizeof *t->node)};
	for (int i = 0; i < t->nodes; i++) {
		copy->node[i] = t->node[i];
		copy->node[i].kept = kept_copy(&t->node[i]);
	}
	return copy;
}

void tree_free(struct tree *t)
{
	if (!t)
		return;
	for (int i = 0; i < t->nodes; i++)
		free(t->node[i].kept);
	free(t->node);
	free(t);
}

int tree_least(uint32_t members)
{
	assert(members);
	return __builtin_ctz(members);
}

int tree_at(const struct tree *t, int layer, int submodel)
{
	for (int i = 0; i < t->nodes; i++)
		if (t->node[i].layer == layer && t->node[i].members >> submodel & 1)
			return i;
	assert(!"every submodel has a node at every layer");
	return -1;
}

int tree_block_input(const struct tree *t, const struct backbone *b, int node)
{
	while (!b->layer[t->node[node].layer].opens)
		node = t->node[node].parent;
	return t->node[node].parent;
}

int tree_channel(const struct tree_node *n, int i)
{
	return n->kept ? n->kept[i] : i;
}

int tree_position(const struct tree_node *n, int channel)
{
	for (int i = 0; i < n->channels; i++)
		if (tree_channel(n, i) == channel)
			return i;
	return -1;
}

/* ---- order ---- */

/* The next node of this layer whose submodels are among these, by its least one; after `least`. */
static int child_after(const struct tree *t, int layer, uint32_t members, int least)
{
	int found = -1;

	for (int i = 0; i < t->nodes; i++) {
		const struct tree_node *n = &t->node[i];

		if (n->layer != layer || (n->members & ~members) || tree_least(n->members) <= least)
			continue;
		if (found < 0 || tree_least(n->members) < tree_least(t->node[found].members))
			found = i;
	}
	return found;
}

static void place(const struct tree *from, struct tree *to, int layer, uint32_t members, int parent)
{
	int i, least = -1;

	while ((i = child_after(from, layer, members, least)) >= 0) {
		int at = to->nodes++;

		least = tree_least(from->node[i].members);
		to->node[at] = from->node[i];
		to->node[at].parent = parent;
		place(from, to, layer + 1, from->node[i].members, at);
	}
}

/* Puts the nodes in their order, whatever it was, and finds their parents. */
static void sort(struct tree *t)
{
	struct tree sorted = {t->submodels, 0, xcalloc((size_t)t->nodes, sizeof *t->node)};

	place(t, &sorted, 0, tree_all(t->submodels), -1);
	assert(sorted.nodes == t->nodes);
	free(t->node);
	*t = sorted;
}

/* ---- edits ---- */
void tree_split(struct tree *t, int layer, uint32_t side)
{
	for (int i = t->nodes - 1; i >= 0; i--) {
		struct tree_node n = t->node[i];

		if (n.layer < layer || !(n.members & side) || !(n.members & ~side))
			continue;
		t->node = xrealloc(t->node, (size_t)(t->nodes + 1) * sizeof *t->node);
		t->node[i].members = n.members & ~side;
		n.members &= side;
		n.kept = kept_copy(&n);
		t->node[t->nodes++] = n;
	}
	sort(t);
}

static bool is_among(int value, const int *list, int count)
{
	for (int i = 0; i < count; i++)
		if (list[i] == value)
			return true;
	return false;
}

void tree_remove(struct tree *t, int node, int layer_channels, const int *channel, int count)
{
	struct tree_node *n = &t->node[node];
	int *kept = xmalloc((size_t)n->channels * sizeof *kept), left = 0;

	assert(n->kept || n->channels == layer_channels);
	for (int i = 0; i < n->channels; i++)
		if (!is_among(tree_channel(n, i), channel, count))
			kept[left++] = tree_channel(n, i);
	assert(left > 0);
	free(n->kept);
	n->kept = kept;
	n->channels = left;
	if (left == layer_channels) {
		free(n->kept);
		n->kept = NULL;
	}
}

/* ---- what follows from it ---- */
int tree_groups(const struct tree *t, const struct backbone *b, int *group, int *stream)
{
	int groups = 0, streams = 0;
	int *of = xcalloc((size_t)t->nodes, sizeof *of);

	for (int i = 0; i < t->nodes; i++) {
		const struct backbone_layer *l = &b->layer[t->node[i].layer];
		bool goes_on = l->joins && !backbone_reshapes(l);
		int before = goes_on ? tree_block_input(t, b, i) : -1;

		group[i] = goes_on ? group[before] : groups++;
		if (goes_on)
			of[i] = of[before];
		else if (l->joins || i == 0)
			of[i] = ++streams;
		if (stream)
			stream[i] = of[i];
	}
	free(of);
	return groups;
}

int64_t tree_node_macs(const struct tree *t, const struct backbone *b, int node)
{
	const struct tree_node *n = &t->node[node];
	const struct backbone_layer *l = &b->layer[n->layer];
	int64_t pixels = (int64_t)l->conv_px * l->conv_px * n->channels;
	int in = n->parent < 0 ? l->in : t->node[n->parent].channels;
	int64_t macs = pixels * in * l->kernel * l->kernel;

	if (l->shortcut)
		macs += pixels * t->node[tree_block_input(t, b, node)].channels;
	return macs;
}

int64_t tree_macs(const struct tree *t, const struct backbone *b, const int *outputs)
{
	int64_t total = 0;

	for (int i = 0; i < t->nodes; i++)
		total += tree_node_macs(t, b, i);
	for (int s = 0; s < t->submodels; s++)
		total += (int64_t)t->node[tree_at(t, b->layers - 1, s)].channels * outputs[s];
	return total;
}
