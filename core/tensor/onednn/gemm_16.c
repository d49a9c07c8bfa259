/* Small matrix products in cache: vectors of 16 floats. */
#define LANES 16
#include "core/tensor/onednn/gemm_lanes.h"
