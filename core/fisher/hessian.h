/* The Hessian of a model's loss, through exact products with vectors: the gradient's graph is
 * differentiated once more. */
#ifndef FISHER_HESSIAN_H
#define FISHER_HESSIAN_H
#include "core/eval/critical.h"
#include "core/fisher/direction.h"

/* out[p] (elements of parameter p; null: skipped) += H v, with H of the sum over the images of
 * cross-entropy (c null) or of that among critical categories, in inference mode, with respect to
 * Q(W).  images (n, C, H, W) of the model's type, labels I32 (n). */
void hessian_product(const struct model *m, const struct quantization *q, const struct critical *c,
                     const struct backend *backend, struct tensor *images, struct tensor *labels,
                     const struct direction *v, double *const out[]);
#endif
