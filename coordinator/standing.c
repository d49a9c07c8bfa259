/* How paused trials stand at the rungs where they wait.
 *
 * Rungs are read in their order and counted here: SQLite's window functions take twenty times as
 * long, and a rung may hold a hundred thousand. */
#include "coordinator/standing.h"
#include "coordinator/artifact.h"
#include "core/base/text.h"
#include <stdlib.h>

struct standing {
	int64_t trial, epoch;
	double place; /* of the rung: 1 is its last */
};

struct standings {
	struct standing *entry;
	size_t count, capacity;
};

#define PAUSED ARTIFACT_SPARE " and t.state = 'paused'"

static void add(struct standings *s, int64_t trial, int64_t epoch, double place)
{
	if (s->count == s->capacity) {
		s->capacity = s->capacity ? 2 * s->capacity : 64;
		s->entry = xrealloc(s->entry, s->capacity * sizeof *s->entry);
	}
	s->entry[s->count++] = (struct standing){trial, epoch, place};
}

static void add_rung(struct sql *db, struct standings *s, int64_t study, int64_t bracket,
                     int64_t epoch)
{
	size_t first = s->count;
	int64_t came = 0;
	struct sql_rows *rows = sql_query(
	        db,
	        "select trial, verdict is null and trial in (select a.trial " PAUSED
	        ") from rung indexed by rung_score where study = ? and bracket = ? and epoch = ? "
	        "order by score desc, trial",
	        study, bracket, epoch);

	while (sql_next(rows)) {
		came++;
		if (sql_int(rows, 1))
			add(s, sql_int(rows, 0), epoch, (double)came);
	}
	for (size_t i = first; i < s->count; i++)
		s->entry[i].place /= (double)came;
}

/* All rungs at which somebody waits. */
static void add_rungs(struct sql *db, struct standings *s)
{
	int64_t study = 0, bracket = 0, epoch = 0;

	for (;;) {
		struct sql_rows *rows = sql_query(
		        db,
		        "select study, bracket, epoch from rung indexed by rung_waiting where "
		        "verdict is null and (study, bracket, epoch) > (?, ?, ?) order by study, "
		        "bracket, epoch limit 1",
		        study, bracket, epoch);
		if (!sql_next(rows))
			break;
		study = sql_int(rows, 0);
		bracket = sql_int(rows, 1);
		epoch = sql_int(rows, 2);
		sql_end(rows);
		add_rung(db, s, study, bracket, epoch);
	}
}

static int by_trial(const void *left, const void *right)
{
	const struct standing *a = left, *b = right;

	if (a->trial != b->trial)
		return a->trial < b->trial ? -1 : 1;
	return (a->place > b->place) - (a->place < b->place);
}

static int worst_first(const void *left, const void *right)
{
	const struct standing *a = left, *b = right;

	if (a->place != b->place)
		return a->place > b->place ? -1 : 1;
	if (a->epoch != b->epoch)
		return a->epoch < b->epoch ? -1 : 1;
	return (a->trial < b->trial) - (a->trial > b->trial);
}

int64_t *standing_worst_first(struct sql *db, size_t *count)
{
	struct standings s = {0};
	size_t kept = 0;

	*count = 0;
	if (!sql_get_int(db, 0, "select 1 " PAUSED " limit 1")) /* rungs are long */
		return NULL;
	add_rungs(db, &s);
	struct sql_rows *rows = sql_query(db, "select distinct a.trial " PAUSED
	                                      " and not exists (select 1 from rung where "
	                                      "trial = a.trial and verdict is null)");
	while (sql_next(rows))
		add(&s, sql_int(rows, 0), 0, 1);
	if (s.count)
		qsort(s.entry, s.count, sizeof *s.entry, by_trial);
	for (size_t i = 0; i < s.count; i++) /* where it stands best */
		if (!i || s.entry[i].trial != s.entry[i - 1].trial)
			s.entry[kept++] = s.entry[i];
	if (kept)
		qsort(s.entry, kept, sizeof *s.entry, worst_first);
	int64_t *trials = xcalloc(kept + 1, sizeof *trials);
	for (size_t i = 0; i < kept; i++)
		trials[i] = s.entry[i].trial;
	free(s.entry);
	*count = kept;
	return trials;
}
