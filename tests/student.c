/* Laws of small samples: the table of Student's t, means and differences with their intervals. */
#include "coordinator/student.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

/* By Simpson's rule over the density, in Python. */
static const double WELCH = 0.055066955915;

static void is_near(double value, double expected, double tolerance)
{
	if (!(fabs(value - expected) <= tolerance))
		fail_msg("%.10g is not %.10g", value, expected);
}

static struct sample sample_of(int count, const double value[])
{
	struct sample s = {0};

	for (int i = 0; i < count; i++)
		sample_add(&s, value[i]);
	return s;
}

static void quantiles_are_those_of_the_table(void **state)
{
	static const double table[][2] = {{1, 12.7062047},  {2, 4.30265273},  {5, 2.57058184},
	                                  {10, 2.22813885}, {30, 2.04227246}, {1e7, 1.95996437}};

	for (size_t i = 0; i < sizeof table / sizeof *table; i++)
		is_near(student_95(table[i][0]), table[i][1], 1e-6);
	is_near(student_within(1, 1), 0.5, 1e-12); /* Cauchy */
	is_near(student_within(2, 2), 2 / sqrt(6), 1e-12);
}

static void a_mean_has_the_interval_of_student(void **state)
{
	struct sample s = sample_of(3, (double[]){1e6 + 1, 1e6 + 2, 1e6 + 6});
	struct estimate e = estimate_mean(&s);

	is_near(e.value, 1e6 + 3, 1e-9);
	is_near(e.half, 4.30265273 * sqrt(7.0 / 3), 1e-6);
}

static void a_difference_has_the_interval_of_welch(void **state)
{
	struct sample a = sample_of(4, (double[]){0.90, 0.91, 0.93, 0.90});
	struct sample b = sample_of(3, (double[]){0.94, 0.99, 0.95});
	struct estimate e = estimate_difference(&a, &b);

	is_near(e.value, 0.05, 1e-12);
	is_near(e.half, WELCH, 1e-8);
	assert_false(estimate_clear(e));
	e = estimate_difference(&a, &a);
	assert_false(estimate_clear(e));
}

static void what_is_not_known_is_no_number(void **state)
{
	struct sample none = {0}, one = sample_of(1, (double[]){5}),
	              two = sample_of(2, (double[]){1, 2});

	assert_true(isnan(estimate_mean(&none).value));
	is_near(estimate_mean(&one).value, 5, 0);
	assert_true(isnan(estimate_mean(&one).half));
	assert_true(isnan(estimate_difference(&one, &two).half));
	assert_false(estimate_clear(estimate_difference(&one, &two)));
	is_near(estimate_difference(&two, &one).value, 3.5, 0);
}

static void equal_values_are_certain(void **state)
{
	struct sample a = sample_of(3, (double[]){2, 2, 2}), b = sample_of(3, (double[]){3, 3, 3});
	struct estimate e = estimate_difference(&a, &b);

	is_near(e.half, 0, 0);
	assert_true(estimate_clear(e));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(quantiles_are_those_of_the_table),
	        cmocka_unit_test(a_mean_has_the_interval_of_student),
	        cmocka_unit_test(a_difference_has_the_interval_of_welch),
	        cmocka_unit_test(what_is_not_known_is_no_number),
	        cmocka_unit_test(equal_values_are_certain),
	};

	cmocka_set_test_filter(getenv("TRAWL_TEST_ONLY"));
	return cmocka_run_group_tests_name("student", tests, NULL, NULL);
}
