/* Philox 4x32-10 and what is drawn from it. */
#include "core/base/random.h"
#include "core/base/hash.h"
#include <assert.h>
#include <math.h>
#include <string.h>

static void philox_round(uint32_t c[4], uint32_t k0, uint32_t k1)
{
	uint64_t p0 = (uint64_t)0xD2511F53u * c[0], p1 = (uint64_t)0xCD9E8D57u * c[2];
	uint32_t c1 = c[1], c3 = c[3];

	c[0] = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
	c[1] = (uint32_t)p1;
	c[2] = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
	c[3] = (uint32_t)p0;
}

void philox4x32_10(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4])
{
	uint32_t k0 = key[0], k1 = key[1];

	memmove(out, counter, 4 * sizeof *out);
	for (int round = 0; round < 10; round++) {
		philox_round(out, k0, k1);
		k0 += 0x9E3779B9u;
		k1 += 0xBB67AE85u;
	}
}

static uint64_t join(uint32_t low, uint32_t high)
{
	return (uint64_t)high << 32 | low;
}

uint64_t random_name(const char *name)
{
	return fnv1a(name, strlen(name));
}

/* Two blocks turn (seed, purpose, a, b) into 128 bits, which select one of 2^128 streams. */
struct random_stream random_stream(int64_t seed, const char *purpose, uint64_t a, uint64_t b)
{
	uint64_t s = (uint64_t)seed, p = random_name(purpose);
	uint32_t first[4] = {(uint32_t)s, (uint32_t)(s >> 32), (uint32_t)p, (uint32_t)(p >> 32)};
	uint32_t second[4] = {(uint32_t)a, (uint32_t)(a >> 32), (uint32_t)b, (uint32_t)(b >> 32)};

	philox4x32_10(first, (const uint32_t[2]){0, 0}, first);
	for (int i = 0; i < 2; i++)
		second[i + 2] ^= first[i + 2];
	philox4x32_10(second, first, second);
	return (struct random_stream){{second[0], second[1]}, {second[2], second[3]}};
}

static void block(const struct random_stream *s, uint64_t element, uint32_t attempt,
                  uint32_t out[4])
{
	uint32_t counter[4] = {(uint32_t)element, (uint32_t)(element >> 32), s->upper[0],
	                       s->upper[1] + attempt};

	philox4x32_10(counter, s->key, out);
}

uint64_t random_bits(const struct random_stream *s, uint64_t element)
{
	uint32_t out[4];

	block(s, element, 0, out);
	return join(out[0], out[1]);
}

double random_uniform(const struct random_stream *s, uint64_t element)
{
	return (double)(random_bits(s, element) >> 11) * 0x1p-53;
}

double random_normal(const struct random_stream *s, uint64_t element)
{
	uint32_t out[4];

	block(s, element, 0, out);
	double u = ((double)(join(out[0], out[1]) >> 11) + 1) * 0x1p-53; /* (0, 1] */
	double v = (double)(join(out[2], out[3]) >> 11) * 0x1p-53;
	return sqrt(-2 * log(u)) * cos(2 * M_PI * v);
}

/* Lemire's method: the high half of bits * limit, drawn again where the low half is short. */
uint64_t random_below(const struct random_stream *s, uint64_t element, uint64_t limit)
{
	assert(limit > 0);
	uint64_t threshold = -limit % limit;
	uint32_t out[4];

	for (uint32_t attempt = 0;; attempt++) {
		block(s, element, attempt, out);
		unsigned __int128 product = (unsigned __int128)join(out[0], out[1]) * limit;
		if ((uint64_t)product >= threshold)
			return (uint64_t)(product >> 64);
	}
}

void random_permutation(const struct random_stream *s, int64_t *order, int64_t count)
{
	for (int64_t i = 0; i < count; i++)
		order[i] = i;
	for (int64_t i = count - 1; i > 0; i--) {
		int64_t j = (int64_t)random_below(s, (uint64_t)i, (uint64_t)i + 1);
		int64_t held = order[i];
		order[i] = order[j];
		order[j] = held;
	}
}
