/* A tree that grows: between epochs, branches whose submodels need different weights are split, and
 * filters go until the whole costs no more than its budget (methods.md B4 to B6). */
#ifndef TRAIN_SPLITTING_H
#define TRAIN_SPLITTING_H
#include "core/train/trainer.h"

/* After the batches of an epoch and before its evaluation: looks for splits when it is time to
 * (split.interval, split.until) and this epoch has not been looked at.  All ranks together.
 * LOOP_GOES_ON, or an outcome as loop_obey gives it, with t as it was before. */
int splitting_look(struct trainer *t, struct error *e);

/* Before the first step; fails, saying what could be reached, when not even the tree as it is can
 * be brought down to prune.flops, or when no look would. */
int splitting_check(const struct trainer *t, struct error *e);
#endif
