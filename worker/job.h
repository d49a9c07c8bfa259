/* One trial as an MPI job: started, watched, told, ended; nothing of it is left behind.
 *
 * What is run, in the job's folder, in a process group of its own, with TRAWL_JOB=<mark> in the
 * environment of every process:
 *
 *   mpiexec.mpich -launcher fork -rmk user -n R trawl-trial --ranks R --trial T --attempt A
 *       --agent ipc://SOCKET --folder DIR [--resume FILE] [--input ROLE=FILE]… [--data ROOTS]
 *       [--pin auto|none] DIR/trial.json
 *
 * or srun in place of mpiexec (launcher.h), for ranks on several nodes; then DIR and the inputs lie
 * where all of them see it.  Signals that ask to leave (signals.h) are blocked in the launcher, and
 * so in ranks that it forks.
 *
 * What the program owes its agent: every rank sets PR_SET_PDEATHSIG to SIGKILL before anything
 * else; rank 0 connects a DEALER to SOCKET and sends JOB_HELLO, then the other JOB_* messages;
 * checkpoints and artifacts are written below DIR, fsynced and renamed before they are named, and
 * belong to the agent from then on (it removes them); the last thing written is DIR/outcome.json,
 * fsynced and renamed: {"kind": "job_done" | "job_ended", "body": {the message's body}}, before the
 * same message is sent.  JOB_ORDER comes back: stop (end without a checkpoint: outcome stopped),
 * yield (checkpoint, then outcome yield), checkpoint.  The exit status means nothing. */
#ifndef WORKER_JOB_H
#define WORKER_JOB_H
#include "core/base/error.h"
#include "worker/joblog.h"
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct job_options {
	const char *launcher; /* words as launcher_words has them, never read by a shell */
	const char *program;  /* trawl-trial */
	const char *socket;   /* ipc://…, where the agent listens */
	const char *data;     /* DIR[:DIR…]; may be null */
	const char *pin;      /* "auto" "none"; null: the program's default */
	const char *agent;    /* its name for this run: the first part of the mark */
	int64_t log_bytes_max;
};

struct job_input {
	const char *role, *path;
};

struct job_start {
	int64_t trial, attempt;
	int ranks, threads;
	int64_t until_epoch; /* 0: to its end */
	const char *folder;  /* DIR; holds trial.json */
	const char *resume;  /* checkpoint to go on from; may be null */
	const struct job_input *inputs;
	size_t input_count;
};

struct job {
	pid_t pid;  /* of the launcher, leader of its process group; 0 once it was waited for */
	int status; /* of the launcher, as from waitpid */
	bool by_srun;
	char *mark; /* AGENT/TRIAL-ATTEMPT/ */
	struct joblog log;
};

/* Forks and executes; call it in the main thread only, since the launcher gets a signal when the
 * thread that forked it ends. */
int job_start(struct job *j, const struct job_options *o, const struct job_start *s,
              struct error *e);

/* Whether the launcher has ended; takes its status the first time. */
bool job_ended(struct job *j);

/* SIGKILL to the process group and to everything that bears the mark; waits until all are gone (a
 * second at most; srun, which ends ranks elsewhere, has five before that).  Returns how many are
 * left here. */
size_t job_kill(struct job *j);

/* Memory of all its processes together (the sum of their proportional set sizes), or, where it is
 * well below the limit, something not below it that costs less to find out.  -1: there are none. */
int64_t job_memory_bytes(const struct job *j, int64_t limit_bytes);

/* Kills what is left of it. */
void job_release(struct job *j);
#endif
