/* Quantized activations: what the inputs of layers range over, and the affine codes for it. */
#include "core/quant/activation.h"
#include "core/base/text.h"
#include "core/quant/scale.h"
#include <float.h>
#include <math.h>
#include <stdlib.h>

struct range activations_range(const struct activations *a, int weight)
{
	return (struct range){tensor_at(a->ranges, 2 * weight),
	                      tensor_at(a->ranges, 2 * weight + 1)};
}

static struct range extremes(struct tensor *x)
{
	struct tape t;

	tape_init(&t, &backend_onednn);
	t.recording = false;
	struct tensor *y = op_extremes(&t, tape_leaf(&t, x));
	struct range r = {tensor_at(y, 0), tensor_at(y, 1)};
	tape_release(&t);
	return r;
}

struct range range_of(struct tensor *x, double percentile)
{
	if (percentile >= 100)
		return extremes(x);
	int64_t count = shape_count(x->shape);
	double *value = xmalloc((size_t)count * sizeof *value);
	struct range r = {0};

	tensor_to_f64(x, value);
	r.high = percentile_of(value, count, percentile);
	for (int64_t i = 0; i < count; i++)
		value[i] = -value[i];
	r.low = -percentile_of(value, count, percentile);
	free(value);
	return r;
}

void range_move(struct range *r, struct range batch, double momentum)
{
	r->low += momentum * (batch.low - r->low);
	r->high += momentum * (batch.high - r->high);
}

struct affine range_affine(struct range r, int bits)
{
	double low = fmin(r.low, 0), high = fmax(r.high, 0), top = (1 << bits) - 1;
	float scale = (float)fmax((high - low) / top, (double)FLT_EPSILON);
	double zero = fmin(fmax(-nearbyint(low / (double)scale), 0), top);

	return (struct affine){(double)scale, (int)zero, bits};
}
