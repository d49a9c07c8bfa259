/* Laws of trees of submodels: what splitting and pruning keep, and what they cost. */
#include "core/models/tree.h"
#include "core/base/random.h"
#include "core/base/text.h"
#include "core/models/cost.h"
#include "core/models/reshape.h"
#include "core/split/partition.h"
#include "core/split/prune.h"
#include "tests/values.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { IMAGES = 4, PX = 8, SUBMODELS = 4, CLASSES = 9 };

/* Nine classes in four groups, dealt in turn. */
static int group_of[CLASSES], place[CLASSES], size[SUBMODELS] = {3, 2, 2, 2};
static int member[CLASSES] = {0, 4, 8, 1, 5, 2, 6, 3, 7};
static const struct subtasks subtasks = {CLASSES, SUBMODELS, group_of, place, size, member};

static int setup(void **state)
{
	for (int c = 0; c < CLASSES; c++) {
		group_of[c] = c % SUBMODELS;
		place[c] = c / SUBMODELS;
	}
	return 0;
}

static struct model_config config_of(const char *name, const char *shortcut)
{
	struct model_config c;
	struct error e;

	assert_int_equal(model_config_named(&c, name, CLASSES, shortcut, &e), 0);
	c.width = 8;
	c.image_px = PX;
	c.subtasks = &subtasks;
	return c;
}

/* Norms of their own too, so that nothing is 1 or 0 by chance. */
static struct model *model_of(struct model_config c, enum dtype type)
{
	struct model *m = model_new(&c, type);
	struct random_stream r = random_stream(7, "norm", 0, 0);

	parameter_start(&m->parameters, 3);
	for (int i = 0, at = 0; i < model_items(m); i++) {
		struct parameter *p = model_item(m, i);
		bool norm = p->role >= PARAMETER_NORM_SCALE;
		for (int64_t k = 0; norm && k < shape_count(p->value->shape); k++)
			tensor_set(p->value, k, 0.5 + random_uniform(&r, (uint64_t)at++));
	}
	return m;
}

static struct tensor *images_of(enum dtype type)
{
	struct tensor *x = tensor_zeros(type, SHAPE(IMAGES, 3, PX, PX));
	struct random_stream r = random_stream(1, "images", 0, 0);

	for (int64_t i = 0; i < shape_count(x->shape); i++)
		tensor_set(x, i, random_normal(&r, (uint64_t)i));
	return x;
}

/* The heads' logits, one after the other; the caller's to free. */
static double *logits_of(const struct model *m, const struct backend *backend,
                         enum forward_mode mode, bool recording)
{
	struct tensor *images = images_of(m->parameters.item[0].value->type);
	struct tensor *heads[SUBTASKS_MAX];
	double *all = xcalloc(IMAGES * (CLASSES + SUBMODELS), sizeof *all), *out = all;
	struct tape t;
	struct forward f;

	tape_init(&t, backend);
	t.recording = recording;
	model_begin(&f, &t, m, mode, NULL);
	model_heads(m, &f, tape_leaf(&t, images), UINT32_MAX, heads);
	for (int s = 0; s < SUBMODELS; s++)
		for (int64_t i = 0; i < shape_count(heads[s]->shape); i++)
			*out++ = tensor_at(heads[s], i);
	forward_release(&f);
	tape_release(&t);
	tensor_free(images);
	return all;
}

static void assert_logits(const struct model *a, const struct model *b,
                          const struct backend *backend, enum forward_mode mode, double tolerance)
{
	double *x = logits_of(a, backend, mode, true), *y = logits_of(b, backend, mode, false);

	for (int i = 0; i < IMAGES * (CLASSES + SUBMODELS); i++)
		if (!(fabs(x[i] - y[i]) <= tolerance * fabs(x[i])))
			fail_msg("%s, logit %d: %.17g is not %.17g", a->config.name, i, y[i], x[i]);
	free(x);
	free(y);
}

/* {0, 1, 2, 3} -> {0, 2}, {1, 3} at one layer, then {0}, {2} at another, and {1}, {3} earlier. */
static void split_thrice(struct tree *t, const struct backbone *b)
{
	tree_split(t, b->layers - 4, 0xa);
	tree_split(t, b->layers - 1, 0x4);
	tree_split(t, b->layers - 3, 0x8);
}

static struct tree *split_tree(const struct model *m)
{
	struct tree *t = tree_copy(m->tree);
	struct backbone b;

	backbone_init(&b, &m->config);
	split_thrice(t, &b);
	backbone_release(&b);
	return t;
}

static const struct {
	const char *name, *shortcut;
} nets[] = {{"resnet20", "A"}, {"resnet20", "B"}, {"resnet18", NULL}, {"resnet50", NULL}};
enum { NETS = sizeof nets / sizeof *nets };

static void a_split_changes_no_bit(void **state)
{
	for (int i = 0; i < NETS; i++) {
		struct model *m = model_of(config_of(nets[i].name, nets[i].shortcut), F32);
		struct tree *t = split_tree(m);
		struct reshape r;
		struct model *split = model_reshape(m, t, &r);

		assert_true(split->parameters.count > m->parameters.count);
		assert_logits(m, split, &backend_onednn, FORWARD_EVALUATION, 0);
		assert_logits(m, split, &backend_onednn, FORWARD_TRAINING, 0);
		reshape_release(&r);
		tree_free(t);
		model_free(split);
		model_free(m);
	}
}

static void sets_refine_from_layer_to_layer(void **state)
{
	struct model_config c = config_of("resnet18", NULL);
	struct random_stream r = random_stream(5, "splits", 0, 0);
	struct backbone b;

	backbone_init(&b, &c);
	for (uint64_t round = 0; round < 50; round++) {
		struct tree *t = tree_trunk(&b, 7);
		for (uint64_t k = 0; k < 6; k++)
			tree_split(t, (int)random_below(&r, 20 * round + 2 * k, (uint64_t)b.layers),
			           (uint32_t)random_below(&r, 20 * round + 2 * k + 1, 126) + 1);
		for (int layer = 0; layer < b.layers; layer++)
			for (int s = 0; s < 7; s++) {
				const struct tree_node *n = &t->node[tree_at(t, layer, s)];
				assert_true(n->members >> s & 1);
				assert_true(layer == 0 ? n->parent == -1
				                       : n->parent == tree_at(t, layer - 1, s));
				assert_true(n->parent < tree_at(t, layer, s));
				if (layer)
					assert_false(n->members & ~t->node[n->parent].members);
			}
		tree_free(t);
	}
	backbone_release(&b);
}

static void a_tree_splits_as_its_partitions_do(void **state)
{
	struct model_config c = config_of("resnet18", NULL);
	struct random_stream r = random_stream(6, "splits", 0, 0);
	struct partition layer[64];
	struct backbone b;

	backbone_init(&b, &c);
	for (uint64_t round = 0; round < 30; round++) {
		struct tree *t = tree_trunk(&b, 6);
		for (int l = 0; l < b.layers; l++)
			layer[l] = partition_whole(6);
		for (uint64_t k = 0; k < 5; k++) {
			struct branch_split s = {
			        .layer = (int)random_below(&r, 20 * round + 2 * k,
			                                   (uint64_t)b.layers),
			        .apart =
			                (uint32_t)random_below(&r, 20 * round + 2 * k + 1, 62) + 1};
			split_apply(layer, b.layers, &s);
			tree_split(t, s.layer, s.apart);
		}
		for (int l = 0; l < b.layers; l++)
			for (int i = 0; i < 6; i++)
				assert_int_equal(t->node[tree_at(t, l, i)].members,
				                 partition_members(&layer[l], i));
		tree_free(t);
	}
	backbone_release(&b);
}

/* Scores by which every third channel of each group would go first. */
static double **scores_of(const struct tree *t, const struct backbone *b, int groups)
{
	double **score = xcalloc((size_t)groups, sizeof *score);

	for (int g = 0; g < groups; g++) {
		score[g] = xcalloc(4096, sizeof **score);
		for (int c = 0; c < 4096; c++)
			score[g][c] = c % 3 * 100 + (g * 7 + c) % 11;
	}
	return score;
}

static void scores_free(double **score, int groups)
{
	for (int g = 0; g < groups; g++)
		free(score[g]);
	free(score);
}

/* Prunes a copy of the tree to a share of its cost. */
static struct tree *pruned_tree(const struct tree *from, const struct model_config *c, double share,
                                int multiple)
{
	struct tree *t = tree_copy(from);
	int *of = xcalloc((size_t)t->nodes, sizeof *of), outputs[SUBTASKS_MAX];
	struct backbone b;

	backbone_init(&b, c);
	model_outputs(c, outputs);
	int groups = tree_groups(t, &b, of, NULL);
	double **score = scores_of(t, &b, groups);
	struct prune p = {&b, outputs, (int64_t)(share * (double)tree_macs(t, &b, outputs)),
	                  multiple, score};
	assert_true(prune_tree(t, &p) > 0);
	assert_true(tree_macs(t, &b, outputs) <= p.budget);
	scores_free(score, groups);
	free(of);
	backbone_release(&b);
	return t;
}

/* Zeroes what belongs to the channels of m that the pruned tree lacks. */
static void zero_filters(struct model *m, const struct tree *pruned)
{
	struct backbone b;

	backbone_init(&b, &m->config);
	for (int i = 0; i < m->tree->nodes; i++) {
		const struct tree_node *n = &m->tree->node[i], *left = &pruned->node[i];
		const struct backbone_layer *l = &b.layer[n->layer];
		const char *of[] = {l->name, l->norm, l->shortcut};
		int least = tree_least(n->members);
		char *branch = least ? xformat("branches.%d.", least) : xstrdup("");
		for (int k = 0; k < 4; k++) {
			const char *name = of[k < 2 ? k : 2];
			if (!name)
				continue;
			char *stem = xformat("%s%s%s", branch, name,
			                     k < 2    ? ""
			                     : k == 2 ? ".0"
			                              : ".1");
			for (int j = 0; j < m->parameters.count; j++) {
				struct parameter *p = &m->parameters.item[j];
				size_t length = strlen(stem);
				if (strncmp(p->name, stem, length) || p->name[length] != '.')
					continue;
				int64_t rest = shape_count(p->value->shape) / p->value->shape.d[0];
				for (int c = 0, at = 0; c < n->channels; c++) {
					bool kept =
					        at < left->channels && tree_channel(left, at) == c;
					at += kept;
					for (int64_t x = 0; !kept && x < rest; x++)
						tensor_set(p->value, c * rest + x, 0);
				}
			}
			free(stem);
		}
		free(branch);
	}
	backbone_release(&b);
}

static void a_pruned_model_is_the_model_with_those_filters_zero(void **state)
{
	for (int i = 0; i < NETS; i++) {
		struct model *trunk = model_of(config_of(nets[i].name, nets[i].shortcut), F64);
		struct tree *split = split_tree(trunk);
		struct reshape r, s;
		struct model *m = model_reshape(trunk, split, &r);
		struct tree *t = pruned_tree(split, &m->config, 0.6, 2);
		struct model *pruned = model_reshape(m, t, &s);

		zero_filters(m, t);
		assert_logits(m, pruned, &backend_ref, FORWARD_EVALUATION, 1e-10);
		assert_logits(m, pruned, &backend_ref, FORWARD_TRAINING, 1e-10);
		reshape_release(&r);
		reshape_release(&s);
		tree_free(split);
		tree_free(t);
		model_free(pruned);
		model_free(m);
		model_free(trunk);
	}
}

static void costs_of_a_tree_are_those_of_its_model(void **state)
{
	for (int i = 0; i < NETS; i++) {
		struct model_config c = config_of(nets[i].name, nets[i].shortcut);
		struct backbone b;
		int outputs[SUBTASKS_MAX];

		backbone_init(&b, &c);
		model_outputs(&c, outputs);
		struct tree *trunk = tree_trunk(&b, SUBMODELS), *split = tree_copy(trunk);
		split_thrice(split, &b);
		struct tree *pruned = pruned_tree(split, &c, 0.5, 4);
		const struct tree *trees[] = {trunk, split, pruned};
		for (int k = 0; k < 3; k++) {
			c.tree = trees[k];
			struct model *m = model_new(&c, F32);
			assert_int_equal(model_macs(m), tree_macs(trees[k], &b, outputs));
			model_free(m);
		}
		tree_free(trunk);
		tree_free(split);
		tree_free(pruned);
		backbone_release(&b);
	}
}

static void pruning_ends_within_one_step_of_the_budget(void **state)
{
	struct model_config c = config_of("resnet18", NULL);
	int outputs[SUBTASKS_MAX];
	struct backbone b;

	c.width = 32;
	backbone_init(&b, &c);
	model_outputs(&c, outputs);
	struct tree *split = tree_trunk(&b, SUBMODELS);
	split_thrice(split, &b);
	for (double share = 0.9; share > 0.3; share -= 0.1) {
		struct tree *t = pruned_tree(split, &c, share, 4);
		double macs = (double)tree_macs(t, &b, outputs);
		double wanted = share * (double)tree_macs(split, &b, outputs);
		assert_true(macs > 0.98 * wanted && macs <= wanted);
		for (int i = 0; i < t->nodes; i++)
			assert_int_equal(t->node[i].channels % 4, 0);
		tree_free(t);
	}
	tree_free(split);
	backbone_release(&b);
}

static void the_lowest_scores_of_a_group_go_first(void **state)
{
	struct model_config c = config_of("resnet18", NULL);
	struct backbone b;

	c.width = 32;
	backbone_init(&b, &c);
	struct tree *trunk = tree_trunk(&b, SUBMODELS), *t = pruned_tree(trunk, &c, 0.5, 4);
	int *of = xcalloc((size_t)t->nodes, sizeof *of), lost = 0;
	int groups = tree_groups(t, &b, of, NULL);
	double **score = scores_of(t, &b, groups);
	for (int i = 0; i < t->nodes; i++) {
		double least = INFINITY, most = -INFINITY; /* of what is left; of what is gone */
		for (int channel = 0; channel < b.layer[t->node[i].layer].out; channel++) {
			double s = score[of[i]][channel];
			if (tree_position(&t->node[i], channel) >= 0)
				least = fmin(least, s);
			else
				most = fmax(most, s);
		}
		lost += isfinite(most);
		assert_true(most <= least);
	}
	assert_true(lost > 3);
	scores_free(score, groups);
	free(of);
	tree_free(t);
	tree_free(trunk);
	backbone_release(&b);
}

static void the_way_of_submodel_0_is_named_as_the_backbone(void **state)
{
	struct model_config c = config_of("resnet18", NULL), plain = c;
	plain.subtasks = NULL;
	struct model *one = model_new(&plain, F32), *trunk = model_new(&c, F32);
	struct tree *t = split_tree(trunk);
	c.tree = t;
	struct model *m = model_new(&c, F32);

	for (int i = 0; i < one->parameters.count - 2; i++)
		assert_true(parameter_find(&m->parameters, one->parameters.item[i].name) >= 0);
	assert_true(parameter_find(&m->parameters, "fc.3.weight") >= 0);
	assert_true(parameter_find(&m->parameters, "branches.1.layer4.1.conv2.weight") >= 0);
	assert_true(parameter_find(&m->parameters, "branches.2.layer4.1.bn2.bias") >= 0);
	assert_true(parameter_find(&m->parameters, "branches.2.layer4.0.conv1.weight") < 0);
	for (int i = 0; i < m->parameters.count; i++)
		assert_int_equal(parameter_find(&m->parameters, m->parameters.item[i].name), i);
	tree_free(t);
	model_free(one);
	model_free(trunk);
	model_free(m);
}

static void a_tree_comes_back_from_its_text(void **state)
{
	struct model_config c = config_of("resnet20", "A");
	struct backbone b;
	struct error e;

	backbone_init(&b, &c);
	struct tree *trunk = tree_trunk(&b, SUBMODELS), *split = tree_copy(trunk);
	split_thrice(split, &b);
	struct tree *pruned = pruned_tree(split, &c, 0.5, 2);
	cJSON *list = tree_json(pruned, &b);
	struct tree *back = tree_parse(list, &b, SUBMODELS, &e);
	assert_non_null(back);
	cJSON *again = tree_json(back, &b);
	assert_true(cJSON_Compare(list, again, true));
	for (int i = 0; i < back->nodes; i++)
		assert_int_equal(back->node[i].parent, pruned->node[i].parent);
	cJSON_Delete(list);
	cJSON_Delete(again);
	tree_free(back);
	tree_free(trunk);
	tree_free(split);
	tree_free(pruned);
	backbone_release(&b);
}

static void trees_that_do_not_fit_are_refused(void **state)
{
	static const struct {
		const char *find, *put, *message;
	} bad[] = {
	        {"\"layer2.0.conv1\"", "\"layer9\"", "\"layer9\" is no layer"},
	        {"[0,1,2,3]", "[0,1,2,4]", "conv1: members"},
	        {"[0,1,2,3]", "[0,1,2]", "no node"},
	        {"{\"layer\":\"layer1.0.conv1\",\"members\":[0,1,2,3]},",
	         "{\"layer\":\"layer1.0.conv1\",\"members\":[0,1,2,3]},"
	         "{\"layer\":\"layer1.0.conv1\",\"members\":[0]},",
	         "two nodes"},
	        {"{\"layer\":\"conv1\",\"members\":[0,1,2,3]},", "", "layer before it"},
	        {"{\"layer\":\"layer1.0.conv2\",", "{\"kept\":[0,1],\"layer\":\"layer1.0.conv2\",",
	         "other channels than"},
	        {"{\"layer\":\"layer1.0.conv1\",", "{\"kept\":[0,99],\"layer\":\"layer1.0.conv1\",",
	         "kept: rising channels below 8"},
	};
	struct model_config c = config_of("resnet20", "A");
	struct backbone b;

	backbone_init(&b, &c);
	struct tree *trunk = tree_trunk(&b, SUBMODELS);
	cJSON *list = tree_json(trunk, &b);
	char *text = json_print(list, false);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		char *at = strstr(text, bad[i].find);
		struct error e = {{0}};
		assert_non_null(at);
		char *spoilt = xformat("%.*s%s%s", (int)(at - text), text, bad[i].put,
		                       at + strlen(bad[i].find));
		cJSON *parsed = cJSON_Parse(spoilt);
		assert_null(tree_parse(parsed, &b, SUBMODELS, &e));
		if (!strstr(e.text, bad[i].message))
			fail_msg("%s: \"%s\" is not in \"%s\"", bad[i].put, bad[i].message, e.text);
		cJSON_Delete(parsed);
		free(spoilt);
	}
	free(text);
	cJSON_Delete(list);
	tree_free(trunk);
	backbone_release(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_split_changes_no_bit),
	        cmocka_unit_test(sets_refine_from_layer_to_layer),
	        cmocka_unit_test(a_tree_splits_as_its_partitions_do),
	        cmocka_unit_test(a_pruned_model_is_the_model_with_those_filters_zero),
	        cmocka_unit_test(costs_of_a_tree_are_those_of_its_model),
	        cmocka_unit_test(pruning_ends_within_one_step_of_the_budget),
	        cmocka_unit_test(the_lowest_scores_of_a_group_go_first),
	        cmocka_unit_test(the_way_of_submodel_0_is_named_as_the_backbone),
	        cmocka_unit_test(a_tree_comes_back_from_its_text),
	        cmocka_unit_test(trees_that_do_not_fit_are_refused),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
