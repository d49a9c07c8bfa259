/* A tree that grows: splits and pruning between epochs. */
#include "core/train/splitting.h"
#include "core/base/log.h"
#include "core/base/text.h"
#include "core/split/importance.h"
#include "core/split/overlap.h"
#include "core/split/partition.h"
#include "core/split/prune.h"
#include "core/train/loop.h"
#include "core/train/sensitivity.h"
#include "core/train/tree_report.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A look: what was measured, and the tree that comes of it. */
struct look {
	struct trainer *t;
	struct sensitivity s;
	struct backbone b;
	struct tree *tree;
	int outputs[SUBTASKS_MAX];
};

/* ---- splits ---- */

/* The overlaps (n, n) of the submodels that share nodes of a layer; null: none share one. */
static double *overlaps_of(const struct look *l, int layer)
{
	const struct model *m = l->t->model;
	int n = l->s.submodels;
	double *all = NULL, *part = xcalloc((size_t)(n * n), sizeof *part);

	for (int k = 0; k < l->s.nodes; k++) {
		const struct tree_node *node = &m->tree->node[k];
		struct tensor *gradient[SUBTASKS_MAX] = {0};
		struct tensor *weight = m->parameters.item[l->s.conv[k]].value;

		if (node->layer != layer || !(node->members & (node->members - 1)))
			continue;
		for (int i = 0; i < n; i++)
			if (node->members >> i & 1) {
				gradient[i] = tensor_zeros(F64, weight->shape);
				memcpy(tensor_write(gradient[i]), l->s.gradient[i * l->s.nodes + k],
				       (size_t)shape_count(weight->shape) * sizeof(double));
			}
		overlap_of_layer(weight, gradient, n, node->members, l->t->spec->split_mask, part);
		all = all ? all : xcalloc((size_t)(n * n), sizeof *all);
		for (int i = 0; i < n * n; i++)
			all[i] += part[i];
		for (int i = 0; i < n; i++)
			tensor_free(gradient[i]);
	}
	free(part);
	return all;
}

static struct partition partition_of(const struct tree *tree, int layer)
{
	struct partition p = {.submodels = tree->submodels};

	for (int i = 0; i < p.submodels; i++)
		p.part[i] = tree_least(tree->node[tree_at(tree, layer, i)].members);
	return p;
}

/* The branch that was nearest to being cut, in a look. */
struct nearest {
	double threshold; /* infinite: nothing is shared */
	int layer;
};

static void note_nearest(const struct partition *p, int layer, const double *overlap,
                         struct nearest *n)
{
	for (int i = 0; i < p->submodels; i++) {
		struct cut cut = {INFINITY, 0};
		if (p->part[i] == i)
			cut = overlap_cut(overlap, p->submodels, partition_members(p, i));
		if (cut.threshold < n->threshold)
			*n = (struct nearest){cut.threshold, layer};
	}
}

static void remember(const struct look *l, const struct nearest *n)
{
	struct growth *g = &l->t->growth;
	const char *layer = l->b.layer[n->layer].name;

	if (!isfinite(n->threshold))
		return;
	if (l->t->parallel.rank == 0)
		log_info("epoch %lld: least overlap %.3f, at %s", (long long)g->looked,
		         n->threshold, layer);
	if (n->threshold >= g->least)
		return;
	g->least = n->threshold;
	g->least_epoch = g->looked;
	free(g->least_layer);
	g->least_layer = xstrdup(layer);
}

static void say_split(const struct look *l, const struct branch_split *s)
{
	struct text line = {0};

	text_add(&line, "{");
	members_print(&line, s->branch & ~s->apart);
	text_add(&line, "} and {");
	members_print(&line, s->apart);
	text_add(&line, "}");
	if (l->t->parallel.rank == 0)
		log_info("epoch %lld: %s splits into %s (overlap %.3f)",
		         (long long)l->t->growth.looked, l->b.layer[s->layer].name, line.data,
		         s->threshold);
	text_release(&line);
}

static int64_t budget_of(const struct trainer *t)
{
	return (int64_t)(t->spec->prune_flops * (double)one_network_macs(t));
}

/* Whether pruning can bring a tree down to the budget. */
static bool is_affordable(const struct look *l, const struct tree *tree)
{
	const struct trial_spec *s = l->t->spec;
	struct prune p = {&l->b, l->outputs, budget_of(l->t), (int)s->prune_multiple, NULL};

	return s->prune_flops == 0 || prune_least(tree, &p) <= p.budget;
}

/* The layer is not looked at again for these submodels. */
static void close_layer(double *overlap, int submodels, uint32_t branch)
{
	for (int i = 0; i < submodels; i++)
		for (int k = 0; k < submodels; k++)
			if (branch >> i & branch >> k & 1)
				overlap[i * submodels + k] = 1;
}

/* How many of the splits the budget has room for, one after the other; *grown becomes l->tree with
 * all of these. */
static int affordable(const struct look *l, const struct branch_split *found, int count,
                      struct tree **grown)
{
	*grown = tree_copy(l->tree);
	for (int i = 0; i < count; i++) {
		tree_split(*grown, found[i].layer, found[i].apart);
		if (!is_affordable(l, *grown))
			return i;
	}
	return count;
}

/* Splits l->tree at the earliest layers where branches can be cut and paid for; returns how often.
 */
static int split_layers(struct look *l, const struct partition *layer, double *const *overlap)
{
	struct branch_split found[SPLITS_MAX];
	struct growth *g = &l->t->growth;
	struct tree *grown;
	int count, paid;

	g->unpaid = 0;
	for (;;) {
		count = split_find(layer, l->b.layers, (const double *const *)overlap,
		                   l->t->spec->split_threshold, found);
		paid = affordable(l, found, count, &grown);
		if (paid == count)
			break;
		tree_free(grown);
		close_layer(overlap[found[paid].layer], l->s.submodels, found[paid].branch);
		g->unpaid++;
	}
	tree_free(l->tree);
	l->tree = grown;
	for (int i = 0; i < count; i++)
		say_split(l, &found[i]);
	if (g->unpaid && l->t->parallel.rank == 0)
		log_info("epoch %lld: cuts that prune.flops has no room for: %d",
		         (long long)g->looked, g->unpaid);
	return count;
}

static int split(struct look *l)
{
	struct partition *layer = xcalloc((size_t)l->b.layers, sizeof *layer);
	double **overlap = xcalloc((size_t)l->b.layers, sizeof *overlap);
	struct nearest nearest = {INFINITY, 0};

	for (int i = 0; i < l->b.layers; i++) {
		layer[i] = partition_of(l->tree, i);
		overlap[i] = overlaps_of(l, i);
		if (overlap[i])
			note_nearest(&layer[i], i, overlap[i], &nearest);
	}
	remember(l, &nearest);
	int count = split_layers(l, layer, overlap);
	for (int i = 0; i < l->b.layers; i++)
		free(overlap[i]);
	free(overlap);
	free(layer);
	return count;
}

/* ---- pruning ---- */

/* The importance to a submodel of a channel of a group of l->tree: of all filters that make it. */
static double importance_of(const struct look *l, const int *group, int of, int submodel,
                            int channel)
{
	const struct tree *old = l->t->model->tree;
	double sum = 0;

	for (int k = 0; k < l->tree->nodes; k++) {
		const struct tree_node *n = &l->tree->node[k];
		if (group[k] != of || !(n->members >> submodel & 1))
			continue;
		int was = tree_at(old, n->layer, submodel);
		sum += l->s.importance[submodel * l->s.nodes + was]
		                      [tree_position(&old->node[was], channel)];
	}
	return sum;
}

/* All filters of all groups: whose they are, and what they are to each submodel. */
struct filters {
	int64_t count;
	int *group, *channel; /* (count) */
	uint32_t *members;    /* (count) */
	double *importance;   /* (count, submodels) */
	double *score;        /* (count) */
};

static void add_filters(const struct look *l, const int *group, int of, struct filters *f)
{
	const struct tree_node *first = NULL;
	uint32_t members = 0;
	int submodels = l->s.submodels;

	for (int k = l->tree->nodes - 1; k >= 0; k--)
		if (group[k] == of) {
			first = &l->tree->node[k];
			members |= first->members;
		}
	assert(first);
	for (int c = 0; c < first->channels; c++) {
		int64_t at = f->count++;
		f->group[at] = of;
		f->channel[at] = tree_channel(first, c);
		f->members[at] = members;
		for (int i = 0; i < submodels; i++)
			if (members >> i & 1)
				f->importance[at * submodels + i] =
				        importance_of(l, group, of, i, f->channel[at]);
	}
}

/* score[group][channel] for prune_tree, the caller's to free with scores_free. */
static double **scores_of(const struct look *l, const int *group, int groups)
{
	size_t most = 0, widest = 0, submodels = (size_t)l->s.submodels;
	struct filters f = {0};
	double **score = xcalloc((size_t)groups, sizeof *score);

	for (int k = 0; k < l->tree->nodes; k++)
		most += (size_t)l->tree->node[k].channels;
	for (int i = 0; i < l->b.layers; i++)
		widest = (size_t)l->b.layer[i].out > widest ? (size_t)l->b.layer[i].out : widest;
	f.group = xcalloc(most, sizeof *f.group);
	f.channel = xcalloc(most, sizeof *f.channel);
	f.members = xcalloc(most, sizeof *f.members);
	f.importance = xcalloc(most * submodels, sizeof *f.importance);
	f.score = xcalloc(most, sizeof *f.score);
	for (int g = 0; g < groups; g++) {
		score[g] = xcalloc(widest, sizeof **score);
		add_filters(l, group, g, &f);
	}
	importance_agree(f.importance, f.members, f.count, l->s.submodels, f.score);
	for (int64_t i = 0; i < f.count; i++)
		score[f.group[i]][f.channel[i]] = f.score[i];
	free(f.group);
	free(f.channel);
	free(f.members);
	free(f.importance);
	free(f.score);
	return score;
}

/* Takes filters out of l->tree until it is within the budget; returns how many. */
static int prune(struct look *l)
{
	const struct trial_spec *s = l->t->spec;
	struct prune p = {&l->b, l->outputs, budget_of(l->t), (int)s->prune_multiple, NULL};
	int64_t before = tree_macs(l->tree, &l->b, l->outputs);

	if (s->prune_flops == 0 || before <= p.budget)
		return 0;
	int *group = xcalloc((size_t)l->tree->nodes, sizeof *group);
	int groups = tree_groups(l->tree, &l->b, group, NULL);
	double **score = scores_of(l, group, groups);
	p.score = score;
	int gone = prune_tree(l->tree, &p);
	int64_t after = tree_macs(l->tree, &l->b, l->outputs);
	if (l->t->parallel.rank == 0)
		log_info("epoch %lld: %d channels pruned, %.4g of %.4g multiply-accumulates left%s",
		         (long long)l->t->growth.looked, gone, (double)after, (double)before,
		         after > p.budget ? ": nothing more can go, and it is above prune.flops"
		                          : "");
	for (int g = 0; g < groups; g++)
		free(score[g]);
	free(score);
	free(group);
	return gone;
}

/* ---- looking ---- */
static bool is_due(const struct trainer *t)
{
	const struct trial_spec *s = t->spec;
	int64_t epoch = t->position.epoch + 1;

	return t->subtasks.count && s->split_interval && epoch % s->split_interval == 0 &&
	       (double)epoch <= s->split_until * (double)s->train_epochs &&
	       t->growth.looked < epoch;
}

int splitting_look(struct trainer *t, struct error *e)
{
	struct look l = {.t = t};

	if (!is_due(t))
		return LOOP_GOES_ON;
	int ended = sensitivity_measure(&l.s, t, e);
	if (ended == LOOP_GOES_ON) {
		backbone_init(&l.b, &t->model->config);
		model_outputs(&t->model->config, l.outputs);
		l.tree = tree_copy(t->model->tree);
		t->growth.looked = t->position.epoch + 1;
		int splits = split(&l), pruned = prune(&l);
		t->growth.splits += splits;
		t->growth.pruned += pruned;
		if (splits || pruned)
			trainer_reshape(t, l.tree);
		tree_free(l.tree);
		backbone_release(&l.b);
	}
	sensitivity_release(&l.s);
	return ended;
}

/* Whether the tree is ever looked at. */
static bool has_looks(const struct trial_spec *s)
{
	return s->split_interval &&
	       (double)s->split_interval <= s->split_until * (double)s->train_epochs;
}

static int check_least(const struct trainer *t, const struct prune *p, struct error *e)
{
	const struct trial_spec *s = t->spec;
	double one = (double)one_network_macs(t), least = (double)prune_least(t->model->tree, p);

	if (least / one <= s->prune_flops)
		return 0;
	return error_set(
	        e,
	        "prune.flops is %g, but with widths of %lld (prune.multiple) nothing below "
	        "%.4f can be reached",
	        s->prune_flops, (long long)s->prune_multiple, ceil(1e4 * least / one) / 1e4);
}

int splitting_check(const struct trainer *t, struct error *e)
{
	const struct trial_spec *s = t->spec;
	int outputs[SUBTASKS_MAX], status = 0;
	struct backbone b;

	if (!t->subtasks.count || !s->prune_flops || !s->train_epochs || t->files.resume)
		return 0;
	backbone_init(&b, &t->model->config);
	model_outputs(&t->model->config, outputs);
	struct prune p = {&b, outputs, budget_of(t), (int)s->prune_multiple, NULL};
	if (has_looks(s))
		status = check_least(t, &p, e);
	else if (s->prune_flops < 1 && tree_macs(t->model->tree, &b, outputs) > p.budget)
		status =
		        error_set(e,
		                  "prune.flops is %g, but the tree is never looked at, which would "
		                  "prune it: split.interval is %lld, split.until %g of %lld epochs",
		                  s->prune_flops, (long long)s->split_interval, s->split_until,
		                  (long long)s->train_epochs);
	backbone_release(&b);
	return status;
}
