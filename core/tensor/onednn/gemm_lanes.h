/* Small matrix products with vectors of LANES floats: all of gemm_8.c and gemm_16.c but that
 * number.
 *
 * Up to ROWS_MOST rows by two vectors of columns at a time, all in registers; two vectors are a
 * panel of 8 + 8 columns, or two panels of 16. */
#include "core/tensor/onednn/gemm_kernel.h"
#include "core/tensor/onednn/vector.h"

enum { IN_PANEL = GEMM_PANEL / LANES, ROWS_MOST = LANES == 8 ? 6 : 12 };

struct corner {
	const float *a, *b;
	float *c;
};

VECTOR_INLINE void multiply(const struct gemm *g, struct corner at, const int rows,
                            const int vectors, const bool a_dense)
{
	VECTOR s[ROWS_MOST][2], b[2];
	const int64_t a_row = a_dense ? 1 : g->a_row, a_step = a_dense ? g->a_step : 1;
	const int64_t b_next = IN_PANEL == 1 ? g->b_panel : LANES;
	const float *a = at.a, *from = at.b;

#pragma GCC unroll 12
	for (int i = 0; i < rows; i++)
		for (int v = 0; v < vectors; v++)
			s[i][v] = g->add ? OP(load_ps)(at.c + i * g->c_row + v * LANES)
			                 : OP(setzero_ps)();
	for (int64_t k = 0; k < g->inner; k++, a += a_step, from += g->b_step) {
		for (int v = 0; v < vectors; v++)
			b[v] = OP(load_ps)(from + v * b_next);
#pragma GCC unroll 12
		for (int i = 0; i < rows; i++) {
			VECTOR x = OP(set1_ps)(a[i * a_row]);
			for (int v = 0; v < vectors; v++)
				s[i][v] = OP(fmadd_ps)(x, b[v], s[i][v]);
		}
	}
#pragma GCC unroll 12
	for (int i = 0; i < rows; i++)
		for (int v = 0; v < vectors; v++)
			OP(store_ps)(at.c + i * g->c_row + v * LANES, s[i][v]);
}

/* One function per count of rows, of vectors, and per direction in which a is dense: its rows or
 * its columns. */
typedef void multiply_fn(const struct gemm *g, struct corner at);
#define MULTIPLY(rows, vectors)                                                           \
	WITH_VECTORS static void multiply_##rows##_##vectors##_step(const struct gemm *g, \
	                                                            struct corner at)     \
	{                                                                                 \
		multiply(g, at, rows, vectors, false);                                    \
	}                                                                                 \
	WITH_VECTORS static void multiply_##rows##_##vectors##_row(const struct gemm *g,  \
	                                                           struct corner at)      \
	{                                                                                 \
		multiply(g, at, rows, vectors, true);                                     \
	}
#define BOTH(rows)      MULTIPLY(rows, 1) MULTIPLY(rows, 2)
#define COUNTS_8(count) count(1) count(2) count(3) count(4) count(5) count(6)
#define COUNTS_16(count) \
	COUNTS_8(count)  \
	count(7) count(8) count(9) count(10) count(11) count(12)
JOIN(COUNTS_, LANES)
(BOTH)

#define ROW(rows)                                             \
	{{multiply_##rows##_1_step, multiply_##rows##_1_row}, \
	 {multiply_##rows##_2_step, multiply_##rows##_2_row}},
        static multiply_fn *const multiplies[ROWS_MOST + 1][2][2] = {{{0}},
                                                                     JOIN(COUNTS_, LANES)(ROW)};

/* Rows in groups as even as can be: a group of one or two rows would wait for its own sums. */
void JOIN(gemm_run_, LANES)(const struct gemm *g)
{
	int64_t groups = (g->rows + ROWS_MOST - 1) / ROWS_MOST, vectors = g->columns / LANES;
	bool a_dense = g->a_step != 1;

	for (int64_t v = 0; v < vectors; v += 2)
		for (int64_t i = 0; i < groups; i++) {
			int64_t first = g->rows * i / groups, end = g->rows * (i + 1) / groups;
			struct corner at = {g->a + first * g->a_row,
			                    g->b + v / IN_PANEL * g->b_panel,
			                    g->c + first * g->c_row + v * LANES};
			multiplies[end - first][v + 1 < vectors][a_dense](g, at);
		}
}
