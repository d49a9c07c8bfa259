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

/* Storage for an output that is wanted and has no values yet; else null. */
static void *output(struct tensor *t)
{
	return t && tensor_is_clear(t) ? tensor_new_plain(t) : NULL;
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
KERNEL(batch_norm_grad_grad)
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

/* What a channel is normalised with: y = slope (x - mean) + shift */
struct NAME(line) {
	REAL mean, slope, shift;
};

/* Statistics count as they are stored, so that forward and backward use the same. */
static double NAME(slope_of)(const REAL *gamma, REAL variance, double eps)
{
	return (double)*gamma / sqrt((double)variance + eps);
}

/* y = slope (x - mean) + shift (+ r), then ReLU */
WIDE static void NAME(normalise_row)(int64_t n, const REAL *restrict x, const REAL *restrict r,
                                     REAL *restrict y, const struct NAME(line) * k, bool relu)
{
	for (int64_t i = 0; i < n; i++) {
		REAL value = k->slope * (x[i] - k->mean) + k->shift + (r ? r[i] : 0);
		y[i] = relu && value < 0 ? 0 : value;
	}
}

static void NAME(batch_norm)(struct node *n)
{
	struct layout l = layout_of(n->in[0]->shape);
	const REAL *x = tensor_plain(n->in[0]);
	const REAL *gamma = tensor_plain(n->in[1]), *beta = tensor_plain(n->in[2]);
	const REAL *r = n->in_count == 4 ? tensor_plain(n->in[3]) : NULL;
	REAL *y = output(n->out[0]), *means = output(n->out[1]), *variances = output(n->out[2]);

	for (int64_t c = 0; c < l.channels; c++) {
		double mean, variance;
		NAME(channel_moments)(l, c, x, &mean, &variance);
		double slope = NAME(slope_of)(gamma + c, (REAL)variance, n->attr.alpha);
		struct NAME(line) k = {(REAL)mean, (REAL)slope, beta[c]};
		if (y)
			EACH_ROW (l, c, row)
				NORMALISE_ROW(l.pixels, x + row, r ? r + row : NULL, y + row, &k,
				              n->attr.flag[0]);
		if (means)
			means[c] = (REAL)mean;
		if (variances)
			variances[c] = (REAL)variance;
	}
}

/* One channel of the gradient. */
struct NAME(backward) {
	const REAL *g, *x, *y; /* y null: it is made again from x */
	struct NAME(line) k;
	bool relu;
	double r, mean_g, mean_gx;
};

/* Whether y > 0 */
static bool NAME(passes)(const struct NAME(backward) * b, int64_t i)
{
	REAL y = b->y ? b->y[i] : b->k.slope * (b->x[i] - b->k.mean) + b->k.shift;

	return !b->relu || y > 0;
}

static REAL NAME(masked)(const struct NAME(backward) * b, int64_t i)
{
	return NAME(passes)(b, i) ? b->g[i] : 0;
}

/* Means of g and of g x^ over a channel. */
static void NAME(channel_means)(struct layout l, int64_t c, struct NAME(backward) * b)
{
	double m = (double)(l.images * l.pixels), sum_g = 0, sum_gx = 0;

	EACH_ROW (l, c, row)
		for (int64_t i = row; i < row + l.pixels; i++) {
			double value = (double)NAME(masked)(b, i);
			sum_g += value;
			sum_gx += value * ((double)b->x[i] - (double)b->k.mean) * b->r;
		}
	b->mean_g = sum_g / m;
	b->mean_gx = sum_gx / m;
}

/* dx = slope (g - mean_g - x^ mean_gx), dr = g */
static void NAME(channel_dx)(struct layout l, int64_t c, const struct NAME(backward) * b, REAL *dx,
                             REAL *dr)
{
	EACH_ROW (l, c, row)
		for (int64_t i = row; i < row + l.pixels; i++) {
			REAL g = NAME(masked)(b, i);
			double x_hat = ((double)b->x[i] - (double)b->k.mean) * b->r;
			double centred = (double)g - b->mean_g - x_hat * b->mean_gx;
			if (dx)
				dx[i] = (REAL)((double)b->k.slope * centred);
			if (dr)
				dr[i] = g;
		}
}

/* Sets b for channel c, from inputs g, x, gamma, mean, variance that begin with `first`; of_relu is
 * null, beta or y. */
static struct NAME(backward)
        NAME(backward_of)(const struct node *n, int first, struct tensor *of_relu, int64_t c)
{
	const REAL *gamma = tensor_plain(n->in[first + 2]), *mean = tensor_plain(n->in[first + 3]);
	const REAL *variance = tensor_plain(n->in[first + 4]);
	bool shift = of_relu && of_relu->shape.n == 1;
	const REAL *mask = of_relu ? tensor_plain(of_relu) : NULL;
	double slope = NAME(slope_of)(gamma + c, variance[c], n->attr.alpha);

	return (struct NAME(backward)){
	        .g = tensor_plain(n->in[first]),
	        .x = tensor_plain(n->in[first + 1]),
	        .y = shift ? NULL : mask,
	        .k = {mean[c], (REAL)slope, shift ? mask[c] : 0},
	        .relu = of_relu,
	        .r = 1 / sqrt((double)variance[c] + n->attr.alpha),
	};
}

static void NAME(batch_norm_grad)(struct node *n)
{
	struct layout l = layout_of(n->in[1]->shape);
	double m = (double)(l.images * l.pixels);
	struct tensor *of_relu = n->in_count == 6 ? n->in[5] : NULL;
	REAL *d[4];

	for (int i = 0; i < 4; i++)
		d[i] = output(n->out[i]);
	for (int64_t c = 0; c < l.channels; c++) {
		struct NAME(backward) b = NAME(backward_of)(n, 0, of_relu, c);
		NAME(channel_means)(l, c, &b);
		if (d[0] || d[3])
			NAME(channel_dx)(l, c, &b, d[0], d[3]);
		if (d[1])
			d[1][c] = (REAL)(b.mean_gx * m);
		if (d[2])
			d[2][c] = (REAL)(b.mean_g * m);
	}
}

/* Means over a channel of a, a x^, a g. */
struct NAME(means) {
	double a, ax, ag;
};
static struct NAME(means) NAME(adjoint_means)(struct layout l, int64_t c, const REAL *a,
                                              const struct NAME(backward) * b)
{
	struct NAME(means) s = {0};
	double m = (double)(l.images * l.pixels);

	EACH_ROW (l, c, row)
		for (int64_t i = row; i < row + l.pixels; i++) {
			s.a += (double)a[i] / m;
			s.ax += (double)a[i] * ((double)b->x[i] - (double)b->k.mean) * b->r / m;
			s.ag += (double)a[i] * (double)NAME(masked)(b, i) / m;
		}
	return s;
}

/* One channel, in the letters of vjp_norm.c, with means in place of sums. */
static void NAME(channel_second)(struct layout l, int64_t c, const struct NAME(backward) * b,
                                 const struct node *n)
{
	const REAL *a = tensor_plain(n->in[0]), *gamma = tensor_plain(n->in[3]);
	const REAL *of_gamma = tensor_plain(n->in[6]), *of_beta = tensor_plain(n->in[7]);
	const REAL *e = n->in_count > 9 ? tensor_plain(n->in[9]) : NULL;
	REAL *dg = n->out[0]->plain->data, *dx = n->out[1]->plain->data;
	struct NAME(means) s = NAME(adjoint_means)(l, c, a, b);
	double r = b->r, slope = (double)gamma[c] * r,
	       q = s.ag - s.a * b->mean_g - s.ax * b->mean_gx;
	double h_g = (double)of_gamma[c] - slope * s.ax, h_a = -slope * b->mean_gx;
	double mean_h = h_g * b->mean_g + h_a * s.a, mean_hx = h_g * b->mean_gx + h_a * s.ax;

	EACH_ROW (l, c, row)
		for (int64_t i = row; i < row + l.pixels; i++) {
			double x_hat = ((double)b->x[i] - (double)b->k.mean) * r;
			double h = h_g * (double)NAME(masked)(b, i) + h_a * (double)a[i];
			double of_g = slope * ((double)a[i] - s.a - x_hat * s.ax);
			of_g += (double)of_gamma[c] * x_hat + (double)of_beta[c];
			of_g += e ? (double)e[i] : 0;
			dg[i] = NAME(passes)(b, i) ? (REAL)of_g : 0;
			dx[i] = (REAL)(r * (h - mean_h - x_hat * mean_hx) - slope * q * r * x_hat);
		}
	((REAL *)n->out[2]->plain->data)[c] = (REAL)(q * r * (double)(l.images * l.pixels));
}

static void NAME(batch_norm_grad_grad)(struct node *n)
{
	struct layout l = layout_of(n->in[2]->shape);
	struct tensor *of_relu = n->in_count > 8 ? n->in[8] : NULL;

	for (int i = 0; i < 3; i++)
		tensor_new_plain(n->out[i]);
	for (int64_t c = 0; c < l.channels; c++) {
		struct NAME(backward) b = NAME(backward_of)(n, 1, of_relu, c);
		NAME(channel_means)(l, c, &b);
		NAME(channel_second)(l, c, &b, n);
	}
}

static void NAME(channel_affine)(struct node *n)
{
	struct layout l = layout_of(n->in[0]->shape);
	const REAL *x = tensor_plain(n->in[0]);
	const REAL *a = tensor_plain(n->in[1]), *b = tensor_plain(n->in[2]);
	const REAL *r = n->in_count == 4 ? tensor_plain(n->in[3]) : NULL;
	REAL *y = tensor_new_plain(n->out[0]);

	for (int64_t i = 0; i < l.images * l.channels; i++) {
		struct NAME(line) k = {0, a[i % l.channels], b[i % l.channels]};
		NORMALISE_ROW(l.pixels, x + i * l.pixels, r ? r + i * l.pixels : NULL,
		              y + i * l.pixels, &k, n->attr.flag[0]);
	}
}
#undef EACH_ROW
#undef NORMALISE_ROW
#endif
