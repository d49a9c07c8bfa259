/* Random tensors and comparisons, for tests of the tensor core. */
#ifndef TESTS_VALUES_H
#define TESTS_VALUES_H
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/tensor/op.h"
#include <math.h>

typedef struct tensor T;

static inline double uniform(uint64_t *state)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return (double)(*state >> 11) * 0x1p-53 - 0.5;
}

static inline T *values(enum dtype type, struct shape s, uint64_t seed)
{
	T *x = tensor_new(type, s);
	void *data = tensor_write(x);

	for (int64_t i = 0; i < shape_count(s); i++)
		if (type == F64)
			((double *)data)[i] = uniform(&seed);
		else
			((float *)data)[i] = (float)uniform(&seed);
	return x;
}

/* Puts random values on the tape, which owns them. */
static inline T *random_leaf(struct tape *t, enum dtype type, struct shape s, uint64_t seed)
{
	return tape_adopt(t, values(type, s, seed));
}

static inline double distance(T *a, T *b)
{
	double worst = 0, largest = 1e-12;

	assert_true(shape_equal(a->shape, b->shape));
	for (int64_t i = 0; i < shape_count(a->shape); i++) {
		worst = fmax(worst, fabs(tensor_at(a, i) - tensor_at(b, i)));
		largest = fmax(largest, fabs(tensor_at(a, i)));
	}
	return worst / largest;
}

static inline void assert_close(T *a, T *b, double tolerance)
{
	double d = distance(a, b);

	if (!(d <= tolerance))
		fail_msg("relative distance %g, allowed %g", d, tolerance);
}

static inline void assert_same_bits(T *a, T *b)
{
	assert_true(shape_equal(a->shape, b->shape) && a->type == b->type);
	assert_memory_equal(tensor_plain(a), tensor_plain(b),
	                    (size_t)shape_count(a->shape) * dtype_bytes(a->type));
}

/* Each test leaves as many bytes in use as it found. */
static size_t bytes_before;

static inline int count_bytes(void **state)
{
	bytes_before = storage_bytes_in_use();
	return 0;
}

static inline int nothing_is_left(void **state)
{
	return storage_bytes_in_use() == bytes_before ? 0 : -1;
}
#define LAW(f) cmocka_unit_test_setup_teardown(f, count_bytes, nothing_is_left)
#endif
