/* What sharing layers costs: a training step of a tree of submodels beside one network of the same
 * multiply-accumulates.
 *
 * usage: tree [model] [batch] [threads] [pairs] [multiple]
 * Both networks take steps in turns; prints, for each tree, its relative cost and the medians of
 * the ratios of times: of the wall's clock, which asks for an idle machine, and of the processor's,
 * which does not.  The trees are five submodels of 100 classes: a trunk, one that splits in the
 * last stage, and the published one (methods: layer3.0.conv2 … layer4.0.conv1), pruned to the
 * budget by `multiple` channels in an order drawn by chance. */
#include "core/models/tree.h"
#include "core/base/random.h"
#include "core/base/text.h"
#include "core/fisher/regularizer.h"
#include "core/models/cost.h"
#include "core/split/prune.h"
#include "core/split/subtask_loss.h"
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { CLASSES = 100, SUBMODELS = 5, SIZE_PX = 32, PAIRS_MOST = 1000 };

struct cut_at {
	const char *layer;
	uint32_t apart;
};
static const struct {
	const char *name;
	struct cut_at split[5];
} shapes[] = {
        {"trunk", {{NULL, 0}}},
        {"last stage", {{"layer4.0.conv1", 0x8}, {"layer4.0.conv1", 0x4}, {NULL, 0}}},
        {"published",
         {{"layer3.0.conv2", 0x8},
          {"layer3.1.conv1", 0x4},
          {"layer3.1.conv2", 0x2},
          {"layer4.0.conv1", 0x10},
          {NULL, 0}}},
};

enum { WALL, PROCESSOR, CLOCKS };
struct times {
	double s[CLOCKS];
};

static struct times now(void)
{
	static const clockid_t clock[CLOCKS] = {CLOCK_MONOTONIC, CLOCK_PROCESS_CPUTIME_ID};
	struct times all;

	for (int i = 0; i < CLOCKS; i++) {
		struct timespec t;
		clock_gettime(clock[i], &t);
		all.s[i] = (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
	}
	return all;
}

struct batch {
	struct tensor *image, *label;
};

static struct batch batch_of(int images)
{
	struct batch b = {tensor_new(F32, SHAPE(images, 3, SIZE_PX, SIZE_PX)),
	                  tensor_new(I32, SHAPE(images))};
	struct random_stream r = random_stream(1, "bench", 0, 0);
	float *pixel = tensor_write(b.image);
	int32_t *label = tensor_write(b.label);

	for (int64_t i = 0, n = shape_count(b.image->shape); i < n; i++)
		pixel[i] = (float)random_normal(&r, (uint64_t)i);
	for (int i = 0; i < images; i++)
		label[i] = (int32_t)random_below(&r, (uint64_t)i, CLASSES);
	return b;
}

static struct tensor *loss_of(const struct model *m, struct forward *f, const struct batch *b)
{
	const struct subtask_objective o = {0.9999, 500, 1e-4, false};
	struct tensor *heads[SUBTASKS_MAX];

	model_heads(m, f, tape_leaf(f->tape, b->image), UINT32_MAX, heads);
	if (m->config.subtasks)
		return subtask_losses(f->tape, m->config.subtasks, &o, heads, b->label).total;
	return op_mean(f->tape, op_cross_entropy(f->tape, heads[0], tape_leaf(f->tape, b->label)));
}

/* What forward and backward take. */
static struct times step(const struct model *m, const struct batch *b)
{
	struct tensor **gradient = xcalloc((size_t)m->parameters.count, sizeof *gradient);
	struct times begin = now();
	struct tape tape;
	struct forward f;

	tape_init(&tape, &backend_onednn);
	model_begin(&f, &tape, m, FORWARD_TRAINING, NULL);
	struct tensor *loss = loss_of(m, &f, b);
	loss_gradient(&f, (struct losses){loss, loss}, 0, gradient, NULL);
	forward_release(&f);
	tape_release(&tape);
	free(gradient);
	struct times took = now();
	for (int i = 0; i < CLOCKS; i++)
		took.s[i] -= begin.s[i];
	return took;
}

/* Takes channels out in an order drawn by chance until the tree costs no more than the budget. */
static void prune(struct tree *t, const struct backbone *b, const int *outputs, int64_t budget,
                  int multiple)
{
	int *group = xcalloc((size_t)t->nodes, sizeof *group), most = 0;
	int groups = tree_groups(t, b, group, NULL);
	double **score = xcalloc((size_t)groups, sizeof *score);

	for (int i = 0; i < b->layers; i++)
		most = b->layer[i].out > most ? b->layer[i].out : most;
	for (int g = 0; g < groups; g++) {
		struct random_stream r = random_stream(1, "prune", (uint64_t)g, 0);
		score[g] = xcalloc((size_t)most, sizeof **score);
		for (int c = 0; c < most; c++)
			score[g][c] = random_uniform(&r, (uint64_t)c);
	}
	prune_tree(t, &(struct prune){b, outputs, budget, multiple, score});
	for (int g = 0; g < groups; g++)
		free(score[g]);
	free(score);
	free(group);
}

static struct model *tree_model(struct model_config c, const struct cut_at *split, int64_t budget,
                                int multiple)
{
	int outputs[SUBTASKS_MAX];
	struct backbone b;

	backbone_init(&b, &c);
	model_outputs(&c, outputs);
	struct tree *t = tree_trunk(&b, SUBMODELS);
	for (; split->layer; split++) {
		int layer = backbone_find(&b, split->layer);
		if (layer >= 0)
			tree_split(t, layer, split->apart);
	}
	prune(t, &b, outputs, budget, multiple);
	c.tree = t;
	struct model *m = model_new(&c, F32);
	parameter_start(&m->parameters, 1);
	tree_free(t);
	backbone_release(&b);
	return m;
}

static int rising(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Medians of the tree's times over the one network's. */
static struct times median_ratios(const struct model *one, const struct model *tree,
                                  const struct batch *b, int pairs)
{
	static double ratio[CLOCKS][PAIRS_MOST];
	struct times median;

	step(one, b); /* makes what the others find */
	step(tree, b);
	for (int i = 0; i < pairs; i++) {
		struct times first = step(i % 2 ? tree : one, b);
		struct times second = step(i % 2 ? one : tree, b);
		for (int k = 0; k < CLOCKS; k++)
			ratio[k][i] = i % 2 ? first.s[k] / second.s[k] : second.s[k] / first.s[k];
	}
	for (int k = 0; k < CLOCKS; k++) {
		qsort(ratio[k], (size_t)pairs, sizeof **ratio, rising);
		median.s[k] = ratio[k][pairs / 2];
	}
	return median;
}

static int number(int argc, char **argv, int i, int otherwise)
{
	return argc > i ? atoi(argv[i]) : otherwise;
}

int main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "resnet18";
	int pairs = number(argc, argv, 4, 7), multiple = number(argc, argv, 5, 16);
	struct batch b = batch_of(number(argc, argv, 2, 64));
	struct subtasks subtasks;
	struct model_config c;
	struct error e;

	omp_set_num_threads(number(argc, argv, 3, 1));
	pairs = pairs < 1 ? 1 : pairs > PAIRS_MOST ? PAIRS_MOST : pairs;
	if (model_config_named(&c, name, CLASSES, NULL, &e) ||
	    subtasks_random(&subtasks, CLASSES, SUBMODELS, 1, &e)) {
		fprintf(stderr, "%s\n", e.text);
		return 2;
	}
	struct model *one = model_new(&c, F32);
	parameter_start(&one->parameters, 1);
	c.subtasks = &subtasks;
	for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
		struct model *tree = tree_model(c, shapes[i].split, model_macs(one), multiple);
		struct times ratio = median_ratios(one, tree, &b, pairs);
		printf("%-10s %-10s multiply-accumulates %.4f  time %.3f  processor time %.3f\n",
		       name, shapes[i].name, (double)model_macs(tree) / (double)model_macs(one),
		       ratio.s[WALL], ratio.s[PROCESSOR]);
		fflush(stdout);
		model_free(tree);
	}
	model_free(one);
	subtasks_release(&subtasks);
	tensor_free(b.image);
	tensor_free(b.label);
	return 0;
}
