/* Asks the laws of laws.h, after every commit that changed something, and on every message that
 * leaves.
 *
 * Triggers note which trials a turn touches; of those, and of the moves since the last commit, the
 * laws are asked, and of everything now and then. */
#ifndef SIM_JUDGE_H
#define SIM_JUDGE_H
#include "tests/sim/laws.h"
#include "tests/sim/world.h"

/* What a trial's job gives: its state after `step` steps, from its specification and what it starts
 * from alone. */
static uint64_t oracle(struct sim *s, int64_t trial, int64_t step, int64_t *steps)
{
	static struct {
		uint64_t seed, states[STEPS_MAX + 1];
		int64_t steps;
	} known[TRIALS_MAX];
	struct sql *db = s->db;

	if (known[trial].seed != s->seed) {
		char *identity = sql_get_text(db, "select identity from trial where id = ?", trial);
		int64_t ignored = 0,
		        count = sql_get_int(
		                db, 1, "select epochs from specification where trial = ?", trial);
		int64_t input =
		        sql_get_int(db, 0, "select input from trial_input where trial = ?", trial);
		uint64_t state = mix(fnv1a(identity, strlen(identity)),
		                     input ? oracle(s, input, INT64_MAX, &ignored) : 0);
		known[trial].states[0] = state;
		for (int64_t i = 1; i <= count; i++)
			known[trial].states[i] = state = mix(state, (uint64_t)i);
		known[trial].steps = count;
		known[trial].seed = s->seed;
		free(identity);
	}
	*steps = known[trial].steps;
	return known[trial].states[step < *steps ? step : *steps];
}

static struct sim *law_world; /* for the functions that the laws call */

static void sql_oracle(sqlite3_context *c, int count, sqlite3_value **v)
{
	int64_t steps = 0;
	uint64_t state =
	        oracle(law_world, sqlite3_value_int64(v[0]), sqlite3_value_int64(v[1]), &steps);

	sqlite3_result_double(c, measure(state));
}

static void sql_steps(sqlite3_context *c, int count, sqlite3_value **v)
{
	int64_t steps = 0;

	oracle(law_world, sqlite3_value_int64(v[0]), 0, &steps);
	sqlite3_result_int64(c, steps);
}

static void sql_on_disk(sqlite3_context *c, int count, sqlite3_value **v)
{
	const struct blob *b = blob_find(law_world, (const char *)sqlite3_value_text(v[0]));

	sqlite3_result_int(c, b && b->present);
}

static void sql_lost_limit(sqlite3_context *c, int count, sqlite3_value **v)
{
	sqlite3_result_int64(c, lost_limit(law_world));
}

/* Notes which trials the turn changes, and what of them, also where it should not. */
static void sql_touch(sqlite3_context *c, int count, sqlite3_value **v)
{
	int64_t trial = sqlite3_value_int64(v[0]);

	law_world->touched[trial < TRIALS_MAX ? trial : 0] |= sqlite3_value_int(v[1]);
	law_world->touches++;
}

static void laws_install(sqlite3 *handle)
{
	static const struct {
		const char *change, *trial;
		int of;
	} watched[] = {
	        {"insert on trial", "new.id", OF_TRIAL},
	        {"update of state, attempt, worker, errors, losses, source on trial", "new.id",
	         OF_TRIAL},
	        {"insert on attempt", "new.trial", OF_TRIAL},
	        {"update of worker, outcome on attempt", "new.trial", OF_TRIAL},
	        {"insert on history", "new.trial", OF_TRIAL},
	        {"insert on trial_input", "new.trial", OF_TRIAL},
	        {"insert on study_trial", "new.trial", OF_TRIAL},
	        {"update on study_trial", "new.trial", OF_TRIAL},
	        {"insert on result", "new.trial", OF_TRIAL},
	        {"update on result", "new.trial", OF_TRIAL},
	        {"insert on metric", "new.trial", OF_METRIC},
	        {"update on metric", "new.trial", OF_METRIC},
	        {"insert on artifact", "new.trial", OF_ARTIFACT},
	        {"update on artifact", "new.trial", OF_ARTIFACT},
	        {"insert on rung", "new.trial", OF_RUNG},
	        {"update on rung", "new.trial", OF_RUNG},
	        {"insert on upload", "0", OF_ALL}, /* no trial's */
	};
	/* What was freed, and in which state its trial was. */
	static const char freed[] =
	        "create temp table freed(trial, waits, newest); create index temp.freed_needed on "
	        "freed(trial) where waits and newest; create temp trigger note_freed "
	        "after update of state on main.artifact when new.state = 'collected' begin "
	        "insert into freed select id, state = 'waiting' or state = 'ready' or state = "
	        "'leased', "
	        "not exists (select 1 from artifact where "
	        "trial = new.trial and name = 'checkpoint' and state = 'present' and step > "
	        "new.step) from trial where id = new.trial; end";
	int flags = SQLITE_UTF8;
	char text[256];

	sqlite3_create_function(handle, "oracle", 2, flags, NULL, sql_oracle, NULL, NULL);
	sqlite3_create_function(handle, "steps", 1, flags, NULL, sql_steps, NULL, NULL);
	sqlite3_create_function(handle, "on_disk", 1, flags, NULL, sql_on_disk, NULL, NULL);
	sqlite3_create_function(handle, "lost_limit", 0, flags, NULL, sql_lost_limit, NULL, NULL);
	sqlite3_create_function(handle, "touch", 2, flags, NULL, sql_touch, NULL, NULL);
	for (size_t i = 0; i < sizeof watched / sizeof *watched; i++) {
		snprintf(text, sizeof text,
		         "create temp trigger touch_%zu after %s begin select touch(%s, %d); end",
		         i, watched[i].change, watched[i].trial, watched[i].of);
		disk_must(sqlite3_exec(handle, text, NULL, NULL, NULL), sqlite3_errmsg(handle));
	}
	disk_must(sqlite3_exec(handle, freed, NULL, NULL, NULL), sqlite3_errmsg(handle));
}

/* Laws as one statement, a column each: one call of SQLite's in place of sixteen. */
static char *laws_together(const struct law *law, size_t count)
{
	struct text all = {0};

	for (size_t i = 0; i < count; i++)
		text_add(&all, "%s(%s)", i ? ", " : "select ", law[i].violation);
	return text_take(&all);
}

static void check(struct sim *s, const struct law *law, size_t count, char **together,
                  int64_t argument)
{
	*together = *together ? *together : laws_together(law, count);
	struct sql_rows *rows = sql_query(s->db, *together, argument);

	if (!sql_next(rows)) {
		printf("%s: %s\n", law->law, s->db->error.text);
		abort();
	}
	for (size_t i = 0; i < count; i++)
		if (sql_int(rows, (int)i))
			broken(s, law[i].law);
	sql_end(rows);
}
#define CHECK(s, laws, argument)                                                     \
	do {                                                                         \
		static char *together_;                                              \
		check(s, laws, sizeof(laws) / sizeof *(laws), &together_, argument); \
	} while (0)

/* The laws of one trial that read some of what was touched. */
static void check_trial(struct sim *s, int64_t trial, int touched)
{
	enum { LAWS = sizeof trial_laws / sizeof *trial_laws };
	static struct {
		struct law law[LAWS];
		size_t count;
		char *together;
	} of[OF_ALL + 1];

	for (size_t i = 0; i < LAWS && !of[touched].together; i++)
		if (trial_laws[i].reads & touched)
			of[touched].law[of[touched].count++] = trial_laws[i].law;
	check(s, of[touched].law, of[touched].count, &of[touched].together, trial);
}

/* What waits for a trial that changed may have to change with it. */
static void touch_dependants(struct sim *s, int64_t trial)
{
	struct sql_rows *rows =
	        sql_query(s->db, "select trial from trial_input where input = ?", trial);

	while (sql_next(rows))
		s->touched[sql_int(rows, 0)] |= OF_TRIAL;
}

/* A lease that ran out although its agent's beat lay in the queue, or, once nothing fails, although
 * the agent lives. */
static void law_of_losses(struct sim *s)
{
	struct sql_rows *rows = sql_query(
	        s->db,
	        "select h.trial, h.attempt, w.agent from history h join worker w on w.id = "
	        "h.worker "
	        "where h.seq > ? and h.event in ('lose', 'lose_last') and h.why like '%not heard%'",
	        s->checked);

	while (sql_next(rows)) {
		const char *name = sql_text(rows, 2);
		bool alive = false;
		for (int i = 0; i < AGENTS; i++)
			alive = alive || (s->agents[i].up && strcmp(s->agents[i].name, name) == 0);
		if (alive && s->now > QUIET)
			broken(s, "no lease of a living agent is lost once nothing fails");
		for (int k = 0; k < s->inbox_count; k++) {
			const struct message *m = &s->inbox[k];
			const cJSON *hold = NULL;
			if (m->kind != WIRE_BEAT ||
			    strcmp(json_text(m->body, "agent", ""), name) != 0)
				continue;
			cJSON_ArrayForEach (hold, json_at(m->body, "holds"))
				if (json_int(hold, "trial", 0) == sql_int(rows, 0) &&
				    json_int(hold, "attempt", 0) == sql_int(rows, 1))
					broken(s,
					       "no lease is lost while its beat lies in the queue");
		}
	}
}

/* Attempts that nothing called for, once nothing fails. */
static void law_of_waste(struct sim *s)
{
	if (s->now <= QUIET + LEASE_MS)
		return;
	if (sql_get_int(
	            s->db, 0,
	            "select count(*) from history where seq > ? and event in ('lose', 'lose_last', "
	            "'error', 'error_last', 'reattach', 'finish_late', 'refuse')",
	            s->checked))
		broken(s, "no attempt is wasted once nothing fails");
}

/* Everything, whether it was touched or not. */
static void check_all(struct sim *s)
{
	int64_t last = sql_get_int(s->db, 0, "select max(id) from trial");

	for (int64_t trial = 1; trial <= last; trial++)
		check_trial(s, trial, OF_ALL);
	CHECK(s, rare_laws, 1);
	CHECK(s, byte_laws, 1);
}

static void check_touched(struct sim *s)
{
	for (int64_t trial = 1; trial < TRIALS_MAX; trial++)
		if (s->touched[trial] & OF_TRIAL)
			touch_dependants(s, trial);
	for (int64_t trial = 1; trial < TRIALS_MAX; trial++)
		if (s->touched[trial])
			check_trial(s, trial, s->touched[trial]);
	if (s->touched[0])
		CHECK(s, byte_laws, 1);
}

static void check_commit(struct sim *s)
{
	enum { ALL_AFTER = 128 };
	int64_t last = 0;

	if (!s->touches)
		return;
	sql_run(s->db, "begin"); /* what is read is locked once */
	last = sql_get_int(s->db, 0, "select max(seq) from history");
	if (s->commits++ % ALL_AFTER == 0)
		check_all(s);
	else
		check_touched(s);
	CHECK(s, store_laws, s->now + s->wall_offset);
	if (last > s->checked) {
		CHECK(s, move_laws, s->checked);
		if (sql_get_int(s->db, 0, "select 1 from history where seq > ? and event = 'lease'",
		                s->checked))
			CHECK(s, lease_laws, s->checked);
		law_of_losses(s);
		law_of_waste(s);
	}
	sql_run(s->db, "rollback");
	s->checked = last;
	s->touches = 0;
	memset(s->touched, 0, sizeof s->touched);
}

/* What is promised is on disk: checked on every message that leaves. */
static void check_promise(struct sim *s, const struct message *m)
{
	static const struct {
		enum wire_kind kind;
		const char *law, *kept;
	} promises[] = {
	        {WIRE_METRICS_SAVED, "metrics are acknowledged after they are stored",
	         "select count(*) >= ?3 from metric where trial = ?1 and step <= ?3 and ?2 > 0"},
	        {WIRE_CHECKPOINT_SAVED, "a checkpoint is acknowledged after it is stored",
	         "select count(*) > 0 from artifact where trial = ?1 and name = 'checkpoint' and "
	         "step = ?3 and ?2 > 0"},
	        /* Who wants it anew in the very turn came after it. */
	        {WIRE_DONE_SAVED, "a result is acknowledged after it is stored, or nobody needs it",
	         "select state = 'done' or attempt > ?2 or state in ('cancelled', "
	         "'skipped', 'pruned', 'failed', 'infeasible') or ?3 > 0 or exists (select 1 from "
	         "history h where h.trial = ?1 and h.attempt = ?2 and h.event in ('finish', "
	         "'finish_late', 'yield', 'input_lost')) or exists (select 1 from history h where "
	         "h.trial = ?1 and h.event = 'want' and h.at_ms = (select turn_ms from "
	         "coordinator)) from trial where id = ?1"},
	        {WIRE_ENDED_SAVED, "an end is acknowledged after it is stored",
	         "select outcome is not null or ?3 > 0 from attempt where trial = ?1 and attempt = "
	         "?2"},
	};
	int64_t trial = json_int(m->body, "trial", 0), attempt = json_int(m->body, "attempt", 0);

	for (size_t i = 0; i < sizeof promises / sizeof *promises; i++)
		if (promises[i].kind == m->kind &&
		    sql_get_int(s->db, 0, promises[i].kept, trial, attempt,
		                json_int(m->body, "batch", 0)) != 1)
			broken(s, promises[i].law);
	if (m->kind == WIRE_STORED_SAVED && json_bool(m->body, "ok", false) &&
	    !sql_get_int(s->db, 0,
	                 "select (select count(*) from upload where sha256 = ?1) + (select "
	                 "count(*) from "
	                 "doomed where sha256 = ?1)",
	                 json_text(m->body, "sha256", "")))
		broken(s, "201 is answered after the commit");
}
#endif
