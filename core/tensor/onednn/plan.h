/* The algorithm of each convolution, from plan.def. */
#ifndef ONEDNN_PLAN_H
#define ONEDNN_PLAN_H
#include "core/tensor/onednn/conv.h"

enum { PLAN_VERSION = 1 };
dnnl_alg_kind_t plan_algorithm(const struct conv_key *k);
#endif
