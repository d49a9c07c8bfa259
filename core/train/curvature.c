/* The Hessian over training images: its trace per layer, and its top eigenvalues. */
#include "core/train/curvature.h"
#include "core/base/text.h"
#include "core/train/loop.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 32, ITERATIONS = 50 };
#define TOLERANCE 1e-3

/* A vector over all parameters: part[p] of `elements`; null where the Hessian has none. */
struct vector {
	double **part;
	int64_t *elements;
	int count;
};

static struct vector vector_new(const struct model *m)
{
	size_t count = (size_t)m->parameters.count;
	struct vector v = {xcalloc(count, sizeof *v.part), xcalloc(count, sizeof *v.elements),
	                   m->parameters.count};

	for (int i = 0; i < v.count; i++) {
		v.elements[i] = shape_count(m->parameters.item[i].value->shape);
		if (parameter_varies(&m->parameters.item[i]))
			v.part[i] = xcalloc((size_t)v.elements[i], sizeof **v.part);
	}
	return v;
}

static void vector_clear(struct vector *v)
{
	for (int i = 0; i < v->count; i++)
		if (v->part[i])
			memset(v->part[i], 0, (size_t)v->elements[i] * sizeof **v->part);
}

static void vector_free(struct vector *v)
{
	for (int i = 0; i < v->count; i++)
		free(v->part[i]);
	free(v->part);
	free(v->elements);
}

static int64_t image_count(const struct trainer *t)
{
	int64_t most = t->spec->fisher_hessian_images;

	return t->seen->count < most ? t->seen->count : most;
}

static void add_batch(struct trainer *t, const struct quantization *q, int64_t batch,
                      const struct direction *v, struct vector *out)
{
	int64_t first = batch * BATCH, left = image_count(t) - first,
	        n = left < BATCH ? left : BATCH;
	struct tensor *images, *labels;

	if (n <= 0)
		return;
	trainer_read(t, t->seen, first, n, &images, &labels);
	hessian_product(t->model, q, NULL, &backend_onednn, images, labels, v, out->part);
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
static int product(struct trainer *t, const struct quantization *q, const struct direction *v,
                   struct vector *out, struct error *e)
{
	int64_t count = image_count(t), batches = (count + BATCH - 1) / BATCH;
	struct vector mine = vector_new(t->model);
	int ended = LOOP_GOES_ON;

	vector_clear(out);
	for (int64_t b = 0; b < batches && ended == LOOP_GOES_ON; b += t->parallel.ranks) {
		ended = loop_obey(t, trainer_order(t), e);
		if (ended != LOOP_GOES_ON)
			break;
		add_batch(t, q, b + t->parallel.rank, v, &mine);
		add_round(t, out, &mine);
		trainer_tell(t, "hessian");
	}
	for (int i = 0; i < out->count; i++)
		for (int64_t k = 0; out->part[i] && k < out->elements[i]; k++)
			out->part[i][k] /= (double)count;
	vector_free(&mine);
	return ended;
}

static double part_dot(const struct direction *v, const struct vector *h, int i)
{
	double sum = 0;

	for (int64_t k = 0; h->part[i] && k < h->elements[i]; k++)
		sum += tensor_at(v->part[i], k) * h->part[i][k];
	return sum;
}

int curvature_traces(struct trainer *t, const struct quantization *q, int64_t vectors,
                     double *trace, double *error, struct error *e)
{
	int64_t count = t->model->parameters.count;
	double *square = xcalloc((size_t)count, sizeof *square), n = (double)vectors;
	struct vector h = vector_new(t->model);
	int ended = LOOP_GOES_ON;

	memset(trace, 0, (size_t)count * sizeof *trace);
	t->evaluate_count = vectors;
	for (int64_t k = 0; k < vectors && ended == LOOP_GOES_ON; k++) {
		struct direction v;
		direction_rademacher(&v, t->model, t->spec->fisher_seed, (uint64_t)k);
		t->evaluated = k;
		ended = product(t, q, &v, &h, e);
		for (int i = 0; i < count; i++) {
			double sample = part_dot(&v, &h, i);
			trace[i] += sample / n;
			square[i] += sample * sample;
		}
		direction_release(&v);
	}
	for (int i = 0; i < count; i++) {
		double spread = fmax(square[i] - n * trace[i] * trace[i], 0);
		error[i] = vectors > 1 ? sqrt(spread / (n - 1) / n) : NAN;
	}
	vector_free(&h);
	free(square);
	return ended;
}

/* ---- power iteration ---- */
static double dot(const struct direction *v, const struct vector *h)
{
	double sum = 0;

	for (int i = 0; i < h->count; i++)
		sum += part_dot(v, h, i);
	return sum;
}

/* h -= factor v */
static void remove_along(struct vector *h, const struct direction *v, double factor)
{
	for (int i = 0; i < h->count; i++)
		for (int64_t k = 0; h->part[i] && k < h->elements[i]; k++)
			h->part[i][k] -= factor * tensor_at(v->part[i], k);
}

/* v = h / |h|; false when h is nothing. */
static bool set_unit(struct direction *v, const struct vector *h)
{
	double square = 0;

	for (int i = 0; i < h->count; i++)
		for (int64_t k = 0; h->part[i] && k < h->elements[i]; k++)
			square += h->part[i][k] * h->part[i][k];
	for (int i = 0; i < h->count && square > 0; i++)
		for (int64_t k = 0; h->part[i] && k < h->elements[i]; k++)
			((float *)tensor_write(v->part[i]))[k] =
			        (float)(h->part[i][k] / sqrt(square));
	return square > 0;
}

static void vector_from(struct vector *h, const struct direction *v)
{
	for (int i = 0; i < h->count; i++)
		for (int64_t k = 0; h->part[i] && k < h->elements[i]; k++)
			h->part[i][k] = tensor_at(v->part[i], k);
}

/* vector[at], orthogonal to those before it. */
static int iterate(struct trainer *t, const struct quantization *q, int at, double *value,
                   struct direction *vector, struct vector *h, struct error *e)
{
	double before = INFINITY;
	int ended = LOOP_GOES_ON;

	direction_normal(&vector[at], t->model, t->spec->fisher_seed, (uint64_t)at);
	vector_from(h, &vector[at]);
	set_unit(&vector[at], h);
	for (int i = 0; i < ITERATIONS && ended == LOOP_GOES_ON; i++) {
		t->evaluated = i;
		ended = product(t, q, &vector[at], h, e);
		value[at] = dot(&vector[at], h);
		for (int k = 0; k < at; k++)
			remove_along(h, &vector[k], dot(&vector[k], h));
		if (!set_unit(&vector[at], h) ||
		    fabs(value[at] - before) < TOLERANCE * fabs(value[at]))
			break;
		before = value[at];
	}
	return ended;
}

int curvature_top(struct trainer *t, const struct quantization *q, int count, double *value,
                  struct direction *vector, struct error *e)
{
	struct vector h = vector_new(t->model);
	int ended = LOOP_GOES_ON, made = 0;

	t->evaluate_count = ITERATIONS;
	while (made < count && ended == LOOP_GOES_ON) {
		ended = iterate(t, q, made, value, vector, &h, e);
		made++;
	}
	for (int i = 0; i < made && ended != LOOP_GOES_ON; i++)
		direction_release(&vector[i]);
	vector_free(&h);
	return ended;
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
	double *value = xcalloc((size_t)count, sizeof *value);
	int ended = curvature_top(t, trainer_quantization(t), count, value, vector, e);

	for (int i = 0; i < count && ended == LOOP_GOES_ON; i++) {
		char name[METRIC_NAME_BYTES];
		snprintf(name, sizeof name, "hessian_eigenvalue_%d", i + 1);
		result_figure(&t->result, name, value[i]);
		direction_release(&vector[i]);
	}
	free(vector);
	free(value);
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
