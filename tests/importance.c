/* Laws of filter importance, and of the order on which submodels agree. */
#include "core/split/importance.h"
#include "core/base/random.h"
#include "tests/values.h"
#include <string.h>

static void importance_is_the_square_of_a_sum_per_filter_and_batch(void **state)
{
	T *w = tensor_from(F32, SHAPE(2, 2, 1, 1), (float[]){1, 2, 3, -1});
	T *g = tensor_from(F32, SHAPE(2, 2, 1, 1), (float[]){2, -3, 1, 1});
	T *h = tensor_from(F32, SHAPE(2, 2, 1, 1), (float[]){1, 0, 0, 5});
	double importance[2] = {0};

	importance_add(importance, w, g);
	assert_memory_equal(importance, ((double[]){16, 4}), sizeof importance);
	importance_add(importance, w, h);
	assert_memory_equal(importance, ((double[]){17, 29}), sizeof importance);
	tensor_free(w);
	tensor_free(g);
	tensor_free(h);
}

/* Submodel 0 has filters 0 to 3, submodel 1 has 2 to 5; 2 and 3 are shared.  Submodel 0 can spare
 * filter 2 first, but 1 cannot. */
static void a_shared_filter_stays_for_whoever_needs_it(void **state)
{
	const double x = NAN; /* must not be read */
	const double importance[6][2] = {{2, x}, {3, x}, {1, 900}, {4, 100}, {x, 200}, {x, 300}};
	const uint32_t member[6] = {1, 1, 3, 3, 2, 2};
	const double want[6] = {3. / 8, 5. / 8, 7. / 8, 7. / 8, 3. / 8, 5. / 8};
	double score[6];

	importance_agree(&importance[0][0], member, 6, 2, score);
	assert_memory_equal(score, want, sizeof want);
}

static void equal_filters_have_the_mean_rank(void **state)
{
	const double importance[5] = {7, 1, 7, 7, NAN};
	const uint32_t member[5] = {1, 1, 1, 1, 1};
	const double want[5] = {5. / 10, 1. / 10, 5. / 10, 5. / 10, 9. / 10};
	double score[5];

	importance_agree(importance, member, 5, 1, score);
	assert_memory_equal(score, want, sizeof want);
}

static void filters_of_nobody_score_nothing(void **state)
{
	const double importance[2] = {5, 6};
	double score[2] = {9, 9};

	importance_agree(importance, (uint32_t[]){0, 1}, 2, 1, score);
	assert_memory_equal(score, ((double[]){0, 0.5}), sizeof score);
}

/* (below + equal / 2) / all, by counting. */
static double rank_of(const double *importance, const uint32_t *member, int filters, int n, int f,
                      int i)
{
	double below = 0, equal = 0, all = 0;

	for (int k = 0; k < filters; k++) {
		if (!(member[k] >> i & 1))
			continue;
		all++;
		below += importance[k * n + i] < importance[f * n + i];
		equal += importance[k * n + i] == importance[f * n + i];
	}
	return (below + equal / 2) / all;
}

static void scores_are_the_definition_and_know_no_scale(void **state)
{
	enum { FILTERS = 40, N = 5 };
	double importance[FILTERS * N], score[FILTERS], scaled[FILTERS];
	uint32_t member[FILTERS];

	for (int64_t seed = 0; seed < 100; seed++) {
		struct random_stream r = random_stream(seed, "importance", 0, 0);
		for (uint64_t f = 0; f < FILTERS; f++)
			member[f] = (uint32_t)random_below(&r, 1000 + f, 1u << N);
		for (uint64_t k = 0; k < FILTERS * N; k++)
			importance[k] = (double)random_below(&r, k, 12);
		importance_agree(importance, member, FILTERS, N, score);
		for (int f = 0; f < FILTERS; f++) {
			double want = 0;
			for (int i = 0; i < N; i++)
				if (member[f] >> i & 1)
					want = fmax(want,
					            rank_of(importance, member, FILTERS, N, f, i));
			assert_true(fabs(score[f] - want) < 1e-15);
		}
		for (int k = 0; k < FILTERS * N; k++)
			importance[k] *= pow(10, k % N);
		importance_agree(importance, member, FILTERS, N, scaled);
		assert_memory_equal(score, scaled, sizeof score);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(importance_is_the_square_of_a_sum_per_filter_and_batch),
	        cmocka_unit_test(a_shared_filter_stays_for_whoever_needs_it),
	        cmocka_unit_test(equal_filters_have_the_mean_rank),
	        cmocka_unit_test(filters_of_nobody_score_nothing),
	        cmocka_unit_test(scores_are_the_definition_and_know_no_scale),
	};
	return cmocka_run_group_tests_name("importance", tests, NULL, NULL);
}
