/* What the weight gradients of the single images of a batch are, without making a batch of each.
 *
 * With x_p the window of the input that output pixel p sees and g_p the adjoint of that pixel, the
 * weight gradient of an image is dW = sum over p of g_p x_p'.  Where that has many elements and
 * there are few pixels, products of two gradients are taken in Gram form,
 *     <dW, dW*> = sum over p, q of (g_p . g*_q) (x_p . x_q),
 * else each image's gradient is made, multiplied, and forgotten.  Where a layer is used several
 * times, its gradient is the sum over the uses, and all cross terms count. */
#ifndef ONEDNN_PER_IMAGE_H
#define ONEDNN_PER_IMAGE_H
#include "core/tensor/tensor.h"

/* Two losses, a and b, have adjoints; these are the products of their gradients. */
enum { PER_IMAGE_LOSSES = 2 };
enum per_image_product { PRODUCT_AA, PRODUCT_BB, PRODUCT_AB, PER_IMAGE_PRODUCTS };
extern const int per_image_of[PER_IMAGE_PRODUCTS][2]; /* which losses: {0, 0} {1, 1} {0, 1} */

/* One use of a layer: x what it read, g[] the adjoints of what it gave; g[1] null: one loss. */
struct per_image_use {
	struct tensor *x, *g[PER_IMAGE_LOSSES];
	int stride, pad; /* convolutions */
};

/* Sums to add to: product (N, 3), and diagonal[k] (null: not wanted) of the weight's elements, the
 * sum over the images of products element by element. */
struct per_image_sums {
	double *product;
	double *diagonal[PER_IMAGE_PRODUCTS];
};

/* A convolution with weights (O, C, R, S), groups 1: x (N, C, H, W), g (N, O, H', W'), F32. */
void per_image_conv(const struct per_image_use *use, int uses, struct shape weight,
                    const struct per_image_sums *s);

/* A linear layer with weights (O, I): x (N, I), g (N, O). */
void per_image_linear(const struct per_image_use *use, int uses, const struct per_image_sums *s);

/* A bias (O) behind it, of which the gradient is g. */
void per_image_bias(const struct per_image_use *use, int uses, const struct per_image_sums *s);

/* Scale and shift (C) of y = scale (x - mean) r + shift, then max(0, y) when there is a y: g counts
 * where y > 0; gradients are r sum g (x - mean) and sum g.  All (N, C, H, W). */
struct per_image_norm {
	struct per_image_use use;
	struct tensor *y;       /* null: no ReLU */
	const double *mean, *r; /* (C) */
};
void per_image_norm(const struct per_image_norm *n, int uses, const struct per_image_sums *scale,
                    const struct per_image_sums *shift);

/* Whether the Gram form is used: 2 pixels^2 below the count of weights (diagonal not wanted). */
bool per_image_by_gram(struct shape x, struct shape g, struct shape weight);
#endif
