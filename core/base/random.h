/* Counter-based random numbers: Philox 4x32-10 (Salmon et al., SC 2011), no state to carry.
 *
 * A value is a function of (seed, purpose, a, b, element) alone: never of ranks, threads or what
 * ran before.  `purpose` is a name such as "shuffle", "crop", "init"; a and b are what the value
 * belongs to: epoch and sample index, or random_name("layer1.0.conv1.weight") and 0. */
#ifndef BASE_RANDOM_H
#define BASE_RANDOM_H
#include <stdint.h>

struct random_stream {
	uint32_t key[2], upper[2]; /* Philox's key, and the upper half of its counter */
};

/* The stream of what has this seed, purpose and owner. */
struct random_stream random_stream(int64_t seed, const char *purpose, uint64_t a, uint64_t b);
uint64_t random_name(const char *name); /* a name as a number (FNV-1a) */

/* Element by element, in any order. */
uint64_t random_bits(const struct random_stream *s, uint64_t element);
double random_uniform(const struct random_stream *s, uint64_t element); /* [0, 1), 53 bits */
double random_normal(const struct random_stream *s, uint64_t element);  /* Box-Muller */
uint64_t random_below(const struct random_stream *s, uint64_t element,
                      uint64_t limit); /* unbiased */

/* Fisher-Yates of 0 … count-1 into order[]. */
void random_permutation(const struct random_stream *s, int64_t *order, int64_t count);
void philox4x32_10(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);
#endif
