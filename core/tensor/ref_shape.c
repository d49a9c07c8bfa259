/* Reference kernels: values moved, repeated and summed. */
#ifndef REAL
#include "core/base/text.h"
#include "core/tensor/ref.h"
#include <stdlib.h>
#include <string.h>

#define REAL    double
#define NAME(f) f##_f64
#include "core/tensor/ref_shape.c"
#undef REAL
#undef NAME
#define REAL    float
#define NAME(f) f##_f32
#include "core/tensor/ref_shape.c"

KERNEL(expand)
KERNEL(sum_to)
KERNEL(permute)
KERNEL(slice)
KERNEL(place)
KERNEL(gather)
KERNEL(scatter)

bool ref_reshape(struct tape *t, struct node *n)
{
	tensor_plain(n->in[0]);
	n->out[0]->plain = storage_share(n->in[0]->plain);
	return true;
}

#else /* once per type */

/* y[walk] = x[walk], each with its own strides over shape s */
static void NAME(copy)(struct shape s, REAL *y, int64_t *sy, const REAL *x, int64_t *sx)
{
	struct walk w;

	walk_init(&w, s, (int64_t *[]){sy, sx}, 2);
	for (int64_t r = 0; r < w.rows; r++, walk_next(&w))
		for (int64_t i = 0; i < w.length; i++)
			y[w.offset[0] + i * w.step[0]] = x[w.offset[1] + i * w.step[1]];
}

static void NAME(expand)(struct node *n)
{
	int64_t sy[TENSOR_DIMS], sx[TENSOR_DIMS];
	struct shape s = n->out[0]->shape;

	strides_of(s, sy);
	strides_aligned(n->in[0]->shape, s, sx);
	NAME(copy)(s, tensor_new_plain(n->out[0]), sy, tensor_plain(n->in[0]), sx);
}

static void NAME(permute)(struct node *n)
{
	int64_t sy[TENSOR_DIMS], sx[TENSOR_DIMS], strides[TENSOR_DIMS];
	struct shape s = n->out[0]->shape;

	strides_of(s, sy);
	strides_of(n->in[0]->shape, strides);
	for (int i = 0; i < s.n; i++)
		sx[i] = strides[n->attr.order[i]];
	NAME(copy)(s, tensor_new_plain(n->out[0]), sy, tensor_plain(n->in[0]), sx);
}

/* Strides of the large side of slice and place over the small one; returns where it starts. */
static int64_t NAME(window)(const struct node *n, struct shape large, int64_t stride[])
{
	int64_t start = 0;

	strides_of(large, stride);
	for (int i = 0; i < large.n; i++) {
		start += stride[i] * n->attr.start[i];
		stride[i] *= n->attr.step[i];
	}
	return start;
}

static void NAME(slice)(struct node *n)
{
	int64_t sy[TENSOR_DIMS], sx[TENSOR_DIMS];
	int64_t start = NAME(window)(n, n->in[0]->shape, sx);
	const REAL *x = tensor_plain(n->in[0]);

	strides_of(n->out[0]->shape, sy);
	NAME(copy)(n->out[0]->shape, tensor_new_plain(n->out[0]), sy, x + start, sx);
}

static void NAME(place)(struct node *n)
{
	int64_t sy[TENSOR_DIMS], sx[TENSOR_DIMS];
	int64_t start = NAME(window)(n, n->out[0]->shape, sy);
	REAL *y = tensor_new_plain(n->out[0]);

	memset(y, 0, (size_t)shape_count(n->out[0]->shape) * sizeof *y);
	strides_of(n->in[0]->shape, sx);
	NAME(copy)(n->in[0]->shape, y + start, sy, tensor_plain(n->in[0]), sx);
}

/* Sums a row in eight lanes and then the lanes: an order that vectors can follow. */
WIDE static double NAME(row_sum)(const REAL *x, int64_t step, int64_t n)
{
	double lane[8] = {0}, sum = 0;
	int64_t i = 0;

	if (step == 1)
		for (; i + 8 <= n; i += 8)
			for (int k = 0; k < 8; k++)
				lane[k] += (double)x[i + k];
	for (; i < n; i++)
		lane[0] += (double)x[i * step];
	for (int k = 0; k < 8; k++)
		sum += lane[k];
	return sum;
}

static void NAME(sum_to)(struct node *n)
{
	int64_t sy[TENSOR_DIMS], sx[TENSOR_DIMS], count = shape_count(n->out[0]->shape);
	struct shape s = n->in[0]->shape;
	const REAL *x = tensor_plain(n->in[0]);
	REAL *y = tensor_new_plain(n->out[0]);
	double *sum = xcalloc((size_t)count + 1, sizeof *sum);
	struct walk w;

	strides_of(s, sx);
	strides_aligned(n->out[0]->shape, s, sy);
	walk_init(&w, s, (int64_t *[]){sx, sy}, 2);
	for (int64_t r = 0; r < w.rows; r++, walk_next(&w)) {
		const REAL *row = x + w.offset[0];
		double *to = sum + w.offset[1];
		if (!w.step[1])
			*to += NAME(row_sum)(row, w.step[0], w.length);
		else
			for (int64_t i = 0; i < w.length; i++)
				to[i * w.step[1]] += (double)row[i * w.step[0]];
	}
	for (int64_t i = 0; i < count; i++)
		y[i] = (REAL)sum[i];
	free(sum);
}

static void NAME(gather)(struct node *n)
{
	const REAL *x = tensor_plain(n->in[0]);
	const int32_t *index = tensor_plain(n->in[1]);
	REAL *y = tensor_new_plain(n->out[0]);
	int64_t limit = shape_count(n->in[0]->shape);

	for (int64_t i = 0, count = shape_count(n->out[0]->shape); i < count; i++) {
		assert(index[i] >= 0 && index[i] < limit);
		y[i] = x[index[i]];
	}
}

static void NAME(scatter)(struct node *n)
{
	const REAL *x = tensor_plain(n->in[0]);
	const int32_t *index = tensor_plain(n->in[1]);
	REAL *y = tensor_new_plain(n->out[0]);
	int64_t limit = shape_count(n->out[0]->shape);

	memset(y, 0, (size_t)limit * sizeof *y);
	for (int64_t i = 0, count = shape_count(n->in[0]->shape); i < count; i++) {
		assert(index[i] >= 0 && index[i] < limit);
		y[index[i]] += x[i];
	}
}
#endif
