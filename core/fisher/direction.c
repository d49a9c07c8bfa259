/* Directions in weight space: a tensor per parameter of a model. */
#include "core/fisher/direction.h"
#include "core/base/random.h"
#include "core/base/text.h"
#include <math.h>
#include <stdlib.h>

void direction_release(struct direction *d)
{
	for (int i = 0; i < d->count; i++)
		tensor_free(d->part[i]);
	free(d->part);
	*d = (struct direction){0};
}

/* ---- drawn ---- */
typedef double draw_fn(const struct random_stream *r, uint64_t element);

static double draw_sign(const struct random_stream *r, uint64_t element)
{
	return random_bits(r, element) & 1 ? 1 : -1;
}

/* What is drawn, from which streams, and for which parameters. */
struct drawing {
	const char *purpose;
	draw_fn *draw;
	bool (*moves)(const struct parameter *p);
};

static struct tensor *draw_part(const struct drawing *k, const struct parameter *p, int64_t seed,
                                uint64_t index)
{
	struct random_stream r = random_stream(seed, k->purpose, random_name(p->name), index);
	struct tensor *t = tensor_new(F32, p->value->shape);
	float *v = tensor_write(t);

	for (int64_t i = 0; i < shape_count(t->shape); i++)
		v[i] = (float)k->draw(&r, (uint64_t)i);
	return t;
}

static void direction_draw(struct direction *d, const struct model *m, const struct drawing *k,
                           int64_t seed, uint64_t index)
{
	const struct parameter_set *s = &m->parameters;

	*d = (struct direction){xcalloc((size_t)s->count, sizeof *d->part), s->count};
	for (int i = 0; i < s->count; i++)
		if (k->moves(&s->item[i]))
			d->part[i] = draw_part(k, &s->item[i], seed, index);
}

void direction_rademacher(struct direction *d, const struct model *m, int64_t seed, uint64_t index)
{
	static const struct drawing signs = {"hessian", draw_sign, parameter_varies};

	direction_draw(d, m, &signs, seed, index);
}

void direction_normal(struct direction *d, const struct model *m, int64_t seed, uint64_t index)
{
	static const struct drawing normal = {"hessian", random_normal, parameter_varies};

	direction_draw(d, m, &normal, seed, index);
}

/* ---- lengths ---- */
static double length(struct tensor *t, int64_t first, int64_t n)
{
	double sum = 0;

	for (int64_t i = first; i < first + n; i++)
		sum += tensor_at(t, i) * tensor_at(t, i);
	return sqrt(sum);
}

static void scale(struct tensor *t, int64_t first, int64_t n, double factor)
{
	float *v = tensor_write(t);

	for (int64_t i = first; i < first + n; i++)
		v[i] = (float)(factor * v[i]);
}

static void normalise_filters(struct tensor *d, struct tensor *weight)
{
	int64_t filters = weight->shape.d[0], n = shape_count(weight->shape) / filters;

	for (int64_t k = 0; k < filters; k++)
		scale(d, k * n, n, length(weight, k * n, n) / length(d, k * n, n));
}

void direction_random(struct direction *d, const struct model *m, int64_t seed, uint64_t index)
{
	static const struct drawing weights = {"landscape", random_normal, parameter_quantizable};

	direction_draw(d, m, &weights, seed, index);
	for (int i = 0; i < d->count; i++)
		if (d->part[i])
			normalise_filters(d->part[i], m->parameters.item[i].value);
}

void direction_scale(struct direction *d, const struct model *m)
{
	double weights = 0, own = 0;

	for (int i = 0; i < d->count; i++) {
		struct tensor *w = m->parameters.item[i].value;
		if (parameter_quantizable(&m->parameters.item[i]))
			weights += tensor_square_sum(w);
		if (d->part[i])
			own += tensor_square_sum(d->part[i]);
	}
	for (int i = 0; i < d->count && own > 0; i++)
		if (d->part[i])
			scale(d->part[i], 0, shape_count(d->part[i]->shape), sqrt(weights / own));
}
