/* Laws of OOD metrics: the definitions, counted pair by pair and threshold by threshold. */
#include "core/eval/ood.h"
#include "core/base/random.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MOST = 120 };
struct set {
	double in_score[MOST], out_score[MOST];
	int64_t in, out;
};

static int64_t at_least(const double *score, int64_t count, double threshold)
{
	int64_t n = 0;

	for (int64_t i = 0; i < count; i++)
		n += score[i] >= threshold;
	return n;
}

static double slow_auroc(const struct set *s)
{
	double sum = 0;

	for (int64_t i = 0; i < s->in; i++)
		for (int64_t j = 0; j < s->out; j++)
			sum += s->in_score[i] > s->out_score[j]    ? 1
			       : s->in_score[i] == s->out_score[j] ? 0.5
			                                           : 0;
	return sum / (double)(s->in * s->out);
}

/* The mean over positives of the precision at their own score. */
static double slow_precision(const double *positive, int64_t positives, const double *negative,
                             int64_t negatives)
{
	double sum = 0;

	for (int64_t i = 0; i < positives; i++) {
		double right = (double)at_least(positive, positives, positive[i]);

		sum += right / (right + (double)at_least(negative, negatives, positive[i]));
	}
	return sum / (double)positives;
}

static double slow_aupr_in(const struct set *s)
{
	return slow_precision(s->in_score, s->in, s->out_score, s->out);
}

static double slow_aupr_out(const struct set *s)
{
	struct set minus = *s;

	for (int i = 0; i < MOST; i++) {
		minus.in_score[i] *= -1;
		minus.out_score[i] *= -1;
	}
	return slow_precision(minus.out_score, s->out, minus.in_score, s->in);
}

/* The highest in-distribution score that is threshold enough for n - floor(n / 20) of them. */
static double slow_threshold(const struct set *s)
{
	double highest = -INFINITY;

	for (int64_t i = 0; i < s->in; i++)
		if (at_least(s->in_score, s->in, s->in_score[i]) >= s->in - s->in / 20)
			highest = fmax(highest, s->in_score[i]);
	return highest;
}

static double missed(const struct set *s, double threshold)
{
	return (double)(s->in - at_least(s->in_score, s->in, threshold));
}

static double slow_fpr(const struct set *s)
{
	return (double)at_least(s->out_score, s->out, slow_threshold(s)) / (double)s->out;
}

static double slow_error(const struct set *s)
{
	return (missed(s, slow_threshold(s)) + slow_fpr(s) * (double)s->out) /
	       (double)(s->in + s->out);
}

static double slow_balanced_at(const struct set *s, double threshold)
{
	return missed(s, threshold) / (double)s->in / 2 +
	       (double)at_least(s->out_score, s->out, threshold) / (double)s->out / 2;
}

static double slow_balanced(const struct set *s)
{
	return slow_balanced_at(s, slow_threshold(s));
}

static double slow_least(const struct set *s)
{
	double least = slow_balanced_at(s, INFINITY);

	for (int64_t i = 0; i < s->in; i++)
		least = fmin(least, slow_balanced_at(s, s->in_score[i]));
	for (int64_t i = 0; i < s->out; i++)
		least = fmin(least, slow_balanced_at(s, s->out_score[i]));
	return least;
}

static const struct {
	const char *name;
	double (*of)(const struct set *s);
} slow[] = {
        {"auroc", slow_auroc},
        {"aupr_in", slow_aupr_in},
        {"aupr_out", slow_aupr_out},
        {"fpr_at_95_tpr", slow_fpr},
        {"detection_error_at_95_tpr", slow_error},
        {"detection_error_at_95_tpr_balanced", slow_balanced},
        {"min_detection_error", slow_least},
};

static double metric(const struct set *s, const char *name)
{
	struct ood o;
	double value = INFINITY;

	ood_init(&o, s->in_score, s->in, s->out_score, s->out);
	for (int i = 0; i < ood_metric_count; i++)
		if (strcmp(ood_metrics[i].name, name) == 0)
			value = ood_metrics[i].of(&o);
	ood_release(&o);
	return value;
}

/* Scores of `values` different values, the in-distribution ones higher by `shift`. */
static struct set draw(int64_t seed, int64_t in, int64_t out, uint64_t values, double shift)
{
	struct random_stream r = random_stream(seed, "scores", 0, 0);
	struct set s = {.in = in, .out = out};

	for (uint64_t i = 0; i < MOST; i++) {
		s.in_score[i] = (double)random_below(&r, i, values) + shift;
		s.out_score[i] = (double)random_below(&r, MOST + i, values);
	}
	return s;
}

static void figures_equal_the_definitions(void **state)
{
	static const int64_t counts[][2] = {{1, 1},   {1, 9},   {9, 1},   {19, 30}, {20, 30},
	                                    {21, 30}, {40, 40}, {99, 50}, {100, 77}};

	assert_int_equal(ood_metric_count, sizeof(slow) / sizeof(*slow));
	for (int seed = 0; seed < 200; seed++) {
		const int64_t *n = counts[seed % 9];
		struct set s = draw(seed, n[0], n[1], seed % 4 ? 12 : 1 << 30, seed % 5 - 1);

		for (size_t i = 0; i < sizeof(slow) / sizeof(*slow); i++) {
			double got = metric(&s, slow[i].name), expect = slow[i].of(&s);

			if (!(fabs(got - expect) < 1e-14))
				fail_msg("seed %d: %s is %.17g, not %.17g", seed, slow[i].name, got,
				         expect);
		}
	}
}

/* In: 4 3 3 1, out: 3 2 0. */
static void a_small_case_is_as_worked_out_by_hand(void **state)
{
	struct set s = {{4, 3, 3, 1}, {3, 2, 0}, 4, 3};

	assert_true(fabs(metric(&s, "auroc") - (3 + 2.5 + 2.5 + 1) / 12) < 1e-15);
	/* precisions 1/1 at 4, 3/4 at 3 (twice), 4/6 at 1 */
	assert_true(fabs(metric(&s, "aupr_in") - (1 + 0.75 + 0.75 + 4. / 6) / 4) < 1e-15);
	/* from below: 1/1 at 0, 2/3 at 2, 3/6 at 3 */
	assert_true(fabs(metric(&s, "aupr_out") - (1 + 2. / 3 + 0.5) / 3) < 1e-15);
	/* fewer than 20: all four must be kept, at threshold 1 */
	assert_true(metric(&s, "fpr_at_95_tpr") == 2. / 3);
	assert_true(metric(&s, "detection_error_at_95_tpr") == 2. / 7);
	assert_true(metric(&s, "detection_error_at_95_tpr_balanced") == 1. / 3);
	/* at threshold 3: one of four missed, one of three kept */
	assert_true(fabs(metric(&s, "min_detection_error") - (0.25 + 1. / 3) / 2) < 1e-15);
}

static void equal_scores_tell_nothing(void **state)
{
	struct set s = {.in = 30, .out = 10};

	assert_true(metric(&s, "auroc") == 0.5);
	assert_true(metric(&s, "aupr_in") == 0.75);
	assert_true(metric(&s, "aupr_out") == 0.25);
	assert_true(metric(&s, "fpr_at_95_tpr") == 1);
	assert_true(metric(&s, "detection_error_at_95_tpr") == 0.25);
	assert_true(metric(&s, "min_detection_error") == 0.5);
}

static void separated_scores_tell_everything(void **state)
{
	struct set s = draw(3, 100, 60, 5, 5);

	assert_true(metric(&s, "auroc") == 1 && metric(&s, "aupr_in") == 1);
	assert_true(metric(&s, "aupr_out") == 1 && metric(&s, "min_detection_error") == 0);
	assert_true(metric(&s, "fpr_at_95_tpr") == 0);
}

/* Infinite scores are scores; the order of samples and any rising function change nothing. */
static void only_the_order_of_scores_matters(void **state)
{
	struct set s = draw(4, 90, 110, 40, 8), t = s;

	for (int i = 0; i < MOST; i++) {
		t.in_score[i] = log(s.in_score[i < s.in ? s.in - 1 - i : i]);
		t.out_score[i] = log(s.out_score[i < s.out ? s.out - 1 - i : i]);
	}
	for (int i = 0; i < ood_metric_count; i++)
		assert_true(metric(&s, ood_metrics[i].name) == metric(&t, ood_metrics[i].name));
}

static void without_scores_there_are_no_figures(void **state)
{
	struct set none = draw(5, 0, 10, 9, 0), all = draw(5, 10, 0, 9, 0),
	           bad = draw(5, 9, 9, 9, 0);

	bad.out_score[4] = NAN;
	for (int i = 0; i < ood_metric_count; i++) {
		assert_true(isnan(metric(&none, ood_metrics[i].name)));
		assert_true(isnan(metric(&all, ood_metrics[i].name)));
		assert_true(isnan(metric(&bad, ood_metrics[i].name)));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(figures_equal_the_definitions),
	        cmocka_unit_test(a_small_case_is_as_worked_out_by_hand),
	        cmocka_unit_test(equal_scores_tell_nothing),
	        cmocka_unit_test(separated_scores_tell_everything),
	        cmocka_unit_test(only_the_order_of_scores_matters),
	        cmocka_unit_test(without_scores_there_are_no_figures),
	};

	cmocka_set_test_filter(getenv("TRAWL_TEST_ONLY"));
	return cmocka_run_group_tests_name("ood", tests, NULL, NULL);
}
