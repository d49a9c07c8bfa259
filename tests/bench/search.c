/* How good searches are on the usual test functions: search [SEEDS].  A line each:
 *
 *   function sampler trials at_a_time median quarter three_quarters
 *
 * of the least value found, or of the hypervolume where there are several objectives, over the
 * seeds.  peers/search_optuna.py prints the same of Optuna; search.sh sets them side by side. */
#include "coordinator/sampler/pareto.h"
#include "coordinator/sampler/sampler.h"
#include "core/base/text.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { AXES_MOST = 30, OBJECTIVES_MOST = 3 };

typedef void function(const double *x, int axes, double *loss);

static void sphere(const double *x, int axes, double *loss)
{
	for (int i = 0; i < axes; i++)
		loss[0] += pow(10 * x[i] - 3, 2);
}

static void rosenbrock(const double *x, int axes, double *loss)
{
	for (int i = 0; i + 1 < axes; i++) {
		double a = 4 * x[i] - 2, b = 4 * x[i + 1] - 2;
		loss[0] += 100 * pow(b - a * a, 2) + pow(1 - a, 2);
	}
}

static void branin(const double *x, int axes, double *loss)
{
	double a = 15 * x[0] - 5, b = 15 * x[1];

	loss[0] = pow(b - 5.1 / (4 * M_PI * M_PI) * a * a + 5 / M_PI * a - 6, 2) +
	          10 * (1 - 1 / (8 * M_PI)) * cos(a) + 10;
}

static void ackley(const double *x, int axes, double *loss)
{
	double squares = 0, waves = 0;

	for (int i = 0; i < axes; i++) {
		double a = 40 * x[i] - 15;
		squares += a * a / axes;
		waves += cos(2 * M_PI * a) / axes;
	}
	loss[0] = 20 + M_E - 20 * exp(-0.2 * sqrt(squares)) - exp(waves);
}

static void rastrigin(const double *x, int axes, double *loss)
{
	for (int i = 0; i < axes; i++) {
		double a = 10.24 * x[i] - 4;
		loss[0] += 10 + a * a - 10 * cos(2 * M_PI * a);
	}
}

static void hartmann6(const double *x, int axes, double *loss)
{
	static const double weight[4] = {1, 1.2, 3, 3.2};
	static const double a[4][6] = {{10, 3, 17, 3.5, 1.7, 8},
	                               {0.05, 10, 17, 0.1, 8, 14},
	                               {3, 3.5, 1.7, 10, 17, 8},
	                               {17, 8, 0.05, 10, 0.1, 14}};
	static const double p[4][6] = {{0.1312, 0.1696, 0.5569, 0.0124, 0.8283, 0.5886},
	                               {0.2329, 0.4135, 0.8307, 0.3736, 0.1004, 0.9991},
	                               {0.2348, 0.1451, 0.3522, 0.2883, 0.3047, 0.665},
	                               {0.4047, 0.8828, 0.8732, 0.5743, 0.1091, 0.0381}};

	for (int k = 0; k < 4; k++) {
		double sum = 0;
		for (int i = 0; i < axes; i++)
			sum += a[k][i] * pow(x[i] - p[k][i], 2);
		loss[0] -= weight[k] * exp(-sum);
	}
}

/* Two categories of four, of which the first says what the others mean, and three numbers. */
static void mixed(const double *x, int axes, double *loss)
{
	int a = (int)(4 * x[0]), b = (int)(4 * x[1]);

	loss[0] = (double)(a ^ 2) + 0.5 * (double)((a + b) % 4);
	for (int i = 2; i < axes; i++)
		loss[0] += 4 * pow(x[i] - 0.2 * (a + 1), 2);
}

/* The first axis says which of the others counts: they are NaN elsewhere. */
static void conditional(const double *x, int axes, double *loss)
{
	loss[0] = x[0] < 0.5 ? 0.5 + pow(x[1] - 0.2, 2)
	                     : 10 * pow(x[2] - 0.7, 2) + pow(x[3] - 0.3, 2);
}

static bool conditional_counts(void *context, const double *point, int axis)
{
	return axis == 0 || (axis == 1) == (point[0] < 0.5);
}

static double mean_of_rest(const double *x, int axes)
{
	double sum = 0;

	for (int i = 1; i < axes; i++)
		sum += x[i] / (axes - 1);
	return 1 + 9 * sum;
}

static void zdt1(const double *x, int axes, double *loss)
{
	double g = mean_of_rest(x, axes);

	loss[0] = x[0];
	loss[1] = g * (1 - sqrt(x[0] / g));
}

static void zdt2(const double *x, int axes, double *loss)
{
	double g = mean_of_rest(x, axes);

	loss[0] = x[0];
	loss[1] = g * (1 - pow(x[0] / g, 2));
}

static void zdt3(const double *x, int axes, double *loss)
{
	double g = mean_of_rest(x, axes);

	loss[0] = x[0];
	loss[1] = g * (1 - sqrt(x[0] / g) - x[0] / g * sin(10 * M_PI * x[0]));
}

static void dtlz2(const double *x, int axes, double *loss)
{
	double g = 0;

	for (int i = 2; i < axes; i++)
		g += pow(x[i] - 0.5, 2);
	loss[0] = (1 + g) * cos(x[0] * M_PI / 2) * cos(x[1] * M_PI / 2);
	loss[1] = (1 + g) * cos(x[0] * M_PI / 2) * sin(x[1] * M_PI / 2);
	loss[2] = (1 + g) * sin(x[0] * M_PI / 2);
}

static const struct problem {
	const char *name, *sampler;
	function *value;
	int axes, objectives, trials, at_a_time;
	int categories; /* the first so many axes are of four each, two for `conditional` */
	double reference;
} problems[] = {
        {"sphere", "tpe", sphere, 5, 1, 100, 1, 0, 0},
        {"rosenbrock", "tpe", rosenbrock, 4, 1, 100, 1, 0, 0},
        {"branin", "tpe", branin, 2, 1, 60, 1, 0, 0},
        {"hartmann6", "tpe", hartmann6, 6, 1, 100, 1, 0, 0},
        {"ackley", "tpe", ackley, 5, 1, 100, 1, 0, 0},
        {"rastrigin", "tpe", rastrigin, 5, 1, 100, 1, 0, 0},
        {"mixed", "tpe", mixed, 5, 1, 60, 1, 2, 0},
        {"conditional", "tpe", conditional, 4, 1, 60, 1, 1, 0},
        {"sphere", "tpe", sphere, 5, 1, 100, 8, 0, 0},
        {"hartmann6", "tpe", hartmann6, 6, 1, 100, 8, 0, 0},
        {"mixed", "tpe", mixed, 5, 1, 60, 8, 2, 0},
        {"zdt1", "nsga2", zdt1, 10, 2, 500, 1, 0, 11},
        {"zdt2", "nsga2", zdt2, 10, 2, 500, 1, 0, 11},
        {"zdt3", "nsga2", zdt3, 10, 2, 500, 1, 0, 11},
        {"dtlz2", "nsga2", dtlz2, 7, 3, 500, 1, 0, 2.5},
        {"zdt1", "nsga2", zdt1, 10, 2, 500, 8, 0, 11},
        {"zdt1", "tpe", zdt1, 10, 2, 100, 1, 0, 11},
        {"dtlz2", "tpe", dtlz2, 7, 3, 100, 1, 0, 2.5},
};

static double score(const struct problem *p, const struct sampler_trials *t)
{
	double reference[OBJECTIVES_MOST] = {p->reference, p->reference, p->reference};
	double least = INFINITY;

	if (p->objectives > 1)
		return pareto_hypervolume(t->loss, t->count, p->objectives, reference);
	for (int64_t i = 0; i < t->count; i++)
		least = fmin(least, t->loss[i]);
	return least;
}

/* As many as run at a time are chosen, then measured. */
static double search(const struct problem *p, int64_t seed)
{
	struct sampler_axis axis[AXES_MOST] = {{0}};
	bool conditions = p->value == conditional;
	struct sampler_space space = {.axis = axis,
	                              .axes = p->axes,
	                              .objectives = p->objectives,
	                              .counts = conditions ? conditional_counts : NULL};
	struct sampler_options options = {.seed = seed, .startup = 10, .population = 50};
	struct sampler_trials t = {
	        .point = xcalloc((size_t)p->trials * (size_t)p->axes, sizeof(double)),
	        .loss = xcalloc((size_t)p->trials * (size_t)p->objectives, sizeof(double)),
	        .outcome = xcalloc((size_t)p->trials, sizeof *t.outcome)};

	for (int i = 0; i < p->categories; i++)
		axis[i].count = conditions ? 2 : 4;
	while (t.count < p->trials) {
		int64_t begin = t.count;
		for (; t.count < p->trials && t.count < begin + p->at_a_time; t.count++)
			if (!sampler_find(p->sampler)(&space, &t, &options, t.count,
			                              t.point + t.count * p->axes))
				exit(1);
		for (int64_t i = begin; i < t.count; i++) {
			p->value(t.point + i * p->axes, p->axes, t.loss + i * p->objectives);
			t.outcome[i] = SAMPLED_MEASURED;
		}
	}
	double found = score(p, &t);
	free(t.point);
	free(t.loss);
	free(t.outcome);
	return found;
}

static int by_size(const void *left, const void *right)
{
	const double *a = left, *b = right;

	return *a < *b ? -1 : *a > *b;
}

int main(int argc, char **argv)
{
	int seeds = argc > 1 ? atoi(argv[1]) : 30;
	double *found = xcalloc((size_t)seeds, sizeof *found);

	for (size_t k = 0; k < sizeof problems / sizeof *problems; k++) {
		const struct problem *p = problems + k;
		for (int seed = 0; seed < seeds; seed++)
			found[seed] = search(p, seed);
		qsort(found, (size_t)seeds, sizeof *found, by_size);
		printf("%s %s %d %d %.6g %.6g %.6g\n", p->name, p->sampler, p->trials, p->at_a_time,
		       (found[(seeds - 1) / 2] + found[seeds / 2]) / 2, found[seeds / 4],
		       found[3 * seeds / 4]);
		fflush(stdout);
	}
	free(found);
	return 0;
}
