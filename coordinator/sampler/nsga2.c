/* NSGA-II in steady state: each child is bred from the best of all that was measured. */
#include "coordinator/sampler/pareto.h"
#include "coordinator/sampler/sampler.h"
#include "core/base/text.h"
#include <math.h>
#include <stdlib.h>

/* Distribution indices and rates as in Deb et al. 2002. */
static const double crossing_index = 20, mutation_index = 20, crossing_rate = 0.9;

/* Those that breed, the best first. */
struct parents {
	const double **point;
	int64_t count;
};

static void parents_choose(struct parents *p, const struct sampler_space *space,
                           const struct sampler_trials *trials, int64_t most)
{
	int64_t *order = xcalloc((size_t)trials->count + 1, sizeof *order);
	int64_t measured = sampler_best(space, trials, pareto_order, order);

	p->count = measured < most ? measured : most;
	p->point = xcalloc((size_t)p->count + 1, sizeof *p->point);
	for (int64_t k = 0; k < p->count; k++)
		p->point[k] = trials->point + order[k] * space->axes;
	free(order);
}

/* The better of two by chance: they are in order. */
static const double *tournament(const struct parents *p, struct sampler_dice *dice)
{
	int64_t a = sampler_pick(dice, p->count), b = sampler_pick(dice, p->count);

	return p->point[a < b ? a : b];
}

static double inside(double at)
{
	return fmin(fmax(at, 0), nextafter(1, 0));
}

/* Simulated binary crossover, within [0, 1): Deb and Agrawal (1995), bounds as in NSGA-II's code.
 */
static double cross(double a, double b, struct sampler_dice *dice)
{
	double u = sampler_roll(dice), low = fmin(a, b), high = fmax(a, b), apart = high - low;
	bool upper = sampler_roll(dice) < 0.5;

	if (apart < 1e-14)
		return a;
	double beta = 1 + 2 * (upper ? 1 - high : low) / apart;
	double alpha = 2 - pow(beta, -(crossing_index + 1));
	double spread = u <= 1 / alpha ? pow(u * alpha, 1 / (crossing_index + 1))
	                               : pow(1 / (2 - u * alpha), 1 / (crossing_index + 1));
	return inside(0.5 * (low + high + (upper ? spread : -spread) * apart));
}

/* Polynomial mutation, within [0, 1). */
static double mutate(double at, struct sampler_dice *dice)
{
	double u = sampler_roll(dice), n = mutation_index + 1;

	if (u < 0.5)
		return inside(at + pow(2 * u + (1 - 2 * u) * pow(1 - at, n), 1 / n) - 1);
	return inside(at + 1 - pow(2 * (1 - u) + 2 * (u - 0.5) * pow(at, n), 1 / n));
}

static double mutate_axis(const struct sampler_axis *axis, double at, struct sampler_dice *dice)
{
	double count = (double)axis->count;

	if (!axis->count)
		return mutate(at, dice);
	if (axis->count < 2)
		return at;
	int64_t cell = (int64_t)(at * count);
	if (axis->ordered && sampler_roll(dice) < 0.5) /* to a neighbour */
		cell = cell == 0 || (cell + 1 < axis->count && sampler_roll(dice) < 0.5) ? cell + 1
		                                                                         : cell - 1;
	else /* to any other */
		cell = (cell + 1 + sampler_pick(dice, axis->count - 1)) % axis->count;
	return ((double)cell + 0.5) / count;
}

static double breed_axis(const struct sampler_axis *axis, double a, double b, bool crossing,
                         double mutation_rate, struct sampler_dice *dice)
{
	double at = a;

	if (isnan(a) && isnan(b))
		return inside(sampler_roll(dice));
	if (isnan(a) || isnan(b))
		at = isnan(a) ? b : a;
	else if (crossing && sampler_roll(dice) < 0.5)
		at = axis->count ? b : cross(a, b, dice);
	return sampler_roll(dice) < mutation_rate ? mutate_axis(axis, at, dice) : at;
}

static void breed(const struct sampler_space *space, const struct parents *p,
                  struct sampler_dice *dice, double *child)
{
	const double *a = tournament(p, dice), *b = tournament(p, dice);
	bool crossing = sampler_roll(dice) < crossing_rate;
	double rate = 1 / fmax(space->axes, 1);

	for (int i = 0; i < space->axes; i++)
		child[i] = sampler_counts(space, child, i)
		                   ? breed_axis(&space->axis[i], a[i], b[i], crossing, rate, dice)
		                   : NAN;
}

bool sampler_nsga2(const struct sampler_space *space, const struct sampler_trials *trials,
                   const struct sampler_options *options, int64_t number, double *point)
{
	enum { TRIES = 100 };
	struct sampler_dice dice = {
	        .stream = random_stream(options->seed, "nsga2", (uint64_t)number, 0)};
	struct parents parents = {0};
	bool found = false;

	if (number >= options->population)
		parents_choose(&parents, space, trials, options->population);
	for (int tries = 0; parents.count && !found && tries < TRIES; tries++) {
		breed(space, &parents, &dice, point);
		found = sampler_is_new(space, trials, point);
	}
	free(parents.point);
	return found || sampler_explore(space, trials, options->seed, number, point);
}
