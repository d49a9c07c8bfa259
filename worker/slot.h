/* A holding with what it has on this machine: a folder, a job, the way to its rank 0. */
#ifndef WORKER_SLOT_H
#define WORKER_SLOT_H
#include "worker/holding.h"
#include "worker/job.h"

struct slot {
	struct holding *holding;
	char *folder; /* <work>/<agent>/<trial>-<attempt> */
	struct job job;
	bool started;      /* job is valid */
	int64_t exited_ms; /* when its processes were found gone; 0: not yet */
	int64_t oom_kills; /* of this machine's kernel, when it began */
	void *route;       /* of rank 0 */
	size_t route_bytes;
};

/* Takes the holding. */
struct slot *slot_new(struct holding *h, const char *agent_folder);

/* Kills what runs; removes the folder. */
void slot_free(struct slot *s);

/* Writes trial.json and starts the job; files lie in `cache` under their digests. */
int slot_start(struct slot *s, const struct job_options *o, const char *cache, struct error *e);

/* Looks whether the job is over.  True once, when its processes are gone, its pipe is empty, and
 * rank 0's last word was heard or cannot come any more. */
bool slot_over(struct slot *s, int64_t now_ms);

/* What was found then.  Release x. */
void slot_exit(const struct slot *s, struct holding_exit *x);
void holding_exit_release(struct holding_exit *x);
#endif
