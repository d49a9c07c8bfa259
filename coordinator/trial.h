/* The life of a trial: trial.def as a table, and the one function that moves a trial. */
#ifndef COORDINATOR_TRIAL_H
#define COORDINATOR_TRIAL_H
#include "coordinator/sql.h"

enum trial_state {
#define STATE(name, final) TRIAL_##name,
#define EVENT(name)
#define MOVE(from, event, to)
#include "coordinator/trial.def"
#undef STATE
#undef EVENT
#undef MOVE
	TRIAL_STATES
};

enum trial_event {
#define STATE(name, final)
#define EVENT(name) ON_##name,
#define MOVE(from, event, to)
#include "coordinator/trial.def"
#undef STATE
#undef EVENT
#undef MOVE
	TRIAL_EVENTS
};

const char *trial_state_name(enum trial_state state); /* "waiting", as in the database */
const char *trial_event_name(enum trial_event event); /* "inputs_ready" */
enum trial_state trial_state_of(const char *name);    /* TRIAL_STATES when unknown */
bool trial_state_final(enum trial_state state);       /* it has ended, until revived */
enum trial_state trial_next(enum trial_state from, enum trial_event event); /* or TRIAL_STATES */

/* What a trial's row says; strings are not among it. */
struct trial {
	int64_t id, attempt, worker, lease_until_ms, errors, losses, held;
	enum trial_state state;
};

bool trial_load(struct sql *db, int64_t id, struct trial *t); /* false: there is none */

/* What a move sets besides the state. */
struct trial_change {
	int64_t worker;         /* LEASE, REATTACH: who holds it now */
	int64_t attempt;        /* LEASE: its number; 0: the next */
	int64_t lease_until_ms; /* LEASE, REATTACH, BEAT */
	int64_t not_before_ms;  /* no lease before; 0: at once */
	const char *why;        /* for people; null: nothing new */
};

/* Moves a trial as a compare-and-swap on (state, attempt), and writes history (BEAT excepted);
 * LEASE raises the attempt by one.  Marks what must be settled.  False, and nothing changed: the
 * attempt is not the trial's, or trial.def does not list the event for its state. */
bool trial_move(struct sql *db, int64_t now_ms, int64_t trial, int64_t attempt,
                enum trial_event event, const struct trial_change *change);

/* The same of a trial that was loaded: false, too, when it is no longer as it was then. */
bool trial_move_loaded(struct sql *db, int64_t now_ms, const struct trial *loaded,
                       enum trial_event event, const struct trial_change *change);

/* A new trial in WAITING; its id. */
int64_t trial_create(struct sql *db, int64_t now_ms, const char *identity, int64_t ask,
                     int64_t priority);

/* Brings every trial whose inputs changed to where they say: waiting, ready or skipped; inputs
 * whose bytes are gone are made again.  Returns how many trials became ready. */
int trial_settle(struct sql *db, int64_t now_ms);

/* An entry of table event; study, trial and worker may be 0. */
void event_add(struct sql *db, int64_t now_ms, const char *kind, int64_t study, int64_t trial,
               int64_t worker, const char *format, ...) __attribute__((format(printf, 7, 8)));
#endif
