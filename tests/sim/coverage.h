/* Which moves of trial.def the seeds have taken, counted over all processes. */
#ifndef SIM_COVERAGE_H
#define SIM_COVERAGE_H
#include "coordinator/trial.h"
#include "tests/sim/world.h"
#include <sys/mman.h>

struct move {
	enum trial_state from;
	enum trial_event event;
};

static const struct move moves[] = {
#define STATE(name, final)
#define EVENT(name)
#define MOVE(from, event, to) {TRIAL_##from, ON_##event},
#include "coordinator/trial.def"
#undef STATE
#undef EVENT
#undef MOVE
};

enum { COVERED_BY = 200 }; /* seeds, in which every move is taken but these: */

static const struct move rare[] = {
        {TRIAL_READY, ON_FINISH_LATE},  /* one in a thousand */
        {TRIAL_WAITING, ON_PRUNE},      /* the same */
        {TRIAL_PAUSED, ON_FINISH_LATE}, /* fewer */
        {TRIAL_WAITING, ON_FINISH_LATE},
};

static int64_t (*moved)[TRIAL_EVENTS]; /* by state; of all processes */

static void coverage_begin(void)
{
	moved = mmap(NULL, TRIAL_STATES * sizeof *moved, PROT_READ | PROT_WRITE,
	             MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	disk_must(moved == MAP_FAILED ? SQLITE_NOMEM : SQLITE_OK, "no memory");
}

static enum trial_event event_of(const char *name)
{
	int event = 0;

	while (strcmp(trial_event_name((enum trial_event)event), name) != 0)
		event++;
	return (enum trial_event)event;
}

static void coverage_add(struct sim *s)
{
	struct sql_rows *rows = sql_query(
	        s->db, "select before, event, count(*) from history group by before, event");

	while (sql_next(rows))
		__atomic_fetch_add(
		        &moved[trial_state_of(sql_text(rows, 0))][event_of(sql_text(rows, 1))],
		        sql_int(rows, 2), __ATOMIC_RELAXED);
}

/* Beats leave no history. */
static bool is_missed(const struct move *m)
{
	bool expected = m->event != ON_BEAT;

	for (size_t i = 0; i < sizeof rare / sizeof *rare; i++)
		expected = expected && (m->from != rare[i].from || m->event != rare[i].event);
	return expected && !moved[m->from][m->event];
}

static void coverage_show(void)
{
	for (size_t i = 0; i < sizeof moves / sizeof *moves; i++)
		if (moves[i].event != ON_BEAT)
			printf("%8" PRId64 "  %s %s\n", moved[moves[i].from][moves[i].event],
			       trial_state_name(moves[i].from), trial_event_name(moves[i].event));
}

/* How many moves were never taken; each on a line. */
static int coverage_missed(void)
{
	int missed = 0;

	for (size_t i = 0; i < sizeof moves / sizeof *moves; i++) {
		if (!is_missed(&moves[i]))
			continue;
		printf("never taken: %s %s\n", trial_state_name(moves[i].from),
		       trial_event_name(moves[i].event));
		missed++;
	}
	return missed;
}
#endif
