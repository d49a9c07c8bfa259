/* What is said of a batch of images, in inference: the one way by which trials are evaluated. */
#ifndef TRAIN_PREDICT_H
#define TRAIN_PREDICT_H
#include "core/train/trainer.h"

struct prediction {
	int64_t n;
	int classes;
	float *logits; /* (n, classes) the class probabilities are their softmax */
	double *score; /* (n, SCORES) */
};

/* Of images (n, C, H, W), the first of which is number `first` of its set, by the trial's model as
 * it is, quantized where it is; by eval.dropout_samples passes with dropout, or by an ensemble: the
 * mean of their class probabilities.  Release with prediction_release. */
void predict(const struct trainer *t, struct tensor *images, int64_t first, struct prediction *out);
void prediction_release(struct prediction *p);
#endif
