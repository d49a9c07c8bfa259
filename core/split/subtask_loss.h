/* The loss of n submodels that each tell their own classes from "outside" (methods.md B2, equations
 * 1 to 4), in ops: differentiable to any order that the ops are.
 *
 * Logits of submodel i are (batch, K_i + 1): its classes in their places, then "outside". */
#ifndef SPLIT_SUBTASK_LOSS_H
#define SPLIT_SUBTASK_LOSS_H
#include "core/split/subtasks.h"
#include "core/tensor/op.h"

struct subtask_objective {
	double beta;              /* of class weights, 0 … 1; 0: all weights are one */
	double samples_per_class; /* s, of the training set */
	double lambda;            /* of the cross-entropy over all classes */
	bool one_hot; /* images from outside are "outside" and nothing else, not equation 1 */
};

/* Equation 1: (batch, K_i + 1) for I32 labels (batch).  Of the group: one-hot.  Outside it: 1 / N
 * for each of its classes and (N - K_i) / N for "outside", or one-hot too.  The caller's. */
struct tensor *subtask_target(const struct subtasks *s, int submodel, struct tensor *labels,
                              bool one_hot, enum dtype type);

/* Equation 2 into weight[K_i + 1]: (1 - b) / (1 - b^s) for its classes, (1 - b) / (1 - b^((N - K_i)
 * s)) for "outside"; scaled to mean one. */
void subtask_class_weight(const struct subtasks *s, int submodel, double beta,
                          double samples_per_class, double *weight);

/* Equation 3, a scalar: binary cross-entropy of each logit, weighed by weight (K_i + 1), summed
 * over the logits, mean over the batch.  Stable for logits of any size, smooth at 0. */
struct tensor *subtask_loss(struct tape *t, struct tensor *logits, struct tensor *target,
                            struct tensor *weight);

/* (batch, classes): each class's logit from its own submodel, in the original order. */
struct tensor *subtask_own_logits(struct tape *t, const struct subtasks *s,
                                  struct tensor *const logits[]);

/* L_i: the same with the submodel's targets and weights, for labels I32 (batch). */
struct tensor *subtask_loss_of(struct tape *t, const struct subtasks *s, int submodel,
                               const struct subtask_objective *o, struct tensor *logits,
                               struct tensor *labels);

/* Equation 4 and its terms. */
struct subtask_losses {
	struct tensor *subtask[SUBTASKS_MAX]; /* L_i, scalars */
	struct tensor *own;                   // (batch, classes) own logits
	struct tensor *cross_entropy;         // (batch) of own logits and labels
	struct tensor *total;                 /* sum_i L_i + lambda mean cross-entropy, a scalar */
};

/* Labels I32 (batch) need not be on the tape. */
struct subtask_losses subtask_losses(struct tape *t, const struct subtasks *s,
                                     const struct subtask_objective *o,
                                     struct tensor *const logits[], struct tensor *labels);
#endif
