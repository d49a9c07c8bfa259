/* Adaptive searches: what a study tries next, from what its trials have measured.
 *
 * A turn looks before it begins its transaction, which takes the time that it takes while nobody
 * waits for the database, and makes trials of what was found in it.  A study is looked at when it
 * is `due`: it was launched, a trial of it ended, an agent came or went. */
#ifndef COORDINATOR_SEARCH_H
#define COORDINATOR_SEARCH_H
#include "coordinator/sql.h"
#include "schemas/sweep_spec.h"

/* Whether the sweep before it is that of an adaptive search, in SQL. */
#define IS_ADAPTIVE "->> '$.search.kind' in ('tpe', 'nsga2')"

/* What to make for one study, from number `cursor` on. */
struct proposal {
	int64_t study, cursor;
	int64_t room;           /* for so many more trials that have not ended */
	struct sweep_spec spec; /* of the study's sweep */
	cJSON *assignment;      /* a list, of at most `room` */
	struct error end; /* why there will be no more: every combination was tried, …; or empty */
};

struct proposals {
	struct proposal *list;
	size_t count;
};

/* Looks at all studies that are due, for at most so many trials together.  A pure function of the
 * database.  Release in any case. */
void search_propose(struct sql *db, int64_t most, struct proposals *p);
/* First thing in the turn's transaction: they are no longer due, but for what its messages bring.
 */
void search_looked(struct sql *db, const struct proposals *p);
void proposals_release(struct proposals *p);

/* That the agents have room for another number of trials. */
void search_note_agents(struct sql *db);
#endif
