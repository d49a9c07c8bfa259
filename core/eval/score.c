/* How sure a classifier is that an image is of its distribution. */
#include "core/eval/score.h"
#include <math.h>

const struct score_row score_rows[SCORES] = {
        [SCORE_MAX_SOFTMAX] = {"max_softmax", "the largest class probability"},
        [SCORE_MAX_LOGIT] = {"max_logit", "the largest logit"},
        [SCORE_ENERGY] = {"energy", "log of the sum of the exponentials of the logits"},
        [SCORE_SUBTASK] = {"subtask",
                           "p(class) (1 - p(outside)) of the predicted class's submodel"},
        [SCORE_SUBTASK_MAX] = {"subtask_max", "the largest such product of all classes"},
};

static double largest(const float *z, int classes)
{
	double most = (double)z[0];

	for (int k = 1; k < classes; k++)
		most = fmax(most, (double)z[k]);
	return most;
}

static double log_sum_exp(const float *z, int classes)
{
	double most = largest(z, classes), sum = 0;

	for (int k = 0; k < classes; k++)
		sum += exp((double)z[k] - most);
	return most + log(sum);
}

void score_logits(const float *logits, const float *raw, int64_t n, int classes, double *score)
{
	for (int64_t i = 0; i < n; i++, logits += classes, raw += classes, score += SCORES) {
		for (int k = 0; k < SCORES; k++)
			score[k] = NAN;
		score[SCORE_MAX_SOFTMAX] =
		        exp(largest(logits, classes) - log_sum_exp(logits, classes));
		score[SCORE_MAX_LOGIT] = largest(raw, classes);
		score[SCORE_ENERGY] = log_sum_exp(raw, classes);
	}
}
