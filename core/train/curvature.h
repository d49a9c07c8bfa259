/* The Hessian over training images: its trace per layer, and its top eigenvalues. */
#ifndef TRAIN_CURVATURE_H
#define TRAIN_CURVATURE_H
#include "core/fisher/hessian.h"
#include "core/train/trainer.h"

/* Of the mean loss L_A over the first fisher.hessian_images training images, of the model as q
 * quantizes it (null: full precision).  All ranks together,
 * results equal on all and whatever their number.  LOOP_GOES_ON, or the outcome of an order. */

/* trace[p], error[p] (parameters): Hutchinson's estimate of each diagonal block's trace by so many
 * vectors, and its standard error over them (NaN for one vector). */
int curvature_traces(struct trainer *t, const struct quantization *q, int64_t vectors,
                     double *trace, double *error, struct error *e);

/* The `count` eigenvalues of largest magnitude by power iteration with deflation, and eigenvectors
 * of length 1 into vector[] (direction_release each, on LOOP_GOES_ON).  An iteration ends when the
 * eigenvalue changes by less than 1e-3 of itself, after 50 rounds at most. */
int curvature_top(struct trainer *t, const struct quantization *q, int count, double *value,
                  struct direction *vector, struct error *e);

/* Layer rows "hessian_trace", "hessian_trace_error", figures "hessian_trace" and
 * "hessian_eigenvalue_1", … as far as fisher.hessian_vectors and fisher.eigenvalues ask. */
int curvature_report(struct trainer *t, struct error *e);
#endif
