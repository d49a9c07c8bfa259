/* Laws of comparisons: equal values of what is swept are compared, seeds are repeats. */
#include "coordinator/compare.h"
#include "coordinator/difference.h"
#include "core/base/json.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Trials 1 to 3 and 11 to 13 at 4 bits, 4 at 2 bits on one side, 14 at 8 bits on the other. */
static struct comparison make(void)
{
	static const double accuracy[SIDES][4] = {{0.50, 0.52, 0.54, 0.1}, {0.60, 0.62, 0.64, 0.9}};
	struct comparison c = {.title = {xstrdup("a"), xstrdup("b")}, .shown = xstrdup(",loss,")};
	cJSON *spec[] = {cJSON_Parse("{\"x\": 1, \"y\": 2}"), cJSON_Parse("{\"x\": 1, \"y\": 3}")};

	c.specification = difference_of((const cJSON *const *)spec, SIDES);
	for (int side = 0; side < SIDES; side++)
		for (int i = 0; i < 4; i++)
			comparison_trial(&c, side, 1 + i + 10 * side,
			                 i < 3  ? "{\"quant.weight_bits\":4}"
			                 : side ? "{\"quant.weight_bits\":8}"
			                        : "{\"quant.weight_bits\":2}");
	for (int side = 0; side < SIDES; side++)
		for (int i = 0; i < 4; i++) {
			int64_t trial = 1 + i + 10 * side;
			comparison_value(&c, &c.metric, "loss", side, trial, accuracy[side][i]);
			comparison_value(&c, &c.metric, "seconds", side, trial, 1);
			comparison_value(&c, &c.accuracy, "cat", side, trial, 0.5);
			comparison_value(&c, &c.accuracy, "dog", side, trial, accuracy[side][i]);
			comparison_value(&c, &c.train_accuracy, "dog", side, trial, 0.75);
		}
	cJSON_Delete(spec[0]);
	cJSON_Delete(spec[1]);
	return c;
}

static void equal_groups_are_compared(void **state)
{
	struct comparison c = make();
	const struct sample *s = comparison_sample(&c, &c.metric, 0, 0, 0);

	assert_int_equal(c.groups, 3);
	assert_int_equal(s->count, 3);
	assert_float_equal(s->mean, 0.52, 1e-6);
	assert_float_equal(estimate_difference(s, s + 1).value, 0.1, 1e-6);
	assert_int_equal(comparison_sample(&c, &c.metric, 0, 1, 1)->count, 0);
	comparison_release(&c);
}

static void what_has_no_match_is_not_in_the_overall_mean(void **state)
{
	struct comparison c = make();
	struct estimate e = comparison_overall(&c, &c.accuracy, 1, SIDES);

	assert_float_equal(comparison_overall(&c, &c.accuracy, 1, 0).value, 0.52, 1e-6);
	assert_float_equal(e.value, 0.1, 1e-6);
	assert_true(estimate_clear(e));
	comparison_release(&c);
}

static void groups_weigh_the_same(void **state)
{
	struct comparison c = {0};

	for (int side = 0; side < SIDES; side++)
		for (int i = 0; i < 4; i++)
			comparison_trial(&c, side, i, i ? "{}" : "{\"x\":1}");
	for (int side = 0; side < SIDES; side++)
		for (int i = 0; i < 4; i++)
			comparison_value(&c, &c.accuracy, "cat", side, i, side ? (i ? 1 : 3) : 0);
	assert_float_equal(comparison_overall(&c, &c.accuracy, 0, SIDES).value, 2, 1e-6);
	comparison_value(&c, &c.accuracy, "cat", 0, 99, 100); /* nobody's */
	comparison_value(&c, &c.accuracy, "cat", 0, 1, NAN);
	assert_float_equal(comparison_overall(&c, &c.accuracy, 0, 0).value, 0, 0);
	comparison_release(&c);
}

static void has(const struct text *out, const char *words)
{
	if (!strstr(out->data, words))
		fail_msg("\"%s\" is not in:\n%s", words, out->data);
}

static void people_read_tables(void **state)
{
	struct comparison c = make();
	struct text out = {0};

	comparison_text(&c, false, &out);
	has(&out, "field  a  b\ny      2  3\n");
	has(&out,
	    "loss\ntrials with    a                b                difference          trials\n"
	    "weight_bits=4  0.5200 ± 0.0497  0.6200 ± 0.0497  +0.1000 ± 0.0453 *  3/3\n");
	has(&out, "  a: weight_bits=2 (1 trials)\n  b: weight_bits=8 (1 trials)\n");
	has(&out, "dog       0.5200 ± 0.0497  0.6200 ± 0.0497  +0.1000 ± 0.0453 *  +0.2300      "
	          "+0.1300\ncat ");
	assert_null(strstr(out.data, "seconds"));
	text_release(&out);
	comparison_release(&c);
}

static void programs_read_rows(void **state)
{
	struct comparison c = make();
	struct rows r;
	int64_t clear = 0;

	comparison_rows(&c, &r);
	assert_string_equal(rows_text(&r, 0, "kind"), "specification");
	assert_string_equal(rows_text(&r, 0, "b"), "3");
	assert_int_equal(r.count, 1 + 3 * 2 + 2 + 1);
	for (int64_t i = 0; i < r.count; i++)
		clear += rows_int(&r, i, "clear", 0);
	assert_int_equal(clear, 2); /* loss, dog; seconds are equal */
	rows_release(&r);
	comparison_release(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(equal_groups_are_compared),
	        cmocka_unit_test(what_has_no_match_is_not_in_the_overall_mean),
	        cmocka_unit_test(groups_weigh_the_same),
	        cmocka_unit_test(people_read_tables),
	        cmocka_unit_test(programs_read_rows),
	};

	cmocka_set_test_filter(getenv("TRAWL_TEST_ONLY"));
	return cmocka_run_group_tests_name("compare", tests, NULL, NULL);
}
