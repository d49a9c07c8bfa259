/* Small matrix products in cache: vectors of 8 floats. */
#define LANES 8
#include "core/tensor/onednn/gemm_lanes.h"
