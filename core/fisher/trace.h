/* The Fisher trace per parameter in the plainest way, which fisher_sums_add is held against. */
#ifndef FISHER_TRACE_H
#define FISHER_TRACE_H
#include "core/models/model.h"

/* trace[p] = mean over images of |d loss_i / d w_p|^2, one gradient per image, inference mode, true
 * labels (methods.md A4); error[p] (may be null) is its standard error.  images (N, C, H, W) of the
 * model's type, labels I32 (N).  q null: full precision, else with respect to Q(W); a
 * learned step has none. */
void fisher_trace(const struct model *m, const struct backend *backend, struct tensor *images,
                  struct tensor *labels, const struct quantization *q, double *trace,
                  double *error);
#endif
