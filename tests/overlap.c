/* Laws of saliencies, masks, overlaps and cuts. */
#include "core/split/overlap.h"
#include "core/base/random.h"
#include "tests/values.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void saliency_is_normalised_over_the_layer(void **state)
{
	T *w = tensor_from(F32, SHAPE(2, 3), (float[]){1, -2, 0, 4, 1, 1});
	T *g = tensor_from(F32, SHAPE(2, 3), (float[]){2, 1, 9, -1, NAN, INFINITY});
	double s[6], want[6] = {2. / 8, 2. / 8, 0, 4. / 8, 0, 0};

	saliency_of_layer(w, g, s);
	assert_memory_equal(s, want, sizeof want);
	tensor_free(g);
	g = tensor_zeros(F32, SHAPE(2, 3));
	saliency_of_layer(w, g, s);
	assert_memory_equal(s, (double[6]){0}, sizeof s);
	tensor_free(w);
	tensor_free(g);
}

static void the_half_of_an_odd_number_is_rounded_down(void **state)
{
	const double s[5] = {1, 5, 3, 4, 2};
	uint8_t mask[5];

	assert_int_equal(saliency_mask(s, 5, 0.5, mask), 2);
	assert_memory_equal(mask, ((uint8_t[]){0, 1, 0, 1, 0}), 5);
	assert_int_equal(saliency_mask(s, 5, 0, mask), 1);
	assert_memory_equal(mask, ((uint8_t[]){0, 1, 0, 0, 0}), 5);
	assert_int_equal(saliency_mask(s, 5, 1, mask), 5);
	assert_memory_equal(mask, ((uint8_t[]){1, 1, 1, 1, 1}), 5);
	assert_int_equal(saliency_mask(s, 5, 0.6, mask), 3); /* 0.6 * 5 < 3 in no double */
}

/* Every mask against the definition: who has fewer than `keep` before it stays. */
static void masks_keep_the_largest_and_of_equals_the_first(void **state)
{
	enum { COUNT = 60 };

	for (int64_t seed = 0; seed < 200; seed++) {
		struct random_stream r = random_stream(seed, "mask", 0, 0);
		double s[COUNT], fraction = random_uniform(&r, 1000);
		uint64_t levels = seed % 3 ? 4 : 1u << 30;
		uint8_t mask[COUNT];

		for (int i = 0; i < COUNT; i++) {
			s[i] = (double)random_below(&r, (uint64_t)i, levels);
			if (seed % 2) /* which differ in their last bits alone */
				s[i] = 1 + s[i] * 0x1p-52;
			s[i] = ldexp(s[i], (int)(seed % 40) * -20);
		}
		int64_t keep = saliency_mask(s, COUNT, fraction, mask);
		assert_int_equal(keep, fmax(1, floor(fraction * COUNT)));
		for (int i = 0; i < COUNT; i++) {
			int before = 0;
			for (int j = 0; j < COUNT; j++)
				before += s[j] > s[i] || (s[j] == s[i] && j < i);
			assert_int_equal(mask[i], before < keep);
		}
	}
}

static void overlap_is_intersection_over_union(void **state)
{
	const uint8_t a[6] = {1, 1, 1, 0, 0, 0}, b[6] = {0, 1, 1, 1, 0, 0}, none[6] = {0};

	assert_true(mask_overlap(a, b, 6) == 0.5);
	assert_true(mask_overlap(a, a, 6) == 1);
	assert_true(mask_overlap(a, none, 6) == 0);
	assert_true(mask_overlap(none, none, 6) == 1);
}

static void only_members_of_a_branch_are_compared(void **state)
{
	T *w = tensor_from(F64, SHAPE(4), (double[]){1, 1, 1, 1});
	T *g[3] = {tensor_from(F64, SHAPE(4), (double[]){4, 3, 2, 1}), NULL,
	           tensor_from(F64, SHAPE(4), (double[]){4, 1, -5, 1})};
	const double want[9] = {1, 0, 1. / 3, 0, 0, 0, 1. / 3, 0, 1};
	double overlap[9];

	overlap_of_layer(w, g, 3, 5, 0.5, overlap);
	assert_memory_equal(overlap, want, sizeof want);
	tensor_free(w);
	tensor_free(g[0]);
	tensor_free(g[2]);
}

/* The largest overlap between a side and the rest. */
static double across(const double *overlap, int n, uint32_t members, uint32_t side)
{
	double most = -INFINITY;

	for (int a = 0; a < n; a++)
		for (int b = 0; b < n; b++)
			if ((side >> a & 1) && ((members & ~side) >> b & 1))
				most = fmax(most, overlap[a * n + b]);
	return most;
}

/* All two-sided partitions, tried in the order of the tie rule. */
static struct cut brute_force(const double *overlap, int n, uint32_t members)
{
	struct cut best = {INFINITY, 0};
	uint32_t others = members & (members - 1); /* all but the least */

	for (uint32_t side = 1; side <= others; side++)
		if (!(side & ~others) && across(overlap, n, members, side) < best.threshold)
			best = (struct cut){across(overlap, n, members, side), side};
	return best;
}

static void cuts_are_those_of_all_partitions_tried(void **state)
{
	for (int64_t seed = 0; seed < 3000; seed++) {
		struct random_stream r = random_stream(seed, "cut", 0, 0);
		int n = 2 + (int)random_below(&r, 0, 6);
		uint64_t levels = seed % 2 ? 3 : 1u << 20; /* with ties, and without */
		uint32_t members = (uint32_t)random_below(&r, 1, (1u << n) - 1) + 1;
		double overlap[49];

		for (int a = 0; a < n; a++)
			for (int b = 0; b <= a; b++)
				overlap[a * n + b] = overlap[b * n + a] =
				        a == b ? 1
				               : (double)random_below(
				                         &r, (uint64_t)(10 + a * n + b), levels) /
				                         (double)levels;
		struct cut want = brute_force(overlap, n, members);
		struct cut got = overlap_cut(overlap, n, members);
		if (want.threshold != got.threshold || want.apart != got.apart)
			fail_msg("seed %d: %g %x, should be %g %x", (int)seed, got.threshold,
			         got.apart, want.threshold, want.apart);
	}
}

static void one_submodel_is_not_cut(void **state)
{
	const double overlap[4] = {1, 0, 0, 1};

	assert_true(isinf(overlap_cut(overlap, 2, 2).threshold));
	assert_int_equal(overlap_cut(overlap, 2, 2).apart, 0);
}

static void as_many_as_a_mask_holds_are_cut(void **state)
{
	double *overlap = calloc(32 * 32, sizeof *overlap);

	for (int a = 0; a < 32; a++)
		for (int b = 0; b < 32; b++)
			overlap[a * 32 + b] = a == 31 || b == 31 ? 0.25 : 0.5;
	struct cut c = overlap_cut(overlap, 32, ~0u);
	assert_true(c.threshold == 0.25);
	assert_int_equal(c.apart, 1u << 31);
	free(overlap);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(saliency_is_normalised_over_the_layer),
	        cmocka_unit_test(the_half_of_an_odd_number_is_rounded_down),
	        cmocka_unit_test(masks_keep_the_largest_and_of_equals_the_first),
	        cmocka_unit_test(overlap_is_intersection_over_union),
	        cmocka_unit_test(only_members_of_a_branch_are_compared),
	        cmocka_unit_test(cuts_are_those_of_all_partitions_tried),
	        cmocka_unit_test(one_submodel_is_not_cut),
	        cmocka_unit_test(as_many_as_a_mask_holds_are_cut),
	};
	return cmocka_run_group_tests_name("overlap", tests, NULL, NULL);
}
