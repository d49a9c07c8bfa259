/* Agents and their jobs: what a worker's processes do, as far as messages can tell. */
#ifndef SIM_AGENT_H
#define SIM_AGENT_H
#include "tests/sim/report.h"

static const char *const phase_names[] = {"starting", "training", "done", "ended"};

static cJSON *holds_of(const struct agent *a)
{
	cJSON *holds = cJSON_CreateArray();

	for (const struct job *j = a->jobs; j < a->jobs + JOBS; j++) {
		if (!j->used)
			continue;
		cJSON *hold = about(j);
		cJSON_AddNumberToObject(hold, "step", (double)j->step);
		cJSON_AddStringToObject(hold, "phase", phase_names[j->phase]);
		cJSON_AddItemToArray(holds, hold);
	}
	return holds;
}

static void room_of(const struct agent *a, int64_t *slots, int64_t *memory_mb)
{
	*slots = a->ranks;
	*memory_mb = 8000;
	for (const struct job *j = a->jobs; j < a->jobs + JOBS; j++) {
		*slots -= j->used && j->phase <= RUNNING ? j->slots : 0;
		*memory_mb -= j->used && j->phase <= RUNNING ? j->memory_mb : 0;
	}
}

static bool is_leaving(const struct sim *s, const struct agent *a)
{
	return a->until && s->now >= a->until;
}

static void send_hello(struct sim *s, int i)
{
	struct agent *a = &s->agents[i];
	cJSON *body = cJSON_CreateObject(), *data = cJSON_CreateArray();
	char digest[SHA256_HEX];

	cJSON_AddStringToObject(body, "name", (const char[]){'m', (char)('0' + i), 0});
	cJSON_AddNumberToObject(body, "pid", (double)a->serial);
	cJSON_AddNumberToObject(body, "ranks", (double)a->ranks);
	cJSON_AddNumberToObject(body, "threads", 1);
	cJSON_AddNumberToObject(body, "memory_mb", 8000);
	cJSON_AddNumberToObject(body, "gpus", 0);
	cJSON_AddArrayToObject(body, "labels");
	if (a->data) {
		cJSON *set = cJSON_CreateObject();
		sha256_hex("cifar10", 7, digest);
		cJSON_AddStringToObject(set, "name", "cifar10");
		cJSON_AddStringToObject(set, "digest", digest);
		cJSON_AddItemToArray(data, set);
	}
	cJSON_AddItemToObject(body, "data", data);
	cJSON_AddStringToObject(body, "numerics", a->numerics);
	cJSON_AddItemToObject(body, "holds", holds_of(a));
	cJSON_AddBoolToObject(body, "draining", is_leaving(s, a));
	if (a->until)
		cJSON_AddNumberToObject(body, "seconds_left",
		                        a->until > s->now ? (double)((a->until - s->now) / 1000)
		                                          : 0);
	cJSON_AddStringToObject(body, "version", WIRE_VERSION);
	say(s, i, WIRE_HELLO, body);
}

static void send_beat(struct sim *s, int i)
{
	struct agent *a = &s->agents[i];
	cJSON *body = cJSON_CreateObject();
	int64_t slots = 0, memory_mb = 0;

	a->beat_at = s->now;
	room_of(a, &slots, &memory_mb);
	cJSON_AddBoolToObject(body, "draining", is_leaving(s, a));
	cJSON_AddNumberToObject(body, "seq", (double)++a->seq);
	cJSON_AddNumberToObject(body, "free_ranks", (double)(slots < 0 ? 0 : slots));
	cJSON_AddNumberToObject(body, "free_memory_mb", (double)(memory_mb < 0 ? 0 : memory_mb));
	cJSON_AddItemToObject(body, "holds", holds_of(a));
	say(s, i, WIRE_BEAT, body);
}

/* Its time is over: jobs yield, and with the last of them, or when it has waited enough, it goes.
 */
static bool agent_leaves(struct sim *s, int i)
{
	enum { LEAVE_MS = 5000, APART_MS = 100 }; /* APART: no beat comes after its LEAVE */
	struct agent *a = &s->agents[i];
	bool idle = true;

	if (!is_leaving(s, a))
		return false;
	for (struct job *j = a->jobs; j < a->jobs + JOBS; j++) {
		idle = idle && !j->used;
		j->yields = j->used;
	}
	if ((!idle && s->now < a->until + LEAVE_MS) || s->now < a->beat_at + APART_MS)
		return false;
	note(s, "%s leaves", a->name);
	say(s, i, WIRE_LEAVE, cJSON_CreateObject());
	a->up = false;
	return true;
}

static void agent_wake(struct sim *s, int i)
{
	struct agent *a = &s->agents[i];

	if (agent_leaves(s, i))
		return;
	if (a->welcome)
		send_beat(s, i);
	else
		send_hello(s, i);
	for (int k = 0; k < JOBS; k++)
		if (a->jobs[k].used) {
			repeat(s, &a->jobs[k]);
			say_again(s, i, &a->jobs[k]);
		}
	post(s, (struct event){.kind = WAKE,
	                       .at = s->now + BEAT_MS - 50 + chance_of(s, 100),
	                       .who = i,
	                       .serial = a->serial});
}

/* Another one after the first was revoked. */
static int key_number(const struct sim *s, int i)
{
	return 1 + i + (s->revoked[i] ? AGENTS : 0);
}

static void agent_boot(struct sim *s, int i)
{
	struct agent *a = &s->agents[i];

	*a = (struct agent){.up = true,
	                    .serial = ++s->serial,
	                    .ranks = 2 + i % 2,
	                    .data = i != 2,
	                    .numerics = i == 1 && s->seed % 3 == 0 ? "n2" : "n1"};
	snprintf(a->name, sizeof a->name, "agent-%d-%" PRId64, i, a->serial);
	if (s->guarded)
		snprintf(a->key, sizeof a->key, "%040d", key_number(s, i));
	if (chance(s, 25)) /* minutes, for what asks for one, or seconds */
		a->until = s->now + (chance_of(s, 3) ? 3000 + chance_of(s, 9000)
		                                     : 50000 + chance_of(s, 20000));
	note(s, "%s starts", a->name);
	post(s, (struct event){.kind = WAKE, .at = s->now + 1, .who = i, .serial = a->serial});
}

static struct job *job_find(struct agent *a, int64_t trial, int64_t attempt)
{
	for (struct job *j = a->jobs; j < a->jobs + JOBS; j++)
		if (j->used && j->trial == trial && j->attempt == attempt)
			return j;
	return NULL;
}

static void job_timer(struct sim *s, int i, const struct job *j, enum event_kind kind, int64_t ms)
{
	post(s, (struct event){.kind = kind,
	                       .at = s->now + ms,
	                       .who = i,
	                       .serial = s->agents[i].serial,
	                       .trial = j->trial,
	                       .attempt = j->attempt});
}

static void job_begin(struct sim *s, int i, const cJSON *hold)
{
	struct agent *a = &s->agents[i];
	int64_t trial = json_int(hold, "trial", 0), attempt = json_int(hold, "attempt", 0);
	const cJSON *raw = json_at(hold, "spec"), *input = json_at(hold, "inputs");
	cJSON *spec = raw ? cJSON_Parse(raw->valuestring) : NULL;
	struct job *j = a->jobs;

	while (j < a->jobs + JOBS && j->used)
		j++;
	if (!spec || trial >= TRIALS_MAX || attempt >= ATTEMPTS_MAX || attempt <= a->last[trial] ||
	    j == a->jobs + JOBS) {
		cJSON_Delete(spec);
		return;
	}
	*j = (struct job){.used = true, .trial = trial, .attempt = attempt};
	j->steps = json_int(json_at(spec, "train"), "epochs", 1);
	j->until = json_int(json_at(hold, "limits"), "until_epoch", 0);
	j->slots = json_int(json_at(hold, "limits"), "slots", 1);
	j->memory_mb = json_int(json_at(hold, "limits"), "memory_mb", 1);
	snprintf(j->token, sizeof j->token, "%s", json_text(hold, "token", ""));
	snprintf(j->resume, sizeof j->resume, "%s",
	         json_text(json_at(hold, "resume"), "sha256", ""));
	snprintf(j->input, sizeof j->input, "%s",
	         json_text(cJSON_GetArrayItem(input, 0), "sha256", ""));
	trial_identity(spec, j->identity);
	cJSON_Delete(spec);
	a->last[trial] = attempt;
	note(s, "%s: run trial %" PRId64 ".%" PRId64, a->name, trial, attempt);
	int64_t *owner = &s->owner[trial][attempt];
	if (*owner && *owner != a->serial)
		broken(s, "an attempt is given to one agent only");
	*owner = a->serial;
	job_timer(s, i, j, START, 50 + chance_of(s, 200));
}

/* The bytes that a job begins with, or null: they were damaged, or nobody needs them any more. */
static const struct blob *fetch(struct sim *s, const struct job *j, const char *sha256)
{
	const struct blob *b = blob_find(s, sha256);

	if (b && b->present && !b->corrupt)
		return b;
	bool condemned =
	        sql_get_int(s->db, 0, "select 1 from artifact where sha256 = ? and state = 'bad'",
	                    sha256) == 1;
	if (is_current(s, j) && !(b && b->corrupt) && !condemned)
		broken(s, "what an attempt begins with lies in the store");
	return NULL;
}

/* Trained as far as it is let: its checkpoint comes first, then it ends. */
static bool at_rung(const struct job *j)
{
	return j->until && j->step >= j->until && j->step < j->steps;
}

static void job_start(struct sim *s, int i, struct job *j)
{
	const struct blob *resume = j->resume[0] ? fetch(s, j, j->resume) : NULL;
	const struct blob *input = j->input[0] ? fetch(s, j, j->input) : NULL;

	if (!s->up) {
		job_timer(s, i, j, START, 300);
	} else if (i > 0 && chance(s, s->trouble / 2)) { /* one is left for everything */
		end_job(s, i, j, "refuse", NULL);
	} else if (j->resume[0] && !resume) {
		end_job(s, i, j, "checkpoint_bad", j->resume);
	} else if (j->input[0] && !input) {
		end_job(s, i, j, "input_lost", j->input);
	} else {
		j->phase = RUNNING;
		j->state = mix(fnv1a(j->identity, strlen(j->identity)), input ? input->state : 0);
		if (resume) {
			j->state = resume->state;
			j->step = j->acked = resume->step;
		}
		if (at_rung(j))
			end_job(s, i, j, "rung", NULL);
		else
			job_timer(s, i, j, STEP, 100 + chance_of(s, 500));
	}
}

static void job_checkpoint(struct sim *s, int i, struct job *j)
{
	char sha256[SHA256_HEX];

	j->pending = j->step;
	j->pending_state = j->state;
	j->repeats = 0;
	blob_name(s, j->state, j->step, sha256);
	if (chance_of(s, 2))
		upload(s, i, j, sha256);
	send_checkpoint(s, i, j);
}

static void job_step(struct sim *s, int i, struct job *j)
{
	if (j->step < j->steps) {
		j->state = mix(j->state, (uint64_t)++j->step);
		j->loss[j->step] = measure(j->state);
	}
	if (j->step == j->steps) {
		char sha256[SHA256_HEX];
		note(s, "%s: finished trial %" PRId64 ".%" PRId64, s->agents[i].name, j->trial,
		     j->attempt);
		j->phase = FINISHED;
		j->pending = 0;
		j->repeats = 0;
		blob_name(s, j->state, j->step, sha256);
		send_done(s, i, j);
	} else if (chance(s, s->trouble)) {
		static const char *const outcomes[] = {"error", "killed",   "hung",
		                                       "error", "diverged", "out_of_memory"};
		end_job(s, i, j, outcomes[chance_of(s, 6)], NULL);
	} else if (at_rung(j)) {
		job_checkpoint(s, i, j);
	} else if (j->yields || chance(s, s->trouble)) {
		j->yields = true;
		job_checkpoint(s, i, j);
	} else {
		if (chance_of(s, 2))
			job_checkpoint(s, i, j);
		else if (!j->pending)
			send_metrics(s, i, j);
		job_timer(s, i, j, STEP, 100 + chance_of(s, 500));
	}
}

/* A stop that nobody needs: the job's result was taken. */
static void job_stopped(struct sim *s, int i, struct job *j)
{
	bool taken = sql_get_int(s->db, 0,
	                         "select 1 from attempt where trial = ? and attempt = ? and "
	                         "outcome = 'done'",
	                         j->trial, j->attempt) == 1;

	if (j->phase == FINISHED && taken && s->now > QUIET)
		broken(s, "a job whose result was taken is told so, not stopped");
	if (j->phase != ENDED)
		end_job(s, i, j, "stopped", NULL);
}

static void on_orders(struct sim *s, int i, const cJSON *body)
{
	const cJSON *hold = NULL;

	cJSON_ArrayForEach (hold, json_at(body, "holds")) {
		const char *what = json_text(hold, "order", "");
		struct job *j = job_find(&s->agents[i], json_int(hold, "trial", 0),
		                         json_int(hold, "attempt", 0));
		if (!j && strcmp(what, "run") == 0)
			job_begin(s, i, hold);
		else if (j && strcmp(what, "stop") == 0)
			job_stopped(s, i, j);
		else if (j && strcmp(what, "yield") == 0)
			j->yields = true;
	}
}

static void on_need(struct sim *s, int i, const struct job *j, const cJSON *body)
{
	const cJSON *sha256 = NULL;

	cJSON_ArrayForEach (sha256, json_at(body, "sha256"))
		upload(s, i, j, sha256->valuestring);
}

static void on_checkpoint_saved(struct sim *s, int i, struct job *j, const cJSON *body)
{
	int64_t batch = json_int(body, "batch", 0);

	j->acked = batch > j->acked ? batch : j->acked;
	if (json_int(body, "step", 0) != j->pending)
		return;
	j->pending = 0;
	j->repeats = 0;
	if (j->phase != RUNNING || j->step != json_int(body, "step", 0))
		return;
	if (at_rung(j) || j->yields)
		end_job(s, i, j, at_rung(j) ? "rung" : "yield", NULL);
}

/* Whoever is told that its key is no good gives up. */
static void on_refused(struct sim *s, int i, const char *text)
{
	struct agent *a = &s->agents[i];

	note(s, "%s is refused: %s", a->name, text);
	if (!sql_get_int(s->db, 0, "select 1 from key where public = ? and revoked_ms is not null",
	                 (const char *)a->key))
		broken(s, "no agent is refused but one whose key was revoked");
	a->up = false;
}

static void agent_receive(struct sim *s, int i, const struct message *m)
{
	struct agent *a = &s->agents[i];
	struct job *j = job_find(a, json_int(m->body, "trial", 0), json_int(m->body, "attempt", 0));

	if (m->kind == WIRE_WELCOME) {
		a->welcome = true;
	} else if (m->kind == WIRE_AGAIN) {
		a->welcome = false;
	} else if (m->kind == WIRE_ERROR) {
		on_refused(s, i, json_text(m->body, "text", ""));
	} else if (m->kind == WIRE_ORDERS) {
		on_orders(s, i, m->body);
	} else if (j && m->kind == WIRE_NEED) {
		on_need(s, i, j, m->body);
	} else if (j && m->kind == WIRE_METRICS_SAVED) {
		int64_t batch = json_int(m->body, "batch", 0);
		j->acked = batch > j->acked ? batch : j->acked;
	} else if (j && m->kind == WIRE_CHECKPOINT_SAVED) {
		on_checkpoint_saved(s, i, j, m->body);
	} else if (j && ((m->kind == WIRE_DONE_SAVED && j->phase == FINISHED) ||
	                 (m->kind == WIRE_ENDED_SAVED && j->phase == ENDED))) {
		*j = (struct job){0};
		if (s->now < END && chance_of(s, 2))
			send_beat(s, i);
	}
}

/* The upload was answered 201: say again what needed the bytes. */
static void agent_uploaded(struct sim *s, int i)
{
	for (int k = 0; k < JOBS; k++) {
		struct job *j = &s->agents[i].jobs[k];
		if (j->used && (j->phase == FINISHED || (j->phase == RUNNING && j->pending)))
			say_again(s, i, j);
	}
}
#endif
