/* The life of a trial: trial.def as a table, and the one function that moves a trial. */
#include "coordinator/trial.h"
#include "coordinator/artifact.h"
#include "core/base/text.h"
#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
	const char *name;
	bool final;
} states[] = {
#define STATE(name, final) {#name, final},
#define EVENT(name)
#define MOVE(from, event, to)
#include "coordinator/trial.def"
#undef STATE
#undef EVENT
};

static const char *const events[] = {
#define STATE(name, final)
#define EVENT(name) #name,
#include "coordinator/trial.def"
#undef STATE
#undef EVENT
#undef MOVE
};

static const struct {
	enum trial_state from;
	enum trial_event event;
	enum trial_state to;
} moves[] = {
#define STATE(name, final)
#define EVENT(name)
#define MOVE(from, event, to) {TRIAL_##from, ON_##event, TRIAL_##to},
#include "coordinator/trial.def"
#undef STATE
#undef EVENT
#undef MOVE
};

/* A table's name in lower case, kept where the caller says; threads write the same bytes. */
static const char *lower(const char *upper, char kept[16])
{
	for (int i = 0; upper[i] && i < 15; i++)
		kept[i] = (char)tolower(upper[i]);
	return kept;
}

const char *trial_state_name(enum trial_state state)
{
	static char names[TRIAL_STATES][16];

	assert(state >= 0 && state < TRIAL_STATES);
	return lower(states[state].name, names[state]);
}

const char *trial_event_name(enum trial_event event)
{
	static char names[TRIAL_EVENTS][16];

	assert(event >= 0 && event < TRIAL_EVENTS);
	return lower(events[event], names[event]);
}

enum trial_state trial_state_of(const char *name)
{
	int state = 0;

	while (state < TRIAL_STATES && strcasecmp(states[state].name, name) != 0)
		state++;
	return (enum trial_state)state;
}

bool trial_state_final(enum trial_state state)
{
	assert(state >= 0 && state < TRIAL_STATES);
	return states[state].final;
}

enum trial_state trial_next(enum trial_state from, enum trial_event event)
{
	for (size_t i = 0; i < sizeof moves / sizeof *moves; i++)
		if (moves[i].from == from && moves[i].event == event)
			return moves[i].to;
	return TRIAL_STATES;
}

bool trial_load(struct sql *db, int64_t id, struct trial *t)
{
	struct sql_rows *rows =
	        sql_query(db,
	                  "select attempt, worker, lease_until_ms, errors, losses, held, "
	                  "state from trial where id = ?",
	                  id);

	*t = (struct trial){.id = id, .state = TRIAL_NONE};
	if (!sql_next(rows))
		return false;
	t->attempt = sql_int(rows, 0);
	t->worker = sql_int(rows, 1);
	t->lease_until_ms = sql_int(rows, 2);
	t->errors = sql_int(rows, 3);
	t->losses = sql_int(rows, 4);
	t->held = sql_int(rows, 5);
	t->state = trial_state_of(sql_text(rows, 6));
	sql_end(rows);
	return true;
}

static void history_add(struct sql *db, int64_t now_ms, const struct trial *t,
                        enum trial_event event, enum trial_state to, int64_t worker,
                        const char *why)
{
	sql_run(db,
	        "insert into history(at_ms, trial, attempt, event, before, after, worker, why) "
	        "values(?, ?, ?, ?, ?, ?, nullif(?, 0), ?)",
	        now_ms, t->id, t->attempt, trial_event_name(event), trial_state_name(t->state),
	        trial_state_name(to), worker, why);
}

/* Those that wait for a trial, or could run because of it, look again when it ends or revives. */
static void unsettle_dependants(struct sql *db, int64_t trial)
{
	if (!sql_get_int(db, 0, "select 1 from trial_input where input = ? limit 1", trial))
		return;
	sql_run(db,
	        "update trial set unsettled = 1 where state in ('waiting', 'ready', 'skipped') and "
	        "id in (select trial from trial_input where input = ?)",
	        trial);
}

bool trial_move(struct sql *db, int64_t now_ms, int64_t trial, int64_t attempt,
                enum trial_event event, const struct trial_change *change)
{
	struct trial t;

	return trial_load(db, trial, &t) && t.attempt == attempt &&
	       trial_move_loaded(db, now_ms, &t, event, change);
}

bool trial_move_loaded(struct sql *db, int64_t now_ms, const struct trial *loaded,
                       enum trial_event event, const struct trial_change *change)
{
	static const struct trial_change nothing;
	const struct trial_change *c = change ? change : &nothing;
	struct trial t = *loaded;
	int64_t trial = t.id, attempt = t.attempt;
	enum trial_state to = trial_next(t.state, event);

	if (to == TRIAL_STATES)
		return false;
	if (event == ON_BEAT)
		return sql_run(db,
		               "update trial set lease_until_ms = ? where id = ? and state = "
		               "'leased' and attempt = ?",
		               c->lease_until_ms, trial, attempt) == 1;
	if (event == ON_LEASE)
		t.attempt = c->attempt ? c->attempt : t.attempt + 1;
	int64_t worker = to == TRIAL_LEASED ? c->worker : t.worker;
	/* What comes back from an agent may find its inputs gone meanwhile. */
	bool unsettled = to == TRIAL_WAITING || (to == TRIAL_READY && event != ON_INPUTS_READY);
	bool moved =
	        sql_run(db,
	                "update trial set state = ?1, attempt = ?2, worker = nullif(?3, 0), "
	                "lease_until_ms = iif(?1 = 'leased', ?4, null), not_before_ms = ?5, "
	                "why = coalesce(?6, why), unsettled = ?12, "
	                "ready_ms = iif(?1 = 'ready', ?7, ready_ms), "
	                "started_ms = iif(?1 = 'leased', coalesce(started_ms, ?7), started_ms), "
	                "ended_ms = iif(?8, ?7, null) where id = ?9 and state = ?10 and attempt = "
	                "?11",
	                trial_state_name(to), t.attempt, worker, c->lease_until_ms,
	                c->not_before_ms, c->why, now_ms, trial_state_final(to), trial,
	                trial_state_name(t.state), attempt, unsettled) == 1;
	if (!moved)
		return false;
	history_add(db, now_ms, &t, event, to, worker, c->why);
	if (trial_state_final(to) || trial_state_final(t.state))
		unsettle_dependants(db, trial);
	if (trial_state_final(to) || to == TRIAL_PAUSED) /* it makes room for others */
		sql_run(db,
		        "update study set due = 1, news = 1, judge = iif(judge is null, null, 1) "
		        "where (news = 0 or (due = 0 and cursor < total) or judge = 0) and id in "
		        "(select study from study_trial where trial = ?)",
		        trial);
	return true;
}

int64_t trial_create(struct sql *db, int64_t now_ms, const char *identity, int64_t ask,
                     int64_t priority)
{
	sql_run(db,
	        "insert into trial(identity, state, unsettled, ask, priority, created_ms) "
	        "values(?, 'waiting', 1, ?, ?, ?)",
	        identity, ask, priority, now_ms);
	struct trial t = {.id = sqlite3_last_insert_rowid(db->handle), .state = TRIAL_NONE};
	history_add(db, now_ms, &t, ON_CREATE, TRIAL_WAITING, 0, NULL);
	return t.id;
}

void event_add(struct sql *db, int64_t now_ms, const char *kind, int64_t study, int64_t trial,
               int64_t worker, const char *format, ...)
{
	char text[1024];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof text, format, arguments);
	va_end(arguments);
	sql_run(db,
	        "insert into event(at_ms, kind, study, trial, worker, text) "
	        "values(?, ?, nullif(?, 0), nullif(?, 0), nullif(?, 0), ?)",
	        now_ms, kind, study, trial, worker, (const char *)text);
}
