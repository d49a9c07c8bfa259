/* Laws of the rules of early stopping: rungs, brackets, the best, the median. */
#include "coordinator/pruner/pruner.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void rungs_are_reduction_times_apart_and_below_the_end(void **state)
{
	struct pruner p = {.kind = PRUNER_ASHA, .least = 2, .eta = 3};

	assert_int_equal(pruner_rung(&p, 0, 20, 0), 2);
	assert_int_equal(pruner_rung(&p, 0, 20, 2), 6);
	assert_int_equal(pruner_rung(&p, 0, 20, 6), 18);
	assert_int_equal(pruner_rung(&p, 0, 20, 18), 0);
	assert_int_equal(pruner_rung(&p, 0, 18, 6), 0); /* its end is no rung */
	assert_int_equal(pruner_rung(&p, 1, 20, 0), 6);
	assert_int_equal(pruner_rung(&p, 2, 18, 0), 0);
	p.kind = PRUNER_MEDIAN;
	assert_int_equal(pruner_rung(&p, 0, 20, 0), 0);
}

/* Li et al. 2018, table 1, for R = 81 and eta = 3, but for what they round down. */
static void brackets_take_turns_by_their_size(void **state)
{
	static const int expected[5] = {81, 34, 15, 8, 5};
	struct pruner p = {.kind = PRUNER_HYPERBAND, .least = 1, .eta = 3};
	int size[5] = {0};

	for (int number = 0; number < 2 * (81 + 34 + 15 + 8 + 5); number++) {
		int64_t bracket = pruner_bracket(&p, 81, number);
		assert_in_range(bracket, 0, 4);
		size[bracket]++;
	}
	for (int b = 0; b < 5; b++)
		assert_int_equal(size[b], 2 * expected[b]);
	assert_int_equal(pruner_rung(&p, 4, 81, 0), 0); /* trains to its end */
	assert_int_equal(pruner_rung(&p, 3, 81, 0), 27);
}

static void the_best_in_so_many_are_promoted(void **state)
{
	const struct pruner p = {.kind = PRUNER_ASHA, .eta = 3, .maximizes = true};
	struct pruner_entry e[] = {{1, 0.2, false, false}, {2, NAN, false, false},
	                           {3, 0.9, false, false}, {4, 0.9, true, false},
	                           {5, 0.1, false, false}, {6, -INFINITY, false, false}};

	assert_int_equal(pruner_promote(&p, e, 2, false), 0);
	assert_int_equal(pruner_promote(&p, e, 2, true), 1);
	assert_int_equal(e[0].trial, 1);
	assert_int_equal(pruner_promote(&p, e, 6, false), 2);
	assert_int_equal(e[0].trial, 3); /* of equal ones the earlier */
	assert_int_equal(e[1].trial, 4);
	assert_int_equal(e[5].trial, 2); /* no number is the worst */
	assert_int_equal(pruner_promote(&p, e, 0, true), 0);
	const struct pruner least = {.kind = PRUNER_ASHA, .eta = 3};
	assert_int_equal(pruner_promote(&least, e, 6, true), 2);
	assert_int_equal(e[0].trial, 6);
	assert_float_equal(e[1].value, 0.1, 0);
	assert_int_equal(e[5].trial, 2);
}

static void the_median_needs_enough_that_ended(void **state)
{
	const struct pruner p = {.kind = PRUNER_MEDIAN, .least = 2, .startup = 3};
	double others[] = {0.1, 0.2, 0.4, 0.6};

	assert_false(pruner_median_stops(&p, 1, 9, others, 4));
	assert_false(pruner_median_stops(&p, 2, 9, others, 2));
	assert_true(pruner_median_stops(&p, 2, 0.31, others, 4)); /* their median is 0.3 */
	assert_false(pruner_median_stops(&p, 2, 0.3, others, 4));
	assert_true(pruner_median_stops(&p, 2, NAN, others, 4));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(rungs_are_reduction_times_apart_and_below_the_end),
	        cmocka_unit_test(brackets_take_turns_by_their_size),
	        cmocka_unit_test(the_best_in_so_many_are_promoted),
	        cmocka_unit_test(the_median_needs_enough_that_ended),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
