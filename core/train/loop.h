/* The training loop: epochs of updates, an evaluation after each, checkpoints, and the figures. */
#ifndef TRAIN_LOOP_H
#define TRAIN_LOOP_H
#include "core/train/trainer.h"

/* Trains from where t is to the end of the specification (zero epochs: evaluates), and leaves final
 * figures in t->result and files in t->artifact.  All ranks together; an order takes effect at the
 * next step boundary.  DONE, YIELD (a checkpoint is on disk), STOPPED, DIVERGED, REFUSE (disk),
 * with the reason in e. */
enum outcome train_run(struct trainer *t, struct error *e);

/* What an order makes of a run: an outcome, or LOOP_GOES_ON.  Checkpoints are written here. */
enum { LOOP_GOES_ON = -1 };
int loop_obey(struct trainer *t, enum order order, struct error *e);

/* A file that was written, as an artifact of the trial; takes the path over, on failure too. */
int loop_add_artifact(struct trainer *t, const char *name, char *path, struct error *e);
#endif
