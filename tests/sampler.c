/* Laws of searches that learn: pure, never twice, within the space, and better than chance. */
#include "coordinator/sampler/sampler.h"
#include "coordinator/sampler/pareto.h"
#include "core/base/random.h"
#include "core/base/text.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- Pareto ---- */

enum { MANY = 200, OBJECTIVES = 3 };

/* Losses with ties: multiples of a fifth. */
static void make_losses(double *loss, int objectives)
{
	struct random_stream s = random_stream(1, "losses", (uint64_t)objectives, 0);

	for (int i = 0; i < MANY * objectives; i++)
		loss[i] = 0.2 * (double)random_below(&s, (uint64_t)i, 6);
}

static void a_rank_is_the_longest_chain_of_what_dominates(void **state)
{
	double loss[MANY * OBJECTIVES];
	int64_t rank[MANY];

	for (int m = 1; m <= OBJECTIVES; m++) {
		make_losses(loss, m);
		pareto_rank(loss, MANY, m, rank);
		for (int i = 0; i < MANY; i++) {
			int64_t most = -1;
			for (int j = 0; j < MANY; j++)
				if (pareto_dominates(loss + j * m, loss + i * m, m))
					most = rank[j] > most ? rank[j] : most;
			assert_int_equal(rank[i], most + 1);
		}
	}
}

static void crowding_is_the_share_between_neighbours(void **state)
{
	const double loss[] = {0, 10, 1, 4, 2, 2, 6, 0, 9, 9};
	const int64_t rank[] = {0, 0, 0, 0, 1};
	double distance[5];
	int64_t order[5];

	pareto_crowding(loss, rank, 5, 2, distance);
	assert_true(isinf(distance[0]) && isinf(distance[3]) && isinf(distance[4]));
	assert_float_equal(distance[1], 2.0 / 6 + 8.0 / 10, 1e-12);
	assert_float_equal(distance[2], 5.0 / 6 + 4.0 / 10, 1e-12);
	pareto_order(loss, 5, 2, order);
	const int64_t expected[] = {0, 3, 2, 1, 4};
	assert_memory_equal(order, expected, sizeof expected);
}

/* Counted on a grid on which all losses lie. */
static void the_hypervolume_is_what_is_dominated(void **state)
{
	double loss[MANY * OBJECTIVES];
	const double reference[] = {1, 0.8, 1};

	make_losses(loss, OBJECTIVES);
	for (int count = 0; count <= 12; count += 4) {
		int cells = 0;
		for (int cell = 0; cell < 5 * 4 * 5; cell++) {
			double at[] = {0.2 * (cell % 5) + 0.1, 0.2 * (cell / 5 % 4) + 0.1,
			               0.2 * (cell / 20) + 0.1};
			bool covered = false;
			for (int i = 0; i < count; i++)
				covered = covered || pareto_dominates(loss + 3 * i, at, 3);
			cells += covered;
		}
		assert_float_equal(pareto_hypervolume(loss, count, 3, reference), 0.008 * cells,
		                   1e-9);
	}
}

static void of_three_objectives_the_last_rank_is_thinned_by_volume(void **state)
{
	/* Four that nothing dominates; the third is next to the second. */
	const double loss[] = {0, 3, 3, 3, 0, 3, 3, 0.1, 2.95, 3, 3, 0, 9, 9, 9};
	int64_t order[5], first = 0;

	pareto_order_by_volume(loss, 5, 3, 3, order);
	for (int k = 0; k < 3; k++)
		first += order[k];
	assert_true(order[0] < 4 && order[1] < 4 && order[2] < 4);
	assert_true(first == 0 + 1 + 3 || first == 0 + 2 + 3);
	assert_int_equal(order[4], 4);
}

/* ---- samplers ---- */

enum { AXES = 4, TRIALS = 120 };

struct search {
	struct sampler_axis axis[AXES];
	struct sampler_space space;
	struct sampler_trials trials;
	struct sampler_options options;
	sampler *next;
};

static const char *const kinds[] = {"tpe", "nsga2"};

static void search_init(struct search *s, const char *kind, int axes, int objectives)
{
	*s = (struct search){.options = {.seed = 7, .startup = 10, .population = 20},
	                     .next = sampler_find(kind)};
	s->space = (struct sampler_space){.axis = s->axis, .axes = axes, .objectives = objectives};
	s->trials.point = xcalloc(TRIALS * AXES, sizeof(double));
	s->trials.loss = xcalloc(TRIALS * OBJECTIVES, sizeof(double));
	s->trials.outcome = xcalloc(TRIALS, sizeof *s->trials.outcome);
}

static void search_release(struct search *s)
{
	free(s->trials.point);
	free(s->trials.loss);
	free(s->trials.outcome);
}

/* The point that is next becomes a pending trial; null: none was found. */
static double *search_next(struct search *s)
{
	double *point = s->trials.point + s->trials.count * s->space.axes;

	if (!s->next(&s->space, &s->trials, &s->options, s->trials.count, point))
		return NULL;
	s->trials.outcome[s->trials.count++] = SAMPLED_PENDING;
	return point;
}

static void search_tell(struct search *s, double loss)
{
	s->trials.loss[s->trials.count - 1] = loss;
	s->trials.outcome[s->trials.count - 1] = SAMPLED_MEASURED;
}

static double sphere(const double *point, int axes)
{
	double sum = 0;

	for (int i = 0; i < axes; i++)
		sum += (point[i] - 0.3) * (point[i] - 0.3);
	return sum;
}

static void what_is_next_hangs_on_trials_seed_and_number_alone(void **state)
{
	for (size_t k = 0; k < 2; k++) {
		double again[AXES], *point;
		struct search s;
		search_init(&s, kinds[k], 3, 1);
		for (int i = 0; i < 40; i++) {
			point = search_next(&s);
			search_tell(&s, sphere(point, 3));
			s.trials.count--;
			assert_true(s.next(&s.space, &s.trials, &s.options, i, again));
			assert_memory_equal(point, again, 3 * sizeof *point);
			s.options.seed++;
			assert_true(s.next(&s.space, &s.trials, &s.options, i, again));
			assert_memory_not_equal(point, again, 3 * sizeof *point);
			s.options.seed--;
			s.trials.count++;
		}
		search_release(&s);
	}
}

/* 3 x 2 x 4 cells: each once, whether or not those before have ended; then there is none. */
static void a_finite_space_is_gone_through_once(void **state)
{
	for (size_t k = 0; k < 2; k++) {
		struct search s;
		bool seen[24] = {0};
		search_init(&s, kinds[k], 3, 1);
		s.axis[0] = (struct sampler_axis){3, true};
		s.axis[1] = (struct sampler_axis){2, false};
		s.axis[2] = (struct sampler_axis){4, false};
		for (int i = 0; i < 24; i++) {
			double *point = search_next(&s);
			assert_non_null(point);
			int cell = (int)(3 * point[0]) + 3 * (int)(2 * point[1]) +
			           6 * (int)(4 * point[2]);
			assert_false(seen[cell]);
			seen[cell] = true;
			if (i % 3)
				search_tell(&s, cell);
		}
		assert_null(search_next(&s));
		search_release(&s);
	}
}

/* The first axis says which of the others counts. */
static bool one_counts(void *context, const double *point, int axis)
{
	return axis == 0 || (axis == 1) == (point[0] < 0.5);
}

static bool not_too_much(void *context, const double *point)
{
	return point[0] >= 0.5 || point[1] < 0.6;
}

static void conditions_and_constraints_hold(void **state)
{
	for (size_t k = 0; k < 2; k++) {
		struct search s;
		int first = 0;
		search_init(&s, kinds[k], 3, 1);
		s.axis[0] = (struct sampler_axis){2, false};
		s.space.counts = one_counts;
		s.space.allows = not_too_much;
		for (int i = 0; i < 80; i++) {
			double *point = search_next(&s);
			assert_true(isnan(point[1]) == (point[0] >= 0.5));
			assert_true(isnan(point[2]) == (point[0] < 0.5));
			for (int j = 0; j < 3; j++)
				assert_true(isnan(point[j]) || (point[j] >= 0 && point[j] < 1));
			assert_true(not_too_much(NULL, point));
			/* The other branch is better. */
			search_tell(&s, point[0] < 0.5 ? 1 + point[1] : fabs(point[2] - 0.8));
			first += i >= 40 && point[0] < 0.5;
		}
		assert_in_range(first, 0, 15);
		search_release(&s);
	}
}

static int by_size(const void *left, const void *right)
{
	const double *a = left, *b = right;

	return *a < *b ? -1 : *a > *b;
}

/* The median over seeds of the least of so many trials. */
static double median_found(const char *kind, int64_t tried, int at_a_time)
{
	enum { SEEDS = 9 };
	double found[SEEDS];

	for (int seed = 0; seed < SEEDS; seed++) {
		struct search s;
		search_init(&s, kind ? kind : "tpe", 4, 1);
		s.options.seed = seed;
		s.options.startup = kind ? 10 : tried; /* no kind: spread evenly throughout */
		found[seed] = INFINITY;
		while (s.trials.count < tried) {
			int64_t begin = s.trials.count;
			while (s.trials.count < begin + at_a_time)
				search_next(&s);
			for (int64_t i = begin; i < s.trials.count; i++) {
				s.trials.loss[i] = sphere(s.trials.point + 4 * i, 4);
				s.trials.outcome[i] = SAMPLED_MEASURED;
				found[seed] = fmin(found[seed], s.trials.loss[i]);
			}
		}
		search_release(&s);
	}
	qsort(found, SEEDS, sizeof *found, by_size);
	return found[SEEDS / 2];
}

static void what_was_measured_leads_closer_than_an_even_spread(void **state)
{
	double spread = median_found(NULL, 60, 1);

	assert_true(median_found("tpe", 60, 1) < spread / 5);
	assert_true(median_found("tpe", 60, 6) < spread / 4);
	assert_true(median_found("nsga2", 120, 1) < median_found(NULL, 120, 1) / 2);
}

/* What runs keeps others away from there. */
static void pending_trials_spread_what_is_next(void **state)
{
	enum { NEXT = 12 };
	double apart[2] = {0};

	for (int pending = 0; pending < 2; pending++) {
		struct search s;
		search_init(&s, "tpe", 2, 1);
		for (int i = 0; i < 40; i++)
			search_tell(&s, sphere(search_next(&s), 2));
		double *next = s.trials.point + 2 * s.trials.count;
		for (int i = 0; i < NEXT; i++) {
			s.next(&s.space, &s.trials, &s.options, 40 + i, next + 2 * i);
			s.trials.outcome[40 + i] = SAMPLED_PENDING;
			s.trials.count += pending;
		}
		for (int i = 0; i < NEXT; i++)
			for (int j = 0; j < i; j++)
				apart[pending] += hypot(next[2 * i] - next[2 * j],
				                        next[2 * i + 1] - next[2 * j + 1]);
		search_release(&s);
	}
	assert_true(apart[1] > 1.1 * apart[0]);
}

/* Half of the axis does not fit into memory. */
static void infeasible_trials_keep_the_search_away(void **state)
{
	for (size_t k = 0; k < 2; k++) {
		struct search s;
		int infeasible = 0;
		search_init(&s, kinds[k], 2, 1);
		for (int i = 0; i < 80; i++) {
			double *point = search_next(&s);
			if (point[0] < 0.5)
				s.trials.outcome[i] = SAMPLED_INFEASIBLE;
			else
				search_tell(&s, point[1]);
			infeasible += i >= 40 && point[0] < 0.5;
		}
		assert_in_range(infeasible, 0, 12); /* of 40 */
		search_release(&s);
	}
}

/* f = (x, 1 - x) with y in both: all of the front, and y near its best. */
static void several_objectives_are_spread_over_the_front(void **state)
{
	for (size_t k = 0; k < 2; k++) {
		struct search s;
		int part[4] = {0};
		search_init(&s, kinds[k], 2, 2);
		for (int i = 0; i < TRIALS; i++) {
			double *point = search_next(&s), *loss = s.trials.loss + 2 * i;
			loss[0] = point[0] + point[1];
			loss[1] = 1 - point[0] + point[1];
			s.trials.outcome[i] = SAMPLED_MEASURED;
			part[(int)(4 * point[0])] += i >= 60 && point[1] < 0.1;
		}
		for (int j = 0; j < 4; j++)
			assert_in_range(part[j], 3, 60);
		search_release(&s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_rank_is_the_longest_chain_of_what_dominates),
	        cmocka_unit_test(crowding_is_the_share_between_neighbours),
	        cmocka_unit_test(the_hypervolume_is_what_is_dominated),
	        cmocka_unit_test(of_three_objectives_the_last_rank_is_thinned_by_volume),
	        cmocka_unit_test(what_is_next_hangs_on_trials_seed_and_number_alone),
	        cmocka_unit_test(a_finite_space_is_gone_through_once),
	        cmocka_unit_test(conditions_and_constraints_hold),
	        cmocka_unit_test(what_was_measured_leads_closer_than_an_even_spread),
	        cmocka_unit_test(pending_trials_spread_what_is_next),
	        cmocka_unit_test(infeasible_trials_keep_the_search_away),
	        cmocka_unit_test(several_objectives_are_spread_over_the_front),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
