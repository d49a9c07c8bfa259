/* Reference kernels: pooling. */
#ifndef REAL
#include "core/tensor/ref.h"

#define REAL    double
#define NAME(f) f##_f64
#include "core/tensor/ref_pool.c"
#undef REAL
#undef NAME
#define REAL    float
#define NAME(f) f##_f32
#include "core/tensor/ref_pool.c"

KERNEL(mean_pool)
KERNEL(mean_unpool)

bool ref_max_pool_index(struct tape *t, struct node *n)
{
	if (n->in[0]->type == F64)
		max_pool_index_f64(n);
	else
		max_pool_index_f32(n);
	return true;
}

#else /* once per type */

static void NAME(mean_pool)(struct node *n)
{
	struct shape s = n->in[0]->shape;
	int64_t pixels = s.d[2] * s.d[3];
	const REAL *x = tensor_plain(n->in[0]);
	REAL *y = tensor_new_plain(n->out[0]);

	for (int64_t c = 0; c < s.d[0] * s.d[1]; c++) {
		double sum = 0;
		for (int64_t i = 0; i < pixels; i++)
			sum += (double)x[c * pixels + i];
		y[c] = (REAL)(sum / (double)pixels);
	}
}

static void NAME(mean_unpool)(struct node *n)
{
	struct shape s = n->out[0]->shape;
	int64_t pixels = s.d[2] * s.d[3];
	const REAL *x = tensor_plain(n->in[0]);
	REAL *y = tensor_new_plain(n->out[0]);

	for (int64_t c = 0; c < s.d[0] * s.d[1]; c++) {
		REAL value = (REAL)((double)x[c] / (double)pixels);
		for (int64_t i = 0; i < pixels; i++)
			y[c * pixels + i] = value;
	}
}

/* The first of the largest in the window that starts at (top, left), as an index into the plane;
 * what lies outside the plane is not looked at. */
static int64_t NAME(window_best)(const REAL *x, int64_t height, int64_t width, int64_t top,
                                 int64_t left, int window)
{
	int64_t best = -1;

	for (int64_t i = top < 0 ? 0 : top; i < height && i < top + window; i++)
		for (int64_t j = left < 0 ? 0 : left; j < width && j < left + window; j++)
			if (best < 0 || x[i * width + j] > x[best])
				best = i * width + j;
	assert(best >= 0);
	return best;
}

static void NAME(max_pool_index)(struct node *n)
{
	struct shape s = n->in[0]->shape, o = n->out[0]->shape;
	int stride = n->attr.stride, pad = n->attr.pad;
	const REAL *x = tensor_plain(n->in[0]);
	int32_t *y = tensor_new_plain(n->out[0]);

	for (int64_t c = 0; c < s.d[0] * s.d[1]; c++) {
		int64_t plane = c * s.d[2] * s.d[3];
		for (int64_t i = 0; i < o.d[2]; i++)
			for (int64_t j = 0; j < o.d[3]; j++)
				*y++ = (int32_t)(plane + NAME(window_best)(x + plane, s.d[2],
				                                           s.d[3], i * stride - pad,
				                                           j * stride - pad,
				                                           n->attr.window));
	}
}
#endif
