/* Reference kernels: one value in, one value out. */
#ifndef REAL
#include "core/tensor/ref.h"
#include <math.h>

#define REAL    double
#define NAME(f) f##_f64
#include "core/tensor/ref_elementwise.c"
#undef REAL
#undef NAME
#define REAL    float
#define NAME(f) f##_f32
#include "core/tensor/ref_elementwise.c"

KERNEL(add)
KERNEL(sub)
KERNEL(mul)
KERNEL(scale)
KERNEL(shift)
KERNEL(recip)
KERNEL(exp)
KERNEL(log)
KERNEL(sqrt)
KERNEL(relu)
KERNEL(relu_grad)
KERNEL(add_relu)

bool ref_fill(struct tape *t, struct node *n)
{
	int64_t count = shape_count(n->out[0]->shape);
	void *y = tensor_new_plain(n->out[0]);

	for (int64_t i = 0; i < count; i++)
		switch (n->out[0]->type) {
		case F64: ((double *)y)[i] = n->attr.alpha; break;
		case F32: ((float *)y)[i] = (float)n->attr.alpha; break;
		case I32: ((int32_t *)y)[i] = (int32_t)n->attr.alpha; break;
		default: ((uint8_t *)y)[i] = (uint8_t)n->attr.alpha; break;
		}
	return true;
}

#else /* once per type */

/* y = EXPR of a = A[i], b = B[i], row by row; a stretched operand stands still. */
#define BINARY(op, EXPR)                                                                      \
	WIDE static void NAME(op##_row)(REAL *restrict y, const REAL *restrict p, int64_t sp, \
	                                const REAL *restrict q, int64_t sq, int64_t n)        \
	{                                                                                     \
		if (sp && sq)                                                                 \
			for (int64_t i = 0; i < n; i++) {                                     \
				REAL a = p[i], b = q[i];                                      \
				y[i] = EXPR;                                                  \
			}                                                                     \
		else if (sp)                                                                  \
			for (int64_t i = 0; i < n; i++) {                                     \
				REAL a = p[i], b = q[0];                                      \
				y[i] = EXPR;                                                  \
			}                                                                     \
		else                                                                          \
			for (int64_t i = 0; i < n; i++) {                                     \
				REAL a = p[0], b = q[i * sq];                                 \
				y[i] = EXPR;                                                  \
			}                                                                     \
	}                                                                                     \
	static void NAME(op)(struct node * n)                                                 \
	{                                                                                     \
		int64_t sy[TENSOR_DIMS], sa[TENSOR_DIMS], sb[TENSOR_DIMS];                    \
		struct tensor *out = n->out[0], *a = n->in[0], *b = n->in[1];                 \
		const REAL *p = tensor_plain(a), *q = tensor_plain(b);                        \
		REAL *y = tensor_new_plain(out);                                              \
		struct walk w;                                                                \
		strides_of(out->shape, sy);                                                   \
		strides_aligned(a->shape, out->shape, sa);                                    \
		strides_aligned(b->shape, out->shape, sb);                                    \
		walk_init(&w, out->shape, (int64_t *[]){sy, sa, sb}, 3);                      \
		for (int64_t r = 0; r < w.rows; r++, walk_next(&w))                           \
			NAME(op##_row)                                                        \
		(y + w.offset[0], p + w.offset[1], w.step[1], q + w.offset[2], w.step[2],     \
		 w.length);                                                                   \
	}

BINARY(add, a + b)
BINARY(sub, a - b)
BINARY(mul, a *b)
BINARY(relu_grad, b > 0 ? a : 0)
BINARY(add_relu, a + b < 0 ? 0 : a + b)

#define UNARY(op, EXPR)                                                                       \
	WIDE static void NAME(op)(struct node * n)                                            \
	{                                                                                     \
		int64_t count = shape_count(n->out[0]->shape);                                \
		const REAL alpha = (REAL)n->attr.alpha, *restrict p = tensor_plain(n->in[0]); \
		REAL *restrict y = tensor_new_plain(n->out[0]);                               \
		(void)alpha;                                                                  \
		for (int64_t i = 0; i < count; i++) {                                         \
			REAL x = p[i];                                                        \
			y[i] = EXPR;                                                          \
		}                                                                             \
	}

UNARY(scale, alpha *x)
UNARY(shift, x + alpha)
UNARY(recip, 1 / x)
UNARY(exp, (REAL)exp((double)x))
UNARY(log, (REAL)log((double)x))
UNARY(sqrt, (REAL)sqrt((double)x))
UNARY(relu, x < 0 ? 0 : x) /* NaN stays, so that divergence shows */
#endif
