/* The laws: SQL that finds violations, run after every commit that changed something.
 *
 * Triggers note which trials a turn touches; of those, and of the moves since the last commit, the
 * laws are asked at once, and of everything after a start, every so many commits and at the end. */
#ifndef SIM_LAWS_H
#define SIM_LAWS_H
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

/* What a trial has; a law about it is asked when some of what it reads has changed. */
enum { OF_TRIAL = 1, OF_METRIC = 2, OF_ARTIFACT = 4, OF_RUNG = 8, OF_ALL = 15 };

struct law {
	const char *law, *violation; /* a row that is not 0 breaks it */
};

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

/* Of one trial, ?1: asked of those whose rows a turn has changed, and of all now and then. */
static const struct {
	int reads;
	struct law law;
} trial_laws[] = {
        {OF_TRIAL,
         {"the last move says what the trial says",
          "select state <> (select after from history h where h.trial = t.id order by h.seq desc "
          "limit 1) from trial t where id = ?1"}},
        {OF_TRIAL,
         {"attempts only rise, by a lease each",
          "select attempt <> (select count(*) from history h where h.trial = t.id and h.event = "
          "'lease') or attempt <> (select count(*) from attempt a where a.trial = t.id) from trial "
          "t where id = ?1"}},
        {OF_TRIAL,
         {"a done trial has its result, and the right one",
          "select r.value is not oracle(t.id, 1000) from trial t left join result r on r.trial = "
          "t.id and r.metric = 'accuracy' where t.id = ?1 and t.state = 'done'"}},
        {OF_TRIAL,
         {"no trial but one that was done has a result",
          "select 1 from result r where r.trial = ?1 and not exists (select 1 from history h where "
          "h.trial = r.trial and h.after = 'done')"}},
        {OF_METRIC,
         {"a metric has the value that the job measured",
          "select 1 from metric where trial = ?1 and (value is not oracle(trial, step) or name <> "
          "'loss')"}},
        {OF_TRIAL | OF_METRIC,
         {"a done trial has every metric once",
          "select (select count(*) from metric m where m.trial = t.id) <> steps(t.id) from trial t "
          "where id = ?1 and state = 'done'"}},
        {OF_METRIC | OF_ARTIFACT,
         {"metrics up to a checkpoint are there with it",
          "select 1 from artifact a where trial = ?1 and name = 'checkpoint' and (select count(*) "
          "from metric m where m.trial = a.trial and m.step <= a.step) < a.step"}},
        {OF_TRIAL,
         {"a lease is held by the agent of the trial's newest attempt",
          "select not exists (select 1 from attempt a where a.trial = t.id and a.attempt = "
          "t.attempt and a.worker = t.worker and a.outcome is null) from trial t where id = ?1 and "
          "state = 'leased'"}},
        {OF_TRIAL,
         {"what waits for nothing is ready",
          "select not exists (select 1 from trial_input i join trial p on p.id = i.input where "
          "i.trial = t.id and p.state <> 'done') from trial t where id = ?1 and state = 'waiting' "
          "and source is null"}},
        {OF_TRIAL,
         {"a trial fails only after its limit of errors or losses",
          "select errors < retries and losses < lost_limit() from trial join "
          "specification on trial = id "
          "where id = ?1 and "
          "state = 'failed'"}},
        {OF_TRIAL,
         {"a trial that nobody wants is not left running",
          "select not exists (select 1 from study_trial st where st.trial = t.id and st.wanted) "
          "and "
          "not exists (select 1 from trial_input i where i.input = t.id) from trial t where id = "
          "?1 "
          "and (state = 'ready' or state = 'leased' or state = 'paused')"}},
        {OF_TRIAL,
         {"an error or a loss is counted once",
          "select errors > (select count(*) from history h where h.trial = t.id and "
          "(event = 'error' or event = 'error_last')) or losses > (select count(*) from history h "
          "where h.trial = "
          "t.id and (event = 'lose' or event = 'lose_last')) from trial t where id = ?1 and errors "
          "+ losses "
          "> 0"}},
        {OF_TRIAL | OF_ARTIFACT,
         {"the newest checkpoint of a trial that may go on is kept",
          "select 1 from artifact a join trial t on t.id = a.trial where a.trial = ?1 and a.name = "
          "'checkpoint' and a.state = 'collected' and t.state <> 'done' and not exists (select 1 "
          "from history h where h.trial = t.id and h.after = 'pruned') and not exists (select 1 "
          "from artifact n where n.trial = t.id and n.name = 'checkpoint' and n.step > a.step) and "
          "not exists (select 1 from freed f where f.trial = t.id and f.state not in ('waiting', "
          "'ready', 'leased'))"}},
        {OF_TRIAL | OF_METRIC,
         {"a trial waits only where no study lets it go on",
          "select not coalesce((select max(until) from (select iif(s.sweep ->> '$.prune.mode' = "
          "'promote' and st.until_epoch is not null, st.until_epoch, 1000) until from study_trial "
          "st join study s on s.id = st.study where st.trial = t.id and st.wanted)), 1000) <= "
          "(select max(epoch) from metric m where m.trial = t.id) from trial t where id = ?1 and "
          "state = 'paused'"}},
        {OF_RUNG,
         {"a trial at a rung has the value that it measured there",
          "select 1 from rung where trial = ?1 and value is not oracle(trial, epoch)"}},
        {OF_ARTIFACT,
         {"a done trial's input for others is never collected",
          "select 1 from artifact where trial = ?1 and final and state = 'collected'"}},
};

/* Of the moves after ?1. */
static const struct law move_laws[] = {
        {"history is a chain: each move starts where the last one ended",
         "select 1 from history h where h.seq > ?1 and h.before <> coalesce((select p.after from "
         "history p where p.trial = h.trial and p.seq < h.seq order by p.seq desc limit 1), "
         "'none')"},
        {"a lease ends by the word of its own attempt",
         "select 1 from history h join attempt a on a.trial = h.trial and a.attempt = h.attempt "
         "where h.seq > ?1 and h.event in ('error', 'error_last', 'yield', 'refuse', 'bad_result', "
         "'finish') and coalesce(a.outcome, 'lost') = 'lost'"},
};

/* Of the leases after ?1. */
static const struct law lease_laws[] = {
        {"a lease is given to an agent that fits",
         "select 1 from history h join trial t on t.id = h.trial join ask on ask.id = t.ask join "
         "worker w on w.id = h.worker where h.seq > ?1 and h.event = 'lease' and (ask.ranks * "
         "((ask.threads + w.threads - 1) / w.threads) > w.ranks or ask.memory_mb > w.memory_mb or "
         "ask.gpus > w.gpus or (ask.data_digest <> '' and not instr(w.data, ask.data_digest)))"},
        {"nothing is leased to an agent that leaves",
         "select 1 from history h join worker w on w.id = h.worker where h.seq > ?1 and h.event = "
         "'lease' and w.state <> 'up'"},
        {"a trial is leased to an agent that has as many minutes left",
         "select 1 from history h join trial t on t.id = h.trial join ask on ask.id = t.ask join "
         "worker w on w.id = h.worker where h.seq > ?1 and h.event = 'lease' and h.at_ms + "
         "ask.minutes * 60000 > w.until_ms"},
        /* Of those that are left ready: what they ask for was there when the lease was given. */
        {"of ready trials that an agent may have, the one of the highest priority is leased first",
         "select 1 from history h join trial t on t.id = h.trial join ask on ask.id = t.ask join "
         "worker w on w.id = h.worker join trial o on o.state = 'ready' and o.held = 0 and "
         "o.priority > t.priority and o.not_before_ms <= h.at_ms and not (o.errors > 0 and "
         "o.worker = w.id) join ask other on other.id = o.ask where h.seq > ?1 and h.event = "
         "'lease' and (select full_ms from coordinator) is null and t.state = 'leased' and "
         "other.threads <= w.threads and other.gpus <= ask.gpus "
         "and other.labels = '[]' and (other.data_digest = '' or instr(w.data, "
         "other.data_digest)) and (w.until_ms is null or h.at_ms + other.minutes * 60000 <= "
         "w.until_ms) and not exists (select 1 from refusal r where r.trial = o.id and r.worker = "
         "w.id and r.until_ms > h.at_ms) and other.ranks <= ask.ranks + w.ranks - w.other_slots - "
         "(select sum(a.ranks) from "
         "trial x join ask a on a.id = x.ask where x.worker = w.id and x.state = 'leased') and "
         "other.memory_mb <= ask.memory_mb + w.memory_mb - w.other_memory_mb - (select "
         "sum(a.memory_mb) from trial x join ask a on a.id = x.ask where x.worker = w.id and "
         "x.state = 'leased')"},
        {"a refused trial does not come back to the agent for a minute",
         "select 1 from history h join history r on r.trial = h.trial and r.event = 'refuse' and "
         "r.worker = h.worker and r.seq < h.seq where h.seq > ?1 and h.event = 'lease' and h.at_ms "
         "between r.at_ms and r.at_ms + 59999 and not "
         "exists (select 1 from history x where x.trial = h.trial and x.event = 'retry' and x.seq "
         "between r.seq and h.seq)"},
        {"nothing is leased while every study that wants it is paused or cancelled",
         "select 1 from history h where h.seq > ?1 and h.event = 'lease' and not exists (select 1 "
         "from study_trial st join study s on s.id = st.study where st.trial = h.trial and "
         "st.wanted and s.state = 'active')"},
        {"a trial is leased when its inputs are done and their bytes there",
         "select 1 from history h join trial_input i on i.trial = h.trial join trial p on p.id = "
         "i.input where h.seq > ?1 and h.event = 'lease' and (p.state <> 'done' or not exists "
         "(select 1 from artifact a join upload u on u.sha256 = a.sha256 where a.trial = p.id and "
         "a.final and a.state = 'present'))"},
        {"nothing is leased before its backoff is over",
         "select 1 from history h join history e on e.trial = h.trial and e.event = 'error' and "
         "e.seq = (select max(seq) from history x where x.trial = h.trial and x.seq < h.seq) where "
         "h.seq > ?1 and h.event = 'lease' and h.at_ms >= e.at_ms and h.at_ms < e.at_ms + 400"},
        {"a lease goes on from the newest checkpoint that is good",
         "select 1 from history h join attempt a on a.trial = h.trial and a.attempt = h.attempt "
         "where h.seq > ?1 and h.event = 'lease' and a.from_step <> coalesce((select max(step) "
         "from artifact x where x.trial = h.trial and x.name = 'checkpoint' and x.state = "
         "'present'), 0)"},
        {"nothing begins while the store is full",
         "select 1 from history h join attempt a on a.trial = h.trial and a.attempt = h.attempt "
         "where h.seq > ?1 and h.event = 'lease' and a.from_step = 0 and (select full_ms from "
         "coordinator) is not null"},
        {"an agent is not given more than it has",
         "select ?1 >= 0 from (select w.ranks, sum(ask.ranks) as taken from trial t join ask on "
         "ask.id = t.ask join worker w on w.id = t.worker where t.state = 'leased' and not exists "
         "(select 1 from history h where h.trial = t.id and h.attempt = t.attempt and h.event = "
         "'reattach') group by w.id) where taken > ranks"},
};

/* Of the whole store; indices make them cheap.  ?1: now. */
static const struct law store_laws[] = {
        {"what a trial goes on from is not freed",
         "select ?1 > 0 from freed where state in ('waiting', 'ready', 'leased') and newest"},
        {"nothing is left unsettled", "select ?1 > 0 from trial where unsettled = 1"},
        {"a lease does not outlast a new one",
         "select 1 from trial where state = 'leased' and lease_until_ms > ?1 + 6000"},
};

/* What would stay so: asked now and then. */
static const struct law rare_laws[] = {
        {"a study's trials are numbered without a gap",
         "select ?1 > 0 from study s where trials <> (select count(*) from study_trial st where "
         "st.study = s.id and role = 'trial') or trials > total"},
        {"nobody waits at a rung to which nobody can come",
         "select ?1 > 0 from rung g join study s on s.id = g.study join trial t on t.id = g.trial "
         "where g.verdict is null and t.state = 'paused' and s.cursor = s.total and s.state = "
         "'active' and s.sweep ->> '$.prune.mode' = 'promote' and not exists (select 1 from "
         "study_trial o join trial x on x.id = o.trial where o.study = g.study and o.bracket = "
         "g.bracket and o.wanted and x.ended_ms is null and (o.until_epoch < g.epoch or "
         "(o.until_epoch = g.epoch and not exists (select 1 from rung r where r.study = o.study "
         "and r.epoch = g.epoch and r.trial = o.trial))))"},
};

static const struct law byte_laws[] = {
        {"the bytes in the store are counted",
         "select ?1 > 0 and stored_bytes <> (select coalesce(sum(bytes), 0) from upload) from "
         "coordinator"},
        {"bytes that the database counts on lie on the disk",
         "select ?1 > 0 from upload where not on_disk(sha256)"},
};

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
	        "create temp table freed(trial, state, newest); create index temp.freed_needed on "
	        "freed(trial) where newest; create temp trigger note_freed "
	        "after update of state on main.artifact when new.state = 'collected' begin "
	        "insert into freed select id, state, not exists (select 1 from artifact where "
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
	enum { ALL_AFTER = 64 };
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
	         "select state = 'done' or attempt > ?2 or state in ('waiting', 'cancelled', "
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
