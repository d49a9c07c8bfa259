/* Top-1 accuracy and mean loss, from what became of every sample.
 *
 * The outcome of each sample is kept, and summed only at the end and in sample order.  So however
 * batches, shards and ranks cut the set, the result has the same bits. */
#ifndef EVAL_ACCURACY_H
#define EVAL_ACCURACY_H
#include <stdint.h>

/* Sample by sample, in the order of the data set.  All three arrays are zero where a sample was not
 * evaluated yet: parts evaluated by different ranks are merged by adding the arrays. */
struct accuracy {
	int64_t count;
	int classes;
	double *loss;       /* (count) cross-entropy, in nats */
	int32_t *predicted; /* (count) class + 1; classes + 1 when the logits were not numbers */
	int32_t *label;     /* (count) class + 1 */
};

/* For a set of count samples, none of them evaluated yet. */
void accuracy_init(struct accuracy *a, int64_t count, int classes);
void accuracy_release(struct accuracy *a);

/* Samples from first on: logits (n, classes), labels (n).  Of equal logits the first wins. */
void accuracy_add(struct accuracy *a, int64_t first, const double *logits, const int32_t *labels,
                  int64_t n);

/* Adds what another accumulator of the same set evaluated; no sample may be in both. */
void accuracy_merge(struct accuracy *a, const struct accuracy *part);

/* Over the samples evaluated; NaN when there are none. */
int64_t accuracy_evaluated(const struct accuracy *a);
double accuracy_top1(const struct accuracy *a); /* 0 … 1 */
double accuracy_loss(const struct accuracy *a); /* mean cross-entropy, nats */

/* Of the samples with that label: how many there are (may be null), and the share predicted. */
double accuracy_of_class(const struct accuracy *a, int label, int64_t *count);
#endif
