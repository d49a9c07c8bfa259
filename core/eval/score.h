/* How sure a classifier is that an image is of its distribution: scores, one row each. */
#ifndef EVAL_SCORE_H
#define EVAL_SCORE_H
#include <stdint.h>

/* A higher score means in-distribution. */
enum score {
	SCORE_MAX_SOFTMAX,
	SCORE_MAX_LOGIT,
	SCORE_ENERGY,
	SCORE_SUBTASK,     /* of submodels that know an outside: core/split/subtask_score.h */
	SCORE_SUBTASK_MAX, /* the same */
	SCORES
};
struct score_row {
	const char *name, *help;
};
extern const struct score_row score_rows[SCORES];

/* score (n, SCORES): max_softmax of logits (n, classes), of which the softmax are the class
 * probabilities; max_logit and energy of raw (n, classes), the same or, where probabilities were
 * averaged, the mean of what they came from.  The others become NaN: not known here. */
void score_logits(const float *logits, const float *raw, int64_t n, int classes, double *score);
#endif
