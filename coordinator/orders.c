/* ORDERS: the full list of what an agent should hold, and of what it must stop. */
#include "coordinator/artifact.h"
#include "coordinator/prune.h"
#include "coordinator/turn.h"
#include "core/base/json.h"
#include <stdlib.h>
#include <string.h>

static const cJSON *listed(const cJSON *holds, int64_t trial, int64_t attempt)
{
	const cJSON *hold = NULL;

	cJSON_ArrayForEach (hold, holds)
		if (json_int(hold, "trial", 0) == trial && json_int(hold, "attempt", 0) == attempt)
			return hold;
	return NULL;
}

static cJSON *order(int64_t trial, int64_t attempt, const char *what)
{
	cJSON *hold = cJSON_CreateObject();

	cJSON_AddNumberToObject(hold, "trial", (double)trial);
	cJSON_AddNumberToObject(hold, "attempt", (double)attempt);
	cJSON_AddStringToObject(hold, "order", what);
	return hold;
}

static cJSON *bytes_of(const struct artifact *a)
{
	cJSON *bytes = cJSON_CreateObject();

	cJSON_AddStringToObject(bytes, "sha256", a->sha256);
	cJSON_AddNumberToObject(bytes, "bytes", (double)a->bytes);
	return bytes;
}

/* A lease, as far as its order depends on it. */
struct leased {
	int64_t trial, attempt, worker_threads;
	int64_t from_artifact; /* the checkpoint that it goes on from; 0: none */
	bool from_file;
};

static void add_input(cJSON *inputs, const struct artifact *a, const char *role)
{
	cJSON *input = bytes_of(a);

	cJSON_AddStringToObject(input, "role", role);
	cJSON_AddItemToArray(inputs, input);
}

/* False when the bytes of one are gone: without it the trial would give another result. */
static bool add_inputs(struct turn *t, cJSON *hold, const struct leased *l)
{
	bool complete = true;
	cJSON *inputs = cJSON_AddArrayToObject(hold, "inputs");
	struct artifact a;
	struct sql_rows *rows = sql_query(
	        t->db,
	        "select input, role from trial_input where trial = ? order by length(role), role",
	        l->trial);

	while (sql_next(rows)) {
		bool there = artifact_of_input(t->db, sql_int(rows, 0), &a);
		complete = complete && there;
		if (there)
			add_input(inputs, &a, sql_text(rows, 1));
	}
	if (!l->from_file)
		return complete;
	bool there = artifact_of_source(t->db, l->trial, &a);
	if (there)
		add_input(inputs, &a, "start_from");
	return complete && there;
}

static cJSON *resume_of(struct turn *t, int64_t artifact)
{
	struct artifact a;

	if (!artifact || !artifact_load(t->db, artifact, &a))
		return cJSON_CreateNull();
	cJSON *resume = bytes_of(&a);
	cJSON_AddNumberToObject(resume, "step", (double)a.step);
	return resume;
}

/* What the trial may take of the agent, and its specification as it stands in the database. */
static void add_spec(struct turn *t, cJSON *hold, const struct leased *l)
{
	static const char *const limits[] = {"ranks", "threads", "gpus", "memory_mb"};
	enum { LIMITS = sizeof limits / sizeof *limits };
	struct sql_rows *rows =
	        sql_query(t->db,
	                  "select a.ranks, a.threads, a.gpus, a.memory_mb, p.spec from trial t "
	                  "join ask a on a.id = t.ask join specification p on p.trial = t.id "
	                  "where t.id = ?",
	                  l->trial);
	cJSON *object = cJSON_AddObjectToObject(hold, "limits");

	if (!sql_next(rows))
		return;
	for (int i = 0; i < LIMITS; i++)
		cJSON_AddNumberToObject(object, limits[i], (double)sql_int(rows, i));
	cJSON_AddNumberToObject(
	        object, "slots",
	        (double)lease_slots(sql_int(rows, 0), sql_int(rows, 1), l->worker_threads));
	cJSON_AddRawToObject(hold, "spec", sql_text(rows, LIMITS));
	sql_end(rows);
}

static void add_until(struct turn *t, cJSON *hold, int64_t trial)
{
	int64_t until = prune_until(t->db, trial);

	if (until)
		cJSON_AddNumberToObject(json_at(hold, "limits"), "until_epoch", (double)until);
}

/* All that an agent needs to start the attempt; false when it cannot be started. */
static bool add_start(struct turn *t, cJSON *hold, const struct leased *l)
{
	char token[SHA256_HEX], hashed[SHA256_HEX];

	lease_token(t->options->secret, l->trial, l->attempt, token);
	sha256_hex(token, strlen(token), hashed);
	sql_run(t->db,
	        "update attempt set token_sha256 = ?1 where trial = ?2 and attempt = ?3 and "
	        "token_sha256 <> ?1",
	        (const char *)hashed, l->trial, l->attempt);
	cJSON_AddStringToObject(hold, "token", token);
	add_spec(t, hold, l);
	add_until(t, hold, l->trial);
	cJSON_AddItemToObject(hold, "resume", resume_of(t, l->from_artifact));
	return add_inputs(t, hold, l);
}

/* What it should hold: every lease that it has. */
static void add_leases(struct turn *t, cJSON *holds, const struct heard *heard)
{
	struct sql_rows *rows = sql_query(
	        t->db,
	        "select trial.id, trial.attempt, w.threads, a.from_artifact, trial.source is not "
	        "null, trial.held = 2 or w.drain, a.phase is not null from trial join attempt a on "
	        "a.trial = trial.id and a.attempt = trial.attempt join worker w on w.id = "
	        "trial.worker where trial.worker = ? and trial.state = 'leased'",
	        heard->worker);

	while (sql_next(rows)) {
		const struct leased l = {sql_int(rows, 0), sql_int(rows, 1), sql_int(rows, 2),
		                         sql_int(rows, 3), sql_int(rows, 4) != 0};
		bool known = heard->holds ? listed(heard->holds, l.trial, l.attempt) != NULL
		                          : sql_int(rows, 6) != 0;
		cJSON *hold =
		        order(l.trial, l.attempt, known && sql_int(rows, 5) ? "yield" : "run");
		if (known || add_start(t, hold, &l))
			cJSON_AddItemToArray(holds, hold);
		else
			cJSON_Delete(hold);
	}
}

/* By its own account: its DONE or ENDED is on the way, or was taken since this beat. */
static bool has_ended(struct turn *t, const cJSON *hold, int64_t trial, int64_t attempt)
{
	const char *phase = json_text(hold, "phase", "");

	return strcmp(phase, "done") == 0 || strcmp(phase, "ended") == 0 ||
	       sql_get_int(t->db, 0,
	                   "select outcome not in ('lost', 'cancelled', 'pruned', 'revoked') from "
	                   "attempt where trial = ? and attempt = ?",
	                   trial, attempt) == 1;
}

/* What it must stop: all else that runs.  What has ended by itself is said until it is answered. */
static void add_stops(struct turn *t, cJSON *holds, const struct heard *heard)
{
	const cJSON *hold = NULL;
	struct trial trial;

	cJSON_ArrayForEach (hold, heard->holds) {
		int64_t id = json_int(hold, "trial", 0), attempt = json_int(hold, "attempt", 0);
		enum standing standing = lease_standing(t, id, attempt, heard->worker, &trial);
		if (standing != STANDING_CURRENT && !has_ended(t, hold, id, attempt))
			cJSON_AddItemToArray(holds, order(id, attempt, "stop"));
	}
}

static void send_orders(struct turn *t, const struct heard *heard)
{
	cJSON *body = cJSON_CreateObject();

	cJSON_AddNumberToObject(body, "seq", (double)heard->seq);
	cJSON *holds = cJSON_AddArrayToObject(body, "holds");
	add_leases(t, holds, heard);
	add_stops(t, holds, heard);
	cJSON_AddNumberToObject(body, "beat_ms", (double)t->options->beat_ms);
	cJSON_AddNumberToObject(body, "credits", (double)turn_credits(t));
	turn_send(t, heard->agent, WIRE_ORDERS, body);
}

/* Every agent that is there may get some of what has become ready. */
static void hear_all(struct turn *t)
{
	struct sql_rows *rows = sql_query(
	        t->db,
	        "select id, agent from worker where state in ('up', 'draining') and seen_ms > ?",
	        t->now_ms - 3 * t->options->beat_ms);

	while (sql_next(rows))
		turn_hear(t, sql_int(rows, 0), sql_text(rows, 1), NULL, 0);
}

void turn_orders(struct turn *t)
{
	if (t->all)
		hear_all(t);
	for (size_t i = 0; i < t->heard_count; i++) {
		int leased = lease_assign(t, t->heard[i].worker);
		if (leased || t->heard[i].holds || t->all)
			send_orders(t, &t->heard[i]);
	}
}
