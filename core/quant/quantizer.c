/* Symmetric uniform quantization of weights. */
#include "core/quant/quantizer.h"
#include "core/base/text.h"
#include "core/quant/scale.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static int code_max(int bits)
{
	return (1 << (bits - 1)) - 1;
}

/* Divided: times the reciprocal rounds differently now and then, and a weight half way between two
 * codes would move.  In float this is the float quotient, since a double has bits enough. */
static struct tensor *max_scale(struct tape *t, struct tensor *w, const struct scaling *s, int bits)
{
	struct tensor *most = op_abs_max(t, w, s->per_channel); // (1) or (O)
	struct tensor *scale = tensor_new(w->type, most->shape);

	for (int64_t i = 0, n = shape_count(most->shape); i < n; i++)
		tensor_set(scale, i, tensor_at(most, i) / code_max(bits));
	return tape_adopt(t, scale);
}

/* The scale of one row, of the sizes |w|, which it may reorder. */
typedef double row_fn(double *size, int64_t count, int top, double percentile);

static struct tensor *scale_by_row(struct tape *t, struct tensor *w, const struct scaling *s,
                                   int bits, row_fn *row)
{
	int64_t rows = s->per_channel ? w->shape.d[0] : 1, count = shape_count(w->shape) / rows;
	struct tensor *scale = tensor_new(w->type, SHAPE(rows));
	double *size = xmalloc((size_t)count * sizeof(*size));

	for (int64_t i = 0; i < rows; i++) {
		for (int64_t k = 0; k < count; k++)
			size[k] = fabs(tensor_at(w, i * count + k));
		tensor_set(scale, i, row(size, count, code_max(bits), s->percentile));
	}
	free(size);
	return tape_adopt(t, scale);
}

/* Where nearly all weights are zero the percentile is too; then the largest decides. */
static double percentile_row(double *size, int64_t count, int top, double percentile)
{
	double reach = percentile_of(size, count, percentile);

	return (reach > 0 ? reach : percentile_of(size, count, 100)) / top;
}

static double mse_row(double *size, int64_t count, int top, double percentile)
{
	return least_square_scale(size, count, top);
}

static double lsq_row(double *size, int64_t count, int top, double percentile)
{
	return learned_step_start(size, count, top);
}

#define BY_ROW(name)                                                          \
	static struct tensor *name##_scale(struct tape *t, struct tensor *w,  \
	                                   const struct scaling *s, int bits) \
	{                                                                     \
		return scale_by_row(t, w, s, bits, name##_row);               \
	}
BY_ROW(percentile)
BY_ROW(mse)
BY_ROW(lsq)

const struct quantizer quantizers[] = {
        {"max", "s = max|W| / (2^(b-1) - 1): nothing is clipped", max_scale, false},
        {"percentile", "s = percentile of |W| / (2^(b-1) - 1); needs quant.percentile",
         percentile_scale, false},
        {"mse", "s of the least |Q(W) - W|^2, by search", mse_scale, false},
        {"lsq", "s is trained, from 2 mean|W| / sqrt(2^(b-1) - 1) on; needs train.epochs",
         lsq_scale, true},
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
	free(q->step);
	free(q->activations.chosen);
	tensor_free(q->activations.ranges);
	*q = (struct quantization){0};
}

struct tensor *quantizer_apply(const struct scaling *s, struct tape *t, struct tensor *w, int bits)
{
	assert(bits >= QUANT_BITS_MIN && bits <= QUANT_BITS_MAX);
	return op_fake_quantize(t, w, s->quantizer->scale(t, w, s, bits), bits);
}

/* A tape for a single weight, where nothing is recorded. */
static void scratch_init(struct tape *t)
{
	tape_init(t, &backend_ref);
	t->recording = false;
}

struct tensor *quantizer_scale(const struct scaling *s, struct tensor *w, int bits)
{
	struct tape t;

	scratch_init(&t);
	struct tensor *scale = tensor_copy(s->quantizer->scale(&t, tape_leaf(&t, w), s, bits));
	tape_release(&t);
	return scale;
}

double quantizer_distance(struct tensor *w, struct tensor *scale, int bits)
{
	struct tape t;
	double sum = 0;

	scratch_init(&t);
	struct tensor *rounded = op_fake_quantize(&t, tape_leaf(&t, w), tape_leaf(&t, scale), bits);
	for (int64_t i = 0, n = shape_count(w->shape); i < n; i++) {
		double difference = tensor_at(rounded, i) - tensor_at(w, i);
		sum += difference * difference;
	}
	tape_release(&t);
	return sum;
}

double quantizer_perturbation(const struct scaling *s, struct tensor *w, int bits)
{
	struct tensor *scale = quantizer_scale(s, w, bits);
	double sum = quantizer_distance(w, scale, bits);

	tensor_free(scale);
	return sum;
}

void quantizer_codes(struct tensor *w, struct tensor *scale, int bits, int8_t *code)
{
	struct tape t;
	const float *s = tensor_f32(scale);

	assert(w->type == F32);
	scratch_init(&t);
	const float *rounded = tensor_f32(
	        op_fake_quantize(&t, tape_leaf(&t, w), tape_leaf(&t, scale), bits)); // shape of w
	int64_t n = shape_count(w->shape), row = n / shape_count(scale->shape);
	for (int64_t i = 0; i < n; i++) {
		float of_row = s[i / row];
		code[i] = (int8_t)(of_row == 0 ? 0 : lrintf(rounded[i] / of_row));
		assert(of_row * code[i] == rounded[i]);
	}
	tape_release(&t);
}
