/* What samplers have in common: points, chance, the table of kinds. */
#include "coordinator/sampler/sampler.h"
#include "core/base/sobol.h"
#include "core/base/text.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const struct {
	const char *kind;
	sampler *next;
} samplers[] = {{"tpe", sampler_tpe}, {"nsga2", sampler_nsga2}};

sampler *sampler_find(const char *kind)
{
	for (size_t i = 0; i < sizeof samplers / sizeof *samplers; i++)
		if (strcmp(samplers[i].kind, kind) == 0)
			return samplers[i].next;
	return NULL;
}

double sampler_roll(struct sampler_dice *d)
{
	return random_uniform(&d->stream, d->drawn++);
}

int64_t sampler_pick(struct sampler_dice *d, int64_t options)
{
	return (int64_t)random_below(&d->stream, d->drawn++, (uint64_t)options);
}

bool sampler_counts(const struct sampler_space *space, const double *point, int axis)
{
	return !space->counts || space->counts(space->context, point, axis);
}

void sampler_spread(const struct sampler_space *space, int64_t seed, int64_t number, int again,
                    double *point)
{
	struct sampler_dice dice = {
	        .stream = random_stream(seed, "explore", (uint64_t)number, (uint64_t)again)};
	bool sobol = again == 0 && space->axes <= SOBOL_DIMENSIONS;

	for (int i = 0; i < space->axes; i++)
		point[i] = !sampler_counts(space, point, i) ? NAN
		           : sobol ? sobol_coordinate(seed, (uint32_t)number, i)
		                   : sampler_roll(&dice);
}

static bool same_place(const struct sampler_axis *axis, double a, double b)
{
	if (isnan(a) || isnan(b))
		return isnan(a) && isnan(b);
	return axis->count
	               ? (int64_t)(a * (double)axis->count) == (int64_t)(b * (double)axis->count)
	               : a == b;
}

bool sampler_is_new(const struct sampler_space *space, const struct sampler_trials *trials,
                    const double *point)
{
	int i;

	if (space->allows && !space->allows(space->context, point))
		return false;
	for (int64_t k = 0; k < trials->count; k++) {
		const double *other = trials->point + k * space->axes;
		for (i = 0; i < space->axes && same_place(space->axis + i, point[i], other[i]); i++)
			;
		if (i == space->axes)
			return false;
	}
	return true;
}

int64_t sampler_best(const struct sampler_space *space, const struct sampler_trials *trials,
                     void (*best)(const double *, int64_t, int, int64_t *), int64_t *order)
{
	int64_t measured = 0, m = space->objectives;
	int64_t *which = xcalloc((size_t)trials->count + 1, sizeof *which);
	double *loss = xcalloc((size_t)(trials->count * m) + 1, sizeof *loss);

	for (int64_t i = 0; i < trials->count; i++) {
		if (trials->outcome[i] != SAMPLED_MEASURED)
			continue;
		memcpy(loss + measured * m, trials->loss + i * m, (size_t)m * sizeof *loss);
		which[measured++] = i;
	}
	best(loss, measured, (int)m, order);
	for (int64_t k = 0; k < measured; k++)
		order[k] = which[order[k]];
	free(which);
	free(loss);
	return measured;
}

bool sampler_explore(const struct sampler_space *space, const struct sampler_trials *trials,
                     int64_t seed, int64_t number, double *point)
{
	enum { DRAWS_MOST = 1000 };

	for (int again = 0; again < DRAWS_MOST; again++) {
		sampler_spread(space, seed, number, again, point);
		if (sampler_is_new(space, trials, point))
			return true;
	}
	return false;
}
