/* Batch norms folded into the convolutions before them, for models that are only evaluated. */
#ifndef MODELS_FOLD_H
#define MODELS_FOLD_H
#include "core/models/model.h"

/* W' = W gamma / sqrt(running variance + eps) per output channel, beta' = beta - gamma running mean
 * / sqrt(…), of every convolution and the norm that follows it in definition order.  The norms stay
 * as beta' alone: scale 1, mean 0, and the variance of which the square root with eps is 1.  So the
 * model computes the same in evaluation, within rounding, and under the same names; folding again
 * changes no bit.  Sets m->folded. */
void model_fold(struct model *m);

/* Makes all norms such as compute x + beta. */
void fold_clear_norms(struct model *m);

/* Whether folding leaves nothing of parameter or buffer i (model_item) to store. */
bool fold_drops(const struct model *m, int i);

/* The name of item i of a folded model in an export: beta' is its convolution's "X.bias".  The
 * caller's to free. */
char *fold_name(const struct model *m, int i);
#endif
