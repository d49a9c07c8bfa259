/* What the kernels of batch norm share: planes are summed, numbers per channel follow from the
 * sums, planes are written with them. */
#ifndef ONEDNN_NORM_FRAME_H
#define ONEDNN_NORM_FRAME_H
#include "core/tensor/onednn/planes.h"

/* Calls an inlined function with a constant block, so that loops over lanes are vectors. */
#define BY_BLOCK(name, ...)                    \
	do {                                   \
		if (block == 8)                \
			name(__VA_ARGS__, 8);  \
		else                           \
			name(__VA_ARGS__, 16); \
	} while (0)

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

/* y = normalised(x) of one lane; the same expression everywhere, so that its sign is forward's. */
INLINE float normalised(float x, float mean, float slope, float shift)
{
	return (x - mean) * slope + shift;
}

/* Which adjoints pass ReLU: those where y > 0.  y is given, or made again from x with beta. */
enum mask { MASK_NONE, MASK_OUTPUT, MASK_SHIFT };
enum mask mask_of(const struct tensor *t); /* absent, y, beta */
#define BY_MASK(name, ...)                                        \
	do {                                                      \
		if (mask == MASK_NONE)                            \
			BY_BLOCK(name, __VA_ARGS__, MASK_NONE);   \
		else if (mask == MASK_OUTPUT)                     \
			BY_BLOCK(name, __VA_ARGS__, MASK_OUTPUT); \
		else                                              \
			BY_BLOCK(name, __VA_ARGS__, MASK_SHIFT);  \
	} while (0)

/* g where element i passes.  All are loaded, so that no branch is needed. */
INLINE float passing(enum mask mask, float g, const float *x, const float *y, int64_t i, float mean,
                     float slope, float shift)
{
	float out = 1;

	if (mask == MASK_OUTPUT)
		out = y[i];
	else if (mask == MASK_SHIFT)
		out = normalised(x[i], mean, slope, shift);
	return out > 0 ? g : 0;
}

/* A copy of one value per lane that stays in a register. */
#define LANE(name, from)                \
	float name[LANES_MAX];          \
	for (int l = 0; l < block; l++) \
	name[l] = (from)[l]
#endif
