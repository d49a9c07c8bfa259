/* Traces and eigenvalues of a matrix of which only products with vectors are at hand. */
#include "core/fisher/spectrum.h"
#include "core/base/text.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define TOLERANCE 2e-2

/* ---- vectors ---- */
struct vector vector_new(const struct model *m)
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

void vector_clear(struct vector *v)
{
	for (int i = 0; i < v->count; i++)
		if (v->part[i])
			memset(v->part[i], 0, (size_t)v->elements[i] * sizeof **v->part);
}

void vector_free(struct vector *v)
{
	for (int i = 0; i < v->count; i++)
		free(v->part[i]);
	free(v->part);
	free(v->elements);
}

static double part_dot(const struct direction *v, const struct vector *h, int i)
{
	double sum = 0;

	for (int64_t k = 0; h->part[i] && k < h->elements[i]; k++)
		sum += tensor_at(v->part[i], k) * h->part[i][k];
	return sum;
}

static double dot(const struct direction *v, const struct vector *h)
{
	double sum = 0;

	for (int i = 0; i < h->count; i++)
		sum += part_dot(v, h, i);
	return sum;
}

static double length(const struct vector *h)
{
	double square = 0;

	for (int i = 0; i < h->count; i++)
		for (int64_t k = 0; h->part[i] && k < h->elements[i]; k++)
			square += h->part[i][k] * h->part[i][k];
	return sqrt(square);
}

/* h -= factor v */
static void remove_along(struct vector *h, const struct direction *v, double factor)
{
	for (int i = 0; i < h->count; i++)
		for (int64_t k = 0; h->part[i] && k < h->elements[i]; k++)
			h->part[i][k] -= factor * tensor_at(v->part[i], k);
}

/* v = h / length */
static void set_scaled(struct direction *v, const struct vector *h, double length)
{
	for (int i = 0; i < h->count; i++)
		for (int64_t k = 0; h->part[i] && k < h->elements[i]; k++)
			((float *)tensor_write(v->part[i]))[k] = (float)(h->part[i][k] / length);
}

/* ---- traces ---- */
bool spectrum_traces(const struct matrix *h, int64_t vectors, double *trace, double *error)
{
	int count = h->model->parameters.count;
	bool goes_on = true;
	double *square = xcalloc((size_t)count, sizeof *square), n = (double)vectors;
	struct vector hv = vector_new(h->model);

	memset(trace, 0, (size_t)count * sizeof *trace);
	for (int64_t k = 0; k < vectors && goes_on; k++) {
		struct direction v;
		direction_rademacher(&v, h->model, h->seed, (uint64_t)k);
		goes_on = h->multiply(h->context, &v, k, &hv);
		for (int i = 0; i < count; i++) {
			double sample = part_dot(&v, &hv, i);
			trace[i] += sample / n;
			square[i] += sample * sample;
		}
		direction_release(&v);
	}
	for (int i = 0; i < count; i++) {
		double spread = fmax(square[i] - n * trace[i] * trace[i], 0);
		error[i] = vectors > 1 ? sqrt(spread / (n - 1) / n) : NAN;
	}
	vector_free(&hv);
	free(square);
	return goes_on;
}

/* ---- eigenvalues ---- */
/* vector[at], orthogonal to those before it; hv is room. */
static bool iterate(const struct matrix *h, int at, struct eigenvalue *value,
                    struct direction *vector, struct vector *hv)
{
	struct direction *v = &vector[at];
	bool goes_on = true;

	direction_normal(v, h->model, h->seed, (uint64_t)at);
	vector_clear(hv);
	remove_along(hv, v, -1);
	for (int i = 0; i < SPECTRUM_ROUNDS && goes_on; i++) {
		for (int k = 0; k < at; k++)
			remove_along(hv, &vector[k], dot(&vector[k], hv));
		double size = length(hv);
		if (size == 0) /* nothing is left of the matrix */
			break;
		set_scaled(v, hv, size);
		goes_on = h->multiply(h->context, v, i, hv);
		value->value = dot(v, hv);
		value->residual = sqrt(fmax(pow(length(hv), 2) - pow(value->value, 2), 0));
		if (value->residual <= TOLERANCE * fabs(value->value))
			break;
	}
	return goes_on;
}

bool spectrum_top(const struct matrix *h, int count, struct eigenvalue *value,
                  struct direction *vector)
{
	struct vector hv = vector_new(h->model);
	bool goes_on = true;
	int made = 0;

	memset(value, 0, (size_t)count * sizeof *value);
	while (made < count && goes_on) {
		goes_on = iterate(h, made, &value[made], vector, &hv);
		made++;
	}
	for (int i = 0; i < made && !goes_on; i++)
		direction_release(&vector[i]);
	vector_free(&hv);
	return goes_on;
}
