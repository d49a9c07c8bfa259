/* The quantized weights of a model: their scales, and the learned steps among its parameters. */
#include "core/models/quantized.h"
#include "core/base/text.h"
#include <stdlib.h>

/* The step of parameter i, or null. */
static struct tensor *step_of(const struct quantization *q, const struct model *m, int i)
{
	return q->step && q->step[i] >= 0 ? m->parameters.item[q->step[i]].value : NULL;
}

void quantized_learn(struct quantization *q, struct model *m)
{
	struct parameter_set *p = &m->parameters;
	int weights = q->count;

	if (!q->scaling.quantizer->learned)
		return;
	assert(p->count == weights && !q->step);
	q->step = xmalloc((size_t)weights * sizeof(*q->step));
	for (int i = 0; i < weights; i++) {
		const struct parameter *w = &p->item[i];
		q->step[i] = -1;
		if (q->bits[i])
			q->step[i] = parameter_add(
			        p, xformat("%s_step", w->name), PARAMETER_STEP, w->value->type,
			        SHAPE(q->scaling.per_channel ? w->value->shape.d[0] : 1));
	}
	q->count = p->count;
	q->bits = xrealloc(q->bits, (size_t)q->count * sizeof(*q->bits));
	q->step = xrealloc(q->step, (size_t)q->count * sizeof(*q->step));
	q->activations.chosen =
	        xrealloc(q->activations.chosen, (size_t)q->count * sizeof(*q->activations.chosen));
	tensor_free(q->activations.ranges);
	q->activations.ranges = tensor_zeros(F64, SHAPE(q->count, 2));
	for (int i = weights; i < q->count; i++) {
		q->bits[i] = 0;
		q->step[i] = -1;
		q->activations.chosen[i] = false;
	}
}

static void step_start(struct tensor *step, struct tensor *first)
{
	for (int64_t k = 0, n = shape_count(step->shape); k < n; k++) {
		double value = tensor_at(first, k);
		if (tensor_at(step, k) == 0)
			tensor_set(step, k, value < STEP_LEAST ? STEP_LEAST : value);
	}
}

void quantized_start(const struct quantization *q, struct model *m)
{
	for (int i = 0; i < q->count; i++) {
		struct tensor *step = step_of(q, m, i), *weight = m->parameters.item[i].value;
		if (!step || !q->bits[i])
			continue;
		struct tensor *first = quantizer_scale(&q->scaling, weight, q->bits[i]);
		step_start(step, first);
		tensor_free(first);
	}
}

void quantized_forget(const struct quantization *q, struct model *m, const int *bits)
{
	for (int i = 0; i < q->count; i++) {
		struct tensor *step = step_of(q, m, i);
		for (int64_t k = 0; step && bits[i] != q->bits[i] && k < shape_count(step->shape);
		     k++)
			tensor_set(step, k, 0);
	}
}

struct tensor *quantized_scale(const struct quantization *q, const struct model *m, int i)
{
	struct tensor *step = step_of(q, m, i);

	return step ? tensor_copy(step)
	            : quantizer_scale(&q->scaling, m->parameters.item[i].value, q->bits[i]);
}
