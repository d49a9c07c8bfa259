/* Sobol points with Owen's scrambling: a sequence that fills the unit cube evenly. */
#ifndef BASE_SOBOL_H
#define BASE_SOBOL_H
#include <stdint.h>

enum { SOBOL_DIMENSIONS = 32 };

/* Point `index` of the sequence without scrambling, a fraction of 2^32.  Points are in the order of
 * their index's bits, not of its Gray code. */
uint32_t sobol_point(uint32_t index, int dimension);

/* Coordinate `dimension` of point `index` (below 2^32), in (0, 1).  Any 2^k points from a multiple
 * of 2^k on have one in each of 2^k equal parts of every axis.  Direction numbers: Joe and Kuo,
 * "Constructing Sobol sequences with better two-dimensional projections" (2008); scrambling: Owen,
 * "Randomly permuted (t,m,s)-nets and (t,s)-sequences" (1995), a function of the seed. */
double sobol_coordinate(int64_t seed, uint32_t index, int dimension);
#endif
