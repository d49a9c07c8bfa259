/* The laws: SQL that counts violations, run after every commit that changed something. */
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
	struct sql *db = &s->disk.db;

	if (known[trial].seed != s->seed) {
		char *identity = sql_get_text(db, "select identity from trial where id = ?", trial);
		int64_t ignored = 0,
		        count = sql_get_int(
		                db, 1, "select spec ->> '$.train.epochs' from trial where id = ?",
		                trial);
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

/* ?1: history up to which the laws were checked before; ?2: now. */
static const struct {
	const char *law, *violations;
} laws[] = {
        {"history is a chain: each move starts where the last one ended",
         "select count(*) from history h where h.seq > ?1 and h.before <> coalesce((select p.after "
         "from history p where p.trial = h.trial and p.seq < h.seq order by p.seq desc limit 1), "
         "'none')"},
        {"the last move says what the trial says",
         "select count(*) from trial t where state <> (select after from history h where "
         "h.trial = t.id order by h.seq desc limit 1)"},
        {"attempts only rise, by a lease each",
         "select count(*) from trial t where attempt <> (select count(*) from history h where "
         "h.trial = t.id and h.event = 'lease') or attempt <> (select count(*) from attempt a "
         "where "
         "a.trial = t.id)"},
        {"a done trial has its result, and the right one",
         "select count(*) from trial t left join result r on r.trial = t.id and r.metric = "
         "'accuracy' where t.state = 'done' and r.value is not oracle(t.id, 1000)"},
        {"no trial but one that was done has a result",
         "select count(*) from result r where not exists (select 1 from history h where "
         "h.trial = r.trial and h.after = 'done')"},
        {"a metric has the value that the job measured",
         "select count(*) from metric where value is not oracle(trial, step) or name <> 'loss'"},
        {"a done trial has every metric once", "select count(*) from trial t where state = 'done' "
                                               "and (select count(*) from metric m where "
                                               "m.trial = t.id) <> steps(t.id)"},
        {"metrics up to a checkpoint are there with it",
         "select count(*) from artifact a where name = 'checkpoint' and (select count(*) from "
         "metric "
         "m where m.trial = a.trial and m.step <= a.step) < a.step"},
        {"a lease is held by the agent of the trial's newest attempt",
         "select count(*) from trial t where state = 'leased' and not exists (select 1 from "
         "attempt "
         "a where a.trial = t.id and a.attempt = t.attempt and a.worker = t.worker and "
         "(a.outcome is null))"},
        {"a lease is given to an agent that fits",
         "select count(*) from history h join trial t on t.id = h.trial join ask on ask.id = t.ask "
         "join worker w on w.id = h.worker where h.seq > ?1 and h.event = 'lease' and "
         "(ask.ranks * ((ask.threads + w.threads - 1) / w.threads) > w.ranks or "
         "ask.memory_mb > w.memory_mb or ask.gpus > w.gpus or (ask.data_digest <> '' and "
         "not instr(w.data, ask.data_digest)))"},
        {"an agent is not given more than it has",
         "select count(*) from (select w.ranks, sum(ask.ranks) as taken from trial t join ask on "
         "ask.id = t.ask join worker w on w.id = t.worker where t.state = 'leased' and not exists "
         "(select 1 from history h where h.trial = t.id and h.attempt = t.attempt and h.event = "
         "'reattach') group by w.id) where taken > ranks"},
        {"a refused trial does not come back to the agent",
         "select count(*) from history h join history r on r.trial = h.trial and r.event = "
         "'refuse' "
         "and r.worker = h.worker and r.seq < h.seq where h.seq > ?1 and h.event = 'lease' and not "
         "exists (select 1 from history x where x.trial = h.trial and x.event = 'retry' and x.seq "
         "between r.seq and h.seq)"},
        {"nothing is leased while every study that wants it is paused or cancelled",
         "select count(*) from history h where h.seq > ?1 and h.event = 'lease' and not exists "
         "(select 1 from study_trial st join study s on s.id = st.study where st.trial = h.trial "
         "and "
         "st.wanted and s.state = 'active')"},
        {"a trial is leased when its inputs are done and their bytes there",
         "select count(*) from history h join trial_input i on i.trial = h.trial join trial p on "
         "p.id = i.input where h.seq > ?1 and h.event = 'lease' and (p.state <> 'done' or not "
         "exists "
         "(select 1 from artifact a join upload u on u.sha256 = a.sha256 where a.trial = p.id and "
         "a.final and a.state = 'present'))"},
        {"nothing is leased before its backoff is over",
         "select count(*) from history h join history e on e.trial = h.trial and e.event = 'error' "
         "and e.seq = (select max(seq) from history x where x.trial = h.trial and x.seq < h.seq) "
         "where h.seq > ?1 and h.event = 'lease' and h.at_ms >= e.at_ms and h.at_ms < e.at_ms + "
         "400"},
        {"bytes that the database counts on lie on the disk",
         "select count(*) from upload where not on_disk(sha256)"},
        {"a lease goes on from the newest checkpoint that is good",
         "select count(*) from history h join attempt a on a.trial = h.trial and a.attempt = "
         "h.attempt where h.seq > ?1 and h.event = 'lease' and a.from_step <> coalesce((select "
         "max(step) from artifact x where x.trial = h.trial and x.name = 'checkpoint' and x.state "
         "= "
         "'present'), 0)"},
        {"nothing is left unsettled", "select count(*) from trial where unsettled"},
        {"what waits for nothing is ready",
         "select count(*) from trial t where state = 'waiting' and source is null and not exists "
         "(select 1 from trial_input i join trial p on p.id = i.input where i.trial = t.id and "
         "p.state <> 'done')"},
        {"a lease does not outlast a new one",
         "select count(*) from trial where state = 'leased' and lease_until_ms > ?2 + 6000"},
        {"a trial fails only after its limit of errors or losses",
         "select count(*) from trial t where state = 'failed' and errors < (t.spec ->> "
         "'$.retry.limit') and losses < 5"},
        {"a trial that nobody wants is not left running",
         "select count(*) from trial t where state in ('ready', 'leased', 'paused') and not exists "
         "(select 1 "
         "from study_trial st where st.trial = t.id and st.wanted) and not exists (select 1 from "
         "trial_input i where i.input = t.id)"},
        {"a study's trials are numbered without a gap",
         "select count(*) from study s where trials <> (select count(*) from study_trial st where "
         "st.study = s.id and role = 'trial') or trials > total"},
        {"a lease ends by the word of its own attempt",
         "select count(*) from history h join attempt a on a.trial = h.trial and a.attempt = "
         "h.attempt where h.seq > ?1 and h.event in ('error', 'error_last', 'yield', 'refuse', "
         "'bad_result', 'finish') and coalesce(a.outcome, 'lost') = 'lost'"},
        {"an error or a loss is counted once",
         "select count(*) from trial t where errors > (select count(*) from history h where "
         "h.trial = t.id and event in ('error', 'error_last')) or losses > (select count(*) from "
         "history h where h.trial = t.id and event in ('lose', 'lose_last'))"},
        {"the newest checkpoint of a trial that may go on is kept",
         "select count(*) from trial t join artifact a on a.trial = t.id and a.name = 'checkpoint' "
         "where t.state <> 'done' and not exists (select 1 from history h where h.trial = t.id and "
         "h.after = 'pruned') and a.state = 'collected' and not exists (select "
         "1 from artifact "
         "n "
         "where n.trial = t.id and n.name = 'checkpoint' and n.step > a.step) and not exists "
         "(select 1 from freed f where f.trial = t.id and f.state not in ('waiting', 'ready', "
         "'leased'))"},
        {"what a trial goes on from is not freed",
         "select count(*) from freed where state in ('waiting', 'ready', 'leased') and newest"},
        {"the bytes in the store are counted",
         "select stored_bytes <> (select coalesce(sum(bytes), 0) from upload) from coordinator"},
        {"nothing begins while the store is full",
         "select count(*) from history h join attempt a on a.trial = h.trial and a.attempt = "
         "h.attempt where h.seq > ?1 and h.event = 'lease' and a.from_step = 0 and (select full_ms "
         "from coordinator) is not null"},
        {"a trial waits only where no study lets it go on",
         "select count(*) from trial t where state = 'paused' and not coalesce((select max(until) "
         "from (select iif(s.sweep ->> '$.prune.mode' = 'promote' and st.until_epoch is not null, "
         "st.until_epoch, 1000) until from study_trial st join study s on s.id = st.study where "
         "st.trial = t.id and st.wanted)), 1000) <= (select max(epoch) from metric m where m.trial "
         "= "
         "t.id)"},
        {"a trial at a rung has the value that it measured there",
         "select count(*) from rung where value is not oracle(trial, epoch)"},
        {"nobody waits at a rung to which nobody can come",
         "select count(*) from rung g join study s on s.id = g.study join trial t on t.id = "
         "g.trial "
         "where g.verdict is null and t.state = 'paused' and s.cursor = s.total and s.state = "
         "'active' and s.sweep ->> '$.prune.mode' = 'promote' and not exists (select 1 from "
         "study_trial o join trial x on x.id = o.trial where o.study = g.study and o.bracket = "
         "g.bracket and o.wanted and x.ended_ms is null and (o.until_epoch < g.epoch or "
         "(o.until_epoch = g.epoch and not exists (select 1 from rung r where r.study = o.study "
         "and "
         "r.epoch = g.epoch and r.trial = o.trial))))"},
        {"a done trial's input for others is never collected",
         "select count(*) from artifact where final and state = 'collected'"},
};

static void laws_install(struct sim *s)
{
	sqlite3 *handle = s->disk.db.handle;
	int flags = SQLITE_UTF8;

	sqlite3_create_function(handle, "oracle", 2, flags, NULL, sql_oracle, NULL, NULL);
	sqlite3_create_function(handle, "steps", 1, flags, NULL, sql_steps, NULL, NULL);
	sqlite3_create_function(handle, "on_disk", 1, flags, NULL, sql_on_disk, NULL, NULL);
	/* What was freed, and in which state its trial was. */
	sql_script(&s->disk.db,
	           "create temp table freed(trial, state, newest); create temp trigger note_freed "
	           "after update of state on main.artifact when new.state = 'collected' begin "
	           "insert into freed select id, state, not exists (select 1 from artifact where "
	           "trial = new.trial and name = 'checkpoint' and state = 'present' and step > "
	           "new.step) from trial where id = new.trial; end");
}

static void laws_check(struct sim *s)
{
	struct sql *db = &s->disk.db;

	law_world = s;
	for (size_t i = 0; i < sizeof laws / sizeof *laws && !s->broken; i++) {
		struct sql_rows *rows = NULL;
		bool first = strstr(laws[i].violations, "?1") != NULL;
		bool second = strstr(laws[i].violations, "?2") != NULL;
		int64_t wall = s->now + s->wall_offset;
		if (first)
			rows = sql_query(db, laws[i].violations, s->checked);
		else if (second)
			rows = sql_query(db, laws[i].violations, (int64_t)0, wall);
		else
			rows = sql_query(db, laws[i].violations);
		if (sql_next(rows)) {
			if (sql_int(rows, 0))
				broken(s, laws[i].law);
			sql_end(rows);
		}
		if (db->failure) {
			printf("%s: %s\n", laws[i].law, db->error.text);
			abort();
		}
	}
}

/* A lease that ran out although its agent's beat lay in the queue, or, once nothing fails, although
 * the agent lives. */
static void law_of_losses(struct sim *s)
{
	struct sql_rows *rows = sql_query(
	        &s->disk.db,
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
	            &s->disk.db, 0,
	            "select count(*) from history where seq > ? and event in ('lose', 'lose_last', "
	            "'error', 'error_last', 'reattach', 'finish_late', 'refuse')",
	            s->checked))
		broken(s, "no attempt is wasted once nothing fails");
}

static void check_commit(struct sim *s)
{
	int64_t last = sql_get_int(&s->disk.db, 0, "select max(seq) from history");
	int64_t rows = sql_get_int(&s->disk.db, 0,
	                           "select (select count(*) from metric) + (select count(*) from "
	                           "artifact) + (select count(*) from upload)");

	if (last == s->checked && rows == s->changes)
		return;
	laws_check(s);
	law_of_losses(s);
	law_of_waste(s);
	s->checked = last;
	s->changes = rows;
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
	        {WIRE_DONE_SAVED, "a result is acknowledged after it is stored, or nobody needs it",
	         "select state = 'done' or attempt > ?2 or state in ('waiting', 'cancelled', "
	         "'skipped', 'pruned', "
	         "'failed') or ?3 > 0 from trial where id = ?1"},
	        {WIRE_ENDED_SAVED, "an end is acknowledged after it is stored",
	         "select outcome is not null or ?3 > 0 from attempt where trial = ?1 and attempt = "
	         "?2"},
	};
	int64_t trial = json_int(m->body, "trial", 0), attempt = json_int(m->body, "attempt", 0);

	for (size_t i = 0; i < sizeof promises / sizeof *promises; i++)
		if (promises[i].kind == m->kind &&
		    sql_get_int(&s->disk.db, 0, promises[i].kept, trial, attempt,
		                json_int(m->body, "batch", 0)) != 1)
			broken(s, promises[i].law);
	if (m->kind == WIRE_STORED_SAVED && json_bool(m->body, "ok", false) &&
	    !sql_get_int(&s->disk.db, 0,
	                 "select (select count(*) from upload where sha256 = ?1) + (select "
	                 "count(*) from "
	                 "doomed where sha256 = ?1)",
	                 json_text(m->body, "sha256", "")))
		broken(s, "201 is answered after the commit");
}
#endif
