/* What starts the ranks of a job. */
#ifndef WORKER_LAUNCHER_H
#define WORKER_LAUNCHER_H

/* The words before "-n R": of "mpiexec" and "srun" those that work; null is one of these two,
 * srun in a Slurm job of several nodes; anything else stands for itself.  "{threads}" in a word is
 * for job_start to fill in. */
const char *launcher_words(const char *asked);
#endif
