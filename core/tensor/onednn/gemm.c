/* Small matrix products in cache, by the widest vectors there are. */
#include "core/tensor/onednn/gemm_kernel.h"
#include "core/tensor/onednn/vector.h"

/* For other processors; sums run in the same order. */
static void run_plain(const struct gemm *g)
{
	for (int64_t i = 0; i < g->rows; i++)
		for (int64_t j = 0; j < g->columns; j++) {
			const float *b = g->b + j / GEMM_PANEL * g->b_panel + j % GEMM_PANEL;
			float *c = g->c + i * g->c_row + j, sum = g->add ? *c : 0;
			for (int64_t k = 0; k < g->inner; k++)
				sum += g->a[i * g->a_row + k * g->a_step] * b[k * g->b_step];
			*c = sum;
		}
}

void gemm_run(const struct gemm *g)
{
	if (avx512_works())
		gemm_run_16(g);
	else
		(avx2_works() ? gemm_run_8 : run_plain)(g);
}
