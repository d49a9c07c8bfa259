/* What the kernels of batch norm share: planes are summed, numbers per channel follow from the
 * sums, planes are written with them. */
#ifndef ONEDNN_NORM_FRAME_H
#define ONEDNN_NORM_FRAME_H
#include "core/tensor/onednn/planes.h"

enum { FRAME_SUMS = 5, FRAME_LANES = 11 };
enum { FRAME_MEAN, FRAME_SLOPE, FRAME_SHIFT, FRAME_OWN }; /* lanes that all have, then others */
struct frame {
	struct layout l;
	struct segments s;
	struct storage *storage;
	float *sum[FRAME_SUMS];   /* (segments, block) each: of one segment of one plane */
	float *lane[FRAME_LANES]; /* (groups, block) each: per channel, zero beyond the last */
};
void frame_init(struct frame *f, struct shape s, int sums, int lanes);
void frame_release(struct frame *f);

/* The k-th sum of channel c over all images, in double, in a fixed order. */
double frame_sum(const struct frame *f, int k, int64_t c);

/* A piece of a plane: first float in a blocked tensor, first lane, first place in a sum, pixels. */
struct piece {
	int64_t at, lane, to, pixels;
};
struct frame_steps {
	void (*sum)(void *self, struct piece p);   /* null: nothing to sum */
	void (*channel)(void *self, int64_t c);    /* null: nothing to do */
	void (*write)(void *self, struct piece p); /* null: nothing to write; p is a whole plane */
};
void frame_run(const struct frame *f, const struct frame_steps *steps, void *self);

/* gamma / sqrt(variance + eps), of statistics as they are stored: gradients have no others. */
double norm_slope(float gamma, float variance, double eps);
/* Sets the lanes that all have; beta null: zero. */
void frame_set_lines(struct frame *f, struct tensor *gamma, struct tensor *mean,
                     struct tensor *variance, struct tensor *beta, double eps);

/* Storage for an output; null where it is not wanted, or has its values from an earlier run. */
float *frame_output(struct tensor *t, bool blocked);

/* Which adjoints pass ReLU: those where y > 0.  y is given, or made again from x with beta. */
enum mask { MASK_NONE, MASK_OUTPUT, MASK_SHIFT };
enum mask mask_of(const struct tensor *t); /* absent, y, beta */

/* Eight lanes as one value, spelled out: compilers make vectors of other loops than these. */
enum { EIGHT = 8 };
typedef float vec __attribute__((vector_size(EIGHT * sizeof(float)), may_alias));
typedef int32_t vec_mask __attribute__((vector_size(EIGHT * sizeof(float)), may_alias));
#define VEC(p) (*(const vec *)(p))

/* v where element i passes, z being x - mean; y is made again by forward's own expression */
#define PASSING(v)                                                       \
	(mask == MASK_NONE     ? (v)                                     \
	 : mask == MASK_OUTPUT ? (vec)((vec_mask)(v) & (VEC(y + i) > 0)) \
	                       : (vec)((vec_mask)(v) & (z * slope + shift > 0)))

/* Calls f for each eight lanes, with a constant mask. */
#define EACH_EIGHT(f, ...)                                             \
	for (int from = 0; from < block; from += EIGHT) {              \
		if (mask == MASK_NONE)                                 \
			f(s, p, block, from, __VA_ARGS__ MASK_NONE);   \
		else if (mask == MASK_OUTPUT)                          \
			f(s, p, block, from, __VA_ARGS__ MASK_OUTPUT); \
		else                                                   \
			f(s, p, block, from, __VA_ARGS__ MASK_SHIFT);  \
	}
/* What a piece of s reads for a gradient, from lane `from` of its block on: x, y where that is the
 * mask, and what x is normalised by. */
#define READ_NORMALISED(from)                                               \
	const float *x = s->x + p.at + (from);                              \
	const float *y = mask == MASK_OUTPUT ? s->y + p.at + (from) : NULL; \
	const vec mean = VEC(s->f.lane[FRAME_MEAN] + p.lane + (from));      \
	const vec slope = VEC(s->f.lane[FRAME_SLOPE] + p.lane + (from));    \
	const vec shift = VEC(s->f.lane[FRAME_SHIFT] + p.lane + (from))
#endif
