/* What layers' inputs range over: calibrated before the first step, moved with every step. */
#ifndef TRAIN_CALIBRATE_H
#define TRAIN_CALIBRATE_H
#include "core/train/trainer.h"

/* Sets the ranges from the first quant.calibration_batches batches of eval.batch training images,
 * not augmented, in evaluation mode, weights quantized and inputs not: the moving average of the
 * batches' extremes, or the mean of their percentiles.  Nothing to do without quantized inputs.
 * All ranks together, each a part of the batches; the ranks change nothing. */
int calibrate(struct trainer *t, struct error *e);

/* Whether ranges go on moving in training: those of the average do, those of percentiles stay. */
bool calibrate_moves(const struct trainer *t);

/* Moves the ranges by one batch, of which `seen` has (shards, parameters); of `batch` samples:
 * shards without any do not count. */
void calibrate_move(struct trainer *t, const struct range *seen, int64_t batch);

/* Ranges of which every rank has some, and zeros for the others', brought to all. */
void calibrate_merge(const struct trainer *t, struct range *seen, int64_t count);
#endif
