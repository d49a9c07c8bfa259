/* Rows of the gradient check for quantization: what rounding leaves is frozen at the point. */
#ifndef TESTS_GRADCHECK_QUANTIZE_H
#define TESTS_GRADCHECK_QUANTIZE_H
/* ---- fake quantization: its residual and its mask frozen at the point ---- */
static double frozen_residual[WEIGHTS], frozen_mask[WEIGHTS];
static const double scales[3] = {0.21, 0.35, 0.4};
enum { BITS = 3 };

static T *quantize(struct tape *t, T *w, int64_t count)
{
	T *s = constant(t, SHAPE(count), scales), *y = op_fake_quantize(t, w, s, BITS);
	int64_t length = shape_count(w->shape), top = (1 << (BITS - 1)) - 1;

	for (int64_t i = 0; i < length; i++) {
		double x = tensor_at(w, i), code = x / scales[i / (length / count)];
		frozen_mask[i] = fabs(code) < (double)top + 0.5;
		frozen_residual[i] = tensor_at(y, i) - frozen_mask[i] * x;
	}
	return y;
}
BUILD(f_quantize, quantize(t, x[0], 1))
BUILD(f_quantize_channel, quantize(t, x[0], 3))

static T *f_quantize_frozen(struct tape *t, T **x)
{
	T *mask = constant(t, x[0]->shape, frozen_mask);

	return op_add(t, op_mul(t, x[0], mask), constant(t, x[0]->shape, frozen_residual));
}

/* The step's part of the gradient is scaled: as if the value followed it only so far. */
static double frozen_slope[WEIGHTS];

/* Weights of either sign, far enough out to be clipped, beside positive steps. */
static T *spread(struct tape *t, T *x)
{
	return op_scale(t, op_shift(t, x, -0.8), 3);
}

static T *learned(struct tape *t, T **x, int64_t count)
{
	T *w = spread(t, x[0]), *y = op_learned_quantize(t, w, x[1], BITS);
	int64_t length = shape_count(y->shape), top = (1 << (BITS - 1)) - 1;

	for (int64_t i = 0; i < length; i++) {
		double s = tensor_at(x[1], i / (length / count)), place = tensor_at(w, i) / s;
		frozen_mask[i] = fabs(place) < (double)top + 0.5;
		frozen_slope[i] = (tensor_at(y, i) - frozen_mask[i] * tensor_at(w, i)) / s;
		frozen_residual[i] = s;
	}
	return y;
}
BUILD(f_learned, learned(t, x, 1))
BUILD(f_learned_channel, learned(t, x, 3))

/* mask w + slope (s0 + (s - s0) factor) */
static T *f_learned_frozen(struct tape *t, T **x)
{
	struct shape s = x[0]->shape;
	int64_t count = shape_count(x[1]->shape), shared = shape_count(s) / count;
	double factor = 1 / sqrt((double)(shared * ((1 << (BITS - 1)) - 1)));
	T *at = constant(t, s, frozen_residual), *step = op_reshape(t, x[1], SHAPE(count, 1));
	T *moved = op_scale(t, op_sub(t, op_expand(t, step, s), at), factor);
	T *slope = op_mul(t, constant(t, s, frozen_slope), op_add(t, at, moved));

	return op_add(t, op_mul(t, spread(t, x[0]), constant(t, s, frozen_mask)), slope);
}

/* ---- activations ---- */
static const struct affine affine = {0.2, 2, 3}; /* codes for -0.4 … 1 */

static T *quantize_input(struct tape *t, T *x)
{
	T *y = op_affine_quantize(t, x, affine);

	for (int64_t i = 0; i < shape_count(x->shape); i++) {
		double code = tensor_at(x, i) / affine.scale;
		frozen_mask[i] = code > -2.5 && code < 5.5;
		frozen_residual[i] = tensor_at(y, i) - frozen_mask[i] * tensor_at(x, i);
	}
	return y;
}
BUILD(f_affine_quantize, quantize_input(t, x[0]))

static T *f_affine_quantize_grad(struct tape *t, T **x)
{
	quantize_input(t, x[1]);
	return op_affine_quantize_grad(t, x[0], x[1], affine);
}
BUILD(f_affine_mask_frozen, op_mul(t, x[0], constant(t, x[0]->shape, frozen_mask)))
#endif
