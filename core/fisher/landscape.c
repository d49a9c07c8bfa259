/* The loss around a model's weights: directions in weight space, and the loss along them. */
#include "core/fisher/landscape.h"
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

static struct tensor *random_part(const struct parameter *p, int64_t seed, uint64_t index)
{
	struct random_stream r = random_stream(seed, "landscape", random_name(p->name), index);
	struct tensor *t = tensor_new(F32, p->value->shape);
	float *v = tensor_write(t);

	for (int64_t i = 0; i < shape_count(t->shape); i++)
		v[i] = (float)random_normal(&r, (uint64_t)i);
	normalise_filters(t, p->value);
	return t;
}

void direction_random(struct direction *d, const struct model *m, int64_t seed, uint64_t index)
{
	const struct parameter_set *s = &m->parameters;

	*d = (struct direction){xcalloc((size_t)s->count, sizeof *d->part), s->count};
	for (int i = 0; i < s->count; i++)
		if (parameter_quantizable(&s->item[i]))
			d->part[i] = random_part(&s->item[i], seed, index);
}

void direction_scale(struct direction *d, const struct model *m)
{
	double weights = 0, own = 0;

	for (int i = 0; i < d->count; i++) {
		struct tensor *w = m->parameters.item[i].value;
		if (parameter_quantizable(&m->parameters.item[i]))
			weights += pow(length(w, 0, shape_count(w->shape)), 2);
		if (d->part[i])
			own += pow(length(d->part[i], 0, shape_count(w->shape)), 2);
	}
	for (int i = 0; i < d->count && own > 0; i++)
		if (d->part[i])
			scale(d->part[i], 0, shape_count(d->part[i]->shape), sqrt(weights / own));
}

static double sum_of(struct tensor *t)
{
	double sum = 0;

	for (int64_t i = 0; i < shape_count(t->shape); i++)
		sum += tensor_at(t, i);
	return sum;
}

void landscape_losses(const struct model *m, const struct quantization *q,
                      const struct landscape_point *p, const struct critical *c,
                      struct tensor *images, struct tensor *labels, double *loss,
                      double *critical_loss)
{
	struct tape t;
	struct forward f;

	tape_init(&t, &backend_onednn);
	t.recording = false;
	model_begin(&f, &t, m, FORWARD_EVALUATION, q);
	forward_move(&f, p->a->part, p->x);
	if (p->b)
		forward_move(&f, p->b->part, p->y);
	struct tensor *logits = model_forward(m, &f, tape_leaf(&t, images));
	*loss = sum_of(op_cross_entropy(&t, logits, tape_leaf(&t, labels)));
	if (c)
		*critical_loss = sum_of(critical_cross_entropy(&t, logits, labels, c));
	forward_release(&f);
	tape_release(&t);
}
