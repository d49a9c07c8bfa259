/* Fisher information over training images, and the action that measures it. */
#ifndef TRAIN_MEASURE_H
#define TRAIN_MEASURE_H
#include "core/fisher/sums.h"
#include "core/train/trainer.h"

/* Sums over the first fisher.images training images (t->seen), of the model as q quantizes it
 * (null: full precision), into *s (fisher_sums_init with `diagonal`), equal on all ranks and
 * whatever their number.  Adds the rows that show how the total converges: "fisher_all",
 * "fisher_all_error" (and critical, where there is such a set) after 1, 2, 4, … images, `step`
 * being the images.  All ranks together.  LOOP_GOES_ON, and then the caller releases *s; or the
 * outcome of an order. */
int measure_fisher(struct trainer *t, const struct quantization *q, bool diagonal,
                   struct fisher_sums *s, struct error *e);

/* Figures and rows per layer (weights of convolutions and linear layers) of what was measured. */
void measure_report(struct trainer *t, const struct fisher_sums *s);

/* Action fisher: measures, and then does what train_run does with zero epochs. */
enum outcome measure_run(struct trainer *t, struct error *e);
#endif
