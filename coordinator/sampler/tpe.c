/* The tree-structured Parzen estimator, of all axes at once. */
#include "coordinator/sampler/pareto.h"
#include "coordinator/sampler/sampler.h"
#include "core/base/text.h"
#include <math.h>
#include <stdlib.h>

enum { CANDIDATES = 64, GOOD_MOST = 25 };

/* A mixture over the cube: a kernel for each of its trials, and one more for the prior.  Where an
 * axis does not count for a kernel's trial, its factor is the prior's. */
struct density {
	const struct sampler_space *space;
	int64_t kernels;
	const double **point; /* null: the prior */
	double *weight;       /* their logarithms, normalised over what has any */
	double width;         /* standard deviation of all kernels but the prior's */
};

static double normal_cdf(double z)
{
	return 0.5 * erfc(-z * M_SQRT1_2);
}

/* The inverse by Newton's steps from a rational start: Abramowitz and Stegun 26.2.23. */
static double normal_quantile(double p)
{
	double tail = p < 0.5 ? p : 1 - p, t = sqrt(-2 * log(fmax(tail, 1e-300)));
	double z = t - (2.515517 + 0.802853 * t + 0.010328 * t * t) /
	                       (1 + 1.432788 * t + 0.189269 * t * t + 0.001308 * t * t * t);

	for (int i = 0; i < 3; i++)
		z += (0.5 * erfc(z * M_SQRT1_2) - tail) * sqrt(2 * M_PI) * exp(z * z / 2);
	return p < 0.5 ? -z : z;
}

static int64_t cell_of(const struct sampler_axis *axis, double at)
{
	return (int64_t)(at * (double)axis->count);
}

static double middle_of(const struct sampler_axis *axis, int64_t cell)
{
	return ((double)cell + 0.5) / (double)axis->count;
}

/* A kernel's normal distribution on an ordered axis, cut to [0, 1]. */
struct cut {
	double mean, width, low, mass; /* cdf at 0, and what lies between 0 and 1 */
};

static struct cut cut_at(const struct density *d, const double *point, int axis)
{
	const struct sampler_axis *a = &d->space->axis[axis];
	struct cut c = {.mean = 0.5, .width = 1};

	if (point && !isnan(point[axis])) {
		c.mean = a->count ? middle_of(a, cell_of(a, point[axis])) : point[axis];
		c.width = d->width;
	}
	c.low = normal_cdf(-c.mean / c.width);
	c.mass = normal_cdf((1 - c.mean) / c.width) - c.low;
	return c;
}

/* What one observation weighs on its category, beside the prior's even shares. */
static double category_share(const struct density *d, const double *point, int axis, int64_t cell)
{
	double count = (double)d->space->axis[axis].count, prior = 1 / (double)d->kernels;

	if (!point || isnan(point[axis]))
		return 1 / count;
	bool here = cell_of(&d->space->axis[axis], point[axis]) == cell;
	return (here + prior) / (1 + prior * count);
}

/* A kernel's height, without the 1 / width that would make its area one.  So l / g is a ratio of
 * neighbours, (good + 1) / (others + 1) where the prior is the one, and far from all trials it is
 * not decided by which of two vanishing tails is the thicker.  (With areas of one the medians of
 * tests/bench/search are worse throughout, the sphere's by a third.) */
static double log_factor(const struct density *d, const double *point, int axis, double at)
{
	const struct sampler_axis *a = &d->space->axis[axis];

	if (a->count && !a->ordered)
		return log(category_share(d, point, axis, cell_of(a, at)));
	struct cut c = cut_at(d, point, axis);
	if (!a->count) {
		double z = (at - c.mean) / c.width;
		return -z * z / 2 - log(sqrt(2 * M_PI) * c.mass);
	}
	double low = (double)cell_of(a, at) / (double)a->count, high = low + 1 / (double)a->count;
	double share = normal_cdf((high - c.mean) / c.width) - normal_cdf((low - c.mean) / c.width);
	return log(fmax(share, 1e-300) / c.mass);
}

/* Of heights: see log_factor. */
static double log_density(const struct density *d, const double *at)
{
	double sum = 0, most = -INFINITY;

	for (int64_t k = 0; k < d->kernels; k++) {
		double term = d->weight[k];
		for (int i = 0; i < d->space->axes; i++)
			term += isnan(at[i]) ? 0 : log_factor(d, d->point[k], i, at[i]);
		sum = term > most ? sum * exp(most - term) + 1 : sum + exp(term - most);
		most = fmax(most, term);
	}
	return most + log(sum);
}

static double draw_axis(const struct density *d, const double *point, int axis,
                        struct sampler_dice *dice)
{
	const struct sampler_axis *a = &d->space->axis[axis];
	double u = sampler_roll(dice);

	if (a->count && !a->ordered) {
		int64_t cell = 0;
		while (cell + 1 < a->count && (u -= category_share(d, point, axis, cell)) >= 0)
			cell++;
		return middle_of(a, cell);
	}
	struct cut c = cut_at(d, point, axis);
	double at = c.mean + c.width * normal_quantile(c.low + u * c.mass);
	at = fmin(fmax(at, 0), nextafter(1, 0));
	return a->count ? middle_of(a, cell_of(a, at)) : at;
}

static void draw(const struct density *d, struct sampler_dice *dice, double *point)
{
	double u = sampler_roll(dice);
	int64_t k = 0;

	while (k + 1 < d->kernels && (u -= exp(d->weight[k])) >= 0)
		k++;
	for (int i = 0; i < d->space->axes; i++)
		point[i] = sampler_counts(d->space, point, i) ? draw_axis(d, d->point[k], i, dice)
		                                              : NAN;
}

/* The last 25 weigh one each, those before the less the older they are. */
static double weight_by_age(int64_t index, int64_t count)
{
	enum { RECENT = 25 };
	int64_t old = count - RECENT;

	if (index >= old || old < 2)
		return 1;
	double least = 1 / (double)count;
	return least + (1 - least) * (double)index / (double)(old - 1);
}

/* Of the trials listed, in the order of their numbers. */
static void density_make(struct density *d, const struct sampler_space *space,
                         const struct sampler_trials *trials, const int64_t *list, int64_t count)
{
	double total = 1, n = fmax((double)count, 1);

	*d = (struct density){.space = space, .kernels = count + 1};
	d->point = xcalloc((size_t)count + 1, sizeof *d->point);
	d->weight = xcalloc((size_t)count + 1, sizeof *d->weight);
	for (int64_t i = 0; i < count; i++) {
		d->point[i] = trials->point + list[i] * space->axes;
		total += d->weight[i] = weight_by_age(i, count);
	}
	d->weight[count] = 1;
	for (int64_t i = 0; i <= count; i++)
		d->weight[i] = log(d->weight[i] / total);
	d->width = fmax(0.13 * pow(n, -1 / ((double)space->axes + 4)), 0.01);
}

static void density_release(struct density *d)
{
	free(d->point);
	free(d->weight);
}

static int64_t good_ones(int64_t measured)
{
	int64_t tenth = (measured + 9) / 10;

	return tenth < GOOD_MOST ? tenth : GOOD_MOST;
}

static void by_volume(const double *loss, int64_t count, int objectives, int64_t *order)
{
	pareto_order_by_volume(loss, count, objectives, good_ones(count), order);
}

/* good[i]: trial i is among the best; how many were measured. */
static int64_t part(const struct sampler_space *space, const struct sampler_trials *trials,
                    bool *good)
{
	int64_t *order = xcalloc((size_t)trials->count + 1, sizeof *order);
	int64_t measured = sampler_best(space, trials, by_volume, order);

	for (int64_t k = 0; k < good_ones(measured); k++)
		good[order[k]] = true;
	free(order);
	return measured;
}

/* From here on there are OTHERS_MOST others: those before weigh next to nothing (weight_by_age). */
static int64_t recent_others(const struct sampler_trials *trials, const bool *good)
{
	enum { OTHERS_MOST = 2000 };
	int64_t first = trials->count, others = 0;

	while (first > 0 && others < OTHERS_MOST)
		others += !good[--first];
	return first;
}

static void densities_make(struct density pair[2], const struct sampler_space *space,
                           const struct sampler_trials *trials, const bool *good)
{
	int64_t *list = xcalloc((size_t)trials->count + 1, sizeof *list);

	for (int side = 0; side < 2; side++) {
		int64_t count = 0, first = side ? recent_others(trials, good) : 0;
		for (int64_t i = first; i < trials->count; i++)
			if (good[i] == (side == 0))
				list[count++] = i;
		density_make(pair + side, space, trials, list, count);
	}
	free(list);
}

bool sampler_tpe(const struct sampler_space *space, const struct sampler_trials *trials,
                 const struct sampler_options *options, int64_t number, double *point)
{
	struct sampler_dice dice = {
	        .stream = random_stream(options->seed, "tpe", (uint64_t)number, 0)};
	bool *good = xcalloc((size_t)trials->count + 1, sizeof *good), found = false;
	double *drawn = xcalloc((size_t)space->axes + 1, sizeof *drawn), most = -INFINITY;
	struct density pair[2];

	if (number < options->startup || !part(space, trials, good)) {
		free(good);
		free(drawn);
		return sampler_explore(space, trials, options->seed, number, point);
	}
	densities_make(pair, space, trials, good);
	for (int tries = 0, fine = 0; fine < CANDIDATES && tries < 10 * CANDIDATES; tries++) {
		draw(pair, &dice, drawn);
		if (!sampler_is_new(space, trials, drawn))
			continue;
		double gain = log_density(pair, drawn) - log_density(pair + 1, drawn);
		fine++;
		if (found && gain <= most)
			continue;
		for (int i = 0; i < space->axes; i++)
			point[i] = drawn[i];
		most = gain;
		found = true;
	}
	density_release(pair);
	density_release(pair + 1);
	free(good);
	free(drawn);
	return found || sampler_explore(space, trials, options->seed, number, point);
}
