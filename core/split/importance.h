/* How important filters are to submodels, and which of them all submodels can spare (methods.md
 * B5, equation 7). */
#ifndef SPLIT_IMPORTANCE_H
#define SPLIT_IMPORTANCE_H
#include "core/tensor/tensor.h"

/* Equation 7, added to importance[O]: (sum_s w_s dL_i/dw_s)^2 of each filter, a row of the weight
 * (O, …).  Called once a batch, it sums over batches. */
void importance_add(double *importance, struct tensor *weight, struct tensor *gradient);

/* The order in which filters may go, lowest score first, equal ones as the caller likes.
 *
 * Importances of different submodels are losses of different subtasks: their sizes cannot be
 * compared, their ranks can.  So each submodel ranks all filters on its path (those whose `member`
 * mask has it) by its importance: the percentile rank, (filters below + half of the equal ones) /
 * filters, in 0 … 1.  score[f] is the largest rank that any submodel on f gives it.  To let all
 * filters go up to a score of q is then the paper's rule: every submodel offers the least important
 * share q of its path, and a shared filter goes only when all of its submodels offer it.
 *
 * importance (filters, submodels), row-major; entries of submodels that are not on the filter are
 * not read.  What is no number counts as most important.  A filter on nobody's path scores 0. */
void importance_agree(const double *importance, const uint32_t *member, int64_t filters,
                      int submodels, double *score);
#endif
