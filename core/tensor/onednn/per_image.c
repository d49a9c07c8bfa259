/* Products of the gradients of single images: which way for convolutions; linear layers, biases and
 * batch norms. */
#include "core/tensor/onednn/per_image.h"
#include "core/base/text.h"
#include "core/tensor/onednn/per_image_conv.h"
#include <stdlib.h>

const int per_image_of[PER_IMAGE_PRODUCTS][2] = {{0, 0}, {1, 1}, {0, 1}};

static double row_dot(struct tensor *a, struct tensor *b, int64_t row)
{
	int64_t n = a->shape.d[1];
	const float *x = tensor_f32(a) + row * n, *y = tensor_f32(b) + row * n;
	double sum = 0;

	for (int64_t i = 0; i < n; i++)
		sum += (double)x[i] * (double)y[i];
	return sum;
}

/* Adds products of gradients that are there as vectors: a and b of `n` elements, of one image. */
static void add_vectors(const double *const gradient[PER_IMAGE_LOSSES], int64_t n, double *product,
                        double *const diagonal[PER_IMAGE_PRODUCTS])
{
	for (int k = 0; k < PER_IMAGE_PRODUCTS; k++) {
		const double *a = gradient[per_image_of[k][0]], *b = gradient[per_image_of[k][1]];
		double sum = 0;
		for (int64_t i = 0; a && b && i < n; i++) {
			sum += a[i] * b[i];
			if (diagonal[k])
				diagonal[k][i] += a[i] * b[i];
		}
		product[k] += sum;
	}
}

/* ---- convolutions ---- */
CLONES double per_image_dot(const float *a, const float *b, int64_t n)
{
	float sum[LANES_MAX] = {0};
	double total = 0;

	for (int64_t i = 0; i < n; i += LANES_MAX)
		for (int l = 0; l < LANES_MAX; l++)
			sum[l] += a[i + l] * b[i + l];
	for (int l = 0; l < LANES_MAX; l++)
		total += (double)sum[l];
	return total;
}

void per_image_conv(const struct per_image_use *use, int uses, struct shape weight,
                    const struct per_image_sums *s)
{
	bool gram = !s->diagonal[PRODUCT_AA];

	for (int u = 0; u < uses; u++)
		gram = gram && per_image_by_gram(use[u].x->shape, use[u].g[0]->shape, weight);
	(gram ? per_image_conv_gram : per_image_conv_gradient)(use, uses, weight, s);
}

/* ---- linear ---- */
static void linear_diagonal(const struct per_image_use *use, int uses, int64_t image,
                            double *scratch, const struct per_image_sums *s)
{
	int64_t out = use->g[0]->shape.d[1], in = use->x->shape.d[1];
	const double *gradient[PER_IMAGE_LOSSES] = {0};
	double nothing[PER_IMAGE_PRODUCTS];

	for (int k = 0; k < PER_IMAGE_LOSSES && use->g[k]; k++) {
		double *to = scratch + k * out * in;
		gradient[k] = to;
		for (int64_t i = 0; i < out * in; i++) {
			to[i] = 0;
			for (int u = 0; u < uses; u++)
				to[i] += (double)tensor_f32(use[u].g[k])[image * out + i / in] *
				         (double)tensor_f32(use[u].x)[image * in + i % in];
		}
	}
	add_vectors(gradient, out * in, nothing, s->diagonal);
}

void per_image_linear(const struct per_image_use *use, int uses, const struct per_image_sums *s)
{
	int64_t images = use->x->shape.d[0], count = use->g[0]->shape.d[1] * use->x->shape.d[1];
	double *scratch = NULL;

	if (s->diagonal[PRODUCT_AA])
		scratch = xcalloc((size_t)(PER_IMAGE_LOSSES * count), sizeof *scratch);
	for (int64_t i = 0; i < images; i++) {
		for (int k = 0; k < PER_IMAGE_PRODUCTS; k++)
			for (int p = 0; p < uses * uses; p++) {
				const struct per_image_use *a = &use[p / uses], *b = &use[p % uses];
				struct tensor *ga = a->g[per_image_of[k][0]];
				struct tensor *gb = b->g[per_image_of[k][1]];
				if (ga && gb)
					s->product[i * PER_IMAGE_PRODUCTS + k] +=
					        row_dot(ga, gb, i) * row_dot(a->x, b->x, i);
			}
		if (scratch)
			linear_diagonal(use, uses, i, scratch, s);
	}
	free(scratch);
}

void per_image_bias(const struct per_image_use *use, int uses, const struct per_image_sums *s)
{
	int64_t images = use->g[0]->shape.d[0], n = use->g[0]->shape.d[1];
	double *sum = xcalloc((size_t)(PER_IMAGE_LOSSES * n), sizeof *sum);

	for (int64_t i = 0; i < images; i++) {
		const double *gradient[PER_IMAGE_LOSSES] = {0};
		for (int k = 0; k < PER_IMAGE_LOSSES && use->g[k]; k++) {
			double *to = sum + k * n;
			gradient[k] = to;
			for (int64_t c = 0; c < n; c++) {
				to[c] = 0;
				for (int u = 0; u < uses; u++)
					to[c] += (double)tensor_f32(use[u].g[k])[i * n + c];
			}
		}
		add_vectors(gradient, n, s->product + i * PER_IMAGE_PRODUCTS, s->diagonal);
	}
	free(sum);
}

/* ---- batch norm ---- */
/* sum g and sum g x of the lanes of one plane, where y > 0 when there is a y */
INLINE void plane_sums_of(const float *g, const float *x, const float *y, int64_t pixels,
                          const int block, double *sum, double *dot)
{
	float s[LANES_MAX] = {0}, d[LANES_MAX] = {0};

	for (int64_t p = 0; p < pixels; p++)
		for (int l = 0; l < block; l++) {
			int64_t i = p * block + l;
			float v = !y || y[i] > 0 ? g[i] : 0;
			s[l] += v;
			d[l] += v * x[i];
		}
	for (int l = 0; l < block; l++) {
		sum[l] = (double)s[l];
		dot[l] = (double)d[l];
	}
}

CLONES static void plane_moments(const float *g, const float *x, const float *y, int64_t pixels,
                                 int block, double *sum, double *dot)
{
	if (block == 8)
		plane_sums_of(g, x, y, pixels, 8, sum, dot);
	else
		plane_sums_of(g, x, y, pixels, LANES_MAX, sum, dot);
}

/* One image's gradients of scale and shift of one use, added to (C) each. */
static void norm_add(const struct per_image_norm *n, const struct layout *l, int64_t image,
                     int loss, double *scale, double *shift)
{
	const float *x = blocked_input(n->use.x), *g = blocked_input(n->use.g[loss]);
	const float *y = n->y ? blocked_input(n->y) : NULL;
	double sum[LANES_MAX], dot[LANES_MAX];

	for (int64_t k = 0; k < l->groups; k++) {
		int64_t at = (image * l->groups + k) * l->pixels * l->block;
		plane_moments(g + at, x + at, y ? y + at : NULL, l->pixels, l->block, sum, dot);
		for (int64_t c = k * l->block; c < l->channels && c < (k + 1) * l->block; c++) {
			int64_t lane = c - k * l->block;
			shift[c] += sum[lane];
			scale[c] += n->r[c] * (dot[lane] - n->mean[c] * sum[lane]);
		}
	}
}

void per_image_norm(const struct per_image_norm *n, int uses, const struct per_image_sums *scale,
                    const struct per_image_sums *shift)
{
	struct layout l = layout_of(n->use.x->shape);
	int64_t each = 2 * l.channels, per_image = PER_IMAGE_LOSSES * each;
	double *sums = xcalloc((size_t)(l.images * per_image), sizeof *sums);
	int losses = n->use.g[1] ? 2 : 1;

	for (int u = 0; u < uses; u++) { /* put in blocks by one thread */
		blocked_input(n[u].use.x);
		for (int k = 0; k < losses; k++)
			blocked_input(n[u].use.g[k]);
		if (n[u].y)
			blocked_input(n[u].y);
	}
#pragma omp parallel for schedule(static)
	for (int64_t i = 0; i < l.images; i++)
		for (int k = 0; k < losses * uses; k++) {
			double *to = sums + i * per_image + k % losses * each;
			norm_add(&n[k / losses], &l, i, k % losses, to, to + l.channels);
		}
	for (int64_t i = 0; i < l.images; i++) {
		const double *a = sums + i * per_image, *b = losses == 2 ? a + each : NULL;
		add_vectors((const double *[]){a, b}, l.channels,
		            scale->product + i * PER_IMAGE_PRODUCTS, scale->diagonal);
		add_vectors((const double *[]){a + l.channels, b ? b + l.channels : NULL},
		            l.channels, shift->product + i * PER_IMAGE_PRODUCTS, shift->diagonal);
	}
	free(sums);
}
