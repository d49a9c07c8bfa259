/* Agents as the coordinator knows them: what they have, whether they may be given work. */
#include "coordinator/worker.h"
#include "coordinator/generation.h"
#include "coordinator/search.h"
#include "coordinator/turn.h"
#include "core/base/json.h"
#include "core/base/text.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { FAST_MS = 60000, FAST_FAILURES = 3, LOG_BYTES = 65536 };

static int64_t worker_of(struct sql *db, const char *agent)
{
	return sql_get_int(db, 0, "select id from worker where agent = ?", agent);
}

static int64_t no_less(int64_t value, int64_t least)
{
	return value < least ? least : value;
}

static int64_t at_least(const cJSON *body, const char *key, int64_t least)
{
	return no_less(json_int(body, key, least), least);
}

void on_hello(struct turn *t, const cJSON *body)
{
	const char *agent = json_text(body, "agent", "");
	char *labels = json_print(json_at(body, "labels"), false);
	char *data = json_print(json_at(body, "data"), false);
	bool draining = json_bool(body, "draining", false);

	sql_run(t->db,
	        "insert into worker(agent, name, pid, ranks, threads, memory_mb, gpus, labels, "
	        "data, "
	        "numerics, version, state, first_seen_ms, seen_ms) "
	        "values(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, iif(?12, 'draining', 'up'), "
	        "?13, "
	        "?13) on conflict do update set ranks = ?4, threads = ?5, memory_mb = ?6, gpus = "
	        "?7, "
	        "labels = ?8, data = ?9, numerics = ?10, seen_ms = ?13, "
	        "state = iif(?12, 'draining', iif(state in ('lost', 'left'), 'up', state))",
	        agent, json_text(body, "name", agent), json_int(body, "pid", 0),
	        at_least(body, "ranks", 1), at_least(body, "threads", 1),
	        at_least(body, "memory_mb", 0), at_least(body, "gpus", 0), labels, data,
	        json_text(body, "numerics", ""), json_text(body, "version", ""), draining,
	        t->now_ms);
	int64_t left_s = json_int(body, "seconds_left", -1);
	sql_run(t->db, "update worker set until_ms = nullif(?, 0) where agent = ?",
	        left_s < 0 ? 0 : t->now_ms + 1000 * left_s, agent);
	sql_run(t->db, "update worker set key = ? where agent = ? and key is null",
	        t->message->key[0] ? t->message->key : NULL, agent);
	search_note_agents(t->db);
	int64_t worker = worker_of(t->db, agent);
	cJSON *reply = cJSON_CreateObject();
	cJSON_AddNumberToObject(reply, "worker", (double)worker);
	cJSON_AddNumberToObject(reply, "lease_ms", (double)t->options->lease_ms);
	cJSON_AddNumberToObject(reply, "beat_ms", (double)t->options->beat_ms);
	cJSON_AddStringToObject(reply, "url", t->options->url ? t->options->url : "");
	if (t->options->pin)
		cJSON_AddStringToObject(reply, "pin", t->options->pin);
	cJSON_AddStringToObject(reply, "version", WIRE_VERSION);
	generation_describe(t, reply);
	cJSON_AddNumberToObject(reply, "credits", (double)turn_credits(t));
	turn_reply(t, WIRE_WELCOME, reply);
	free(labels);
	free(data);
	if (json_at(body, "holds")->child || json_at(body, "free_ranks"))
		on_beat(t, body);
	else
		turn_hear(t, worker, agent, json_at(body, "holds"), 0);
}

/* What the attempt has come to, as of this beat. */
static void save_progress(struct turn *t, int64_t trial, int64_t attempt, const cJSON *hold)
{
	sql_run(t->db,
	        "update attempt set step = ?, steps = nullif(?, -1), epoch = nullif(?, -1), "
	        "epochs = nullif(?, -1), images_per_second = ?, loss = ?, accuracy = ?, phase = ? "
	        "where trial = ? and attempt = ?",
	        json_int(hold, "step", 0), json_int(hold, "steps", -1), json_int(hold, "epoch", -1),
	        json_int(hold, "epochs", -1), json_real(hold, "images_per_second", NAN),
	        json_real(hold, "loss", NAN), json_real(hold, "accuracy", NAN),
	        json_text(hold, "phase", ""), trial, attempt);
}

/* Renews one lease; false when the attempt does not hold it, and so takes room that we did not
 * give. */
static bool renew(struct turn *t, int64_t worker, const cJSON *hold)
{
	int64_t id = json_int(hold, "trial", 0), attempt = json_int(hold, "attempt", 0);
	struct trial trial;

	if (lease_standing(t, id, attempt, worker, &trial) != STANDING_CURRENT)
		return false;
	trial_move_loaded(
	        t->db, t->now_ms, &trial, ON_BEAT,
	        &(struct trial_change){.lease_until_ms = t->now_ms + t->options->lease_ms});
	save_progress(t, id, attempt, hold);
	return true;
}

/* What of an agent is taken. */
struct taken {
	int64_t slots, memory_mb;
};

/* The agent's row, as far as beats need or change it; mostly they change nothing. */
struct row {
	int64_t ranks, threads, memory_mb, other_slots, other_memory_mb;
	bool draining, drain, away; /* drain: a person has said so */
};

static struct row row_of(struct sql *db, int64_t worker)
{
	struct row row = {0};
	struct sql_rows *rows =
	        sql_query(db,
	                  "select ranks, threads, memory_mb, other_slots, other_memory_mb, state = "
	                  "'draining', drain, state = 'lost' or state = 'left' from worker where "
	                  "id = ?",
	                  worker);

	while (sql_next(rows))
		row = (struct row){.ranks = sql_int(rows, 0),
		                   .threads = sql_int(rows, 1),
		                   .memory_mb = sql_int(rows, 2),
		                   .other_slots = sql_int(rows, 3),
		                   .other_memory_mb = sql_int(rows, 4),
		                   .draining = sql_int(rows, 5) != 0,
		                   .drain = sql_int(rows, 6) != 0,
		                   .away = sql_int(rows, 7) != 0};
	return row;
}

static void take(struct turn *t, int64_t trial, const struct row *row, struct taken *taken)
{
	struct sql_rows *rows = sql_query(t->db,
	                                  "select a.ranks, a.threads, a.memory_mb from trial join "
	                                  "ask a on a.id = trial.ask where trial.id = ?",
	                                  trial);

	while (sql_next(rows)) {
		taken->slots += lease_slots(sql_int(rows, 0), sql_int(rows, 1), row->threads);
		taken->memory_mb += sql_int(rows, 2);
	}
}

/* More room, or less, is news for searches. */
static void save_state(struct turn *t, int64_t worker, const struct row *row, bool drains)
{
	if (drains ? row->draining : !row->away && (!row->draining || row->drain))
		return;
	sql_run(t->db, "update worker set state = iif(?, 'draining', 'up') where id = ?", drains,
	        worker);
	search_note_agents(t->db);
}

/* Slots and memory that the agent says are taken, beyond what the leases that it lists take. */
static void save_room(struct turn *t, int64_t worker, const struct row *row, const cJSON *body,
                      const struct taken *listed)
{
	int64_t slots = no_less(row->ranks - json_int(body, "free_ranks", 0) - listed->slots, 0);
	int64_t memory_mb = no_less(
	        row->memory_mb - json_int(body, "free_memory_mb", 0) - listed->memory_mb, 0);

	if (slots != row->other_slots || memory_mb != row->other_memory_mb)
		sql_run(t->db,
		        "update worker set other_slots = ?, other_memory_mb = ? where id = ?",
		        slots, memory_mb, worker);
}

void on_beat(struct turn *t, const cJSON *body)
{
	const char *agent = json_text(body, "agent", "");
	int64_t worker = turn_worker(t);
	struct taken listed = {0};
	const cJSON *hold = NULL;

	if (!worker)
		return;
	struct row row = row_of(t->db, worker);
	save_state(t, worker, &row, json_bool(body, "draining", false));
	cJSON_ArrayForEach (hold, json_at(body, "holds"))
		if (renew(t, worker, hold))
			take(t, json_int(hold, "trial", 0), &row, &listed);
	if (json_at(body, "free_ranks"))
		save_room(t, worker, &row, body, &listed);
	turn_hear(t, worker, agent, json_at(body, "holds"), json_int(body, "seq", 0));
}

void on_leave(struct turn *t, const cJSON *body)
{
	int64_t worker = worker_of(t->db, json_text(body, "agent", "")), id = 0;

	while ((id = sql_get_int(
	                t->db, 0,
	                "select id from trial where worker = ? and state = 'leased' limit 1",
	                worker))) {
		struct trial trial;
		if (!trial_load(t->db, id, &trial) ||
		    !trial_move(t->db, t->now_ms, id, trial.attempt, ON_YIELD,
		                &(struct trial_change){.why = "its agent left"}))
			break;
		attempt_end(t, id, trial.attempt, "yield", "its agent left");
	}
	sql_run(t->db, "update worker set state = 'left', seen_ms = ? where id = ?", t->now_ms,
	        worker);
}

/* The last LOG_BYTES of an attempt's log lie in its row; a gap is marked. */
void on_log(struct turn *t, const cJSON *body)
{
	int64_t worker = turn_worker(t), offset = json_int(body, "offset", 0);
	const char *text = json_text(body, "text", "");
	int64_t length = (int64_t)strlen(text);

	if (worker && length)
		sql_run(t->db,
		        "update attempt set log = substr(iif(log_end < ?1, log || char(10) || "
		        "'[…]' || "
		        "char(10), log) || ?2, -?3), log_end = ?1 + ?4 where trial = ?5 and "
		        "attempt = ?6 "
		        "and worker = ?7 and log_end <= ?1 and coalesce(outcome, 'done') = 'done'",
		        offset, text, LOG_BYTES, length, json_int(body, "trial", 0),
		        json_int(body, "attempt", 0), worker);
}

/* Takes back one failure that was the worker's. */
static void forgive(struct turn *t, int64_t id)
{
	struct trial trial;

	if (!trial_load(t->db, id, &trial))
		return;
	sql_run(t->db, "update trial set errors = max(0, errors - 1) where id = ?", id);
	if (trial.state == TRIAL_FAILED)
		trial_move(t->db, t->now_ms, id, trial.attempt, ON_RETRY,
		           &(struct trial_change){.why = "its agent was quarantined"});
}

void worker_judge(struct turn *t, int64_t worker)
{
	int64_t trials[FAST_FAILURES];
	int count = 0;
	bool others = sql_get_int(t->db, 0,
	                          "select count(*) from worker where state = 'up' and id <> ? and "
	                          "seen_ms > ?",
	                          worker, t->now_ms - t->options->lease_ms) > 0;
	struct sql_rows *rows = sql_query(
	        t->db,
	        "select a.trial, a.outcome in ('error', 'hung') and a.ended_ms - a.started_ms < ?1 "
	        "from "
	        "attempt a join worker w on w.id = a.worker where a.worker = ?2 and a.ended_ms > "
	        "w.cleared_ms order by a.ended_ms desc, a.trial desc limit ?3",
	        FAST_MS, worker, FAST_FAILURES);

	while (sql_next(rows))
		if (sql_int(rows, 1))
			trials[count++] = sql_int(rows, 0);
	bool different = count == FAST_FAILURES && trials[0] != trials[1] &&
	                 trials[1] != trials[2] && trials[0] != trials[2];
	if (!others || !different ||
	    !sql_run(t->db, "update worker set state = 'quarantined' where id = ? and state = 'up'",
	             worker))
		return;
	for (int i = 0; i < count; i++)
		forgive(t, trials[i]);
	event_add(t->db, t->now_ms, "quarantined", 0, 0, worker,
	          "its last %d trials failed at once; `trawl worker undrain %ld` frees it", count,
	          (long)worker);
}

static int set_state(struct turn *t, const char *which, bool drain, struct error *e)
{
	int changed = sql_run(t->db,
	                      "update worker set drain = ?1, state = iif(?1, 'draining', 'up'), "
	                      "cleared_ms = iif(?1, cleared_ms, ?2) where (name = ?3 or "
	                      "cast(id as text) = ?3) and state not in ('left', 'lost')",
	                      drain, t->now_ms, which);

	search_note_agents(t->db);
	t->all = true;
	return changed ? 0 : error_set(e, "no worker \"%s\" is there (see `trawl workers`)", which);
}

int worker_drain(struct turn *t, const char *which, struct error *e)
{
	return set_state(t, which, true, e);
}

int worker_undrain(struct turn *t, const char *which, struct error *e)
{
	return set_state(t, which, false, e);
}
