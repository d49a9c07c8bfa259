/* Reference kernels: batch norm, its backward, and the per-channel affine map. */
#ifndef REAL
#include "core/tensor/ref.h"
#include <math.h>

/* x as (images, channels, pixels) */
struct layout {
	int64_t images, channels, pixels;
};

static struct layout layout_of(struct shape s)
{
	struct layout l = {.images = s.d[0], .channels = s.d[1], .pixels = 1};

	for (int i = 2; i < s.n; i++)
		l.pixels *= s.d[i];
	return l;
}

#define REAL    double
#define NAME(f) f##_f64
#include "core/tensor/ref_norm.c"
#undef REAL
#undef NAME
#define REAL    float
#define NAME(f) f##_f32
#include "core/tensor/ref_norm.c"

KERNEL(batch_norm)
KERNEL(batch_norm_grad)
KERNEL(channel_affine)

#else /* once per type */

#define NORMALISE_ROW NAME(normalise_row)
#define EACH_ROW(l, c, row)                                               \
	for (int64_t row = (c) * (l).pixels, end_ = (l).images; end_ > 0; \
	     row += (l).channels * (l).pixels, end_--)

/* Mean and biased variance of channel c, in two passes. */
static void NAME(channel_moments)(struct layout l, int64_t c, const REAL *x, double *mean,
                                  double *variance)
{
	double m = (double)(l.images * l.pixels), sum = 0, squares = 0;

	EACH_ROW (l, c, row)
		for (int64_t i = 0; i < l.pixels; i++)
			sum += (double)x[row + i];
	*mean = sum / m;
	EACH_ROW (l, c, row)
		for (int64_t i = 0; i < l.pixels; i++) {
			double centred = (double)x[row + i] - *mean;
			squares += centred * centred;
		}
	*variance = squares / m;
}

/* y = slope (x - mean) + shift, then ReLU */
WIDE static void NAME(normalise_row)(int64_t n, const REAL *restrict x, REAL *restrict y, REAL mean,
                                     REAL slope, REAL shift, bool relu)
{
	for (int64_t i = 0; i < n; i++) {
		REAL value = slope * (x[i] - mean) + shift;
		y[i] = relu && value < 0 ? 0 : value;
	}
}

static void NAME(batch_norm)(struct node *n)
{
	struct layout l = layout_of(n->in[0]->shape);
	const REAL *x = tensor_plain(n->in[0]);
	const REAL *gamma = tensor_plain(n->in[1]), *beta = tensor_plain(n->in[2]);
	REAL *y = n->out[0] ? tensor_new_plain(n->out[0]) : NULL;
	REAL *means = n->out[1] ? tensor_new_plain(n->out[1]) : NULL;
	REAL *variances = n->out[2] ? tensor_new_plain(n->out[2]) : NULL;

	for (int64_t c = 0; c < l.channels; c++) {
		double mean, variance;
		NAME(channel_moments)(l, c, x, &mean, &variance);
		double slope = (double)gamma[c] / sqrt(variance + n->attr.alpha);
		if (y)
			EACH_ROW (l, c, row)
				NORMALISE_ROW(l.pixels, x + row, y + row, (REAL)mean, (REAL)slope,
				              beta[c], n->attr.flag[0]);
		if (means)
			means[c] = (REAL)mean;
		if (variances)
			variances[c] = (REAL)variance;
	}
}

/* Sums of g and of g x^ over a channel; g counts where y > 0, if there is a y. */
static void NAME(channel_sums)(struct layout l, int64_t c, const REAL *g, const REAL *x,
                               const REAL *y, double mean, double r, double *sum_g, double *sum_gx)
{
	*sum_g = *sum_gx = 0;
	EACH_ROW (l, c, row)
		for (int64_t i = row; i < row + l.pixels; i++) {
			double value = y && !(y[i] > 0) ? 0 : (double)g[i];
			*sum_g += value;
			*sum_gx += value * ((double)x[i] - mean) * r;
		}
}

/* dx = slope (g - mean_g - x^ mean_gx) */
static void NAME(channel_dx)(struct layout l, int64_t c, const REAL *g, const REAL *x,
                             const REAL *y, REAL *dx, const double k[5])
{
	double mean = k[0], r = k[1], slope = k[2], mean_g = k[3], mean_gx = k[4];

	EACH_ROW (l, c, row)
		for (int64_t i = row; i < row + l.pixels; i++) {
			double value = y && !(y[i] > 0) ? 0 : (double)g[i];
			double x_hat = ((double)x[i] - mean) * r;
			dx[i] = (REAL)(slope * (value - mean_g - x_hat * mean_gx));
		}
}

static void NAME(batch_norm_grad)(struct node *n)
{
	struct layout l = layout_of(n->in[1]->shape);
	double m = (double)(l.images * l.pixels);
	const REAL *g = tensor_plain(n->in[0]), *x = tensor_plain(n->in[1]);
	const REAL *gamma = tensor_plain(n->in[2]), *mean = tensor_plain(n->in[3]);
	const REAL *variance = tensor_plain(n->in[4]);
	const REAL *y = n->in_count == 6 ? tensor_plain(n->in[5]) : NULL;
	REAL *dx = n->out[0] ? tensor_new_plain(n->out[0]) : NULL;
	REAL *dgamma = n->out[1] ? tensor_new_plain(n->out[1]) : NULL;
	REAL *dbeta = n->out[2] ? tensor_new_plain(n->out[2]) : NULL;

	for (int64_t c = 0; c < l.channels; c++) {
		double r = 1 / sqrt((double)variance[c] + n->attr.alpha), sum_g, sum_gx;
		NAME(channel_sums)(l, c, g, x, y, (double)mean[c], r, &sum_g, &sum_gx);
		double k[] = {(double)mean[c], r, (double)gamma[c] * r, sum_g / m, sum_gx / m};
		if (dx)
			NAME(channel_dx)(l, c, g, x, y, dx, k);
		if (dgamma)
			dgamma[c] = (REAL)sum_gx;
		if (dbeta)
			dbeta[c] = (REAL)sum_g;
	}
}

static void NAME(channel_affine)(struct node *n)
{
	struct layout l = layout_of(n->in[0]->shape);
	const REAL *x = tensor_plain(n->in[0]);
	const REAL *a = tensor_plain(n->in[1]), *b = tensor_plain(n->in[2]);
	REAL *y = tensor_new_plain(n->out[0]);

	for (int64_t i = 0; i < l.images * l.channels; i++)
		NORMALISE_ROW(l.pixels, x + i * l.pixels, y + i * l.pixels, 0, a[i % l.channels],
		              b[i % l.channels], n->attr.flag[0]);
}
#undef EACH_ROW
#undef NORMALISE_ROW
#endif
