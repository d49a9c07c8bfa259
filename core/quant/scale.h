/* Where the scale of a row of weights comes from: pure functions of the sizes |w|. */
#ifndef QUANT_SCALE_H
#define QUANT_SCALE_H
#include <stdint.h>

/* The element of rank ceil(percentile / 100 * count) of values in rising order (the least that at
 * least so many percent do not exceed).  Reorders the values.  count >= 1. */
double percentile_of(double *value, int64_t count, double percentile);

/* The scale s of codes within ±top that minimises sum (s min(round(v / s), top) - v)^2 over sizes
 * v >= 0, searched below the largest size m: s = m k / (80 top) for k = 4 … 80 and then 12 golden
 * sections between the neighbours of the best k.  The error has many local minima: no other s of
 * the grid is better, and near the best one none is by much.  0 when all sizes are. */
double least_square_scale(const double *size, int64_t count, int top);

/* 2 mean(v) / sqrt(top): where a learned step starts (Esser et al. 2020, section 2.1). */
double learned_step_start(const double *size, int64_t count, int top);
#endif
