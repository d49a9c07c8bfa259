/* Leases: which agent may run which trial, until when. */
#ifndef COORDINATOR_LEASE_H
#define COORDINATOR_LEASE_H
#include "coordinator/trial.h"
#include "core/base/hash.h"

struct turn;

/* Leases to the worker the first trials that fit, until none does; how many. */
int lease_assign(struct turn *t, int64_t worker);

/* How many of the agent's ranks a trial takes: each has worker_threads, and a trial's rank that
 * needs more takes several. */
int64_t lease_slots(int64_t ranks, int64_t threads, int64_t worker_threads);

/* Loses every lease that has run out. */
void lease_expire(struct turn *t);

/* Loses one: LOSE, or LOSE_LAST after too many without a newer checkpoint. */
void lease_lose(struct turn *t, const struct trial *trial, const char *why);

/* How an agent's attempt stands. */
enum standing {
	STANDING_CURRENT, /* it holds the lease (or has just taken it up again) */
	STANDING_LATE,    /* another attempt may come or run; a finished one is still welcome */
	STANDING_OVER     /* nobody needs it any more */
};
enum standing lease_standing(struct turn *t, int64_t trial, int64_t attempt, int64_t worker,
                             struct trial *loaded);

/* The secret that an agent shows to the artifact store, a function of (secret, trial, attempt). */
void lease_token(const char *secret, int64_t trial, int64_t attempt, char hex[SHA256_HEX]);

/* The attempt is over: its row says when and how. */
void attempt_end(struct turn *t, int64_t trial, int64_t attempt, const char *outcome,
                 const char *text);
#endif
