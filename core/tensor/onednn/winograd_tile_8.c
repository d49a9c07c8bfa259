/* Transforms of tiles and weights for Winograd convolution F(4x4, 3x3): blocks of 8 lanes. */
#define LANES 8
#include "core/tensor/onednn/winograd_tile_lanes.h"
