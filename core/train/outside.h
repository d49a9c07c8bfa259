/* How well a trial's scores tell its test images from images of other distributions. */
#ifndef TRAIN_OUTSIDE_H
#define TRAIN_OUTSIDE_H
#include "core/train/trainer.h"

/* After the last evaluation: opens the sets of ood.sets one after the other, evaluates each, and
 * leaves figures and curves in t->result; `auroc` is the mean over the sets, by the score that t's
 * kind of model is told apart by.  All ranks together.  LOOP_GOES_ON, or an outcome as loop_obey
 * gives it; REFUSE when a set cannot be read here. */
int outside_evaluate(struct trainer *t, struct error *e);
#endif
