/* Copies of one database: which of them is the newest, and that only that one is obeyed.
 *
 * A database has a uuid, which its copies share, and a generation: 1, and one more in every copy
 * that `trawl backup` makes.  Agents remember the highest generation that they have met, of one
 * uuid, and all that they say carries it; what an older generation says to them they drop.  A
 * coordinator that hears of a newer one, under its own seal, gives up before it answers: it is an
 * old copy.  Attempts that generation g leases are numbered from 1000 (g - 1) + 1, so that no two
 * copies ever mean different attempts by one number, and a newer copy's fence out an older's.  That
 * holds of a database and what was copied from its copies; two copies of one database are of the
 * same generation, and only one of them is to be served. */
#ifndef COORDINATOR_GENERATION_H
#define COORDINATOR_GENERATION_H
#include "coordinator/sql.h"
#include "core/base/error.h"
#include <cjson/cJSON.h>

struct turn;

/* coordinator.copied.  A copy that was served has a life of its own, and is none any more. */
enum generation_copy {
	COPY_SERVED = 0,
	COPY_COMPLETE, /* made while no coordinator ran: nothing is missing */
	COPY_SNAPSHOT  /* made while one ran: what was reported since is missing */
};

/* -1: a newer copy was met: nothing may change here any more. */
int generation_is_newest(struct sql *db, const char *path, struct error *e);

/* Before the first turn.  A snapshot takes every lease back, since rows that were acknowledged
 * after it are missing: those attempts are made again from the checkpoints it knows.  -1: a newer
 * copy was met before; `take_over` goes on nevertheless, as a generation above that. */
int generation_begin(struct sql *db, const char *path, bool take_over, int64_t now_ms,
                     struct error *e);

/* What WELCOME and PRESENT say: uuid, generation, seal (only who holds DATABASE.key can make it).
 */
void generation_describe(struct turn *t, cJSON *body);

/* Whether the message being handled may be: it says our generation, or none.  Otherwise its sender
 * is asked to say hello AGAIN, or it has shown that we are superseded (turn.superseded): the turn
 * ends with it. */
bool generation_admits(struct turn *t, const cJSON *body);

/* The number of the attempt after `attempt`. */
int64_t generation_attempt(const struct turn *t, int64_t attempt);
#endif
