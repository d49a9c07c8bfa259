/* The signals by which people and schedulers ask a program to leave. */
#ifndef WORKER_SIGNALS_H
#define WORKER_SIGNALS_H
#include <signal.h>
#include <stdbool.h>

/* All of them, as a set to block or to wait for. */
void leave_signals(sigset_t *set);

/* Whether a second one means: at once.  A person's does.  A scheduler's does not: Slurm sends its
 * SIGTERM to every process of a step, and again when its grace is over, and then kills anyway. */
bool leave_signal_hurries(int number);
#endif
