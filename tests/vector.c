/* Laws of what is compiled for vectors of 8 and of 16 floats: both give the same bits. */
#include "core/tensor/onednn/vector.h"
#include "core/base/random.h"
#include "core/tensor/onednn/gemm_kernel.h"
#include "core/tensor/onednn/winograd.h"
#include "core/tensor/onednn/winograd_tile.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { ALIGNMENT = 64, ROWS_MOST = 26, LANES = 16, STRIP = 3, WINDOW = 9 };

static float *noise(int64_t count, uint64_t index)
{
	struct random_stream r = random_stream(3, "vector", index, 0);
	float *v = aligned_alloc(ALIGNMENT, (size_t)(count + 15) / 16 * ALIGNMENT);

	for (int64_t i = 0; i < count; i++)
		v[i] = (float)random_normal(&r, (uint64_t)i);
	return v;
}

static void assert_same(const float *a, const float *b, int64_t count)
{
	assert_memory_equal(a, b, (size_t)count * sizeof *a);
}

/* ---- products ---- */
static void check_product(int64_t rows, int64_t panels, int64_t inner, bool by_step, bool add)
{
	int64_t columns = panels * GEMM_PANEL, results = rows * columns;
	float *a = noise(rows * inner, 1), *b = noise(inner * columns, 2);
	float *c[3] = {noise(results, 3), noise(results, 3), noise(results, 3)};
	struct gemm g = {.rows = rows,
	                 .columns = columns,
	                 .inner = inner,
	                 .a = a,
	                 .a_row = by_step ? 1 : inner,
	                 .a_step = by_step ? rows : 1,
	                 .b = b,
	                 .b_panel = inner * GEMM_PANEL,
	                 .b_step = GEMM_PANEL,
	                 .c_row = columns,
	                 .add = add};
	void (*const run[])(const struct gemm *) = {gemm_run, avx2_works() ? gemm_run_8 : NULL,
	                                            avx512_works() ? gemm_run_16 : NULL};

	for (int k = 0; k < 3 && run[k]; k++) {
		g.c = c[k];
		run[k](&g);
		assert_same(c[k], c[0], results);
	}
	for (int64_t i = 0; i < results; i++) { /* and it is the product */
		int64_t row = i / columns, column = i % columns;
		double sum = 0, size = 0;
		for (int64_t k = 0; k < inner; k++) {
			double x = (double)a[row * g.a_row + k * g.a_step];
			double y = (double)b[column / GEMM_PANEL * g.b_panel + k * GEMM_PANEL +
			                     column % GEMM_PANEL];
			sum += x * y;
			size += x * x + y * y;
		}
		if (!add)
			assert_true(((double)c[0][i] - sum) * ((double)c[0][i] - sum) <=
			            1e-12 * size * size);
	}
	free(a);
	free(b);
	for (int k = 0; k < 3; k++)
		free(c[k]);
}

static void products_are_right_and_the_same_bits(void **state)
{
	for (int64_t rows = 1; rows <= ROWS_MOST; rows++)
		for (int k = 0; k < 8; k++)
			check_product(rows, 1 + rows % 3, 1 + rows * 5 % 7, k & 1, k & 2);
}

/* ---- tiles ---- */
struct tiles {
	float v[WINOGRAD_POINTS * STRIP * LANES], m[WINOGRAD_POINTS * LANES];
	float u[WINOGRAD_POINTS * LANES], g[WINDOW * LANES], plane[9 * 13 * LANES];
} __attribute__((aligned(ALIGNMENT)));

/* One group of 16 lanes, or two planes of 8; results in the order of the lanes. */
static void transform(struct tiles *to, const struct tile_transforms *t, int lanes,
                      const float *image, const float *points, const float *window)
{
	struct tile_plane plane = {9, 13};

	for (int first = 0; first < LANES; first += lanes) {
		float *own = aligned_alloc(ALIGNMENT, sizeof to->plane);
		for (int64_t i = 0; i < plane.height * plane.width; i++)
			memcpy(own + i * lanes, image + i * LANES + first,
			       (size_t)lanes * sizeof *own);
		t->input_strip(to->v + first, STRIP * LANES, LANES, own, plane, 3, -1, STRIP);
		t->output_adjoint(to->m + first, LANES, own, plane, 8, 8);
		t->output(own, plane, 4, 10, points + first, LANES);
		t->weight(to->u + first, LANES, window + first, LANES);
		t->weight_adjoint(to->g + first, LANES, points + first, LANES);
		for (int64_t i = 0; i < plane.height * plane.width; i++)
			memcpy(to->plane + i * LANES + first, own + i * lanes,
			       (size_t)lanes * sizeof *own);
		free(own);
	}
}

static void transforms_have_the_same_bits(void **state)
{
	float *image = noise(9 * 13 * LANES, 4), *points = noise(WINOGRAD_POINTS * LANES, 5);
	float *window = noise(WINDOW * LANES, 6);
	struct tiles *a = aligned_alloc(ALIGNMENT, sizeof *a);
	struct tiles *b = aligned_alloc(ALIGNMENT, sizeof *b);

	if (winograd_transforms(16)) {
		transform(a, winograd_transforms(8), 8, image, points, window);
		transform(b, winograd_transforms(16), 16, image, points, window);
		assert_memory_equal(a, b, sizeof *a);
	}
	free(a);
	free(b);
	free(image);
	free(points);
	free(window);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(products_are_right_and_the_same_bits),
	        cmocka_unit_test(transforms_have_the_same_bits),
	};
	return cmocka_run_group_tests_name("vector", tests, NULL, NULL);
}
