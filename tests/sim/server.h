/* The coordinator's process: its inbox, its turns, its HTTP side, and how it dies. */
#ifndef SIM_SERVER_H
#define SIM_SERVER_H
#include "tests/sim/agent.h"
#include "tests/sim/judge.h"
#include "tests/sim/keys.h"

enum { TURN_MESSAGES = 6, RETRY_MS = 500, COMMIT_FAILS = 1, VIEWED = 32 };

static int data_of(void *context, const char *name, const char *path, char digest[SHA256_HEX],
                   struct error *e)
{
	if (strcmp(name, "shapes") == 0)
		snprintf(digest, SHA256_HEX, "builtin:shapes:1");
	else
		sha256_hex(name, strlen(name), digest);
	return 0;
}

/* The commit fails when the process is to die before it, or the disk does. */
static int on_commit(void *context)
{
	struct sim *s = context;

	return s->crash_at_commit || s->fail_at_commit ? COMMIT_FAILS : 0;
}

static void server_boot(struct sim *s)
{
	s->up = s->more = true;
	s->coordinator = (struct coordinator){.db = s->db, .options = turn_defaults};
	struct turn_options *o = &s->coordinator.options;
	o->lease_ms = LEASE_MS;
	o->beat_ms = BEAT_MS;
	o->error_delay_ms = 500;
	o->chunk = 1 + (int64_t)(s->seed % 8);
	o->lost_limit = lost_limit(s);
	o->views = s->seed % VIEWED == 0; /* each makes SQLite prepare all statements again */
	o->secret = "secret";
	o->files = (struct study_files){.data = data_of};
}

/* All that only the process knew is gone; the sockets' queues with it. */
static void server_die(struct sim *s, const char *when)
{
	note(s, "the coordinator dies %s", when);
	s->up = false;
	for (int i = 0; i < s->inbox_count; i++)
		message_release(&s->inbox[i]);
	s->inbox_count = s->deleted_count = 0;
	s->crash_at_commit = false;
}

static void server_receive(struct sim *s, struct message m)
{
	if (s->up && s->inbox_count < (int)(sizeof s->inbox / sizeof *s->inbox))
		s->inbox[s->inbox_count++] = m;
	else
		message_release(&m);
}

/* The route of an upload names whom its answer goes to. */
static void upload_arrives(struct sim *s, const struct event *e)
{
	char route[96], hashed[SHA256_HEX];
	struct blob *b = blob_find(s, e->sha256);

	if (!s->up || !b)
		return;
	sha256_hex(e->token, strlen(e->token), hashed);
	if (sql_get_int(s->db, 0,
	                "select t.state in ('done', 'cancelled') from attempt a join trial t on "
	                "t.id = a.trial where a.token_sha256 = ?",
	                (const char *)hashed) != 0)
		return;
	b->present = true;
	b->corrupt = false;
	cJSON *body = cJSON_CreateObject();
	cJSON_AddStringToObject(body, "sha256", e->sha256);
	cJSON_AddNumberToObject(body, "bytes", 100);
	snprintf(route, sizeof route, "%d %" PRId64, e->who, e->serial);
	if (chance(s, s->drop)) { /* the HTTP thread is slow, or its message is lost */
		cJSON_Delete(body);
		return;
	}
	server_receive(s, message_make(WIRE_STORED, route, strlen(route), body));
}

static void answer_upload(struct sim *s, const struct message *m)
{
	char route[96];
	struct event e = {.kind = UPLOADED,
	                  .ok = json_bool(m->body, "ok", false),
	                  .message = {.kind = WIRE_KINDS}};

	snprintf(route, sizeof route, "%.*s", (int)m->route_bytes, m->route);
	if (sscanf(route, "%d %" SCNd64, &e.who, &e.serial) == 2)
		network(s, e);
}

/* The first messages that the turn takes; bytes that are gone again are answered at once. */
static int take_batch(struct sim *s, struct message *batch)
{
	int count = 0, at = 0, limit = faults(s) && s->now < s->slow_until ? 2 : TURN_MESSAGES;

	for (; at < s->inbox_count && count < limit; at++) {
		struct message *m = &s->inbox[at];
		const struct blob *b = m->kind == WIRE_STORED
		                               ? blob_find(s, json_text(m->body, "sha256", ""))
		                               : NULL;
		if ((m->kind == WIRE_STORED && !(b && b->present)) || !gate_opens(s, m))
			message_release(m);
		else
			batch[count++] = *m;
	}
	memmove(s->inbox, s->inbox + at, (size_t)(s->inbox_count - at) * sizeof *s->inbox);
	s->inbox_count -= at;
	return count;
}

static void put_back(struct sim *s, struct message *batch, int count)
{
	if (s->inbox_count + count > (int)(sizeof s->inbox / sizeof *s->inbox))
		abort();
	memmove(s->inbox + count, s->inbox, (size_t)s->inbox_count * sizeof *s->inbox);
	memcpy(s->inbox, batch, (size_t)count * sizeof *batch);
	s->inbox_count += count;
}

static void send_out(struct sim *s, struct turn_output *out)
{
	for (size_t k = 0; k < out->count && s->up; k++) {
		struct message *m = &out->messages[k];
		struct event e = {.kind = TO_AGENT, .message = {.kind = WIRE_KINDS}};
		if (chance(s, s->crash / 4)) {
			server_die(s, "before it sends");
			return;
		}
		check_promise(s, m);
		if (m->kind == WIRE_STORED_SAVED) {
			answer_upload(s, m);
			continue;
		}
		e.who = -1;
		if (m->route_bytes == 6 && memcmp(m->route, "client", 6) == 0)
			e.kind = TO_CLIENT;
		for (int i = 0; i < AGENTS; i++)
			if (s->agents[i].up && strlen(s->agents[i].name) == m->route_bytes &&
			    memcmp(s->agents[i].name, m->route, m->route_bytes) == 0) {
				e.who = i;
				e.serial = s->agents[i].serial;
			}
		e.message = message_copy(m);
		if (e.kind == TO_CLIENT || e.who >= 0)
			network(s, e);
		else
			message_release(&e.message);
	}
}

/* Bytes go after the commit; a crash may come before. */
static void delete_bytes(struct sim *s, const struct turn_output *out)
{
	s->deleted_count = 0;
	for (size_t k = 0; k < out->deletion_count && k < 64; k++) {
		struct blob *b = blob_find(s, out->deletions[k]);
		if (chance(s, s->crash)) {
			server_die(s, "before it deletes");
			return;
		}
		if (b) {
			b->present = b->corrupt = false;
			s->touched[0] = OF_ALL;
			s->touches++;
		}
		memcpy(s->deleted[s->deleted_count++], out->deletions[k], SHA256_HEX);
	}
}

static void server_turn(struct sim *s)
{
	struct message batch[TURN_MESSAGES];
	struct turn_output out;
	struct error e = {{0}};
	int count = take_batch(s, batch);
	struct turn_input in = {.wall_ms = s->now + s->wall_offset,
	                        .monotonic_ms = s->now,
	                        .messages = batch,
	                        .count = (size_t)count,
	                        .drained = s->inbox_count == 0,
	                        .free_bytes = -1,
	                        .deleted = s->deleted,
	                        .deleted_count = (size_t)s->deleted_count};

	disk.full = faults(s) && s->now < s->full_until;
	s->coordinator.options.quota_bytes = faults(s) ? s->quota : 0;
	s->crash_at_commit = chance(s, s->crash);
	s->fail_at_commit = chance(s, s->crash);
	int status = turn_run(&s->coordinator, &in, &out, &e);
	if (s->crash_at_commit) {
		server_die(s, "before it commits");
	} else if (status != 0) {
		note(s, "turn failed: %s", e.text);
		if (!faults(s))
			broken(s, "turns commit once nothing fails");
		put_back(s, batch, count);
		count = 0;
		s->retry_at = s->now + RETRY_MS;
	} else {
		s->more = out.more || !in.drained;
		s->wake_ms = out.wake_ms;
		check_commit(s);
		if (s->guarded)
			check_silence(s, silenced(s, batch, count));
		send_out(s, &out);
		if (s->up)
			delete_bytes(s, &out);
	}
	for (int i = 0; i < count; i++)
		message_release(&batch[i]);
	turn_output_release(&out);
}

/* As a coordinator that serves does: it sleeps until something comes, or is due. */
static bool wakes(const struct sim *s)
{
	return s->now >= s->retry_at &&
	       (s->more || s->inbox_count || s->wake_ms <= s->now + s->wall_offset);
}

static void on_turn(struct sim *s)
{
	bool slow = faults(s) && s->now < s->slow_until;
	int64_t next = slow                             ? 400 + chance_of(s, 800)
	               : s->inbox_count > TURN_MESSAGES ? 5
	                                                : 30 + chance_of(s, 200);

	post(s, (struct event){.kind = TURN, .at = s->now + next});
	if (!s->up && (!faults(s) || chance_of(s, 12) == 0)) {
		server_boot(s);
		note(s, "the coordinator starts");
	}
	if (s->up && !(faults(s) && s->now < s->stalled_until) && wakes(s))
		server_turn(s);
}
#endif
