/* Small matrix products in cache: up to 6 rows by 16 columns at a time, all in registers. */
#include "core/tensor/onednn/gemm.h"
#include "core/tensor/onednn/avx2.h"

enum { ROWS_MOST = 6 };

struct corner {
	const float *a, *b;
	float *c;
};

AVX2_INLINE void multiply(const struct gemm *g, struct corner at, const int rows,
                          const bool a_dense)
{
	__m256 s[ROWS_MOST][2];
	const int64_t a_row = a_dense ? 1 : g->a_row, a_step = a_dense ? g->a_step : 1;
	const float *a = at.a, *b = at.b;

#pragma GCC unroll 6
	for (int i = 0; i < rows; i++) {
		s[i][0] = g->add ? _mm256_load_ps(at.c + i * g->c_row) : _mm256_setzero_ps();
		s[i][1] = g->add ? _mm256_load_ps(at.c + i * g->c_row + 8) : _mm256_setzero_ps();
	}
	for (int64_t k = 0; k < g->inner; k++, a += a_step, b += g->b_step) {
		__m256 b0 = _mm256_load_ps(b), b1 = _mm256_load_ps(b + 8);
#pragma GCC unroll 6
		for (int i = 0; i < rows; i++) {
			__m256 x = _mm256_broadcast_ss(a + i * a_row);
			s[i][0] = _mm256_fmadd_ps(x, b0, s[i][0]);
			s[i][1] = _mm256_fmadd_ps(x, b1, s[i][1]);
		}
	}
#pragma GCC unroll 6
	for (int i = 0; i < rows; i++) {
		_mm256_store_ps(at.c + i * g->c_row, s[i][0]);
		_mm256_store_ps(at.c + i * g->c_row + 8, s[i][1]);
	}
}

/* One function per count of rows and per direction in which a is dense: its rows or its columns. */
typedef void multiply_fn(const struct gemm *g, struct corner at);
#define MULTIPLY(rows)                                                                  \
	AVX2 static void multiply_##rows##_step(const struct gemm *g, struct corner at) \
	{                                                                               \
		multiply(g, at, rows, false);                                           \
	}                                                                               \
	AVX2 static void multiply_##rows##_row(const struct gemm *g, struct corner at)  \
	{                                                                               \
		multiply(g, at, rows, true);                                            \
	}
MULTIPLY(1)
MULTIPLY(2)
MULTIPLY(3)
MULTIPLY(4)
MULTIPLY(5)
MULTIPLY(6)
#undef MULTIPLY
#define ROW(rows)                                             \
	{                                                     \
		multiply_##rows##_step, multiply_##rows##_row \
	}
static multiply_fn *const multiplies[ROWS_MOST + 1][2] = {
        {0}, ROW(1), ROW(2), ROW(3), ROW(4), ROW(5), ROW(6),
};
#undef ROW

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

/* Rows in groups as even as can be: a group of one or two rows would wait for its own sums. */
AVX2 static void run_avx2(const struct gemm *g)
{
	int64_t groups = (g->rows + ROWS_MOST - 1) / ROWS_MOST;
	bool a_dense = g->a_step != 1;

	for (int64_t p = 0; p < g->columns / GEMM_PANEL; p++)
		for (int64_t i = 0; i < groups; i++) {
			int64_t first = g->rows * i / groups, end = g->rows * (i + 1) / groups;
			struct corner at = {g->a + first * g->a_row, g->b + p * g->b_panel,
			                    g->c + first * g->c_row + p * GEMM_PANEL};
			multiplies[end - first][a_dense](g, at);
		}
}

void gemm_run(const struct gemm *g)
{
	(avx2_works() ? run_avx2 : run_plain)(g);
}
