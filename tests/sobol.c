/* Laws of Sobol points. */
#include "core/base/sobol.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#include <cmocka.h>

enum { POINTS = 256 };

/* Point 2^14 - 1, times 2^14, as scipy.stats.qmc.Sobol (1.10) has it in each dimension. */
static void points_are_those_of_scipy(void **state)
{
	static const uint32_t last[SOBOL_DIMENSIONS] = {
	        16383, 5461, 4113, 253,  183,   12063, 7203,  14899, 16131, 9033, 3739,
	        8001,  3343, 4045, 783,  16145, 5043,  7281,  7747,  9965,  2695, 2989,
	        15939, 7001, 8181, 3311, 9655,  11263, 10943, 13933, 13251, 11549};

	for (int d = 0; d < SOBOL_DIMENSIONS; d++)
		assert_int_equal(sobol_point((1 << 14) - 1, d) >> 18, last[d]);
}

/* Any 256 points from a multiple of 256 on: one in each 256th of every axis, scrambled too. */
static void every_axis_is_filled_evenly(void **state)
{
	for (int d = 0; d < SOBOL_DIMENSIONS; d++)
		for (uint32_t from = 0; from < 3 * POINTS; from += POINTS) {
			bool seen[POINTS] = {false};
			for (uint32_t i = 0; i < POINTS; i++) {
				double x = sobol_coordinate(7, from + i, d);
				assert_true(x > 0 && x < 1);
				assert_false(seen[(int)(x * POINTS)]);
				seen[(int)(x * POINTS)] = true;
			}
		}
}

/* Of the first two axes each of the 2^a by 2^(8 - a) boxes has one point: a (0, 8, 2)-net. */
static void two_axes_are_filled_evenly_together(void **state)
{
	for (int a = 0; a <= 8; a++) {
		bool seen[POINTS] = {false};
		for (uint32_t i = 0; i < POINTS; i++) {
			int x = (int)ldexp(sobol_coordinate(3, i, 0), a);
			int y = (int)ldexp(sobol_coordinate(3, i, 1), 8 - a);
			assert_false(seen[(x << (8 - a)) + y]);
			seen[(x << (8 - a)) + y] = true;
		}
	}
}

static void seeds_scramble_differently(void **state)
{
	int same = 0;

	for (uint32_t i = 0; i < POINTS; i++) {
		assert_true(sobol_coordinate(1, i, 2) == sobol_coordinate(1, i, 2));
		same += fabs(sobol_coordinate(1, i, 2) - sobol_coordinate(2, i, 2)) < 1e-3;
	}
	assert_true(same < 10);
}

static uint32_t bits_of(uint32_t index)
{
	return (uint32_t)ldexp(sobol_coordinate(1, index, 2), 32);
}

/* A mere shift of all points would keep what two of them differ in. */
static void flips_hang_on_the_bits_above(void **state)
{
	int kept = 0;

	for (uint32_t i = 1; i < POINTS; i++)
		kept += (bits_of(i) ^ bits_of(0)) == (sobol_point(i, 2) ^ sobol_point(0, 2));
	assert_true(kept < 5);
}

/* What it is for: the mean of a smooth function of five coordinates, over scramblings. */
static void means_come_closer_than_of_independent_draws(void **state)
{
	double squares = 0;

	for (int64_t seed = 0; seed < 20; seed++) {
		double sum = 0;
		for (uint32_t i = 0; i < POINTS; i++) {
			double f = 1;
			for (int d = 0; d < 5; d++)
				f *= 1 + (sobol_coordinate(seed, i, d) - 0.5);
			sum += f;
		}
		squares += pow(sum / POINTS - 1, 2);
	}
	/* The variance of independent draws is ((1 + 1/12)^5 - 1) / 256. */
	assert_true(squares / 20 < 0.02 * (pow(1 + 1.0 / 12, 5) - 1) / POINTS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(points_are_those_of_scipy),
	        cmocka_unit_test(every_axis_is_filled_evenly),
	        cmocka_unit_test(two_axes_are_filled_evenly_together),
	        cmocka_unit_test(seeds_scramble_differently),
	        cmocka_unit_test(flips_hang_on_the_bits_above),
	        cmocka_unit_test(means_come_closer_than_of_independent_draws),
	};
	return cmocka_run_group_tests_name("sobol", tests, NULL, NULL);
}
