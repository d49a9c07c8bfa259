/* Laws of bit allocation: the best choice there is, and always the same one. */
#include "core/quant/allocation.h"
#include "core/base/random.h"
#include "core/base/text.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { LAYERS = 160, CANDIDATES = 6 };

/* A problem that owns what it points at. */
struct made {
	struct allocation_candidate candidate[LAYERS][CANDIDATES];
	struct allocation_layer layer[LAYERS];
	struct allocation_budget budget[ALLOCATION_BUDGETS];
	struct allocation_problem problem;
};

static struct made made;

static void make(int layers, int candidates, int budgets)
{
	made = (struct made){.budget = {{"bytes", 0, 0}, {"bit operations", 0, 0}}};
	for (int i = 0; i < layers; i++)
		made.layer[i] =
		        (struct allocation_layer){"layer", -1, candidates, made.candidate[i]};
	made.problem = (struct allocation_problem){made.layer, layers, made.budget, budgets};
}

static int64_t use_of(const struct allocation_problem *p, const int *chosen, int budget)
{
	int64_t use = p->budget[budget].fixed;

	for (int i = 0; i < p->layers; i++)
		use += p->layer[i].candidate[chosen[i]].use[budget];
	return use;
}

static double omega_of(const struct allocation_problem *p, const int *chosen)
{
	double omega = 0;

	for (int i = 0; i < p->layers; i++)
		omega += p->layer[i].candidate[chosen[i]].omega;
	return omega;
}

static bool allowed(const struct allocation_problem *p, const int *chosen)
{
	for (int b = 0; b < p->budgets; b++)
		if (use_of(p, chosen, b) > p->budget[b].limit)
			return false;
	for (int i = 0; i < p->layers; i++)
		for (int j = 0; j < i; j++)
			if (p->layer[i].tie >= 0 && p->layer[i].tie == p->layer[j].tie &&
			    chosen[i] != chosen[j])
				return false;
	return true;
}

/* Less than 0 when a is the better answer, by the rule of allocation.h; omegas are whole. */
static int compare(const struct allocation_problem *p, const int *a, const int *b)
{
	double omega = omega_of(p, a) - omega_of(p, b);

	if (omega != 0)
		return omega < 0 ? -1 : 1;
	for (int i = 0; i < p->budgets; i++)
		if (use_of(p, a, i) != use_of(p, b, i))
			return use_of(p, a, i) < use_of(p, b, i) ? -1 : 1;
	for (int i = 0; i < p->layers; i++)
		if (a[i] != b[i])
			return a[i] - b[i];
	return 0;
}

static bool next_answer(const struct allocation_problem *p, int *chosen)
{
	for (int i = 0; i < p->layers; i++) {
		if (++chosen[i] < p->layer[i].count)
			return true;
		chosen[i] = 0;
	}
	return false;
}

/* Tries everything; false when nothing is allowed. */
static bool exhaust(const struct allocation_problem *p, int *best)
{
	int chosen[LAYERS] = {0};
	bool found = false;

	do {
		if (!allowed(p, chosen) || (found && compare(p, best, chosen) <= 0))
			continue;
		memcpy(best, chosen, sizeof(chosen));
		found = true;
	} while (next_answer(p, chosen));
	return found;
}

/* Kinds of problem to draw. */
enum {
	SAME = 1,    /* all layers have the same candidates */
	ZERO = 2,    /* half the layers have no omegas */
	TIED = 4,    /* some layers are tied, in two groups */
	FALLING = 8, /* more bits, more use, and a third of the omega at most */
};
struct kind {
	int layers, candidates, budgets, omegas, uses; /* how many different values there are */
	int flags;
};

static void draw_layer(const struct kind *k, const struct random_stream *r, int layer)
{
	uint64_t at = (k->flags & SAME) ? 0 : (uint64_t)layer * 1000;

	for (int c = 0; c < k->candidates; c++) {
		struct allocation_candidate *x = &made.candidate[layer][c];
		bool zero = (k->flags & ZERO) && layer % 2;

		x->omega = zero ? 0 : (double)random_below(r, at++, (uint64_t)k->omegas);
		for (int b = 0; b < k->budgets; b++)
			x->use[b] = (int64_t)random_below(r, at++, (uint64_t)k->uses);
		if ((k->flags & FALLING) && c > 0) {
			x->omega = floor(x[-1].omega / 3);
			for (int b = 0; b < k->budgets; b++)
				x->use[b] += x[-1].use[b];
		}
	}
}

/* Budgets that some answer uses up exactly, or nearly. */
static void draw_limits(const struct kind *k, const struct random_stream *r)
{
	int chosen[LAYERS];

	for (int i = 0; i < k->layers; i++)
		chosen[i] = (int)random_below(r, 900000u + (uint64_t)i, (uint64_t)k->candidates);
	for (int b = 0; b < k->budgets; b++)
		made.budget[b].limit = use_of(&made.problem, chosen, b) -
		                       (int64_t)random_below(r, 800000u + (uint64_t)b, 3) / 2;
}

static void draw(const struct kind *k, int seed)
{
	struct random_stream r = random_stream(seed, "knapsack", 0, 0);

	make(k->layers, k->candidates, k->budgets);
	for (int i = 0; i < k->layers; i++) {
		draw_layer(k, &r, i);
		if ((k->flags & TIED) && random_below(&r, 700000u + (uint64_t)i, 2))
			made.layer[i].tie = (int)random_below(&r, 600000u + (uint64_t)i, 2);
	}
	draw_limits(k, &r);
}

static void assert_best(const struct kind *k, int seed)
{
	struct allocation a;
	struct error e = {{0}};
	int best[LAYERS];

	draw(k, seed);
	bool possible = exhaust(&made.problem, best);
	int result = allocation_solve(&a, &made.problem, &e);
	if ((result == 0) != possible)
		fail_msg("seed %d: %s", seed, possible ? e.text : "an answer to the impossible");
	if (possible) {
		if (memcmp(a.chosen, best, sizeof(int[k->layers])))
			fail_msg("seed %d: omega %g, the best is %g", seed, a.omega,
			         omega_of(&made.problem, best));
		assert_true(a.omega == omega_of(&made.problem, best) && a.bound == a.omega);
		for (int b = 0; b < k->budgets; b++)
			assert_int_equal(a.used[b], use_of(&made.problem, best, b));
	}
	allocation_release(&a);
}

static void the_answer_is_the_best_of_all(void **state)
{
	static const struct kind kinds[] = {
	        {6, 4, 1, 1000, 1000, FALLING},
	        {6, 4, 1, 1000, 1000, 0},
	        {8, 3, 1, 4, 4, 0}, /* equal sums abound */
	        {7, 3, 1, 5, 6, SAME},
	        {7, 3, 1, 5, 6, ZERO},
	        {7, 3, 1, 1, 5, 0}, /* no omega at all */
	        {7, 3, 1, 9, 1, 0}, /* nothing uses anything */
	        {7, 3, 1, 20, 20, TIED},
	        {6, 4, 2, 100, 100, FALLING},
	        {7, 3, 2, 4, 5, 0},
	        {7, 3, 2, 4, 5, ZERO | TIED},
	        {1, 6, 1, 9, 9, 0},
	        {1, 6, 2, 9, 9, 0},
	        {5, 1, 1, 9, 9, 0},
	        {4, 4, 0, 9, 9, 0},
	};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
		for (int seed = 0; seed < 40; seed++)
			assert_best(&kinds[i], seed);
}

/* The least omega for each use of whole units, layer by layer. */
static double best_by_table(const struct allocation_problem *p)
{
	int64_t limit = p->budget[0].limit;
	double *table = xcalloc((size_t)limit + 1, sizeof(*table));

	for (int i = 0; i < p->layers; i++)
		for (int64_t use = limit; use >= 0; use--) {
			double least = INFINITY;
			for (int c = 0; c < p->layer[i].count; c++) {
				const struct allocation_candidate *x = &p->layer[i].candidate[c];
				if (x->use[0] <= use)
					least = fmin(least, table[use - x->use[0]] + x->omega);
			}
			table[use] = least;
		}
	double best = table[limit];
	free(table);
	return best;
}

static void large_problems_have_the_omega_of_the_table(void **state)
{
	static const struct kind kinds[] = {
	        {60, 6, 1, 1 << 20, 500, FALLING},
	        {150, 6, 1, 1 << 30, 100, FALLING},
	        {80, 5, 1, 1 << 12, 200, 0},
	        {54, 6, 1, 1000, 30, SAME | FALLING},
	};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
		for (int seed = 0; seed < 5; seed++) {
			struct allocation a;
			struct error e = {{0}};

			draw(&kinds[i], seed);
			if (allocation_solve(&a, &made.problem, &e))
				fail_msg("seed %d: %s", seed, e.text);
			assert_true(a.omega == best_by_table(&made.problem));
			assert_true(a.bound == a.omega && a.used[0] <= made.budget[0].limit);
			allocation_release(&a);
		}
}

/* Choices that no good answer makes hide all others from CBC's tolerances. */
static void huge_omegas_do_not_hide_the_others(void **state)
{
	static const struct kind k = {100, 6, 1, 1 << 30, 1 << 30, FALLING};

	for (int seed = 0; seed < 3; seed++) {
		struct allocation a;
		struct error e = {{0}};

		draw(&k, seed);
		for (int i = 0; i < 100; i += 4)
			for (int c = 0; c < 3; c++)
				made.candidate[i][c].omega = ldexp(1, 40 + i) * (5 - c);
		if (allocation_solve(&a, &made.problem, &e))
			fail_msg("seed %d: %s", seed, e.text);
		assert_true(a.bound == a.omega);
		allocation_release(&a);
	}
}

static void with_two_budgets_large_problems_are_proved_too(void **state)
{
	static const struct kind k = {100, 6, 2, 1 << 30, 1000, FALLING};

	for (int seed = 0; seed < 3; seed++) {
		struct allocation a;
		struct error e = {{0}};

		draw(&k, seed);
		if (allocation_solve(&a, &made.problem, &e))
			fail_msg("seed %d: %s", seed, e.text);
		assert_true(a.bound == a.omega);
		for (int b = 0; b < 2; b++)
			assert_true(a.used[b] <= made.budget[b].limit);
		allocation_release(&a);
	}
}

/* Omegas of 1e-12 and of 1e12 give the same answer, and so do uses of any unit. */
static void scale_does_not_matter(void **state)
{
	static const struct kind k = {20, 6, 1, 1 << 30, 100, FALLING};
	static const double scales[] = {1, 0x1p-80, 0x1p-40, 0x1p40, 0x1p200};
	struct allocation first, a;
	struct error e = {{0}};

	draw(&k, 1);
	struct made drawn = made;
	assert_int_equal(allocation_solve(&first, &made.problem, &e), 0);
	for (size_t s = 0; s < sizeof(scales) / sizeof(*scales); s++) {
		int64_t unit = s % 2 ? 1000003 : 1;

		for (int i = 0; i < k.layers; i++)
			for (int c = 0; c < k.candidates; c++) {
				made.candidate[i][c].omega =
				        drawn.candidate[i][c].omega * scales[s];
				made.candidate[i][c].use[0] = drawn.candidate[i][c].use[0] * unit;
			}
		made.budget[0].limit = drawn.budget[0].limit * unit + unit - 1;
		assert_int_equal(allocation_solve(&a, &made.problem, &e), 0);
		assert_memory_equal(a.chosen, first.chosen, sizeof(int[20]));
		assert_true(a.omega == first.omega * scales[s]);
		allocation_release(&a);
	}
	allocation_release(&first);
}

/* Half the layers have omegas 2^60 times those of the others, and room enough for their best. */
static void the_smallest_omegas_count_beside_the_largest(void **state)
{
	static const struct kind k = {8, 3, 1, 1000, 50, FALLING};
	struct allocation a;
	struct error e = {{0}};

	for (int seed = 0; seed < 20; seed++) {
		int best[LAYERS] = {0}, chosen[LAYERS] = {0};
		double least = INFINITY;

		draw(&k, seed);
		made.budget[0].limit = 0;
		for (int i = 0; i < 8; i++) {
			made.budget[0].limit += made.candidate[i][i < 4 ? 2 : 1].use[0];
			for (int c = 0; c < 3; c++)
				made.candidate[i][c].omega *= i < 4 ? 0x1p60 : 1;
			made.candidate[i][2].omega = i < 4 ? 0 : made.candidate[i][2].omega;
		}
		do { /* the large ones first, then the small ones */
			double large = 0, small = 0;
			for (int i = 0; i < 8; i++)
				*(i < 4 ? &large : &small) += made.candidate[i][chosen[i]].omega;
			if (large > 0 || small >= least || !allowed(&made.problem, chosen))
				continue;
			least = small;
			memcpy(best, chosen, sizeof(chosen));
		} while (next_answer(&made.problem, chosen));
		assert_int_equal(allocation_solve(&a, &made.problem, &e), 0);
		if (a.omega != least)
			fail_msg("seed %d: %g, not %g", seed, a.omega, least);
		allocation_release(&a);
	}
}

static void a_budget_below_the_least_use_is_refused_with_that(void **state)
{
	static const struct kind k = {5, 4, 1, 100, 1000, FALLING};
	struct allocation a;
	struct error e = {{0}};
	int64_t least = 77;

	draw(&k, 3);
	made.budget[0].fixed = 77;
	for (int i = 0; i < 5; i++)
		least += made.candidate[i][0].use[0];
	made.budget[0].limit = least;
	assert_int_equal(allocation_solve(&a, &made.problem, &e), 0);
	assert_int_equal(a.used[0], least);
	allocation_release(&a);
	made.budget[0].limit = least - 1;
	assert_int_equal(allocation_solve(&a, &made.problem, &e), -1);
	char *says = xformat("a budget of %lld bytes is too small: the least possible is %lld",
	                     (long long)least - 1, (long long)least);
	assert_string_equal(e.text, says);
	free(says);
	allocation_release(&a);
}

static void budgets_that_exclude_each_other_are_refused(void **state)
{
	struct allocation a;
	struct error e = {{0}};

	make(2, 2, 2);
	for (int i = 0; i < 2; i++) {
		made.candidate[i][0] = (struct allocation_candidate){1, {1, 3}};
		made.candidate[i][1] = (struct allocation_candidate){1, {3, 1}};
	}
	for (int limit = 2; limit < 5; limit++) {
		made.budget[0].limit = made.budget[1].limit = limit;
		assert_int_equal(allocation_solve(&a, &made.problem, &e), limit < 4 ? -1 : 0);
		if (limit < 4)
			assert_string_equal(e.text, "no choice of bits fits all budgets at once");
		else
			assert_int_equal(a.chosen[0] + 2 * a.chosen[1], 2);
		allocation_release(&a);
	}
}

static void assert_refused(const char *says)
{
	struct allocation a;
	struct error e = {{0}};

	assert_int_equal(allocation_solve(&a, &made.problem, &e), -1);
	if (!strstr(e.text, says))
		fail_msg("\"%s\" does not say \"%s\"", e.text, says);
	allocation_release(&a);
}

static void what_is_no_problem_is_refused_by_name(void **state)
{
	make(0, 2, 1);
	assert_refused("no layers");
	make(3, 2, 1);
	made.layer[1].name = "layer2.0.conv1";
	made.candidate[1][1].omega = NAN;
	assert_refused("layer2.0.conv1: the sensitivity of candidate 1 is no number");
	made.candidate[1][1].omega = INFINITY;
	assert_refused("layer2.0.conv1");
	made.candidate[1][1] = (struct allocation_candidate){1, {-5}};
	assert_refused("layer2.0.conv1: candidate 1 uses -5");
	made.candidate[1][1].use[0] = INT64_MAX;
	assert_refused("layer2.0.conv1: candidate 1 uses 9223372036854775807");
	made.layer[1].count = 0;
	assert_refused("layer2.0.conv1: no bit-widths");
	made.layer[1].count = 1;
	made.layer[1].tie = made.layer[2].tie = 4;
	assert_refused("tied to it");
}

/* A trial's standard output belongs to the trial. */
static void nothing_is_printed(void **state)
{
	static const struct kind k = {60, 6, 1, 1 << 20, 500, FALLING};
	FILE *file = tmpfile();
	struct allocation a;
	struct error e = {{0}};

	assert_non_null(file);
	draw(&k, 2);
	fflush(stdout);
	int out = dup(1), err = dup(2);
	dup2(fileno(file), 1);
	dup2(fileno(file), 2);
	int result = allocation_solve(&a, &made.problem, &e);
	fflush(NULL);
	dup2(out, 1);
	dup2(err, 2);
	close(out);
	close(err);
	assert_int_equal(result, 0);
	assert_int_equal(lseek(fileno(file), 0, SEEK_END), 0);
	fclose(file);
	allocation_release(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(the_answer_is_the_best_of_all),
	        cmocka_unit_test(large_problems_have_the_omega_of_the_table),
	        cmocka_unit_test(huge_omegas_do_not_hide_the_others),
	        cmocka_unit_test(with_two_budgets_large_problems_are_proved_too),
	        cmocka_unit_test(scale_does_not_matter),
	        cmocka_unit_test(the_smallest_omegas_count_beside_the_largest),
	        cmocka_unit_test(a_budget_below_the_least_use_is_refused_with_that),
	        cmocka_unit_test(budgets_that_exclude_each_other_are_refused),
	        cmocka_unit_test(what_is_no_problem_is_refused_by_name),
	        cmocka_unit_test(nothing_is_printed),
	};

	cmocka_set_test_filter(getenv("TRAWL_TEST_ONLY"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
