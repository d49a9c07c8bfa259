/* Whether a classifier's probabilities mean what they say: ECE, Brier score, NLL.
 *
 * Probabilities are the softmax of the logits (of an ensemble's mean probabilities p, give log p).
 * As in accuracy.h, every sample's outcome is kept, so that parts merge to the same bits. */
#ifndef EVAL_CALIBRATION_H
#define EVAL_CALIBRATION_H
#include "core/eval/accuracy.h"

struct calibration {
	struct accuracy accuracy; /* accuracy_top1; accuracy_loss is the negative log-likelihood */
	double *confidence;       /* (count) probability of the predicted class */
	double *brier;            /* (count) sum_k (p_k - [k is the label])^2, 0 … 2 */
};
enum { CALIBRATION_BINS = 15 };

/* As accuracy_init, accuracy_add, accuracy_merge. */
void calibration_init(struct calibration *c, int64_t count, int classes);
void calibration_release(struct calibration *c);
void calibration_add(struct calibration *c, int64_t first, const double *logits,
                     const int32_t *labels, int64_t n);
void calibration_merge(struct calibration *c, const struct calibration *part);

/* Expected calibration error: sum over bins (k / bins, (k + 1) / bins] of confidence, of the bin's
 * share of the samples times |its accuracy - its mean confidence|.  0 … 1; NaN without samples or
 * with logits that are no numbers. */
double calibration_error(const struct calibration *c, int bins);

/* Mean over samples; NaN without any. */
double calibration_brier(const struct calibration *c);
#endif
