/* Which layers are quantized, and what a quantized model costs. */
#include "core/models/cost.h"
#include "core/base/text.h"
#include "core/models/fold.h"
#include <stdlib.h>

static int quantizer_check(const struct quantization_settings *s, const struct quantizer *kind,
                           struct error *e)
{
	bool full = s->weight_bits == 0 || s->weight_bits == FULL_PRECISION_BITS;

	if (!kind)
		return error_set(e, "unknown quantizer \"%s\"", s->kind);
	if (!full && (s->weight_bits < QUANT_BITS_MIN || s->weight_bits > QUANT_BITS_MAX))
		return error_set(e, "weights of %d bits: %d to %d are possible, or %d",
		                 s->weight_bits, QUANT_BITS_MIN, QUANT_BITS_MAX,
		                 FULL_PRECISION_BITS);
	if (s->activation_bits && s->activation_bits != FULL_PRECISION_BITS &&
	    (s->activation_bits < QUANT_BITS_MIN || s->activation_bits > QUANT_BITS_MAX))
		return error_set(e, "activations of %d bits: %d to %d are possible, or %d",
		                 s->activation_bits, QUANT_BITS_MIN, QUANT_BITS_MAX,
		                 FULL_PRECISION_BITS);
	return 0;
}

/* The first or last quantizable parameter. */
static int edge(const struct parameter_set *p, int from, int step)
{
	for (int i = from; i >= 0 && i < p->count; i += step)
		if (parameter_quantizable(&p->item[i]))
			return i;
	return -1;
}

int quantization_init(struct quantization *q, const struct model *m,
                      const struct quantization_settings *s, struct error *e)
{
	const struct parameter_set *p = &m->parameters;
	int first = s->keep_first ? edge(p, 0, 1) : -1;
	int last = s->keep_last ? edge(p, p->count - 1, -1) : -1;
	int bits = s->weight_bits == FULL_PRECISION_BITS ? 0 : s->weight_bits;

	*q = (struct quantization){0};
	if (quantizer_check(s, quantizer_named(s->kind), e))
		return -1;
	q->scaling = (struct scaling){quantizer_named(s->kind), s->per_channel, s->percentile};
	q->count = p->count;
	q->bits = xcalloc((size_t)p->count, sizeof(*q->bits));
	q->activations = (struct activations){
	        .bits = s->activation_bits == FULL_PRECISION_BITS ? 0 : s->activation_bits,
	        .percentile = s->activation_percentile,
	        .chosen = xcalloc((size_t)p->count, sizeof(*q->activations.chosen)),
	        .ranges = tensor_zeros(F64, SHAPE(p->count, 2)),
	};
	for (int i = 0; i < p->count; i++)
		if (parameter_quantizable(&p->item[i]) && i != first && i != last) {
			q->bits[i] = bits;
			q->activations.chosen[i] = true;
		}
	return 0;
}

static int parameter_bits(const struct quantization *q, int i)
{
	return q && q->bits[i] ? q->bits[i] : FULL_PRECISION_BITS;
}

static int input_bits(const struct quantization *q, int i)
{
	bool quantized = q && q->activations.bits && q->activations.chosen[i];

	return quantized ? q->activations.bits : FULL_PRECISION_BITS;
}

static int64_t scale_count(const struct quantization *q, const struct parameter *p, int i)
{
	if (!q || !q->bits[i])
		return 0;
	return q->scaling.per_channel ? p->value->shape.d[0] : 1;
}

int64_t parameter_bytes(const struct model *m, const struct quantization *q, int i)
{
	const struct parameter *p = &m->parameters.item[i];
	int64_t bits = shape_count(p->value->shape) * parameter_bits(q, i);

	if (p->role == PARAMETER_STEP || (m->folded && fold_drops(m, i)))
		return 0; /* steps are among the scales */
	return (bits + 7) / 8 + 4 * scale_count(q, p, i);
}

int64_t model_bytes(const struct model *m, const struct quantization *q)
{
	int64_t bytes = m->folded ? 0 : 4 * parameter_elements(&m->buffers);

	for (int i = 0; i < m->parameters.count; i++)
		bytes += parameter_bytes(m, q, i);
	return bytes;
}

int64_t parameter_bit_operations(const struct model *m, const struct quantization *q, int i)
{
	return m->parameters.item[i].macs * parameter_bits(q, i) * input_bits(q, i);
}

int64_t model_bit_operations(const struct model *m, const struct quantization *q)
{
	int64_t total = 0;

	for (int i = 0; i < m->parameters.count; i++)
		total += parameter_bit_operations(m, q, i);
	return total;
}

int64_t model_elements(const struct model *m)
{
	int64_t elements = 0;

	for (int i = 0; i < m->parameters.count; i++)
		if (m->parameters.item[i].role != PARAMETER_STEP)
			elements += shape_count(m->parameters.item[i].value->shape);
	return elements;
}

int64_t model_macs(const struct model *m)
{
	int64_t total = 0;

	for (int i = 0; i < m->parameters.count; i++)
		total += m->parameters.item[i].macs;
	return total;
}
