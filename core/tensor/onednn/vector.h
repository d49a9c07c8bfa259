/* Functions for processors with AVX2 and FMA, or with AVX-512, and code written once for both. */
#ifndef ONEDNN_VECTOR_H
#define ONEDNN_VECTOR_H
#include <immintrin.h>
#include <stdbool.h>

#define AVX2   __attribute__((target("avx2,fma")))
#define AVX512 __attribute__((target("avx512f,avx2,fma")))

static inline bool avx2_works(void)
{
	return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

static inline bool avx512_works(void)
{
	return avx2_works() && __builtin_cpu_supports("avx512f");
}

/* A file that is compiled once for vectors of 8 floats and once for 16, with LANES defined as the
 * number: VECTOR is their type, OP(add_ps) an operation, and functions that use them are marked
 * WITH_VECTORS. */
#define VECTOR_8      __m256
#define VECTOR_16     __m512
#define OP_8(op)      _mm256_##op
#define OP_16(op)     _mm512_##op
#define TARGET_8      AVX2
#define TARGET_16     AVX512
#define JOIN_(a, b)   a##b
#define JOIN(a, b)    JOIN_(a, b)
#define VECTOR        JOIN(VECTOR_, LANES)
#define OP(op)        JOIN(OP_, LANES)(op)
#define WITH_VECTORS  JOIN(TARGET_, LANES)
#define VECTOR_INLINE WITH_VECTORS static inline __attribute__((always_inline))
#endif
