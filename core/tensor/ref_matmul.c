/* Reference kernels: matrix product. */
#ifndef REAL
#include "core/tensor/ref.h"
#include <string.h>

#define REAL    double
#define NAME(f) f##_f64
#include "core/tensor/ref_matmul.c"
#undef REAL
#undef NAME
#define REAL    float
#define NAME(f) f##_f32
#include "core/tensor/ref_matmul.c"

KERNEL(matmul)

#else /* once per type */

/* Four rows of b at a time into one row of c. */
WIDE void NAME(gemm)(int64_t m, int64_t n, int64_t k, const REAL *a, const REAL *b, REAL *c)
{
	for (int64_t i = 0; i < m; i++) {
		REAL *restrict y = c + i * n;
		int64_t p = 0;
		for (; p + 4 <= k; p += 4) {
			const REAL *s = a + i * k + p;
			const REAL s0 = s[0], s1 = s[1], s2 = s[2], s3 = s[3];
			const REAL *restrict x = b + p * n;
			for (int64_t j = 0; j < n; j++)
				y[j] += s0 * x[j] + s1 * x[n + j] + s2 * x[2 * n + j] +
				        s3 * x[3 * n + j];
		}
		for (; p < k; p++) {
			const REAL s0 = a[i * k + p];
			const REAL *restrict x = b + p * n;
			for (int64_t j = 0; j < n; j++)
				y[j] += s0 * x[j];
		}
	}
}

void NAME(transpose)(int64_t m, int64_t n, const REAL *x, REAL *y)
{
	for (int64_t i0 = 0; i0 < m; i0 += 8)
		for (int64_t j = 0; j < n; j++)
			for (int64_t i = i0; i < m && i < i0 + 8; i++)
				y[j * m + i] = x[i * n + j];
}

static void NAME(matmul)(struct node *n)
{
	int64_t rows = n->out[0]->shape.d[0], columns = n->out[0]->shape.d[1];
	int64_t inner = n->in[0]->shape.d[!n->attr.flag[0]];
	const REAL *a = tensor_plain(n->in[0]), *b = tensor_plain(n->in[1]);
	REAL *c = tensor_new_plain(n->out[0]);
	struct storage *at = NULL, *bt = NULL;

	if (n->attr.flag[0]) {
		at = storage_new((size_t)(rows * inner) * sizeof(REAL));
		TRANSPOSE(inner, rows, a, at->data);
		a = at->data;
	}
	if (n->attr.flag[1]) {
		bt = storage_new((size_t)(columns * inner) * sizeof(REAL));
		TRANSPOSE(columns, inner, b, bt->data);
		b = bt->data;
	}
	memset(c, 0, (size_t)(rows * columns) * sizeof *c);
	GEMM(rows, columns, inner, a, b, c);
	storage_free(at);
	storage_free(bt);
}
#endif
