/* What a trial prints for a person: progress lines, a line per epoch, the final table. */
#ifndef WORKER_TRIAL_PRINT_H
#define WORKER_TRIAL_PRINT_H
#include "core/train/trainer.h"

/* On a terminal one line that is written over; otherwise a line every few seconds. */
void trial_print_progress(const struct progress *p);
void trial_print_epoch(const struct result *r, int first);
void trial_print_final(const struct trainer *t);
#endif
