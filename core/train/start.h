/* What a trial begins with: the weights of a file or parent, its bit-widths, and the teacher. */
#ifndef TRAIN_START_H
#define TRAIN_START_H
#include "core/train/trainer.h"

/* The file that the trial starts from, whole and the one that is meant; *path null: none.  All
 * ranks together. */
enum outcome start_find(struct trainer *t, const char **path, struct error *e);

/* Loads, from the file that the trial starts from (t->files.input, or start_from.file): the weights
 * unless the trial was resumed, the bit-widths when quant.bits says so, and the teacher when there
 * is distillation.  All ranks together.  INPUT_LOST: the parent's file is absent or damaged. */
enum outcome start_load(struct trainer *t, struct error *e);
#endif
