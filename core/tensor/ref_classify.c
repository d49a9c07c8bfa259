/* Reference kernels: softmax, cross-entropy, one-hot. */
#ifndef REAL
#include "core/tensor/ref.h"
#include <math.h>

#define REAL    double
#define NAME(f) f##_f64
#include "core/tensor/ref_classify.c"
#undef REAL
#undef NAME
#define REAL    float
#define NAME(f) f##_f32
#include "core/tensor/ref_classify.c"

KERNEL(softmax)
KERNEL(softmax_grad)
KERNEL(cross_entropy)
KERNEL(one_hot)

#else /* once per type */

/* log sum exp of a row; *most is its largest value */
static double NAME(log_sum_exp)(const REAL *x, int64_t n, double *most)
{
	double top = (double)x[0], sum = 0;

	for (int64_t i = 1; i < n; i++)
		top = (double)x[i] > top ? (double)x[i] : top;
	for (int64_t i = 0; i < n; i++)
		sum += exp((double)x[i] - top);
	*most = top;
	return top + log(sum);
}

static void NAME(softmax)(struct node *n)
{
	struct shape s = n->out[0]->shape;
	int64_t classes = s.d[s.n - 1], rows = shape_count(s) / classes;
	const REAL *x = tensor_plain(n->in[0]);
	REAL *y = tensor_new_plain(n->out[0]);

	for (int64_t r = 0; r < rows; r++, x += classes, y += classes) {
		double top, total = NAME(log_sum_exp)(x, classes, &top);
		for (int64_t i = 0; i < classes; i++)
			y[i] = (REAL)exp((double)x[i] - total);
	}
}

static void NAME(softmax_grad)(struct node *n)
{
	struct shape s = n->out[0]->shape;
	int64_t classes = s.d[s.n - 1], rows = shape_count(s) / classes;
	const REAL *g = tensor_plain(n->in[0]), *p = tensor_plain(n->in[1]);
	REAL *y = tensor_new_plain(n->out[0]);

	for (int64_t r = 0; r < rows; r++, g += classes, p += classes, y += classes) {
		double sum = 0;
		for (int64_t i = 0; i < classes; i++)
			sum += (double)g[i] * (double)p[i];
		for (int64_t i = 0; i < classes; i++)
			y[i] = (REAL)((double)p[i] * ((double)g[i] - sum));
	}
}

static void NAME(cross_entropy)(struct node *n)
{
	struct shape s = n->in[0]->shape;
	const REAL *x = tensor_plain(n->in[0]);
	const int32_t *label = tensor_plain(n->in[1]);
	REAL *y = tensor_new_plain(n->out[0]);

	for (int64_t r = 0; r < s.d[0]; r++, x += s.d[1]) {
		double top, total = NAME(log_sum_exp)(x, s.d[1], &top);
		assert(label[r] >= 0 && label[r] < s.d[1]);
		y[r] = (REAL)(total - (double)x[label[r]]);
	}
}

static void NAME(one_hot)(struct node *n)
{
	struct shape s = n->out[0]->shape;
	const int32_t *label = tensor_plain(n->in[0]);
	REAL *y = tensor_new_plain(n->out[0]);

	for (int64_t r = 0; r < s.d[0]; r++) {
		assert(label[r] >= 0 && label[r] < s.d[1]);
		for (int64_t i = 0; i < s.d[1]; i++)
			y[r * s.d[1] + i] = i == label[r];
	}
}
#endif
