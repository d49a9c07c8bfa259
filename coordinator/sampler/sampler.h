/* Searches that learn: what to try next, from what was tried.
 *
 * A sampler is a pure function of (space, trials so far, seed, number): the database is all its
 * state.  It works in the unit cube, an axis a coordinate; what coordinates stand for is the
 * sweep's business (sweep_axis_at, sweep_axis_place). */
#ifndef SAMPLER_SAMPLER_H
#define SAMPLER_SAMPLER_H
#include "core/base/random.h"
#include <stdbool.h>
#include <stdint.h>

struct sampler_axis {
	int64_t count; /* of equal cells that [0, 1) is divided into; 0: all points differ */
	bool ordered;  /* neighbouring cells are alike; else each is a category */
};

/* A point has a coordinate in [0, 1) for every axis that counts there, and NaN for the others. */
struct sampler_space {
	const struct sampler_axis *axis;
	int axes, objectives;
	/* Whether axis `axis` counts, given the coordinates before it; null: always. */
	bool (*counts)(void *context, const double *point, int axis);
	bool (*allows)(void *context, const double *point); /* null: every point */
	void *context;
};

enum sampler_outcome {
	SAMPLED_PENDING,    /* not ended */
	SAMPLED_MEASURED,   /* has losses */
	SAMPLED_INFEASIBLE, /* ended without: failed, or did not fit into memory */
};

/* Trials in the order of their numbers. */
struct sampler_trials {
	int64_t count;
	double *point; /* (count, axes) */
	double *loss;  /* (count, objectives), smaller is better; of measured ones only */
	enum sampler_outcome *outcome;
};

struct sampler_options {
	int64_t seed;
	int64_t startup;    /* TPE: so many points evenly spread come first */
	int64_t population; /* NSGA-II: the same, and the number of those that breed */
};

/* What trial `number` is to try, into point[axes].  False: no point is left that was not tried
 * already, or none that the space allows was found. */
typedef bool sampler(const struct sampler_space *space, const struct sampler_trials *trials,
                     const struct sampler_options *options, int64_t number, double *point);

/* Multivariate tree-structured Parzen estimator.  Trials are parted into the best
 * min(ceil(n / 10), 25) and all others; pending and infeasible ones are among the others.  l and g
 * are mixtures, a kernel for each trial that is a product over the axes, and one for the prior; of
 * 64 draws from l the one with the largest l / g is next.  Bergstra et al., "Algorithms for
 * hyper-parameter optimization" (2011); kernels of all axes at once: Falkner et al., "BOHB" (2018);
 * weights and prior as in Optuna, widths of our own: 0.13 n^(-1 / (axes + 4)), at least 0.01.
 * Several objectives: the best by pareto_order_by_volume. */
sampler sampler_tpe;

/* NSGA-II (Deb et al. 2002) without generations, so that it never waits: parents are the best
 * `population` of all measured trials, by rank and crowding; binary tournament, simulated binary
 * crossover, polynomial mutation.  Steady state: Durillo et al., "On the effect of the steady-state
 * selection scheme in multi-objective genetic algorithms" (2009). */
sampler sampler_nsga2;

/* By search.kind; null for a kind whose trials hang on their numbers alone. */
sampler *sampler_find(const char *kind);

/* ---- for samplers ---- */

/* Draws one after the other. */
struct sampler_dice {
	struct random_stream stream;
	uint64_t drawn;
};
double sampler_roll(struct sampler_dice *d);                   /* [0, 1) */
int64_t sampler_pick(struct sampler_dice *d, int64_t options); /* 0 … options - 1 */

/* Point `number` of a scrambled Sobol sequence, or one by chance (again > 0, or too many axes). */
void sampler_spread(const struct sampler_space *space, int64_t seed, int64_t number, int again,
                    double *point);

/* Whether an axis counts, given the coordinates before it. */
bool sampler_counts(const struct sampler_space *space, const double *point, int axis);
/* Allowed, and not tried already. */
bool sampler_is_new(const struct sampler_space *space, const struct sampler_trials *trials,
                    const double *point);
/* Measured trials, the best first, into order[count]; how many.  best(loss, measured, objectives,
 * order) is pareto_order or its like. */
int64_t sampler_best(const struct sampler_space *space, const struct sampler_trials *trials,
                     void (*best)(const double *, int64_t, int, int64_t *), int64_t *order);

/* The first new point that sampler_spread finds. */
bool sampler_explore(const struct sampler_space *space, const struct sampler_trials *trials,
                     int64_t seed, int64_t number, double *point);
#endif
