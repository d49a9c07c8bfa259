/* Laws of the scales of weights: percentiles, the least square error, where learned steps start. */
#include "core/quant/scale.h"
#include "core/base/random.h"
#include "core/base/text.h"
#include "core/quant/quantizer.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { COUNT = 1000 };

static void fill(double *size, int64_t seed, bool coarse)
{
	struct random_stream r = random_stream(seed, "size", 0, 0);

	for (int i = 0; i < COUNT; i++) {
		size[i] = fabs(random_normal(&r, (uint64_t)i));
		if (coarse) /* many equal ones */
			size[i] = floor(3 * size[i]);
	}
}

static int rising(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void a_percentile_is_the_sorted_element_of_its_rank(void **state)
{
	static const double percentiles[] = {0.05, 0.1, 0.11, 50, 63.25, 99, 99.9, 99.95, 100};
	double size[COUNT], sorted[COUNT];

	for (int64_t seed = 0; seed < 20; seed++)
		for (size_t p = 0; p < sizeof percentiles / sizeof *percentiles; p++) {
			int count = seed % 3 ? COUNT : 7;
			fill(size, seed, seed % 2);
			memcpy(sorted, size, sizeof sorted);
			qsort(sorted, (size_t)count, sizeof *sorted, rising);
			int rank = (int)ceil(percentiles[p] / 100 * count) - 1;
			assert_true(percentile_of(size, count, percentiles[p]) == sorted[rank]);
		}
}

static double square_error(const double *size, double s, int top)
{
	double sum = 0;

	for (int i = 0; i < COUNT; i++)
		sum += pow(s * fmin(nearbyint(size[i] / s), top) - size[i], 2);
	return sum;
}

/* Against a search twenty times as fine, by the definition. */
static void the_least_square_scale_is_nearly_the_best(void **state)
{
	double size[COUNT];

	for (int64_t seed = 0; seed < 4; seed++)
		for (int bits = QUANT_BITS_MIN; bits <= QUANT_BITS_MAX; bits++) {
			int top = (1 << (bits - 1)) - 1;
			fill(size, seed, false);
			double s = least_square_scale(size, COUNT, top), most = 0, best = INFINITY;
			for (int i = 0; i < COUNT; i++)
				most = fmax(most, size[i]);
			for (int k = 40; k <= 800; k++)
				best = fmin(best, square_error(size, most * k / (800 * top), top));
			assert_true(square_error(size, s, top) <= 1.02 * best);
			assert_true(square_error(size, s, top) <=
			            square_error(size, most / top, top));
		}
}

static void no_scale_comes_of_zeros(void **state)
{
	double size[COUNT] = {0};

	assert_true(least_square_scale(size, COUNT, 7) == 0);
	assert_true(learned_step_start(size, COUNT, 7) == 0);
	assert_true(percentile_of(size, COUNT, 99) == 0);
}

static struct tensor *normal(struct shape s)
{
	struct random_stream r = random_stream(3, "weight", 0, 0);
	struct tensor *w = tensor_new(F32, s);

	for (int64_t i = 0, n = shape_count(s); i < n; i++)
		tensor_set(w, i, random_normal(&r, (uint64_t)i));
	return w;
}

static double perturbation(const char *quantizer, struct tensor *w, int bits, bool channel)
{
	struct scaling s = {quantizer_named(quantizer), channel, 99};

	return quantizer_perturbation(&s, w, bits);
}

/* On normal weights of few bits: clipping helps, and the search helps most. */
static void clipping_scales_perturb_less_at_few_bits(void **state)
{
	struct tensor *w = normal(SHAPE(8, 16, 3, 3));

	for (int channel = 0; channel < 2; channel++) {
		for (int bits = QUANT_BITS_MIN; bits <= QUANT_BITS_MAX; bits++)
			for (int i = 0; i < quantizer_count; i++)
				assert_true(
				        perturbation("mse", w, bits, channel) <=
				        1.001 * perturbation(quantizers[i].name, w, bits, channel));
		assert_true(perturbation("percentile", w, 3, channel) <
		            perturbation("max", w, 3, channel));
	}
	tensor_free(w);
}

static void scales_of_channels_are_those_of_their_rows(void **state)
{
	struct tensor *w = normal(SHAPE(4, 50));

	for (int i = 0; i < quantizer_count; i++) {
		struct scaling channel = {&quantizers[i], true, 90},
		               whole = {&quantizers[i], false, 90};
		struct tensor *scale = quantizer_scale(&channel, w, 4);
		assert_true(shape_equal(scale->shape, SHAPE(4)));
		for (int r = 0; r < 4; r++) {
			struct tensor *row = tensor_from(F32, SHAPE(1, 50), tensor_f32(w) + 50 * r);
			struct tensor *one = quantizer_scale(&whole, row, 4);
			assert_true(tensor_at(one, 0) == tensor_at(scale, r) &&
			            tensor_at(one, 0) > 0);
			tensor_free(row);
			tensor_free(one);
		}
		tensor_free(scale);
	}
	tensor_free(w);
}

/* One weight in a hundred is not zero: the 90th percentile is no scale. */
static void a_percentile_of_zero_gives_way_to_the_largest(void **state)
{
	struct tensor *w = tensor_zeros(F32, SHAPE(1, 100));
	struct scaling s = {quantizer_named("percentile"), false, 90};

	tensor_set(w, 40, -7);
	struct tensor *scale = quantizer_scale(&s, w, 4);
	assert_true(tensor_at(scale, 0) == 1);
	tensor_free(scale);
	tensor_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_percentile_is_the_sorted_element_of_its_rank),
	        cmocka_unit_test(the_least_square_scale_is_nearly_the_best),
	        cmocka_unit_test(no_scale_comes_of_zeros),
	        cmocka_unit_test(clipping_scales_perturb_less_at_few_bits),
	        cmocka_unit_test(scales_of_channels_are_those_of_their_rows),
	        cmocka_unit_test(a_percentile_of_zero_gives_way_to_the_largest),
	};

	cmocka_set_test_filter(getenv("TRAWL_TEST_ONLY"));
	return cmocka_run_group_tests_name("scale", tests, NULL, NULL);
}
