/* One turn: begin, messages, expiry, settling, leases, commit; then what may be sent is returned.
 */
#include "coordinator/turn.h"
#include "coordinator/artifact.h"
#include "coordinator/gate.h"
#include "coordinator/generation.h"
#include "coordinator/notice.h"
#include "coordinator/prune.h"
#include "coordinator/queue.h"
#include "coordinator/quota.h"
#include "coordinator/search.h"
#include "core/base/json.h"
#include "core/base/text.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct turn_options turn_defaults = {
        .lease_ms = 30000,
        .beat_ms = 2000,
        .lost_limit = 5,
        .error_delay_ms = 5000,
        .free_bytes_min = 256 << 20,
        .metric_rows = 10000,
        .credits = 4096,
        .chunk = 1000,
        .views = true,
};

static const struct {
	enum wire_kind kind;
	turn_handler *handle;
} handlers[] = {
        {WIRE_HELLO, on_hello},           {WIRE_BEAT, on_beat},
        {WIRE_LEAVE, on_leave},           {WIRE_LOG, on_log},
        {WIRE_METRICS, on_metrics},       {WIRE_DONE, on_done},
        {WIRE_CHECKPOINT, on_checkpoint}, {WIRE_ENDED, on_ended},
        {WIRE_STORED, on_stored},         {WIRE_REQUEST, on_request},
        {WIRE_NOTICED, on_noticed},       {WIRE_PROBE, on_probe},
};

static void push(struct turn_output *out, struct message m)
{
	if (out->count == out->capacity) {
		out->capacity = out->capacity ? 2 * out->capacity : 16;
		out->messages = xrealloc(out->messages, out->capacity * sizeof *out->messages);
	}
	out->messages[out->count++] = m;
}

static void drop_from(struct turn_output *out, size_t count)
{
	while (out->count > count)
		message_release(&out->messages[--out->count]);
}

void turn_reply(struct turn *t, enum wire_kind kind, cJSON *body)
{
	cJSON_AddNumberToObject(body, "generation", (double)t->generation);
	push(t->out, message_make(kind, t->message->route, t->message->route_bytes, body));
}

void turn_send(struct turn *t, const char *agent, enum wire_kind kind, cJSON *body)
{
	cJSON_AddNumberToObject(body, "generation", (double)t->generation);
	push(t->out, message_make(kind, agent, strlen(agent), body));
}

void turn_hear(struct turn *t, int64_t worker, const char *agent, const cJSON *holds, int64_t seq)
{
	struct heard *heard = t->heard;
	size_t i = 0;

	while (i < t->heard_count && heard[i].worker != worker)
		i++;
	if (i == t->heard_count) {
		t->heard = heard = xrealloc(heard, ++t->heard_count * sizeof *heard);
		heard[i] = (struct heard){.worker = worker, .agent = xstrdup(agent)};
	}
	if (holds && seq >= heard[i].seq) {
		heard[i].holds = holds;
		heard[i].seq = seq;
	}
}

int64_t turn_credits(struct turn *t)
{
	if (!t->credits) {
		int64_t agents = sql_get_int(t->db, 1,
		                             "select max(count(*), 1) from worker indexed by "
		                             "worker_up where state = 'up'");
		t->credits = t->options->credits > agents ? t->options->credits / agents : 1;
	}
	return t->credits;
}

void turn_again(struct turn *t)
{
	cJSON *body = cJSON_CreateObject();

	cJSON_AddStringToObject(body, "agent", json_text(t->message->body, "agent", ""));
	turn_reply(t, WIRE_AGAIN, body);
}

int64_t turn_worker(struct turn *t)
{
	const char *agent = json_text(t->message->body, "agent", "");

	if (t->speaker && strcmp(t->speaker_name, agent) == 0)
		return t->speaker;
	t->speaker_name = agent;
	t->speaker = sql_get_int(t->db, 0, "select id from worker where agent = ?", agent);
	if (t->speaker)
		sql_run(t->db, "update worker set seen_ms = ?1 where id = ?2 and seen_ms <> ?1",
		        t->now_ms, t->speaker);
	else
		turn_again(t);
	return t->speaker;
}

/* Leases outlive the process, so they are in wall time; a time without turns, or a step of the
 * clock, is not the agents' fault: all leases move along with it, and none lasts longer than a new
 * one. */
static void mind_the_gap(struct coordinator *c, struct turn *t, const struct turn_input *in)
{
	int64_t wall = t->last_ms ? t->now_ms - t->last_ms : 0;
	int64_t real = c->wall_ms ? in->monotonic_ms - c->monotonic_ms : wall;
	int64_t threshold = t->options->lease_ms / 4, step = wall - real, shift = 0;

	/* Below zero: the clock was set back while no process ran. */
	if (real > threshold || real < -threshold)
		shift += real;
	bool stepped = step > threshold || step < -threshold;
	if (stepped)
		shift += step;
	sql_run(t->db, "update coordinator set turn_ms = ?", t->now_ms);
	if (!shift)
		return;
	int leases = sql_run(t->db,
	                     "update trial set lease_until_ms = min(lease_until_ms + ?1, ?2) "
	                     "where state = 'leased'",
	                     shift, t->now_ms + t->options->lease_ms);
	sql_run(t->db, "update worker set seen_ms = min(seen_ms, ?)", t->now_ms);
	if (wall < -threshold)
		sql_run(t->db,
		        "update trial set not_before_ms = max(0, not_before_ms + ?) where "
		        "not_before_ms > 0",
		        wall);
	if (leases || stepped) /* with nothing to do there are no turns either */
		event_add(t->db, t->now_ms, "clock_gap", 0, 0, 0,
		          "%ld s between turns (clock step %ld s): leases extended",
		          (long)(wall / 1000), (long)(step / 1000));
}

static bool is_agents(const struct message *m)
{
	return strcmp(wire_from(m->kind), "agent") == 0;
}

/* An agent speaks for itself only: its routing id is its name.  A probe changes nothing, and comes
 * over a connection of its own. */
static bool is_sender(struct turn *t, const struct message *m, struct error *e)
{
	const char *agent = json_text(m->body, "agent", NULL);

	/* It was let in before this turn, in which its key may have been revoked. */
	char *role = m->key[0] ? key_role(t->db, m->key) : NULL;
	bool revoked = m->key[0] && !role;
	free(role);
	if (revoked) {
		error_set(e, "message \"%s\": its key was revoked", wire_name(m->kind));
		return false;
	}
	if (!is_agents(m) || m->kind == WIRE_PROBE ||
	    (agent && strlen(agent) == m->route_bytes &&
	     memcmp(agent, m->route, m->route_bytes) == 0))
		return true;
	error_set(e, "message \"%s\": its agent is not the routing id of its sender",
	          wire_name(m->kind));
	return false;
}

static turn_handler *handler_of(struct turn *t, const struct message *m, struct error *e)
{
	for (size_t i = 0; i < sizeof handlers / sizeof *handlers; i++)
		if (handlers[i].kind == m->kind)
			return is_sender(t, m, e) ? handlers[i].handle : NULL;
	error_set(e, "message \"%s\" is not for a coordinator", wire_name(m->kind));
	return NULL;
}

/* A message that cannot be handled is answered, and leaves no trace.  Failures of the world end the
 * turn instead. */
static void handle(struct turn *t, const struct message *m)
{
	struct error e = {{0}};
	size_t queued = t->out->count;
	turn_handler *handler = handler_of(t, m, &e);

	t->message = m;
	if (t->careful)
		sql_run(t->db, "savepoint message");
	if (handler && (!is_agents(m) || generation_admits(t, m->body)))
		handler(t, m->body);
	bool refused = t->db->failure && !sql_failed_by_world(t->db);
	t->stumbled = refused && !t->careful;
	if (t->stumbled)
		return;
	if (refused) {
		error_set(&e, "message \"%s\" was refused: %s", wire_name(m->kind),
		          t->db->error.text);
		sql_failure_clear(t->db);
		sql_run(t->db, "rollback to message");
		drop_from(t->out, queued);
		t->speaker = 0;
		handler = NULL;
	}
	if (t->careful)
		sql_run(t->db, "release message");
	if (!handler)
		push(t->out,
		     message_error(m->route, m->route_bytes, json_int(m->body, "id", 0), &e));
	t->message = NULL;
}

static void forget_deleted(struct turn *t, const struct turn_input *in)
{
	for (size_t i = 0; i < in->deleted_count; i++)
		sql_run(t->db, "delete from doomed where sha256 = ?", (const char *)in->deleted[i]);
}

/* Bytes that nothing came to name are looked for now and then. */
static void sweep(struct coordinator *c, struct turn *t, const struct turn_input *in)
{
	enum { SWEEP_MS = 3600 * 1000 };

	if (c->swept_ms && in->monotonic_ms - c->swept_ms < SWEEP_MS)
		return;
	c->swept_ms = in->monotonic_ms;
	artifact_sweep(t->db, t->now_ms);
}

static void list_doomed(struct turn *t)
{
	enum { AT_ONCE = 256 };
	struct sql_rows *rows =
	        sql_query(t->db, "select sha256 from doomed order by sha256 limit ?", AT_ONCE);

	while (sql_next(rows)) {
		size_t count = t->out->deletion_count++;
		t->out->deletions =
		        xrealloc(t->out->deletions, (count + 1) * sizeof *t->out->deletions);
		snprintf(t->out->deletions[count], SHA256_HEX, "%s", sql_text(rows, 0));
	}
}

/* When a lease or a backoff ends; a quarter of a quarter of a lease at the latest while any runs,
 * so that turns leave no gap. */
static int64_t wake_time(struct turn *t)
{
	int64_t lease_ms = t->options->lease_ms;
	struct sql_rows *rows =
	        sql_query(t->db,
	                  "select coalesce((select lease_until_ms from trial indexed by "
	                  "trial_lease where state = 'leased' order by lease_until_ms limit 1), "
	                  "?2), coalesce((select not_before_ms from trial where state = 'ready' "
	                  "and held = 0 and not_before_ms > 0 and not_before_ms > ?1 order by "
	                  "not_before_ms limit 1), ?2)",
	                  t->now_ms, INT64_MAX);
	int64_t wake = INT64_MAX, ready = INT64_MAX;

	while (sql_next(rows)) {
		wake = sql_int(rows, 0);
		ready = sql_int(rows, 1);
	}
	if (wake != INT64_MAX && wake > t->now_ms + lease_ms / 8)
		wake = t->now_ms + lease_ms / 8;
	return wake < ready ? wake : ready;
}

static bool disk_is_low(const struct coordinator *c, const struct turn_input *in)
{
	return in->free_bytes >= 0 && in->free_bytes < c->options.free_bytes_min;
}

/* When it begins and ends: people wonder why nothing is leased. */
static void note_disk(struct coordinator *c, struct turn *t, const struct turn_input *in)
{
	if (in->free_bytes < 0 || disk_is_low(c, in) == t->disk_was_low)
		return;
	sql_run(t->db, "update coordinator set disk_low = ?", disk_is_low(c, in));
	if (disk_is_low(c, in))
		event_add(t->db, t->now_ms, "disk_low", 0, 0, 0,
		          "%ld MB are left on the disk of the artifacts: nothing is leased until "
		          "there are %ld",
		          (long)(in->free_bytes >> 20), (long)(c->options.free_bytes_min >> 20));
}

static void load_coordinator(struct turn *t)
{
	struct sql_rows *rows =
	        sql_query(t->db, "select uuid, generation, turn_ms, disk_low, full_ms is not null, "
	                         "coalesce(quota_bytes, 0) from coordinator");

	while (sql_next(rows)) {
		t->uuid = xstrdup(sql_text(rows, 0));
		t->generation = sql_int(rows, 1);
		t->last_ms = sql_int(rows, 2);
		t->disk_was_low = sql_int(rows, 3) != 0;
		t->was_full = sql_int(rows, 4) != 0;
		t->quota_was = sql_int(rows, 5);
	}
}

static void run(struct coordinator *c, struct turn *t, const struct turn_input *in,
                const struct proposals *proposals)
{
	load_coordinator(t);
	search_looked(t->db, proposals);
	mind_the_gap(c, t, in);
	note_disk(c, t, in);
	if (in->note)
		event_add(t->db, t->now_ms, in->note, 0, 0, 0, "%s", in->note_text);
	forget_deleted(t, in);
	for (size_t i = 0; i < in->count && !t->superseded && !t->db->failure; i++)
		handle(t, &in->messages[i]);
	if (t->superseded || t->stumbled) /* nothing is ours to decide, or it is decided anew */
		return;
	if (in->drained)
		lease_expire(t);
	t->out->more = study_advance(t, proposals);
	prune_settle(t);
	notice_settle(t);
	t->all |= trial_settle(t->db, t->now_ms) > 0;
	quota_settle(t);
	turn_orders(t);
	sweep(c, t, in);
	list_doomed(t);
	t->out->wake_ms = wake_time(t);
}

static void turn_end(struct turn *t)
{
	free(t->uuid);
	for (size_t i = 0; i < t->heard_count; i++)
		free(t->heard[i].agent);
	free(t->heard);
	if (t->queues)
		queues_release(t->queues);
	free(t->queues);
}

/* Nothing has happened. */
static void roll_back(struct sql *db, struct turn_output *out)
{
	sql_failure_clear(db);
	if (!sqlite3_get_autocommit(db->handle))
		sql_run(db, "rollback");
	sql_failure_clear(db);
	turn_output_release(out);
}

/* Messages are as good as never refused, so that the way back from each costs more than it saves:
 * `careful` is for a turn in which one was. */
static bool try_turn(struct coordinator *c, const struct turn_input *in,
                     const struct proposals *proposals, bool careful, struct turn_output *out)
{
	struct turn t = {.db = c->db,
	                 .options = &c->options,
	                 .now_ms = in->wall_ms,
	                 .out = out,
	                 .leasing = !in->alone && !disk_is_low(c, in),
	                 .careful = careful};

	*out = (struct turn_output){0};
	sql_run(c->db, "begin immediate");
	run(c, &t, in, proposals);
	if (!t.stumbled)
		sql_run(c->db, "commit");
	if (t.superseded) /* what was handled before is not acknowledged: the newer copy will be
	                     told */
		drop_from(out, 0);
	out->superseded = t.superseded;
	turn_end(&t);
	return !t.stumbled;
}

int turn_run(struct coordinator *c, const struct turn_input *in, struct turn_output *out,
             struct error *e)
{
	enum { PROPOSED_MOST = 16 }; /* trials, before messages are handled again */
	struct proposals proposals;
	int status = 0;

	search_propose(c->db, PROPOSED_MOST, &proposals);
	if (!try_turn(c, in, &proposals, false, out)) {
		roll_back(c->db, out);
		try_turn(c, in, &proposals, true, out);
	}
	if (c->db->failure) {
		status = error_set(e, "the turn was not committed: %s", c->db->error.text);
		roll_back(c->db, out);
	} else {
		c->wall_ms = in->wall_ms;
		c->monotonic_ms = in->monotonic_ms;
	}
	proposals_release(&proposals);
	return status;
}

void turn_output_release(struct turn_output *out)
{
	drop_from(out, 0);
	free(out->messages);
	free(out->deletions);
	*out = (struct turn_output){0};
}
