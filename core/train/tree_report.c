/* What a split model has to say of its tree. */
#include "core/train/tree_report.h"
#include "core/base/log.h"
#include "core/base/text.h"
#include "core/models/cost.h"
#include "core/models/tree.h"
#include "core/split/partition.h"

int64_t one_network_macs(const struct trainer *t)
{
	const struct model_config *c = &t->model->config;
	struct backbone b;

	backbone_init(&b, c);
	struct tree *trunk = tree_trunk(&b, 1);
	int64_t macs = tree_macs(trunk, &b, &c->classes);
	tree_free(trunk);
	backbone_release(&b);
	return macs;
}

double tree_relative_flops(const struct trainer *t)
{
	return (double)model_macs(t->model) / (double)one_network_macs(t);
}

static void add_node(struct trainer *t, const struct backbone *b, int node)
{
	const struct tree_node *n = &t->model->tree->node[node];
	const struct backbone_layer *l = &b->layer[n->layer];
	struct text members = {0};

	members_print(&members, n->members);
	result_node(&t->result, node, n->parent, l->name, members.data, n->channels, l->out,
	            (double)tree_node_macs(t->model->tree, b, node));
	text_release(&members);
}

static void add_head(struct trainer *t, const struct backbone *b, int submodel, int outputs)
{
	const struct tree *tree = t->model->tree;
	int leaf = tree_at(tree, b->layers - 1, submodel);
	struct text members = {0};

	members_print(&members, 1u << submodel);
	result_node(&t->result, tree->nodes + submodel, leaf, t->model->config.linear_name,
	            members.data, outputs, outputs, (double)tree->node[leaf].channels * outputs);
	text_release(&members);
}

/* A tree that never split is worth a line. */
static void say_unsplit(const struct trainer *t)
{
	const struct growth *g = &t->growth;
	const struct trial_spec *s = t->spec;

	if (t->parallel.rank || g->splits || !s->train_epochs)
		return;
	if (!g->looked && s->split_interval)
		log_info("no branch was split, since none was looked at: split.interval is %lld, "
		         "split.until %g of %lld epochs",
		         (long long)s->split_interval, s->split_until, (long long)s->train_epochs);
	else if (g->least_layer)
		log_info("no branch was split: the least overlap was %.3f, at %s after epoch %lld; "
		         "split.threshold is %g",
		         g->least, g->least_layer, (long long)g->least_epoch, s->split_threshold);
}

void tree_report(struct trainer *t)
{
	const struct tree *tree = t->model->tree;
	struct result *r = &t->result;
	int outputs[SUBTASKS_MAX], branches = 0;
	struct backbone b;

	backbone_init(&b, &t->model->config);
	model_outputs(&t->model->config, outputs);
	for (int i = 0; i < tree->nodes; i++) {
		add_node(t, &b, i);
		branches += tree->node[i].layer == b.layers - 1;
	}
	for (int s = 0; s < tree->submodels; s++)
		add_head(t, &b, s, outputs[s]);
	result_figure(r, "relative_flops", tree_relative_flops(t));
	result_figure(r, "splits", t->growth.splits);
	result_figure(r, "branches", branches);
	result_figure(r, "pruned_channels", t->growth.pruned);
	result_figure(r, "unpaid_splits", t->growth.unpaid);
	result_figure(r, "last_look", (double)t->growth.looked);
	result_figure(r, "least_overlap", t->growth.least);
	say_unsplit(t);
	backbone_release(&b);
}
