/* What the files of the reference back end share.
 *
 * Each of them is read twice by the compiler: it includes itself with REAL double, then with REAL
 * float, and NAME(f) is f of that type.  KERNEL(op) chooses between the two by the node's type. */
#ifndef TENSOR_REF_H
#define TENSOR_REF_H
#include "core/tensor/tape.h"

/* Widest vectors that the machine has, chosen when the program starts; the same bits on all, since
 * nothing is contracted or reassociated. */
#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define WIDE __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define WIDE
#endif

#define OP(name, inputs, outputs, vjp) kernel_fn ref_##name;
#include "core/tensor/ops.def"
#undef OP

#define KERNEL(op)                                    \
	bool ref_##op(struct tape *t, struct node *n) \
	{                                             \
		if (ref_is_f64(n))                    \
			op##_f64(n);                  \
		else                                  \
			op##_f32(n);                  \
		return true;                          \
	}
bool ref_is_f64(const struct node *n); /* asserts that otherwise it is F32 */

/* Up to three operands walked together in the order of the first: rows of `length` elements, each
 * operand moving by step[] within a row.  Steps are 0 where an operand is stretched.  Dimensions
 * that all operands cross evenly are merged, so that rows are long. */
enum { OPERANDS = 3 };
struct walk {
	int n; /* dimensions outside the row */
	int64_t d[TENSOR_DIMS], at[TENSOR_DIMS];
	int64_t outer[OPERANDS][TENSOR_DIMS], step[OPERANDS], offset[OPERANDS];
	int64_t length, rows;
};
void strides_of(struct shape s, int64_t stride[]);                          /* row-major */
void strides_aligned(struct shape small, struct shape s, int64_t stride[]); /* as NumPy stretches */
void walk_init(struct walk *w, struct shape s, int64_t *const stride[], int operands);
void walk_next(struct walk *w); /* to the next row */

/* Calls of the two below, in the type at hand. */
#define GEMM      NAME(gemm)
#define TRANSPOSE NAME(transpose)
/* c (m,n) += a (m,k) b (k,n), row-major. */
void gemm_f64(int64_t m, int64_t n, int64_t k, const double *a, const double *b, double *c);
void gemm_f32(int64_t m, int64_t n, int64_t k, const float *a, const float *b, float *c);
/* y (n,m) = x (m,n) transposed */
void transpose_f64(int64_t m, int64_t n, const double *x, double *y);
void transpose_f32(int64_t m, int64_t n, const float *x, float *y);
#endif
