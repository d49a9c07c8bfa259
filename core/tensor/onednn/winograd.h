/* Winograd convolution F(4x4, 3x3) (Lavin and Gray, 2016): 3x3 windows, stride 1.
 *
 * Output is computed in tiles of 4x4 pixels, each from 6x6 pixels of input.  Both, and the weights,
 * are transformed to 36 points, at each of which the sum over channels is a matrix product: 4 times
 * fewer multiplications.  With tiles d, weights g and B, G, A of the paper: V = B' d B,  U = G g
 * G',  M = sum over channels of U V,  y = A' M A. The input gradient is the same with weights
 * turned round and transposed; the weight gradient is the adjoint: dM = A dy A', dU = sum over
 * tiles of V dM, dg = G' dU G. */
#ifndef ONEDNN_WINOGRAD_H
#define ONEDNN_WINOGRAD_H
#include "core/tensor/onednn/conv.h"

enum { WINOGRAD_POINTS = 36, WINOGRAD_TILE = 4, WINOGRAD_INPUT = 6 };

/* The transforms of tiles for blocks of so many lanes; null: this processor has none. */
struct tile_transforms;
const struct tile_transforms *winograd_transforms(int lanes);

bool winograd_works(const struct conv_key *k); /* this processor and this convolution */

/* image and result blocked, weight plain.  Each follows k->direction: what it reads and writes. */
void winograd_run(const struct conv_key *k, float *image, float *weight, float *result);
#endif
