/* What n submodels say together of each image: its class, and whether it is of the distribution at
 * all (methods.md B3). */
#ifndef SPLIT_SUBTASK_SCORE_H
#define SPLIT_SUBTASK_SCORE_H
#include "core/split/subtasks.h"
#include "core/tensor/tensor.h"

/* Where results go, (batch) each; null: not wanted. */
struct subtask_scores {
	int32_t *predicted; /* the class with the largest own logit, the first of equals */
	double *id;         /* p(predicted) (1 - p(outside)) by the softmax of its submodel */
	double *id_max;     /* the largest such product of all classes */
};

/* From logits (batch, K_i + 1) of each submodel, F32 or F64; computed in double.  Large means
 * in-distribution. */
void subtask_score(const struct subtasks *s, struct tensor *const logits[],
                   const struct subtask_scores *out);
#endif
