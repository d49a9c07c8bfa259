/* Sobol points with Owen's scrambling. */
#include "core/base/sobol.h"
#include "core/base/random.h"
#include <assert.h>

enum { BITS = 32, DEGREE_MOST = 7 };

/* A primitive polynomial x^degree + … + 1, its inner coefficients as bits, and the first direction
 * numbers.  Of dimensions 1 to 31; dimension 0 is the bits of the index in reverse. */
static const struct direction {
	uint32_t degree, inner, first[DEGREE_MOST];
} directions[SOBOL_DIMENSIONS - 1] = {
        {1, 0, {1}},
        {2, 1, {1, 3}},
        {3, 1, {1, 3, 1}},
        {3, 2, {1, 1, 1}},
        {4, 1, {1, 1, 3, 3}},
        {4, 4, {1, 3, 5, 13}},
        {5, 2, {1, 1, 5, 5, 17}},
        {5, 4, {1, 1, 5, 5, 5}},
        {5, 7, {1, 1, 7, 11, 19}},
        {5, 11, {1, 1, 5, 1, 1}},
        {5, 13, {1, 1, 1, 3, 11}},
        {5, 14, {1, 3, 5, 5, 31}},
        {6, 1, {1, 3, 3, 9, 7, 49}},
        {6, 13, {1, 1, 1, 15, 21, 21}},
        {6, 16, {1, 3, 1, 13, 27, 49}},
        {6, 19, {1, 1, 1, 15, 7, 5}},
        {6, 22, {1, 3, 1, 15, 13, 25}},
        {6, 25, {1, 1, 5, 5, 19, 61}},
        {7, 1, {1, 3, 7, 11, 23, 15, 103}},
        {7, 4, {1, 3, 7, 13, 13, 15, 69}},
        {7, 7, {1, 1, 3, 13, 7, 35, 63}},
        {7, 8, {1, 3, 5, 9, 1, 25, 53}},
        {7, 14, {1, 3, 1, 13, 9, 35, 107}},
        {7, 19, {1, 3, 1, 5, 27, 61, 31}},
        {7, 21, {1, 1, 5, 11, 19, 41, 61}},
        {7, 28, {1, 3, 5, 3, 3, 13, 69}},
        {7, 31, {1, 1, 7, 13, 1, 19, 1}},
        {7, 32, {1, 3, 7, 5, 13, 19, 59}},
        {7, 37, {1, 1, 3, 9, 25, 29, 41}},
        {7, 41, {1, 3, 5, 13, 23, 1, 55}},
        {7, 42, {1, 3, 7, 3, 13, 59, 17}},
};

/* v[k]: what bit k of the index contributes, most significant bit first. */
static void direction_vectors(int dimension, uint32_t v[BITS])
{
	const struct direction *d = &directions[dimension - 1];

	for (uint32_t k = 0; k < BITS; k++) {
		if (k < d->degree) {
			v[k] = d->first[k] << (BITS - 1 - k);
			continue;
		}
		v[k] = v[k - d->degree] ^ (v[k - d->degree] >> d->degree);
		for (uint32_t j = 1; j < d->degree; j++)
			v[k] ^= (d->inner >> (d->degree - 1 - j) & 1) * v[k - j];
	}
}

uint32_t sobol_point(uint32_t index, int dimension)
{
	uint32_t v[BITS], x = 0;

	assert(dimension >= 0 && dimension < SOBOL_DIMENSIONS);
	for (uint32_t k = 0; k < BITS; k++)
		v[k] = 1u << (BITS - 1 - k);
	if (dimension)
		direction_vectors(dimension, v);
	for (uint32_t k = 0; k < BITS; k++)
		x ^= (index >> k & 1) * v[k];
	return x;
}

/* Each bit is flipped or not, by chance, given the bits above it. */
static uint32_t scramble(int64_t seed, uint32_t x, int dimension)
{
	uint32_t flips = 0;

	for (uint32_t k = 0; k < BITS; k++) {
		struct random_stream s = random_stream(seed, "sobol", (uint64_t)dimension, k);
		uint64_t above = k ? x >> (BITS - k) : 0;
		flips |= (uint32_t)(random_bits(&s, above) & 1) << (BITS - 1 - k);
	}
	return x ^ flips;
}

double sobol_coordinate(int64_t seed, uint32_t index, int dimension)
{
	return ((double)scramble(seed, sobol_point(index, dimension), dimension) + 0.5) /
	       4294967296.0;
}
