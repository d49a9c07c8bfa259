/* The Fisher-trace regularizer: its value, and the gradient of a loss that has it as a term. */
#ifndef FISHER_REGULARIZER_H
#define FISHER_REGULARIZER_H
#include "core/models/model.h"

/* What a pass leaves to differentiate, scalars on the pass's tape: the loss to minimise, and the
 * loss whose gradient's norm is the term (L_F where categories are critical).  May be the same. */
struct losses {
	struct tensor *loss, *term;
};

struct regularizer {
	double lambda;   /* 0: none */
	bool difference; /* gradient of R by a finite difference, else exactly */
	double radius;   /* of the difference: length of the step along g */
};

/* R = sum over trainable parameters, learned steps of quantizers left out, |dL/dQ(W)|^2 (methods.md
 * A6): a scalar on the tape that can be differentiated.  loss is a scalar that depends on f->used.
 */
struct tensor *fisher_regularizer(struct forward *f, struct tensor *loss);

/* Gradients of loss + lambda R(term) with respect to the raw parameters f->raw, into out[] (tape
 * tensors, one per parameter; null where it is not trainable).  Exact: the gradient graph is
 * differentiated.  Consumes the tape.  *regularizer (may be null) gets R; with lambda 0, R is not
 * computed and reads 0. */
void loss_gradient(struct forward *f, struct losses l, double lambda, struct tensor **out,
                   double *regularizer);

/* Makes the same losses again on f's tape, from parameters that have moved. */
typedef struct losses losses_fn(void *self, struct forward *f);

/* The same with dR = 2 H g taken as 2 |g| (grad(Q(W) + radius g / |g|) - g) / radius (methods.md
 * A6): two plain passes in place of a second derivative.  Only the losses of `again` are used, so
 * batch statistics stay those of f. */
void loss_gradient_difference(struct forward *f, struct losses l, const struct regularizer *r,
                              losses_fn *again, void *self, struct tensor **out,
                              double *regularizer);
#endif
