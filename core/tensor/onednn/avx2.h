/* Functions for processors with AVX2 and FMA; avx2_works() before calling one. */
#ifndef ONEDNN_AVX2_H
#define ONEDNN_AVX2_H
#include <immintrin.h>
#include <stdbool.h>

#define AVX2        __attribute__((target("avx2,fma")))
#define AVX2_INLINE AVX2 static inline __attribute__((always_inline))

static inline bool avx2_works(void)
{
	return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}
#endif
