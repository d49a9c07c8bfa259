/* The Fisher trace: as a measure per parameter, and as a regularizer with its exact gradient. */
#ifndef FISHER_REGULARIZER_H
#define FISHER_REGULARIZER_H
#include "core/models/model.h"

/* R = sum over trainable parameters |dL/dQ(W)|^2 (methods.md A6): a scalar on the tape that can be
 * differentiated.  loss is a scalar that depends on f->used. */
struct tensor *fisher_regularizer(struct forward *f, struct tensor *loss);

/* Gradients of loss + lambda R with respect to the raw parameters f->raw, into out[] (tape tensors,
 * one per parameter; null where it is not trainable).  Consumes the tape.  *regularizer (may be
 * null) gets R; with lambda 0, R is not computed and reads 0. */
void loss_gradient(struct forward *f, struct tensor *loss, double lambda, struct tensor **out,
                   double *regularizer);

/* trace[p] = mean over images of |d loss_i / d w_p|^2, one gradient per image, inference mode, true
 * labels (methods.md A4); error[p] (may be null) is its standard error.  images (N, C, H, W) of the
 * model's type, labels I32 (N).  q null: full precision, else with respect to Q(W). */
void fisher_trace(const struct model *m, const struct backend *backend, struct tensor *images,
                  struct tensor *labels, const struct quantization *q, double *trace,
                  double *error);
#endif
