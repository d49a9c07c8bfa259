/* By hand, a trial's parent is trained first, as the coordinator would have it done. */
#ifndef WORKER_PARENT_H
#define WORKER_PARENT_H
#include "core/train/trainer.h"

/* The weights of the trial that start_from.change describes:
 * FILES->folder/parent/weights.safetensors, trained there first (its own parent before it), gone on
 * with from its last checkpoint, or used as it is when it is finished.  All ranks together;
 * *weights is the caller's to free. */
enum outcome parent_train(const cJSON *trial, const struct trial_files *files,
                          const struct observer *observer, const struct parallel *p, char **weights,
                          struct error *e);
#endif
