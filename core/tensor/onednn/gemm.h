/* Small matrix products in cache, fast with AVX2 and FMA: the inside of Winograd convolution. */
#ifndef ONEDNN_GEMM_H
#define ONEDNN_GEMM_H
#include <stdbool.h>
#include <stdint.h>

enum { GEMM_PANEL = 16 };

/* n columns, or floats, filled up to whole panels: 64 bytes. */
static inline int64_t gemm_whole(int64_t n)
{
	return (n + GEMM_PANEL - 1) / GEMM_PANEL * GEMM_PANEL;
}

/* c (rows, columns) = a (rows, inner) b (inner, columns), added to c when `add`.  Strides are in
 * floats.  b is read in panels of 16 columns, `b_panel` apart, whose rows are `b_step` apart;
 * columns is a multiple of 16.  Sums run over `inner` in order, whatever the other sizes are. */
struct gemm {
	int64_t rows, columns, inner;
	const float *a;
	int64_t a_row, a_step;
	const float *b;
	int64_t b_panel, b_step;
	float *c;
	int64_t c_row;
	bool add;
};
void gemm_run(const struct gemm *g);
#endif
