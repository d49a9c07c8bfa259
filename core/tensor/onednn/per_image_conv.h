/* The two ways to products of the weight gradients of single images, for convolutions. */
#ifndef ONEDNN_PER_IMAGE_CONV_H
#define ONEDNN_PER_IMAGE_CONV_H
#include "core/tensor/onednn/column.h"
#include "core/tensor/onednn/per_image.h"

/* Gram form: no diagonal. */
void per_image_conv_gram(const struct per_image_use *use, int uses, struct shape weight,
                         const struct per_image_sums *s);
/* The gradient of each image, piece by piece. */
void per_image_conv_gradient(const struct per_image_use *use, int uses, struct shape weight,
                             const struct per_image_sums *s);

/* a . b of n floats, whole LANES_MAX: each lane in float, lanes together in double. */
double per_image_dot(const float *a, const float *b, int64_t n);

/* ---- how one image's gradient is made ---- */
/* The convolution, and what its two sides of one image become: `x` and `g` floats, prepared. */
struct gradient_plan {
	int64_t in, out; /* channels of the weight */
	int64_t window[2];
	int stride, pad;
	struct layout x, g; /* of what it read and of its adjoint */
	int64_t x_floats, g_floats;
	int64_t pieces, size; /* of the gradient; floats of a piece, whole LANES_MAX */
	int64_t scratch;      /* floats that a thread needs to make one */
};

struct gradient_way {
	/* Whether it can, and is the faster one; fills in what follows `g` above. */
	bool (*fits)(struct gradient_plan *p);
	/* One image, blocked, to x_floats or g_floats; begins on 64 bytes. */
	void (*prepare_x)(const struct gradient_plan *p, const float *image, float *to);
	void (*prepare_g)(const struct gradient_plan *p, const float *image, float *to);
	/* A piece of the gradient; added to what is there when so told. */
	void (*make)(const struct gradient_plan *p, int64_t piece, const float *x, const float *g,
	             bool add, float *scratch, float *to);
	/* Which element of (O, C, R, S) place `at`, a multiple of 16, of a piece is.  The 15 that
	 * follow are those of the next o, as far as there are any. */
	int64_t (*element)(const struct gradient_plan *p, int64_t piece, int64_t at);
};
extern const struct gradient_way gradient_direct, gradient_winograd;
#endif
