/* Laws of storage and of tensors' forms, and reference kernels against their definitions. */
#include "tests/values.h"
#include <string.h>

/* ---- storage and forms ---- */
static void storage_is_counted_and_recycled(void **state)
{
	size_t before = storage_bytes_in_use();
	struct storage *a = storage_new(1000), *b;

	assert_true((uintptr_t)a->data % 64 == 0 && a->bytes >= 1000 && a->bytes <= 1280);
	assert_true(storage_bytes_in_use() == before + a->bytes);
	void *data = storage_share(a)->data;
	storage_free(a);
	assert_true(storage_bytes_in_use() > before);
	storage_free(a);
	assert_true(storage_bytes_in_use() == before);
	b = storage_new(1010);
	assert_ptr_equal(b->data, data);
	storage_free(b);
	storage_trim();
}

static void waiting_memory_is_bounded_by_the_peak(void **state)
{
	enum { BLOCKS = 100 };
	struct storage *s[BLOCKS];

	storage_trim();
	for (size_t bytes = 1 << 20; bytes > 1 << 19; bytes -= 1 << 17) {
		for (int i = 0; i < BLOCKS; i++)
			s[i] = storage_new(bytes);
		assert_true(storage_bytes_in_use() + storage_bytes_waiting() <= 145 << 20);
		for (int i = 0; i < BLOCKS; i++)
			storage_free(s[i]);
		assert_true(storage_bytes_waiting() >= BLOCKS * bytes);
	}
	storage_trim();
	assert_int_equal(storage_bytes_waiting(), 0);
}

static void mark(struct storage *s, int k)
{
	memset(s->data, k, 64);
	memset((char *)s->data + s->bytes - 64, k, 64);
}

static bool is_marked(const struct storage *s, char k)
{
	const char *first = s->data, *last = first + s->bytes - 64;

	return first[0] == k && first[63] == k && last[0] == k && last[63] == k;
}

/* Sizes and lives at random: nothing overlaps, and gaps stay small. */
static void large_storage_leaves_few_gaps(void **state)
{
	enum { PIECES = 40, STEPS = 4000 };
	struct storage *s[PIECES] = {NULL};
	uint64_t random = 5;

	storage_trim();
	storage_peak_clear();
	size_t before = storage_bytes_in_use(), most = 0;
	for (int i = 0; i < STEPS; i++) {
		random = random * 6364136223846793005u + 1442695040888963407u;
		int k = (int)(random >> 33) % PIECES;
		if (s[k]) {
			assert_true(is_marked(s[k], (char)k));
			storage_free(s[k]);
			s[k] = NULL;
			continue;
		}
		s[k] = storage_new((size_t)(1 << 20) << (random >> 60) % 4);
		mark(s[k], k);
		size_t held = storage_bytes_in_use() + storage_bytes_waiting() - before;
		most = held > most ? held : most;
	}
	assert_true(most <= (storage_bytes_peak() - before) * 5 / 4 + (16 << 20));
	for (int k = 0; k < PIECES; k++)
		storage_free(s[k]);
	storage_trim();
	assert_true(storage_bytes_in_use() == before && storage_bytes_waiting() == 0);
}

#ifndef __SANITIZE_ADDRESS__ /* there, each piece is one of malloc's, so that it is looked at */
static void free_neighbours_join(void **state)
{
	enum { PIECES = 7 };
	struct storage *s[PIECES];

	for (int i = 0; i < PIECES; i++)
		s[i] = storage_new(1 << 20);
	void *lowest = s[0]->data;
	for (int i = 0; i < PIECES; i++)
		storage_free(s[i * 3 % PIECES]);
	struct storage *all = storage_new(PIECES << 20);
	assert_ptr_equal(all->data, lowest);
	storage_free(all);
}
#endif

static void size_classes_waste_at_most_a_quarter(void **state)
{
	for (size_t bytes = 257; bytes < 100000; bytes += 61) {
		struct storage *s = storage_new(bytes);
		assert_true(s->bytes >= bytes && s->bytes <= bytes + bytes / 4 + 64);
		storage_free(s);
	}
	storage_trim();
}

static void blocked_form_holds_the_same_values(void **state)
{
	T *x = values(F32, SHAPE(2, 19, 3, 2), 3);
	T *want = tensor_copy(x);
	int64_t reorders = tensor_reorders();
	struct storage *dirt = storage_new(shape_blocked_count(x->shape, 8) * sizeof(float));

	memset(dirt->data, 0x7f, dirt->bytes);
	storage_free(dirt); /* recycled for the blocked form */
	const float *b = tensor_blocked(x, 8);

	assert_int_equal(tensor_reorders(), reorders + 1);
	assert_int_equal(shape_blocked_count(x->shape, 8), 2 * 3 * 3 * 2 * 8);
	assert_true(b[((1 * 3 + 2) * 6 + 4) * 8 + 1] == tensor_f32(x)[(1 * 19 + 17) * 6 + 4]);
	for (int64_t i = 0; i < 6; i++)
		for (int64_t lane = 3; lane < 8; lane++)
			assert_true(b[((1 * 3 + 2) * 6 + i) * 8 + lane] == 0);
	storage_free(x->plain);
	x->plain = NULL;
	assert_same_bits(x, want);
	tensor_write(x);
	assert_null(x->blocked);
	tensor_free(x);
	tensor_free(want);
}

/* ---- quantization ---- */
static void codes_are_clamped_and_empty_rows_are_zero(void **state)
{
	const double w[] = {0.9, -0.31, 0.33, -4, 0, 0, 0, 0}, s[] = {0.2, 0};
	const double want[] = {0.6, -0.4, 0.4, -0.6, 0, 0, 0, 0},
	             slope[] = {0, 1, 1, 0, 1, 1, 1, 1};
	struct tape t;
	T *d[2];

	tape_init(&t, &backend_ref);
	T *x = tape_adopt(&t, tensor_from(F64, SHAPE(2, 4), w));
	T *scale = tape_adopt(&t, tensor_from(F64, SHAPE(2), s));
	T *y = op_fake_quantize(&t, x, scale, 3);
	tape_grad(&t, op_sum(&t, y), (T *[]){x, scale}, 2, d, GRAD_KEEP);
	for (int i = 0; i < 8; i++) {
		assert_true(fabs(tensor_at(y, i) - want[i]) < 1e-15);
		assert_true(tensor_at(d[0], i) == slope[i]);
	}
	assert_true(tensor_at(d[1], 0) == 0);
	tape_release(&t);
}

static void halves_round_to_even(void **state)
{
	const float w[] = {0.5f, 1.5f, 2.5f, -0.5f, -1.5f}, want[] = {0, 2, 2, 0, -2}, one = 1;
	struct tape t;

	tape_init(&t, &backend_ref);
	T *x = tape_adopt(&t, tensor_from(F32, SHAPE(5), w));
	T *y = op_fake_quantize(&t, x, tape_adopt(&t, tensor_from(F32, SHAPE(1), &one)), 4);
	for (int i = 0; i < 5; i++)
		assert_true(tensor_at(y, i) == (double)want[i]);
	tape_release(&t);
}

static void largest_values_by_row_and_of_all(void **state)
{
	const double w[] = {1, -3, 2, 0.5};
	struct tape t;

	tape_init(&t, &backend_ref);
	T *x = tape_adopt(&t, tensor_from(F64, SHAPE(2, 2), w));
	T *rows = op_abs_max(&t, x, true), *all = op_abs_max(&t, x, false);
	assert_true(tensor_at(rows, 0) == 3 && tensor_at(rows, 1) == 2 && tensor_at(all, 0) == 3);
	tape_release(&t);
}

/* ---- convolution and pooling against the definition ---- */
static double conv_at(T *x, T *w, const int64_t at[4], int stride, int pad, int groups)
{
	int64_t *xs = x->shape.d, *ws = w->shape.d, group = at[1] / (ws[0] / groups);
	double sum = 0;

	for (int64_t k = 0; k < ws[1] * ws[2] * ws[3]; k++) {
		int64_t c = k / (ws[2] * ws[3]) + group * ws[1];
		int64_t i = at[2] * stride - pad + k / ws[3] % ws[2];
		int64_t j = at[3] * stride - pad + k % ws[3];
		if (i >= 0 && i < xs[2] && j >= 0 && j < xs[3])
			sum += tensor_at(x, ((at[0] * xs[1] + c) * xs[2] + i) * xs[3] + j) *
			       tensor_at(w, at[1] * ws[1] * ws[2] * ws[3] + k);
	}
	return sum;
}

static void check_conv(struct shape xs, struct shape ws, int stride, int pad, int groups)
{
	struct tape t;

	tape_init(&t, &backend_ref);
	T *x = random_leaf(&t, F64, xs, 1), *w = random_leaf(&t, F64, ws, 2);
	T *y = op_conv(&t, x, w, stride, pad, groups);
	for (int64_t i = 0; i < shape_count(y->shape); i++) {
		int64_t *s = y->shape.d;
		int64_t at[] = {i / (s[1] * s[2] * s[3]), i / (s[2] * s[3]) % s[1], i / s[3] % s[2],
		                i % s[3]};
		double want = conv_at(x, w, at, stride, pad, groups);
		assert_true(fabs(tensor_at(y, i) - want) < 1e-13);
	}
	tape_release(&t);
}

static void convolution_is_its_definition(void **state)
{
	check_conv(SHAPE(2, 3, 7, 6), SHAPE(4, 3, 3, 3), 1, 1, 1);
	check_conv(SHAPE(1, 4, 8, 5), SHAPE(6, 2, 3, 2), 2, 1, 2);
	check_conv(SHAPE(2, 3, 5, 5), SHAPE(3, 1, 5, 1), 1, 2, 3);
	check_conv(SHAPE(1, 2, 9, 9), SHAPE(2, 2, 1, 1), 3, 0, 1);
	check_conv(SHAPE(1, 1, 2, 2), SHAPE(1, 1, 5, 5), 1, 3, 1);
}

static void max_pooling_is_its_definition(void **state)
{
	const double x[] = {1, 5, 2, 0, 3, 4, 6, 8, -1, 7, 9, -2, 0, 1, 2, 3};
	const double want[] = {5, 8, 7, 9};
	struct tape t;

	tape_init(&t, &backend_ref);
	T *y = op_max_pool(&t, tape_adopt(&t, tensor_from(F64, SHAPE(1, 1, 4, 4), x)), 3, 2, 1);
	assert_true(shape_equal(y->shape, SHAPE(1, 1, 2, 2)));
	for (int i = 0; i < 4; i++)
		assert_true(tensor_at(y, i) == want[i]);
	tape_release(&t);
}

static void batch_statistics_are_biased_moments(void **state)
{
	const double x[] = {1, 2, 3, 4, 10, 10, 10, 14}, gamma[] = {1, 1};
	T *mean, *variance;
	struct tape t;

	tape_init(&t, &backend_ref);
	T *g = tape_adopt(&t, tensor_from(F64, SHAPE(2), gamma));
	T *in = tape_adopt(&t, tensor_from(F64, SHAPE(1, 2, 2, 2), x));
	op_batch_norm(&t, in, g, g, NULL, 1e-5, false, &mean, &variance);
	assert_true(tensor_at(mean, 0) == 2.5 && tensor_at(variance, 0) == 1.25);
	assert_true(tensor_at(mean, 1) == 11 && tensor_at(variance, 1) == 3);
	tape_release(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        LAW(storage_is_counted_and_recycled),
	        LAW(waiting_memory_is_bounded_by_the_peak),
	        LAW(large_storage_leaves_few_gaps),
#ifndef __SANITIZE_ADDRESS__
	        LAW(free_neighbours_join),
#endif
	        LAW(size_classes_waste_at_most_a_quarter),
	        LAW(blocked_form_holds_the_same_values),
	        LAW(codes_are_clamped_and_empty_rows_are_zero),
	        LAW(halves_round_to_even),
	        LAW(largest_values_by_row_and_of_all),
	        LAW(convolution_is_its_definition),
	        LAW(max_pooling_is_its_definition),
	        LAW(batch_statistics_are_biased_moments),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
