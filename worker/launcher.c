/* What starts the ranks of a job. */
#include "worker/launcher.h"
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* In both, what was measured to be needed.  mpiexec: without -rmk it asks Slurm's variables for
 * nodes, and in a job of two of them dies of a division by zero.  srun: without --mpi R ranks are R
 * times "rank 0 of 1"; without --overlap steps wait for each other's CPUs; rank 0 has to be where
 * the agent is, on the first node; CPUs per task would be those of the agent's step; and by its
 * environment a rank is known as part of the job (process.h). */
static const struct {
	const char *name, *words;
} rows[] = {
        {"mpiexec", "mpiexec.mpich -launcher fork -rmk user"},
        {"srun",
         "srun --overlap --mpi=pmi2 --relative=0 --distribution=block --cpus-per-task={threads} "
         "--cpu-bind=none --kill-on-bad-exit=1 --export=ALL"},
};
enum { MPIEXEC, SRUN, ROWS };

const char *launcher_words(const char *asked)
{
	const char *nodes = getenv("SLURM_JOB_NUM_NODES");

	if (!asked)
		return rows[nodes && atoi(nodes) > 1 ? SRUN : MPIEXEC].words;
	for (int i = 0; i < ROWS; i++)
		if (strcmp(rows[i].name, asked) == 0)
			return rows[i].words;
	return asked;
}
