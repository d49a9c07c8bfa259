/* By hand, what a trial needs is trained first, as the coordinator would have it done. */
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

/* The same of the members of an ensemble, in FILES->folder/member0 …: weights[i] of member i. */
enum outcome members_train(const cJSON *trial, const struct trial_files *files,
                           const struct observer *observer, const struct parallel *p,
                           char *weights[MEMBERS_MAX], struct error *e);
#endif
