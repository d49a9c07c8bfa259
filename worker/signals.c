/* The signals by which people and schedulers ask a program to leave. */
#include "worker/signals.h"
#include <stddef.h>
#include <stdlib.h>

static const struct {
	int number;
	bool hurries, but_not_in_slurm;
} rows[] = {
        {SIGINT, true, false}, /* Ctrl-C */
        {SIGTERM, true, true}, /* kill, systemd; Slurm at preemption, requeue and walltime */
        {SIGUSR1, false,
         false}, /* what `trawl worker submit` has Slurm send; Grid Engine's -notify */
        {SIGUSR2, false, false}, /* Grid Engine's -notify, before it kills */
        {SIGXCPU, false, false}, /* a soft limit of CPU time, the kernel's or a scheduler's */
};
enum { ROWS = sizeof rows / sizeof *rows };

void leave_signals(sigset_t *set)
{
	sigemptyset(set);
	for (size_t i = 0; i < ROWS; i++)
		sigaddset(set, rows[i].number);
}

bool leave_signal_hurries(int number)
{
	for (size_t i = 0; i < ROWS; i++)
		if (rows[i].number == number)
			return rows[i].hurries &&
			       !(rows[i].but_not_in_slurm && getenv("SLURM_JOB_ID"));
	return false;
}
