/* Action landscape: the loss along lines and in planes around the weights, and an evaluation. */
#ifndef TRAIN_LANDSCAPE_H
#define TRAIN_LANDSCAPE_H
#include "core/train/trainer.h"

/* Leaves points (slices "random", "hessian", "random_plane", "hessian_plane"; metrics "loss" and,
 * where there are critical categories, "critical_loss": means over landscape.images) in t->result,
 * then what train_run leaves.  All ranks together; an order between two points ends it, to be made
 * anew. */
enum outcome landscape_run(struct trainer *t, struct error *e);
#endif
