/* Agents as jobs of Slurm: the batch script that starts them. */
#ifndef COORDINATOR_SUBMIT_H
#define COORDINATOR_SUBMIT_H
#include "core/base/error.h"
#include <stdint.h>

/* What is asked for.  Texts may be null but for worker and connect; zeros leave it to Slurm. */
struct submit {
	int64_t agents; /* each is a job of one array, that begins, is preempted and ends by itself
	                 */
	int64_t at_a_time;      /* of them; 0: all */
	int64_t nodes;          /* of each agent; with several its ranks are started by srun */
	int64_t ranks, threads; /* of each agent, and of each rank */
	int64_t memory_mb;      /* of each node */
	int64_t gpus;           /* of each node */
	int64_t leave_s;        /* how long leaving may take */
	int64_t idle_s;         /* an agent leaves after so long without work */
	const char *worker;     /* trawl-worker, as nodes see it */
	const char *connect;    /* the coordinator, as nodes reach it */
	const char *key, *server_key; /* a key file, and the coordinator's public key or its file */
	const char *partition, *account, *time, *name, *output;
	const char *labels; /* A[,B…] */
	const char *work, *data;
	const char *const *more; /* options of sbatch, each "--name=value" */
	int more_count;
};

/* The seconds that a --time of sbatch means: minutes, M:S, H:M:S, D-H, D-H:M or D-H:M:S; -1 when it
 * is none of these. */
int64_t submit_seconds(const char *time);

/* The script, or null and what is wrong.  No text that was given is ever read as anything but
 * itself, neither by the shell nor by sbatch.  Free with free(). */
char *submit_script(const struct submit *s, struct error *e);
#endif
