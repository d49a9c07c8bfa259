/* Transforms of one tile of 8 lanes, and of weights: the matrices of F(4x4, 3x3). */
#ifndef ONEDNN_WINOGRAD_TILE_H
#define ONEDNN_WINOGRAD_TILE_H
#include <stdint.h>

/* A plane of the blocked form, 8 lanes. */
struct tile_plane {
	int64_t height, width;
};

/* V = B' d B of a strip of at most 16 tiles side by side, each of 6x6 pixels, the first from (y,
 * x), zero outside the plane; point p of tile t goes to v + t * next + p * step. */
enum { TILE_STRIP = 16 };
void tile_input_strip(float *v, int64_t step, int64_t next, const float *plane, struct tile_plane s,
                      int64_t y, int64_t x, int64_t tiles);
/* y = A' M A to the 4x4 pixels from (y, x), those inside the plane. */
void tile_output(float *plane, struct tile_plane s, int64_t y, int64_t x, const float *m,
                 int64_t step);
/* dM = A dy A' of the 4x4 pixels from (y, x), zero outside the plane. */
void tile_output_adjoint(float *m, int64_t step, const float *plane, struct tile_plane s, int64_t y,
                         int64_t x);
/* U = G g G' and dg = G' dU G for 8 lanes: g (9, 8 lanes, `lanes` apart), points `step` apart. */
void tile_weight(float *u, int64_t step, const float *g, int64_t lanes);
void tile_weight_adjoint(float *g, int64_t lanes, const float *u, int64_t step);
#endif
