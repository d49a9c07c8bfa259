/* Action allocate: a bit-width for each layer within a budget (methods.md A5), and an evaluation.
 */
#ifndef TRAIN_ALLOCATE_H
#define TRAIN_ALLOCATE_H
#include "core/train/trainer.h"

/* Measures, at full precision, what the scheme needs; chooses the bits exactly; quantizes the model
 * with them, and does what train_run does with zero epochs: so the weights it leaves name the bits,
 * for trials with quant.bits input.  Layer rows: "sensitivity_<b>" (Omega), "perturbation_<b>".
 * All ranks together. */
enum outcome allocate_run(struct trainer *t, struct error *e);
#endif
