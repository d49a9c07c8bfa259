/* Reference kernels: fake quantization, symmetric for weights and affine for activations. */
#ifndef REAL
#include "core/tensor/ref.h"
#include <math.h>

#define REAL    double
#define NAME(f) f##_f64
#include "core/tensor/ref_quantize.c"
#undef REAL
#undef NAME
#define REAL    float
#define NAME(f) f##_f32
#include "core/tensor/ref_quantize.c"

KERNEL(abs_max)
KERNEL(fake_quantize)
KERNEL(in_range)
KERNEL(step_slope)
KERNEL(affine_quantize)
KERNEL(affine_quantize_grad)
KERNEL(extremes)

#else /* once per type */

static void NAME(abs_max)(struct node *n)
{
	int64_t rows = n->out[0]->shape.d[0], length = shape_count(n->in[0]->shape) / rows;
	const REAL *x = tensor_plain(n->in[0]);
	REAL *y = tensor_new_plain(n->out[0]);

	for (int64_t r = 0; r < rows; r++, x += length) {
		REAL most = 0;
		for (int64_t i = 0; i < length; i++) {
			REAL size = x[i] < 0 ? -x[i] : x[i];
			most = size > most ? size : most;
		}
		y[r] = most;
	}
}

/* What becomes of one weight, by the scale of its row and the largest code. */
typedef REAL NAME(weight_fn)(REAL w, REAL s, REAL top);

static void NAME(by_row)(struct node *n, NAME(weight_fn) * f)
{
	int64_t rows = n->in[1]->shape.d[0], length = shape_count(n->in[0]->shape) / rows;
	const REAL top = (REAL)((1 << (n->attr.bits - 1)) - 1);
	const REAL *w = tensor_plain(n->in[0]), *s = tensor_plain(n->in[1]);
	REAL *y = tensor_new_plain(n->out[0]);

	for (int64_t r = 0; r < rows; r++, w += length, y += length)
		for (int64_t i = 0; i < length; i++)
			y[i] = f(w[i], s[r], top);
}

static REAL NAME(rounded)(REAL w, REAL s, REAL top)
{
	REAL code = s > 0 ? (REAL)nearbyint((double)(w / s)) : 0;

	return s * (code > top ? top : code < -top ? -top : code);
}

static void NAME(fake_quantize)(struct node *n)
{
	NAME(by_row)(n, NAME(rounded));
}

/* A row with s = 0 has the single code 0, which only w = 0 does not exceed. */
static REAL NAME(inside)(REAL w, REAL s, REAL top)
{
	return s > 0 ? fabs(nearbyint((double)(w / s))) <= (double)top : w == 0;
}

static void NAME(in_range)(struct node *n)
{
	NAME(by_row)(n, NAME(inside));
}

static REAL NAME(slope)(REAL w, REAL s, REAL top)
{
	REAL place = s > 0 ? w / s : 0, code = (REAL)nearbyint((double)place);

	return code > top ? top : code < -top ? -top : code - place;
}

static void NAME(step_slope)(struct node *n)
{
	NAME(by_row)(n, NAME(slope));
}

/* The code of x relative to that of zero, before it is clamped to least … most. */
static REAL NAME(code)(const struct node *n, REAL x, REAL *least, REAL *most)
{
	*least = (REAL)-n->attr.zero;
	*most = (REAL)((1 << n->attr.bits) - 1 - n->attr.zero);
	return (REAL)nearbyint((double)(x / (REAL)n->attr.alpha));
}

static void NAME(affine_quantize)(struct node *n)
{
	const REAL *x = tensor_plain(n->in[0]);
	REAL *y = tensor_new_plain(n->out[0]), least, most;

	for (int64_t i = 0, count = shape_count(n->in[0]->shape); i < count; i++) {
		REAL code = NAME(code)(n, x[i], &least, &most);
		code = code > most ? most : code < least ? least : code;
		y[i] = (REAL)n->attr.alpha * code;
	}
}

static void NAME(affine_quantize_grad)(struct node *n)
{
	const REAL *g = tensor_plain(n->in[0]), *x = tensor_plain(n->in[1]);
	REAL *y = tensor_new_plain(n->out[0]), least, most;

	for (int64_t i = 0, count = shape_count(n->in[0]->shape); i < count; i++) {
		REAL code = NAME(code)(n, x[i], &least, &most);
		y[i] = code >= least && code <= most ? g[i] : 0;
	}
}

static void NAME(extremes)(struct node *n)
{
	const REAL *x = tensor_plain(n->in[0]);
	REAL *y = tensor_new_plain(n->out[0]);

	y[0] = y[1] = x[0];
	for (int64_t i = 0, count = shape_count(n->in[0]->shape); i < count; i++) {
		y[0] = x[i] < y[0] ? x[i] : y[0];
		y[1] = x[i] > y[1] ? x[i] : y[1];
	}
}
#endif
