/* Critical categories: the few that matter most, and the task of telling them from the others
 * (methods.md A1). */
#ifndef EVAL_CRITICAL_H
#define EVAL_CRITICAL_H
#include "core/base/error.h"
#include "core/base/json.h"
#include "core/data/dataset.h"
#include "core/eval/accuracy.h"
#include "core/tensor/op.h"

struct critical {
	int classes;
	int count;  /* m of them are critical, 0 < m < classes; 0: no such set */
	int *index; /* (count) the critical categories, in the order in which they were named */
	int *place; /* (classes) where in that order a category is; count: it is one of the others
	             */
};

/* From a list of names and indices of d's categories, or else of a group's name; both null: no
 * set.  One-line errors: a name or index that d has not (with the nearest), one named twice, all
 * categories critical, a data set without groups. */
int critical_init(struct critical *c, const cJSON *categories, const char *group,
                  const struct dataset *d, struct error *e);
void critical_release(struct critical *c);

/* logits (N, classes) -> (N, m + 1): the critical ones, then the largest of the others.  Gradients
 * reach that largest one, the first of equals. */
struct tensor *critical_logits(struct tape *t, struct tensor *logits, const struct critical *c);

/* labels I32 (N) -> I32 (N): the place among the critical ones, m for the others.  The caller's. */
struct tensor *critical_labels(struct tensor *labels, const struct critical *c);

/* The critical loss of each image (N): cross-entropy of these logits and labels.  The labels need
 * not be on the tape. */
struct tensor *critical_cross_entropy(struct tape *t, struct tensor *logits, struct tensor *labels,
                                      const struct critical *c);

/* Shares of images that are right, by ordinary top-1 predictions; NaN where there are no images. */
struct critical_figures {
	double accuracy;        /* of the images of critical categories */
	double others_accuracy; /* of the images of the others */
	double task_accuracy; /* of all, where confusing one of the others with another is right */
};
struct critical_figures critical_figures(const struct critical *c, const struct accuracy *a);
#endif
