/* Which filters go, until a whole tree costs no more than a budget. */
#include "core/split/prune.h"
#include "core/base/text.h"
#include <math.h>
#include <stdlib.h>

/* What may go next of one group. */
struct unit {
	int *channel, count; /* of the layer's; count 0: nothing may */
	double score;        /* the largest of theirs */
};

struct pruning {
	const struct prune *request;
	struct tree *tree;
	int groups;
	int *group;        /* (nodes) */
	struct unit *unit; /* (groups) */
};

static int first_node(const struct pruning *p, int group)
{
	int i = 0;

	while (p->group[i] != group)
		i++;
	return i;
}

static int layer_channels(const struct pruning *p, int node)
{
	return p->request->backbone->layer[p->tree->node[node].layer].out;
}

/* How many channels go at once from a width; 0: it is as small as it may be. */
static int step_of(int channels, int multiple)
{
	int over = channels % multiple;

	if (channels <= multiple)
		return 0;
	return over ? over : multiple;
}

struct candidate {
	int channel;
	double score;
};

static int lowest_first(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;

	if (x->score != y->score)
		return x->score < y->score ? -1 : 1;
	return x->channel - y->channel;
}

static double score_of(const struct pruning *p, int group, int channel)
{
	return p->request->score ? p->request->score[group][channel] : 0;
}

/* Whether a shortcut that pads with zeros brings something to the channel: then it must stay. */
static bool is_fed(const struct pruning *p, int node, int channel)
{
	const struct backbone_layer *l = &p->request->backbone->layer[p->tree->node[node].layer];

	if (!backbone_reshapes(l) || l->shortcut)
		return false;
	int input = tree_block_input(p->tree, p->request->backbone, node);
	return tree_position(&p->tree->node[input], channel - backbone_padding(l)) >= 0;
}

/* Finds what of a group may go next. */
static void look(struct pruning *p, int group)
{
	int node = first_node(p, group), count = 0;
	const struct tree_node *n = &p->tree->node[node];
	struct candidate *all = xcalloc((size_t)n->channels, sizeof *all);
	struct unit *u = &p->unit[group];

	for (int i = 0; i < n->channels; i++) {
		int channel = tree_channel(n, i);
		if (!is_fed(p, node, channel))
			all[count++] = (struct candidate){channel, score_of(p, group, channel)};
	}
	qsort(all, (size_t)count, sizeof *all, lowest_first);
	u->count = step_of(n->channels, p->request->multiple);
	u->count = u->count <= count ? u->count : 0;
	u->channel = xrealloc(u->channel, (size_t)(u->count + 1) * sizeof *u->channel);
	for (int i = 0; i < u->count; i++) {
		u->channel[i] = all[i].channel;
		u->score = all[i].score;
	}
	free(all);
}

static void take(const struct pruning *p, struct tree *t, int group)
{
	const struct unit *u = &p->unit[group];

	for (int i = 0; i < t->nodes; i++)
		if (p->group[i] == group)
			tree_remove(t, i, layer_channels(p, i), u->channel, u->count);
}

static int64_t cost_without(const struct pruning *p, int group)
{
	struct tree *t = tree_copy(p->tree);

	take(p, t, group);
	int64_t macs = tree_macs(t, p->request->backbone, p->request->outputs);
	tree_free(t);
	return macs;
}

/* The group whose next channels have the lowest scores; -1: none may lose any. */
static int lowest(const struct pruning *p)
{
	int best = -1;

	for (int g = 0; g < p->groups; g++)
		if (p->unit[g].count && (best < 0 || p->unit[g].score < p->unit[best].score))
			best = g;
	return best;
}

/* One step more is enough: which. */
static int last_step(const struct pruning *p)
{
	int best = -1, nearest = -1;
	int64_t near = -1, budget = p->request->budget;

	for (int g = 0; g < p->groups; g++) {
		int64_t macs = p->unit[g].count ? cost_without(p, g) : INT64_MAX;

		if (macs > budget)
			continue;
		if (macs > near) {
			near = macs;
			nearest = g;
		}
		if ((double)macs >= 0.99 * (double)budget &&
		    (best < 0 || p->unit[g].score < p->unit[best].score))
			best = g;
	}
	return best >= 0 ? best : nearest;
}

int prune_tree(struct tree *t, const struct prune *request)
{
	struct pruning p = {.request = request, .tree = t};
	int next, removed = 0;

	assert(request->multiple >= 1);
	p.group = xcalloc((size_t)t->nodes, sizeof *p.group);
	p.groups = tree_groups(t, request->backbone, p.group, NULL);
	p.unit = xcalloc((size_t)p.groups, sizeof *p.unit);
	while (tree_macs(t, request->backbone, request->outputs) > request->budget) {
		for (int g = 0; g < p.groups; g++)
			look(&p, g);
		if ((next = lowest(&p)) < 0)
			break;
		if (cost_without(&p, next) <= request->budget)
			next = last_step(&p);
		take(&p, t, next);
		removed += p.unit[next].count;
	}
	for (int g = 0; g < p.groups; g++)
		free(p.unit[g].channel);
	free(p.unit);
	free(p.group);
	return removed;
}

int64_t prune_least(const struct tree *t, const struct prune *request)
{
	struct tree *least = tree_copy(t);
	struct prune p = *request;

	p.budget = 0;
	p.score = NULL;
	prune_tree(least, &p);
	int64_t macs = tree_macs(least, p.backbone, p.outputs);
	tree_free(least);
	return macs;
}
