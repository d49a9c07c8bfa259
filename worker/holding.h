/* One attempt that the agent holds: what it is at, what is wanted of it, what is owed for it.
 *
 *   FETCH --all files here--> RUN --its processes are gone--> OVER --acknowledged--> forgotten
 *
 * Pure: every function takes the time and adds to `acts` what is to be done; agent.c does it. */
#ifndef WORKER_HOLDING_H
#define WORKER_HOLDING_H
#include "worker/act.h"
#include "worker/outbox.h"
#include "worker/transfer.h"

enum holding_phase { HOLDING_FETCH, HOLDING_RUN, HOLDING_OVER };
enum holding_wish { WISH_RUN, WISH_YIELD, WISH_STOP };

struct holding {
	int64_t trial, attempt;
	enum holding_phase phase;
	enum holding_wish wish; /* only ever grows */
	int64_t wish_ms;        /* since when; 0: as always */
	cJSON *lease;           /* its entry of ORDERS: spec, token, resume, inputs */
	int64_t slots, ranks, threads, memory_mb, stall_ms, grace_ms, until_epoch;
	int64_t fetches; /* files still to come */
	cJSON *progress; /* the last JOB_PROGRESS, or null */
	int64_t started_ms,
	        moved_ms; /* moved: the last time that its step, epoch or phase changed */
	bool connected;   /* rank 0 has said hello */
	bool killed;
	const char *killed_as; /* the outcome that our kill stands for, or null */
	char *killed_why;
	cJSON *end; /* JOB_DONE's or JOB_ENDED's body */
	bool end_done;
	int64_t end_ms;
	struct outbox outbox;
};

/* What the edge found when the job's processes were gone. */
struct holding_exit {
	const cJSON *outcome;        /* outcome.json, or null */
	const char *log;             /* the last lines */
	bool by_host;                /* signs that the host killed it */
	char log_sha256[SHA256_HEX]; /* of the log file; empty: none */
	char *log_path;
	int64_t log_bytes;
};

/* From an entry of ORDERS with "spec"; starts fetching, or, when nothing is to be fetched, the job.
 */
struct holding *holding_new(const cJSON *lease, const char *agent, int64_t now_ms,
                            struct acts *acts);
void holding_free(struct holding *h);

/* The coordinator's (or our own) wish; a stop forgets what is not acknowledged. */
void holding_order(struct holding *h, const char *agent, enum holding_wish wish, int64_t now_ms,
                   struct acts *acts);
void holding_fetched(struct holding *h, const char *agent, const struct transfer_result *r,
                     int64_t now_ms, struct acts *acts);
void holding_stored(struct holding *h, const char *agent, const struct transfer_result *r,
                    struct acts *acts);

/* Whether bytes of that digest are still to be sent for it. */
bool holding_owes(const struct holding *h, const char *sha256);

/* JOB_* from rank 0. */
void holding_message(struct holding *h, const char *agent, enum wire_kind kind, const cJSON *body,
                     int64_t now_ms, struct acts *acts);
void holding_memory(struct holding *h, int64_t bytes, struct acts *acts);
void holding_exited(struct holding *h, const char *agent, const struct holding_exit *x,
                    int64_t now_ms, struct acts *acts);

/* It cannot run here, or could not be started. */
void holding_refuse(struct holding *h, const char *agent, const char *outcome, const char *text,
                    struct acts *acts);

/* METRICS_SAVED, CHECKPOINT_SAVED, NEED, DONE_SAVED, ENDED_SAVED.  True: it may be forgotten. */
bool holding_saved(struct holding *h, enum wire_kind kind, const cJSON *body, struct acts *acts);

/* Deadlines, and what is to be said (again); of METRICS, no more new ones than there are credits,
 * which it takes. */
void holding_tick(struct holding *h, int64_t now_ms, int64_t again_ms, int64_t *credits,
                  struct acts *acts);

/* Its entry in "holds" of HELLO and BEAT. */
cJSON *holding_describe(const struct holding *h);
#endif
