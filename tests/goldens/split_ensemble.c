/* Golden Split-Ensemble cases: subtask losses and their gradients, scores, overlaps and cuts, and
 * filter importance. */
#include "core/base/text.h"
#include "core/split/importance.h"
#include "core/split/overlap.h"
#include "core/split/subtask_loss.h"
#include "core/split/subtask_score.h"
#include "tests/goldens/golden.h"
#include <stdlib.h>

struct run {
	struct golden *g;
	struct subtasks subtasks;
	struct subtask_objective objective;
	double top_k;                        /* share of a layer's weights in a mask */
	struct tensor *labels;               // (batch)
	struct tensor *logits[SUBTASKS_MAX]; // (batch, K_i + 1)
};

/* The input "<name>", or "<name><index>", as a tensor of this type; null when it is not there. */
static struct tensor *input(const struct golden *g, const char *name, int index, enum dtype type,
                            struct error *e)
{
	char *full = index < 0 ? xstrdup(name) : xformat("%s%d", name, index);
	const struct safetensor *s = safetensors_find(g->tensors, full);
	struct tensor *t = s ? tensor_new(type, s->shape) : NULL;

	if (!s)
		error_set(e, "no tensor %s", full);
	else if (safetensor_read(s, t, e)) {
		tensor_free(t);
		t = NULL;
	}
	free(full);
	return t;
}

static void check(struct golden *g, const char *family, int index, const double *got, int64_t count)
{
	char *name = xformat("%s%d", family, index);

	golden_check(g, name, NULL, got, count);
	free(name);
}

static void check_tensor(struct golden *g, const char *family, int index, struct tensor *got)
{
	char *name = xformat("%s%d", family, index);

	golden_check_tensor(g, name, NULL, got);
	free(name);
}

static int read_subtasks(struct run *r, struct error *e)
{
	const cJSON *m = r->g->manifest;
	struct dataset d = {.name = r->g->name, .classes = (int)json_int(m, "classes", 0)};

	r->objective = (struct subtask_objective){.beta = json_real(m, "beta", 0),
	                                          .samples_per_class =
	                                                  json_real(m, "samples_per_class", 1),
	                                          .lambda = json_real(m, "lambda", 0)};
	r->top_k = json_real(m, "top_k", 0.5);
	if (!(r->top_k >= 0 && r->top_k <= 1))
		return error_set(e, "top_k is %g", r->top_k);
	return subtasks_from_lists(&r->subtasks, cJSON_GetObjectItemCaseSensitive(m, "groups"), 1,
	                           &d, e);
}

static int check_labels(const struct run *r, struct error *e)
{
	if (r->labels->shape.n != 1)
		return error_set(e, "labels: one for each image expected");
	for (int64_t i = 0; i < r->labels->shape.d[0]; i++) {
		int label = tensor_i32(r->labels)[i];
		if (label < 0 || label >= r->subtasks.classes)
			return error_set(e, "labels: %d is no class", label);
	}
	return 0;
}

static int read_batch(struct run *r, struct error *e)
{
	enum dtype type = r->g->precision->type;

	r->labels = input(r->g, "labels", -1, I32, e);
	if (!r->labels || check_labels(r, e))
		return -1;
	for (int i = 0; i < r->subtasks.count; i++) {
		struct shape want = SHAPE(shape_count(r->labels->shape), r->subtasks.size[i] + 1);
		r->logits[i] = input(r->g, "logits", i, type, e);
		if (!r->logits[i])
			return -1;
		if (!shape_equal(r->logits[i]->shape, want))
			return error_set(e, "logits%d: not K_i + 1 of them for each label", i);
	}
	return 0;
}

/* Equations 1 and 2. */
static void run_targets(struct run *r)
{
	for (int i = 0; i < r->subtasks.count; i++) {
		int columns = r->subtasks.size[i] + 1;
		double *weight = xcalloc((size_t)columns, sizeof *weight);
		struct tensor *target =
		        subtask_target(&r->subtasks, i, r->labels, false, r->g->precision->type);

		subtask_class_weight(&r->subtasks, i, r->objective.beta,
		                     r->objective.samples_per_class, weight);
		check(r->g, "class_weight", i, weight, columns);
		check_tensor(r->g, "target", i, target);
		tensor_free(target);
		free(weight);
	}
}

/* Equations 3 and 4, and their gradients. */
static void run_losses(struct run *r)
{
	struct tensor *z[SUBTASKS_MAX], *gradient[SUBTASKS_MAX];
	int n = r->subtasks.count;
	struct tape t;

	tape_init(&t, r->g->precision->backend);
	t.recording = true;
	for (int i = 0; i < n; i++)
		z[i] = tape_leaf(&t, r->logits[i]);
	struct subtask_losses l = subtask_losses(&t, &r->subtasks, &r->objective, z, r->labels);
	for (int i = 0; i < n; i++)
		check_tensor(r->g, "subtask_loss", i, l.subtask[i]);
	golden_check_tensor(r->g, "cross_entropy", NULL, op_mean(&t, l.cross_entropy));
	golden_check_tensor(r->g, "loss", NULL, l.total);
	tape_grad(&t, l.total, z, n, gradient, GRAD_CONSUME);
	for (int i = 0; i < n; i++)
		check_tensor(r->g, "grad", i, gradient[i]);
	tape_release(&t);
}

static void run_scores(struct run *r)
{
	int64_t images = shape_count(r->labels->shape);
	size_t room = (size_t)images + 1;
	int32_t *predicted = xcalloc(room, sizeof *predicted);
	double *prediction = xcalloc(room, sizeof *prediction);
	double *id = xcalloc(room, sizeof *id), *id_max = xcalloc(room, sizeof *id_max);

	subtask_score(&r->subtasks, r->logits, &(struct subtask_scores){predicted, id, id_max});
	for (int64_t i = 0; i < images; i++)
		prediction[i] = predicted[i];
	golden_check(r->g, "prediction", NULL, prediction, images);
	golden_check(r->g, "id_score", NULL, id, images);
	golden_check(r->g, "id_score_max", NULL, id_max, images);
	free(id_max);
	free(id);
	free(prediction);
	free(predicted);
}

/* Equations 5 and 6 in one layer. */
static void check_overlap(struct run *r, int layer, struct tensor *weight,
                          struct tensor *const gradient[])
{
	int n = r->subtasks.count;
	uint32_t all = n == 32 ? ~0u : (1u << n) - 1;
	double *overlap = xcalloc((size_t)(n * n), sizeof *overlap), side[SUBTASKS_MAX];

	overlap_of_layer(weight, gradient, n, all, r->top_k, overlap);
	struct cut cut = overlap_cut(overlap, n, all);
	for (int i = 0; i < n; i++)
		side[i] = cut.apart >> i & 1;
	check(r->g, "overlap", layer, overlap, n * n);
	check(r->g, "min_cut_threshold", layer, &cut.threshold, 1);
	check(r->g, "cut", layer, side, n);
	free(overlap);
}

/* The gradients of a weight by submodel: "<name><i>". */
static int read_gradients(struct run *r, const char *name, struct tensor *weight,
                          struct tensor **gradient, struct error *e)
{
	for (int i = 0; i < r->subtasks.count; i++) {
		gradient[i] = input(r->g, name, i, r->g->precision->type, e);
		if (!gradient[i])
			return -1;
		if (!shape_equal(gradient[i]->shape, weight->shape))
			return error_set(e, "%s%d: not of its weight's shape", name, i);
	}
	return 0;
}

static int run_layer(struct run *r, int layer, struct error *e)
{
	struct tensor *weight = input(r->g, "weight", layer, r->g->precision->type, e);
	struct tensor *gradient[SUBTASKS_MAX] = {NULL};
	char *name = xformat("weight_gradient%d.", layer);
	int status = weight ? read_gradients(r, name, weight, gradient, e) : -1;

	if (status == 0)
		check_overlap(r, layer, weight, gradient);
	for (int i = 0; i < r->subtasks.count; i++)
		tensor_free(gradient[i]);
	tensor_free(weight);
	free(name);
	return status;
}

static int run_layers(struct run *r, struct error *e)
{
	for (int layer = 0;; layer++) {
		char *name = xformat("weight%d", layer);
		bool there = safetensors_find(r->g->tensors, name);

		free(name);
		if (!there)
			return 0;
		if (run_layer(r, layer, e))
			return -1;
	}
}

/* Equation 7. */
static int run_importance(struct run *r, struct error *e)
{
	struct tensor *filters, *gradient[SUBTASKS_MAX] = {NULL};
	int status;

	if (!safetensors_find(r->g->tensors, "filters"))
		return 0;
	filters = input(r->g, "filters", -1, r->g->precision->type, e);
	status = filters ? read_gradients(r, "filter_gradient", filters, gradient, e) : -1;
	for (int i = 0; i < r->subtasks.count; i++) {
		int64_t count = status == 0 ? filters->shape.d[0] : 0;
		double *importance = xcalloc((size_t)count + 1, sizeof *importance);

		if (status == 0) {
			importance_add(importance, filters, gradient[i]);
			check(r->g, "filter_importance", i, importance, count);
		}
		tensor_free(gradient[i]);
		free(importance);
	}
	tensor_free(filters);
	return status;
}

int split_ensemble_run(struct golden *g, struct error *e)
{
	struct run r = {.g = g};
	int status = read_subtasks(&r, e) || read_batch(&r, e) ? -1 : 0;

	if (status == 0) {
		run_targets(&r);
		run_losses(&r);
		run_scores(&r);
		status = run_layers(&r, e) || run_importance(&r, e) ? -1 : 0;
	}
	for (int i = 0; i < r.subtasks.count; i++)
		tensor_free(r.logits[i]);
	tensor_free(r.labels);
	subtasks_release(&r.subtasks);
	return status;
}
