/* What gemm_run chooses from: vectors of 8 floats (AVX2) and of 16 (AVX-512). */
#ifndef ONEDNN_GEMM_KERNEL_H
#define ONEDNN_GEMM_KERNEL_H
#include "core/tensor/onednn/gemm.h"

void gemm_run_8(const struct gemm *g);
void gemm_run_16(const struct gemm *g);
#endif
