/* What can be said of a symmetric matrix over a model's parameters from its products with vectors:
 * the Hessian's trace and top eigenvalues. */
#ifndef FISHER_SPECTRUM_H
#define FISHER_SPECTRUM_H
#include "core/fisher/direction.h"

/* A vector over all parameters: part[p] of `elements`; null where the parameter does not vary. */
struct vector {
	double **part;
	int64_t *elements;
	int count;
};
struct vector vector_new(const struct model *m); /* zeros */
void vector_clear(struct vector *v);
void vector_free(struct vector *v);

/* The matrix: `multiply` sets out = H v; `done` says how many vectors of a trace, or rounds of an
 * eigenvalue, came before.  False ends what is being done, which then returns false too. */
struct matrix {
	const struct model *model;
	bool (*multiply)(void *context, const struct direction *v, int64_t done,
	                 struct vector *out);
	void *context;
	int64_t seed; /* of the vectors */
};

/* trace[p], error[p] (parameters): Hutchinson's estimate (1990) of each diagonal block's trace, the
 * mean of v' H v over so many vectors of +1 and -1, and its standard error (NaN for one vector). */
bool spectrum_traces(const struct matrix *h, int64_t vectors, double *trace, double *error);

/* An eigenvalue, and |H v - value v| for its vector v of length 1: so near is an eigenvalue. */
struct eigenvalue {
	double value, residual;
};

/* The `count` eigenvalues of largest magnitude by power iteration with deflation, and eigenvectors
 * of length 1 into vector[] (direction_release each, on true).  A round is the last when the
 * residual is below 5e-2 of the eigenvalue (which is then far nearer than that); there are
 * SPECTRUM_ROUNDS at most. */
enum { SPECTRUM_ROUNDS = 100 };
bool spectrum_top(const struct matrix *h, int count, struct eigenvalue *value,
                  struct direction *vector);
#endif
