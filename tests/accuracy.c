/* Laws of accuracy: the same figures, to the bit, however the set is cut into parts. */
#include "core/eval/accuracy.h"
#include "core/base/random.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { COUNT = 501, CLASSES = 7 };
static double logits[COUNT * CLASSES];
static int32_t labels[COUNT];

static void make_logits(void)
{
	struct random_stream s = random_stream(1, "logits", 0, 0);

	for (uint64_t i = 0; i < COUNT * CLASSES; i++)
		logits[i] = 8 * random_uniform(&s, i) - 4;
	for (uint64_t i = 0; i < COUNT; i++)
		labels[i] = (int32_t)random_below(&s, COUNT * CLASSES + i, CLASSES);
}

static void add(struct accuracy *a, int64_t first, int64_t n)
{
	accuracy_add(a, first, logits + first * CLASSES, labels + first, n);
}

static void figures_equal_the_definition(void **state)
{
	struct accuracy a;
	double loss = 0;
	int64_t right = 0, of_class[CLASSES] = {0}, right_of[CLASSES] = {0}, count;

	make_logits();
	accuracy_init(&a, COUNT, CLASSES);
	add(&a, 0, COUNT);
	for (int i = 0; i < COUNT; i++) {
		double sum = 0;
		int best = 0;
		for (int j = 0; j < CLASSES; j++) {
			sum += exp((double)logits[i * CLASSES + j]);
			best = logits[i * CLASSES + j] > logits[i * CLASSES + best] ? j : best;
		}
		loss -= log(exp((double)logits[i * CLASSES + labels[i]]) / sum);
		right += best == labels[i];
		of_class[labels[i]]++;
		right_of[labels[i]] += best == labels[i];
	}
	assert_int_equal(accuracy_evaluated(&a), COUNT);
	assert_true(accuracy_top1(&a) == (double)right / COUNT);
	assert_true(fabs(accuracy_loss(&a) - loss / COUNT) < 1e-12);
	for (int c = 0; c < CLASSES; c++) {
		assert_true(accuracy_of_class(&a, c, &count) ==
		            (double)right_of[c] / (double)of_class[c]);
		assert_int_equal(count, of_class[c]);
	}
	accuracy_release(&a);
}

/* Three ranks, batches of any size, in any order. */
static void parts_merge_to_the_same_bits(void **state)
{
	struct accuracy whole, part[3];

	make_logits();
	accuracy_init(&whole, COUNT, CLASSES);
	add(&whole, 0, COUNT);
	for (int r = 0; r < 3; r++)
		accuracy_init(&part[r], COUNT, CLASSES);
	for (int64_t first = 0, k = 0; first < COUNT; k++) {
		int64_t n = 1 + k % 13;
		n = first + n > COUNT ? COUNT - first : n;
		add(&part[(k * 5) % 3], first, n);
		first += n;
	}
	accuracy_merge(&part[2], &part[0]);
	accuracy_merge(&part[1], &part[2]);
	assert_memory_equal(part[1].loss, whole.loss, sizeof(double[COUNT]));
	assert_memory_equal(part[1].predicted, whole.predicted, sizeof(int32_t[COUNT]));
	assert_memory_equal(part[1].label, whole.label, sizeof(int32_t[COUNT]));
	double got = accuracy_loss(&part[1]), want = accuracy_loss(&whole);
	assert_memory_equal(&got, &want, sizeof got);
	accuracy_release(&whole);
	for (int r = 0; r < 3; r++)
		accuracy_release(&part[r]);
}

static void only_what_was_evaluated_counts(void **state)
{
	struct accuracy a;

	make_logits();
	accuracy_init(&a, COUNT, CLASSES);
	assert_true(isnan(accuracy_top1(&a)));
	assert_true(isnan(accuracy_loss(&a)));
	assert_true(isnan(accuracy_of_class(&a, 0, NULL)));
	logits[30 * CLASSES + labels[30]] = 100;
	add(&a, 30, 1);
	assert_int_equal(accuracy_evaluated(&a), 1);
	assert_true(accuracy_top1(&a) == 1);
	assert_true(accuracy_loss(&a) < 1e-12);
	accuracy_release(&a);
}

static void extreme_logits_have_a_finite_loss(void **state)
{
	struct accuracy a;
	double z[] = {1e30, 0, -1e30, 3, 3, 3};
	int32_t label[] = {2, 0};

	accuracy_init(&a, 2, 3);
	accuracy_add(&a, 0, z, label, 2);
	assert_true(a.loss[0] == 2 * 1e30);
	assert_true(fabs(a.loss[1] - log(3)) < 1e-15);
	assert_int_equal(a.predicted[1], 1); /* of equal logits the first */
	accuracy_release(&a);
}

/* A model that has diverged is never right, not even by predicting class 0 for want of an order. */
static void logits_that_are_no_numbers_are_wrong(void **state)
{
	struct accuracy a;
	double z[] = {NAN, NAN, 1, NAN};
	int32_t label[] = {0, 0};

	accuracy_init(&a, 2, 2);
	accuracy_add(&a, 0, z, label, 2);
	assert_true(accuracy_top1(&a) == 0);
	assert_true(isnan(accuracy_loss(&a)));
	accuracy_release(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(figures_equal_the_definition),
	        cmocka_unit_test(parts_merge_to_the_same_bits),
	        cmocka_unit_test(only_what_was_evaluated_counts),
	        cmocka_unit_test(extreme_logits_have_a_finite_loss),
	        cmocka_unit_test(logits_that_are_no_numbers_are_wrong),
	};

	return cmocka_run_group_tests_name("accuracy", tests, NULL, NULL);
}
