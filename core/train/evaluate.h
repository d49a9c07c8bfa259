/* Evaluation: what a trial's model says of each image of a set. */
#ifndef TRAIN_EVALUATE_H
#define TRAIN_EVALUATE_H
#include "core/eval/calibration.h"
#include "core/eval/score.h"

/* Sample by sample, in the order of the set. */
struct evaluation {
	struct calibration calibration; /* and its accuracy */
	double *score;                  /* (count, SCORES) */
};
void evaluation_release(struct evaluation *e);

#endif
