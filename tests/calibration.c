/* Laws of calibration: the definitions, and the same bits however the set is cut into parts. */
#include "core/eval/calibration.h"
#include "core/base/random.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { COUNT = 400, CLASSES = 5 };
static double logits[COUNT * CLASSES];
static int32_t labels[COUNT];

static void draw(void)
{
	struct random_stream r = random_stream(7, "logits", 0, 0);

	for (uint64_t i = 0; i < COUNT * CLASSES; i++)
		logits[i] = 2 * random_normal(&r, i);
	for (uint64_t i = 0; i < COUNT; i++)
		labels[i] = (int32_t)random_below(&r, COUNT * CLASSES * 2 + i, CLASSES);
}

static void add(struct calibration *c, int64_t first, int64_t n)
{
	calibration_add(c, first, logits + first * CLASSES, labels + first, n);
}

static double probability(int i, int k)
{
	double sum = 0;

	for (int j = 0; j < CLASSES; j++)
		sum += exp((double)logits[i * CLASSES + j]);
	return exp((double)logits[i * CLASSES + k]) / sum;
}

static int predicted(int i)
{
	int best = 0;

	for (int k = 1; k < CLASSES; k++)
		best = logits[i * CLASSES + k] > logits[i * CLASSES + best] ? k : best;
	return best;
}

static double slow_error(int bins)
{
	double error = 0;

	for (int b = 0; b < bins; b++) {
		double right = 0, confidence = 0, count = 0;
		for (int i = 0; i < COUNT; i++) {
			double p = probability(i, predicted(i));
			if (p <= (double)b / bins || p > (b + 1.) / bins)
				continue;
			count++;
			confidence += p;
			right += predicted(i) == labels[i];
		}
		if (count > 0)
			error += count / COUNT * fabs(right / count - confidence / count);
	}
	return error;
}

static void figures_equal_the_definitions(void **state)
{
	struct calibration c;
	double brier = 0, likelihood = 0;

	draw();
	calibration_init(&c, COUNT, CLASSES);
	add(&c, 0, COUNT);
	for (int i = 0; i < COUNT; i++) {
		likelihood -= log(probability(i, labels[i])) / COUNT;
		for (int k = 0; k < CLASSES; k++)
			brier += pow(probability(i, k) - (k == labels[i]), 2) / COUNT;
	}
	assert_true(fabs(calibration_brier(&c) - brier) < 1e-12);
	assert_true(fabs(accuracy_loss(&c.accuracy) - likelihood) < 1e-12);
	for (int bins = 1; bins < 40; bins++)
		assert_true(fabs(calibration_error(&c, bins) - slow_error(bins)) < 1e-12);
	calibration_release(&c);
}

/* Five equal logits: confidence 0.2, the upper edge of the first of five bins. */
static void an_edge_belongs_to_the_bin_below(void **state)
{
	double z[2 * CLASSES] = {0};
	int32_t label[2] = {0, 3};
	struct calibration c;

	/* the second sample, wrong, has confidence 0.36: bin 2 of 5 */
	z[CLASSES] = log(0.36 * 4 / 0.64);
	calibration_init(&c, 2, CLASSES);
	calibration_add(&c, 0, z, label, 2);
	assert_true(fabs(calibration_error(&c, 5) - (0.8 + 0.36) / 2) < 1e-7);
	calibration_release(&c);
}

static void certainty_is_in_the_last_bin(void **state)
{
	double z[] = {900, 0, 0, 900};
	int32_t label[] = {0, 0};
	struct calibration c;

	calibration_init(&c, 2, 2);
	calibration_add(&c, 0, z, label, 2);
	assert_true(calibration_error(&c, CALIBRATION_BINS) == 0.5);
	assert_true(calibration_brier(&c) == 1);
	assert_true(accuracy_loss(&c.accuracy) == 450);
	calibration_release(&c);
}

static void parts_merge_to_the_same_bits(void **state)
{
	struct calibration whole, part[2];

	draw();
	calibration_init(&whole, COUNT, CLASSES);
	add(&whole, 0, COUNT);
	for (int r = 0; r < 2; r++)
		calibration_init(&part[r], COUNT, CLASSES);
	for (int64_t first = 0, n = 7; first < COUNT; first += n)
		add(&part[first % 2], first, first + n > COUNT ? COUNT - first : n);
	calibration_merge(&part[1], &part[0]);
	assert_true(calibration_error(&part[1], 15) == calibration_error(&whole, 15));
	assert_true(calibration_brier(&part[1]) == calibration_brier(&whole));
	calibration_release(&whole);
	for (int r = 0; r < 2; r++)
		calibration_release(&part[r]);
}

static void nothing_is_said_of_nothing(void **state)
{
	double z[] = {NAN, 0};
	int32_t label[] = {0};
	struct calibration c;

	calibration_init(&c, 3, 2);
	assert_true(isnan(calibration_error(&c, 15)) && isnan(calibration_brier(&c)));
	calibration_add(&c, 1, z, label, 1);
	assert_true(isnan(calibration_error(&c, 15)) && isnan(calibration_brier(&c)));
	calibration_release(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(figures_equal_the_definitions),
	        cmocka_unit_test(an_edge_belongs_to_the_bin_below),
	        cmocka_unit_test(certainty_is_in_the_last_bin),
	        cmocka_unit_test(parts_merge_to_the_same_bits),
	        cmocka_unit_test(nothing_is_said_of_nothing),
	};

	cmocka_set_test_filter(getenv("TRAWL_TEST_ONLY"));
	return cmocka_run_group_tests_name("calibration", tests, NULL, NULL);
}
