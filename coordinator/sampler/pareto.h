/* Several objectives at once; all are losses, smaller is better. */
#ifndef SAMPLER_PARETO_H
#define SAMPLER_PARETO_H
#include <stdbool.h>
#include <stdint.h>

/* Not worse in any objective, and better in one. */
bool pareto_dominates(const double *a, const double *b, int objectives);

/* rank[i]: 0 for what nothing dominates, 1 for what only those dominate, … (Deb et al. 2002). */
void pareto_rank(const double *loss, int64_t count, int objectives, int64_t *rank);

/* How far apart the neighbours of each are, of the same rank, summed over the objectives as shares
 * of their ranges; the ends of an objective: infinity. */
void pareto_crowding(const double *loss, const int64_t *rank, int64_t count, int objectives,
                     double *distance);

/* All by rank, then by crowding, farthest apart first, then by index. */
void pareto_order(const double *loss, int64_t count, int objectives, int64_t *order);

/* The same; but of three objectives or more, where crowding says little, the rank that does not fit
 * whole into the first `most` is thinned by hypervolume: next is what adds the most to those of its
 * rank that are in, up to a reference that is worse than its worst by twice its range. */
void pareto_order_by_volume(const double *loss, int64_t count, int objectives, int64_t most,
                            int64_t *order);

/* The volume that is dominated, up to `reference`; what is not below it everywhere adds nothing.
 * By slices: exact, for a few objectives. */
double pareto_hypervolume(const double *loss, int64_t count, int objectives,
                          const double *reference);
#endif
