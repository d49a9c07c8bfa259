/* The Hessian over training images: its trace per layer, and its top eigenvalues. */
#include "core/train/curvature.h"
#include "core/base/text.h"
#include "core/fisher/hessian.h"
#include "core/train/loop.h"
#include <stdio.h>
#include <stdlib.h>

enum { BATCH = 32 };

/* Whose Hessian it is, and what ended the work. */
struct loss {
	struct trainer *t;
	const struct quantization *q;
	struct error *e;
	int ended;
};

static int64_t image_count(const struct trainer *t)
{
	int64_t most = t->spec->fisher_hessian_images;

	return t->seen->count < most ? t->seen->count : most;
}

static void add_batch(const struct loss *l, int64_t batch, const struct direction *v,
                      struct vector *out)
{
	struct trainer *t = l->t;
	int64_t first = batch * BATCH, left = image_count(t) - first,
	        n = left < BATCH ? left : BATCH;
	struct tensor *images, *labels;

	if (n <= 0)
		return;
	trainer_read(t, t->seen, first, n, &images, &labels);
	hessian_product(t->model, l->q, NULL, &backend_onednn, images, labels, v, out->part);
	tensor_free(images);
	tensor_free(labels);
}

/* What each rank found for its batch of this round, added to the sum in the order of the batches;
 * leaves `mine` clear. */
static void add_round(struct trainer *t, struct vector *sum, struct vector *mine)
{
	for (int i = 0; i < sum->count; i++)
		if (sum->part[i])
			parallel_add_in_turn(&t->parallel, sum->part[i], mine->part[i],
			                     sum->elements[i]);
	vector_clear(mine);
}

/* out = H v, of the mean over all images. */
static bool multiply(void *context, const struct direction *v, int64_t done, struct vector *out)
{
	struct loss *l = context;
	struct trainer *t = l->t;
	int64_t count = image_count(t), batches = (count + BATCH - 1) / BATCH;
	struct vector mine = vector_new(t->model);

	t->evaluated = done;
	vector_clear(out);
	for (int64_t b = 0; b < batches && l->ended == LOOP_GOES_ON; b += t->parallel.ranks) {
		l->ended = loop_obey(t, trainer_order(t), l->e);
		if (l->ended != LOOP_GOES_ON)
			break;
		add_batch(l, b + t->parallel.rank, v, &mine);
		add_round(t, out, &mine);
		trainer_tell(t, "hessian");
	}
	for (int i = 0; i < out->count; i++)
		for (int64_t k = 0; out->part[i] && k < out->elements[i]; k++)
			out->part[i][k] /= (double)count;
	vector_free(&mine);
	return l->ended == LOOP_GOES_ON;
}

static struct matrix matrix_of(struct loss *l)
{
	return (struct matrix){l->t->model, multiply, l, l->t->spec->fisher_seed};
}

int curvature_traces(struct trainer *t, const struct quantization *q, int64_t vectors,
                     double *trace, double *error, struct error *e)
{
	struct loss l = {t, q, e, LOOP_GOES_ON};
	struct matrix h = matrix_of(&l);

	t->evaluate_count = vectors;
	spectrum_traces(&h, vectors, trace, error);
	return l.ended;
}

int curvature_top(struct trainer *t, const struct quantization *q, int count,
                  struct direction *vector, struct error *e)
{
	struct loss l = {t, q, e, LOOP_GOES_ON};
	struct matrix h = matrix_of(&l);
	struct eigenvalue *value = xcalloc((size_t)count, sizeof *value);

	t->evaluate_count = SPECTRUM_ROUNDS;
	bool found = spectrum_top(&h, count, value, vector);
	for (int i = 0; i < count && found; i++) {
		char name[METRIC_NAME_BYTES];
		snprintf(name, sizeof name, "hessian_eigenvalue_%d", i + 1);
		result_figure(&t->result, name, value[i].value);
		snprintf(name, sizeof name, "hessian_residual_%d", i + 1);
		result_figure(&t->result, name, value[i].residual);
	}
	free(value);
	return l.ended;
}

/* ---- figures ---- */
static int report_traces(struct trainer *t, struct error *e)
{
	const struct parameter_set *p = &t->model->parameters;
	double *trace = xcalloc((size_t)p->count, sizeof *trace), sum = 0;
	double *error = xcalloc((size_t)p->count, sizeof *error);
	int ended = curvature_traces(t, trainer_quantization(t), t->spec->fisher_hessian_vectors,
	                             trace, error, e);

	for (int i = 0; i < p->count && ended == LOOP_GOES_ON; i++) {
		sum += trace[i];
		if (!parameter_quantizable(&p->item[i]))
			continue;
		result_layer(&t->result, p->item[i].name, "hessian_trace", trace[i]);
		result_layer(&t->result, p->item[i].name, "hessian_trace_error", error[i]);
	}
	if (ended == LOOP_GOES_ON)
		result_figure(&t->result, "hessian_trace", sum);
	free(trace);
	free(error);
	return ended;
}

static int report_eigenvalues(struct trainer *t, struct error *e)
{
	int count = (int)t->spec->fisher_eigenvalues;
	struct direction *vector = xcalloc((size_t)count, sizeof *vector);
	int ended = curvature_top(t, trainer_quantization(t), count, vector, e);

	for (int i = 0; i < count && ended == LOOP_GOES_ON; i++)
		direction_release(&vector[i]);
	free(vector);
	return ended;
}

int curvature_report(struct trainer *t, struct error *e)
{
	int ended = LOOP_GOES_ON;

	if (t->spec->fisher_hessian_vectors)
		ended = report_traces(t, e);
	if (ended == LOOP_GOES_ON && t->spec->fisher_eigenvalues)
		ended = report_eigenvalues(t, e);
	return ended;
}
