/* Checkpoints: all that a training needs to go on with the same bits, in one safetensors file.
 *
 * Weights and running statistics under their own names, so that any reader of safetensors can use
 * them; "optimizer.*" its state; "trawl.position" (F64) the position and the sums of the epoch
 * under way; metadata: identity, numerics class, bits of quantized weights, metrics so far.  There
 * are no random streams to keep: random numbers are functions of seed, epoch and sample. */
#ifndef TRAIN_CHECKPOINT_H
#define TRAIN_CHECKPOINT_H
#include "core/train/trainer.h"

/* Writes FOLDER/checkpoint-STEP.safetensors from rank 0, atomically, tells the observer, removes
 * older ones beyond checkpoint.keep.  All ranks together; on failure the old ones are untouched. */
int checkpoint_save(struct trainer *t, struct error *e);

/* The same tensors as the result: without what was measured by the clock, so that equal trainings
 * write equal files.  Rank 0 only. */
int checkpoint_save_final(const struct trainer *t, const char *path, struct error *e);

/* Goes back to where the checkpoint was written.  Rank 0 reads, all ranks get it.  Fails with one
 * line when the file is damaged or belongs to another trial; then nothing was changed on any rank.
 * Another numerics class is a warning. */
int checkpoint_resume(struct trainer *t, const char *path, struct error *e);

/* Weights and running statistics alone, into m, of any file with the model's names.  Rank 0 reads,
 * all ranks get it. */
int checkpoint_load_model(const struct trainer *t, struct model *m, const char *path,
                          struct error *e);
#endif
