/* Transforms of one tile of a block's lanes, and of weights: the matrices of F(4x4, 3x3). */
#ifndef ONEDNN_WINOGRAD_TILE_H
#define ONEDNN_WINOGRAD_TILE_H
#include <stdint.h>

/* A plane of the blocked form. */
struct tile_plane {
	int64_t height, width;
};

enum { TILE_STRIP = 16 };

/* For blocks of 8 and of 16 lanes.  Both do the same with each lane, to the bit. */
struct tile_transforms {
	/* V = B' d B of a strip of at most TILE_STRIP tiles side by side, each of 6x6 pixels, the
	 * first from (y, x), zero outside the plane; point p of tile t goes to
	 * v + t * next + p * step. */
	void (*input_strip)(float *v, int64_t step, int64_t next, const float *plane,
	                    struct tile_plane s, int64_t y, int64_t x, int64_t tiles);
	/* y = A' M A to the 4x4 pixels from (y, x), those inside the plane. */
	void (*output)(float *plane, struct tile_plane s, int64_t y, int64_t x, const float *m,
	               int64_t step);
	/* dM = A dy A' of the 4x4 pixels from (y, x), zero outside the plane. */
	void (*output_adjoint)(float *m, int64_t step, const float *plane, struct tile_plane s,
	                       int64_t y, int64_t x);
	/* U = G g G' and dg = G' dU G: the 9 places of g `next` apart, the points `step` apart. */
	void (*weight)(float *u, int64_t step, const float *g, int64_t next);
	void (*weight_adjoint)(float *g, int64_t next, const float *u, int64_t step);
};
extern const struct tile_transforms tile_transforms_8, tile_transforms_16;
#endif
