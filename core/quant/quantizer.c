/* Symmetric uniform quantization of weights. */
#include "core/quant/quantizer.h"
#include "core/base/text.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static int code_max(int bits)
{
	return (1 << (bits - 1)) - 1;
}

/* s = max|W| / (2^(b-1) - 1), divided: times the reciprocal rounds differently now and then, and a
 * weight half way between two codes would move. */
static struct tensor *symmetric_scale(struct tape *t, struct tensor *w, int bits, bool per_channel)
{
	struct tensor *most = op_abs_max(t, w, per_channel); // (1) or (O)
	struct tensor *scale = tensor_new(w->type, most->shape);
	int64_t n = shape_count(most->shape);

	for (int64_t i = 0; i < n; i++) {
		if (w->type == F64)
			((double *)tensor_write(scale))[i] = tensor_f64(most)[i] / code_max(bits);
		else
			((float *)tensor_write(scale))[i] =
			        tensor_f32(most)[i] / (float)code_max(bits);
	}
	struct tensor *leaf = tape_leaf(t, scale);
	tensor_free(scale);
	return leaf;
}

const struct quantizer quantizers[] = {
        {"symmetric", "s = max|W| / (2^(b-1) - 1), codes within ±(2^(b-1) - 1), zero is zero",
         symmetric_scale},
};
const int quantizer_count = sizeof(quantizers) / sizeof(*quantizers);

const struct quantizer *quantizer_named(const char *name)
{
	for (int i = 0; i < quantizer_count; i++)
		if (strcmp(quantizers[i].name, name) == 0)
			return &quantizers[i];
	return NULL;
}

void quantization_release(struct quantization *q)
{
	free(q->bits);
	*q = (struct quantization){0};
}

struct tensor *quantizer_apply(const struct quantizer *q, struct tape *t, struct tensor *w,
                               int bits, bool per_channel)
{
	assert(bits >= QUANT_BITS_MIN && bits <= QUANT_BITS_MAX);
	return op_fake_quantize(t, w, q->scale(t, w, bits, per_channel), bits);
}

/* A tape for a single weight, where nothing is recorded. */
static struct tensor *scratch_leaf(struct tape *t, struct tensor *w)
{
	tape_init(t, &backend_ref);
	t->recording = false;
	return tape_leaf(t, w);
}

double quantizer_perturbation(const struct quantizer *q, struct tensor *w, int bits,
                              bool per_channel)
{
	struct tape t;
	struct tensor *leaf = scratch_leaf(&t, w);
	struct tensor *rounded = quantizer_apply(q, &t, leaf, bits, per_channel);
	double sum = 0;

	for (int64_t i = 0, n = shape_count(w->shape); i < n; i++) {
		double difference = tensor_at(rounded, i) - tensor_at(w, i);
		sum += difference * difference;
	}
	tape_release(&t);
	return sum;
}

void quantizer_codes(const struct quantizer *q, struct tensor *w, int bits, bool per_channel,
                     int8_t *code, float *scale)
{
	struct tape t;
	struct tensor *leaf = scratch_leaf(&t, w);
	struct tensor *s = q->scale(&t, leaf, bits, per_channel);               // (1) or (O)
	const float *rounded = tensor_f32(op_fake_quantize(&t, leaf, s, bits)); // shape of w
	int64_t n = shape_count(w->shape), scales = shape_count(s->shape), row = n / scales;

	assert(w->type == F32);
	memcpy(scale, tensor_f32(s), (size_t)scales * sizeof(*scale));
	for (int64_t i = 0; i < n; i++) {
		float of_row = scale[i / row];
		code[i] = (int8_t)(of_row == 0 ? 0 : lrintf(rounded[i] / of_row));
		assert(of_row * code[i] == rounded[i]);
	}
	tape_release(&t);
}
