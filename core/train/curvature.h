/* The Hessian over training images: its trace per layer, and its top eigenvalues. */
#ifndef TRAIN_CURVATURE_H
#define TRAIN_CURVATURE_H
#include "core/fisher/spectrum.h"
#include "core/train/trainer.h"

/* Of the mean loss L_A over the first fisher.hessian_images training images, of the model as q
 * quantizes it (null: full precision), as spectrum.h finds them.  All ranks together, results equal
 * on all and whatever their number.  LOOP_GOES_ON, or the outcome of an order. */

/* trace[p], error[p] (parameters), from so many vectors. */
int curvature_traces(struct trainer *t, const struct quantization *q, int64_t vectors,
                     double *trace, double *error, struct error *e);

/* The `count` top eigenvectors (direction_release each, on LOOP_GOES_ON); their eigenvalues become
 * figures "hessian_eigenvalue_1", … and "hessian_residual_1", …. */
int curvature_top(struct trainer *t, const struct quantization *q, int count,
                  struct direction *vector, struct error *e);

/* Layer rows "hessian_trace", "hessian_trace_error", figure "hessian_trace", and eigenvalues, as
 * far as fisher.hessian_vectors and fisher.eigenvalues ask. */
int curvature_report(struct trainer *t, struct error *e);
#endif
