/* What agents say of their jobs, again and again until it is answered. */
#ifndef SIM_REPORT_H
#define SIM_REPORT_H
#include "tests/sim/world.h"

enum { REPEATS_MAX = 8 }; /* sends of one thing once nothing is lost: more means nobody answers */

static void say(struct sim *s, int i, enum wire_kind kind, cJSON *body)
{
	const char *name = s->agents[i].name;

	cJSON_AddStringToObject(body, "agent", name);
	struct message m = message_make(kind, name, strlen(name), body);
	memcpy(m.key, s->agents[i].key, sizeof m.key);
	network(s, (struct event){.kind = TO_COORDINATOR,
	                          .who = i,
	                          .serial = s->agents[i].serial,
	                          .message = m});
}

static cJSON *about(const struct job *j)
{
	cJSON *body = cJSON_CreateObject();

	cJSON_AddNumberToObject(body, "trial", (double)j->trial);
	cJSON_AddNumberToObject(body, "attempt", (double)j->attempt);
	return body;
}

/* The metrics that were not acknowledged yet, up to a step. */
static void add_rows(cJSON *body, const struct job *j, int64_t upto)
{
	cJSON *rows = cJSON_AddArrayToObject(body, "rows");

	cJSON_AddNumberToObject(body, "batch", (double)upto);
	for (int64_t step = j->acked + 1; step <= upto; step++) {
		cJSON *row = cJSON_CreateObject();
		cJSON_AddStringToObject(row, "name", "loss");
		cJSON_AddNumberToObject(row, "step", (double)step);
		cJSON_AddNumberToObject(row, "epoch", (double)step);
		cJSON_AddNumberToObject(row, "value", j->loss[step]);
		cJSON_AddItemToArray(rows, row);
	}
}

static bool is_current(struct sim *s, const struct job *j)
{
	return sql_get_int(s->db, 0,
	                   "select 1 from trial where id = ? and attempt = ? and state = 'leased'",
	                   j->trial, j->attempt) == 1;
}

/* All that waits for an answer is said again at every beat. */
static void repeat(struct sim *s, struct job *j)
{
	j->repeats += s->now > QUIET && (j->phase >= FINISHED || j->pending);
	if (j->repeats > REPEATS_MAX)
		broken(s, "what is said again and again is acknowledged");
	j->stale = s->now > QUIET && j->phase <= RUNNING && !is_current(s, j) ? j->stale + 1 : 0;
	if (j->stale > REPEATS_MAX / 2)
		broken(s, "what nobody needs is stopped");
}

static void send_metrics(struct sim *s, int i, struct job *j)
{
	cJSON *body = about(j);

	add_rows(body, j, j->step);
	say(s, i, WIRE_METRICS, body);
}

static void send_checkpoint(struct sim *s, int i, struct job *j)
{
	cJSON *body = about(j);
	char sha256[SHA256_HEX];

	blob_name(s, j->pending_state, j->pending, sha256);
	add_rows(body, j, j->pending);
	cJSON_AddNumberToObject(body, "step", (double)j->pending);
	cJSON_AddNumberToObject(body, "epoch", (double)j->pending);
	cJSON_AddStringToObject(body, "sha256", sha256);
	cJSON_AddNumberToObject(body, "bytes", 100);
	cJSON_AddStringToObject(body, "numerics", s->agents[i].numerics);
	say(s, i, WIRE_CHECKPOINT, body);
}

static void send_done(struct sim *s, int i, struct job *j)
{
	cJSON *body = about(j), *artifact = cJSON_CreateObject();
	char sha256[SHA256_HEX];

	blob_name(s, j->state, j->step, sha256);
	add_rows(body, j, j->step);
	cJSON_AddStringToObject(body, "numerics", s->agents[i].numerics);
	cJSON_AddNumberToObject(cJSON_AddObjectToObject(body, "result"), "accuracy",
	                        measure(j->state));
	cJSON_AddStringToObject(artifact, "name", s->seed % 2 ? "weights" : "checkpoint");
	cJSON_AddStringToObject(artifact, "sha256", sha256);
	cJSON_AddNumberToObject(artifact, "bytes", 100);
	cJSON_AddNumberToObject(artifact, "step", (double)j->step);
	cJSON_AddItemToArray(cJSON_AddArrayToObject(body, "artifacts"), artifact);
	say(s, i, WIRE_DONE, body);
}

static void send_ended(struct sim *s, int i, struct job *j)
{
	cJSON *body = about(j);

	cJSON_AddStringToObject(body, "outcome", j->outcome);
	cJSON_AddStringToObject(body, "text", "as simulated");
	if (j->bad[0])
		cJSON_AddStringToObject(body, "sha256", j->bad);
	say(s, i, WIRE_ENDED, body);
}

static void end_job(struct sim *s, int i, struct job *j, const char *outcome, const char *bad)
{
	note(s, "%s: trial %" PRId64 ".%" PRId64 " ends: %s", s->agents[i].name, j->trial,
	     j->attempt, outcome);
	j->phase = ENDED;
	j->repeats = 0;
	snprintf(j->outcome, sizeof j->outcome, "%s", outcome);
	snprintf(j->bad, sizeof j->bad, "%s", bad ? bad : "");
	send_ended(s, i, j);
}

static void upload(struct sim *s, int i, const struct job *j, const char *sha256)
{
	struct event e = {.kind = UPLOAD,
	                  .who = i,
	                  .serial = s->agents[i].serial,
	                  .message = {.kind = WIRE_KINDS}};

	memcpy(e.sha256, sha256, SHA256_HEX);
	memcpy(e.token, j->token, SHA256_HEX);
	e.at = s->now + 20 + chance_of(s, 200) + (chance(s, s->slow) ? chance_of(s, DELAY_MS) : 0);
	if (!chance(s, s->drop) && !(faults(s) && s->agents[i].cut_until > s->now))
		post(s, e);
}

static void say_again(struct sim *s, int i, struct job *j)
{
	if (j->phase == FINISHED)
		send_done(s, i, j);
	else if (j->phase == ENDED)
		send_ended(s, i, j);
	else if (j->phase == RUNNING && j->pending)
		send_checkpoint(s, i, j);
	else if (j->phase == RUNNING && j->step > j->acked)
		send_metrics(s, i, j);
}
#endif
