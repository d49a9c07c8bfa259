/* A coordinator of one table, for tests of the agent: it leases what the test says, takes what the
 * agent tells, and can be away.  The artifact store is the real one. */
#ifndef TESTS_FAKE_COORDINATOR_H
#define TESTS_FAKE_COORDINATOR_H
#include "coordinator/web/artifacts.h"
#include "core/base/clock.h"
#include "core/base/file.h"
#include "core/base/hash.h"
#include "core/base/json.h"
#include "core/base/text.h"
#include "schemas/wire.h"
#include "tests/fake_store.h"
#include "worker/process.h"
#include <libgen.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zmq.h>

#include <cmocka.h>

enum { LEASES = 4, BATCHES = 64, STEPS = 512, BEAT_FAKE_MS = 50, PATIENCE_MS = 20000 };
static const char fake_token[] = "token";

struct fake_lease {
	int64_t trial, attempt;
	const char *order, *spec, *limits; /* JSON */
	const char *resume, *inputs;       /* JSON, or null */
	bool listed;
	int metrics, checkpoints, dones, endeds;
	int64_t step, saved_step; /* of the last beat; of the last checkpoint */
	char checkpoint[SHA256_HEX];
	int64_t checkpoint_bytes;
	cJSON *done, *ended; /* the last bodies */
	char phase[32];
};

struct coordinator_fake {
	char folder[256];
	char *store, *database, *work, *endpoint;
	char agent_name[64];
	void *zmq, *socket, *turn;
	struct artifacts *artifacts;
	struct fake_lease leases[LEASES];
	pid_t agent;
	bool mute; /* reports are not acknowledged */
	bool left;
	bool need; /* the next DONE finds its first artifact gone */
	int beats, hellos;
	int64_t beat_ms, gap_ms;  /* the last beat; the longest time between two */
	int64_t credits;          /* 0: it does not say */
	bool slow;                /* metrics are acknowledged by fake_acknowledge alone */
	int64_t batches[BATCHES]; /* that wait for that */
	int batch_count, batch_most;
	int64_t acknowledged; /* the last of them */
	bool steps[STEPS];    /* those of metrics that came */
};

static void fake_database(struct coordinator_fake *c)
{
	sqlite3 *db;
	char *sql = fake_store_sql(fake_token);
	assert_int_equal(sqlite3_open(c->database, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
	free(sql);
}

/* Listens, at the same address as before when there was one. */
static void fake_listen(struct coordinator_fake *c)
{
	char endpoint[256];
	size_t length = sizeof endpoint;
	int none = 0, handover = 1;
	c->socket = zmq_socket(c->zmq, ZMQ_ROUTER);
	zmq_setsockopt(c->socket, ZMQ_ROUTER_HANDOVER, &handover, sizeof handover);
	zmq_setsockopt(c->socket, ZMQ_LINGER, &none, sizeof none);
	int bound = -1;
	for (int i = 0; i < 500 && bound; i++) {
		bound = zmq_bind(c->socket, c->endpoint ? c->endpoint : "tcp://127.0.0.1:*");
		if (bound)
			usleep(10000);
	}
	assert_int_equal(bound, 0);
	zmq_getsockopt(c->socket, ZMQ_LAST_ENDPOINT, endpoint, &length);
	if (!c->endpoint)
		c->endpoint = xstrdup(endpoint);
}

static __attribute__((unused)) void fake_away(struct coordinator_fake *c)
{
	zmq_close(c->socket);
	c->socket = NULL;
}

/* The agent under test, with this very program as its trials. */
static void fake_agent_start(struct coordinator_fake *c, const char *const *more)
{
	char self[PATH_MAX] = "", copy[PATH_MAX];
	assert_true(readlink("/proc/self/exe", self, sizeof self - 1) > 0);
	strcpy(copy, self);
	char *worker = xformat("%s/../trawl-worker", dirname(copy));
	c->agent = fork();
	if (c->agent == 0) {
		const char *arguments[32] = {worker, "--connect", c->endpoint, "--ranks",
		                             "4",    "--work",    c->work,     "--program",
		                             self,   "--data",    c->folder};
		size_t count = 11;
		while (more && *more)
			arguments[count++] = *more++;
		if (!getenv("TRAWL_TEST_LOUD"))
			if (!freopen("/dev/null", "w", stderr))
				_exit(127);
		execv(worker, (char **)arguments);
		_exit(127);
	}
	free(worker);
}

static int fake_setup(void **state)
{
	struct coordinator_fake *c = *state = xcalloc(1, sizeof *c);
	struct error e;
	const char *above = getenv("TMPDIR");
	snprintf(c->folder, sizeof c->folder, "%s/trawl-agent-XXXXXX", above ? above : "/tmp");
	assert_non_null(mkdtemp(c->folder));
	c->store = path_join(c->folder, "artifacts");
	c->database = path_join(c->folder, "db");
	c->work = path_join(c->folder, "work");
	fake_database(c);
	c->zmq = zmq_ctx_new();
	c->turn = zmq_socket(c->zmq, ZMQ_ROUTER);
	assert_int_equal(zmq_bind(c->turn, "inproc://turn"), 0);
	fake_listen(c);
	struct artifacts_options o = {.folder = c->store,
	                              .database = c->database,
	                              .zmq_context = c->zmq,
	                              .turn_endpoint = "inproc://turn",
	                              .free_bytes_floor = 1};
	c->artifacts = artifacts_start(&o, &e);
	assert_non_null(c->artifacts);
	return 0;
}

static int fake_teardown(void **state)
{
	struct coordinator_fake *c = *state;
	if (c->agent) {
		kill(c->agent, SIGKILL);
		waitpid(c->agent, NULL, 0);
	}
	if (c->agent_name[0]) /* what a failed law may have left */
		processes_kill(c->agent_name);
	artifacts_stop(c->artifacts);
	if (c->socket)
		zmq_close(c->socket);
	zmq_close(c->turn);
	zmq_ctx_term(c->zmq);
	for (int i = 0; i < LEASES; i++) {
		cJSON_Delete(c->leases[i].done);
		cJSON_Delete(c->leases[i].ended);
	}
	for (int i = 0; i < 100 && folder_remove(c->folder, NULL); i++)
		usleep(10000); /* a killed agent's guard is at it too */
	free(c->store);
	free(c->database);
	free(c->work);
	free(c->endpoint);
	free(c);
	return 0;
}

static void fake_reply(struct coordinator_fake *c, const struct message *to, enum wire_kind kind,
                       cJSON *body)
{
	struct message m = message_make(kind, to->route, to->route_bytes, body);
	wire_send(c->socket, &m, NULL);
	message_release(&m);
}

static cJSON *fake_lease_json(const struct fake_lease *l)
{
	cJSON *hold = cJSON_CreateObject();
	cJSON_AddNumberToObject(hold, "trial", (double)l->trial);
	cJSON_AddNumberToObject(hold, "attempt", (double)l->attempt);
	cJSON_AddStringToObject(hold, "order", l->order ? l->order : "run");
	cJSON_AddStringToObject(hold, "token", fake_token);
	cJSON_AddItemToObject(hold, "spec", cJSON_Parse(l->spec));
	cJSON_AddItemToObject(hold, "limits", cJSON_Parse(l->limits ? l->limits : "{}"));
	cJSON_AddItemToObject(hold, "resume", cJSON_Parse(l->resume ? l->resume : "null"));
	cJSON_AddItemToObject(hold, "inputs", cJSON_Parse(l->inputs ? l->inputs : "[]"));
	return hold;
}

static void fake_orders(struct coordinator_fake *c, const struct message *m)
{
	cJSON *body = cJSON_CreateObject();
	cJSON_AddNumberToObject(body, "seq", (double)json_int(m->body, "seq", 0));
	cJSON_AddNumberToObject(body, "beat_ms", BEAT_FAKE_MS);
	cJSON *holds = cJSON_AddArrayToObject(body, "holds");
	for (int i = 0; i < LEASES; i++)
		if (c->leases[i].listed)
			cJSON_AddItemToArray(holds, fake_lease_json(&c->leases[i]));
	fake_reply(c, m, WIRE_ORDERS, body);
}

static struct fake_lease *fake_lease_of(struct coordinator_fake *c, const cJSON *body)
{
	for (int i = 0; i < LEASES; i++)
		if (c->leases[i].trial == json_int(body, "trial", -1) &&
		    c->leases[i].attempt == json_int(body, "attempt", -1))
			return &c->leases[i];
	return NULL;
}

static void fake_beat(struct coordinator_fake *c, const struct message *m)
{
	const cJSON *hold;
	int64_t now = clock_monotonic_ms();
	if (c->beats && now - c->beat_ms > c->gap_ms)
		c->gap_ms = now - c->beat_ms;
	c->beat_ms = now;
	c->beats++;
	snprintf(c->agent_name, sizeof c->agent_name, "%s", json_text(m->body, "agent", ""));
	cJSON_ArrayForEach (hold, cJSON_GetObjectItemCaseSensitive(m->body, "holds")) {
		struct fake_lease *l = fake_lease_of(c, hold);
		if (!l)
			continue;
		l->step = json_int(hold, "step", 0);
		snprintf(l->phase, sizeof l->phase, "%s", json_text(hold, "phase", ""));
	}
	fake_orders(c, m);
}

static bool fake_is_stored(struct coordinator_fake *c, const char *sha256)
{
	char *path = artifact_path(c->store, sha256);
	bool exists = file_exists(path);
	free(path);
	return exists;
}

/* The bytes of the first artifact are lost, and asked for. */
static void fake_need(struct coordinator_fake *c, const struct message *m)
{
	const cJSON *first = cJSON_GetObjectItemCaseSensitive(m->body, "artifacts")->child;
	const char *sha256 = json_text(first, "sha256", "");
	char *path = artifact_path(c->store, sha256);
	assert_int_equal(unlink(path), 0);
	free(path);
	cJSON *body = cJSON_CreateObject(), *list = cJSON_CreateArray();
	cJSON_AddNumberToObject(body, "trial", (double)json_int(m->body, "trial", 0));
	cJSON_AddNumberToObject(body, "attempt", (double)json_int(m->body, "attempt", 0));
	cJSON_AddItemToArray(list, cJSON_CreateString(sha256));
	cJSON_AddItemToObject(body, "sha256", list);
	c->need = false;
	fake_reply(c, m, WIRE_NEED, body);
}

/* A batch waits for its acknowledgement, once, however often it is said. */
static void fake_keep_batch(struct coordinator_fake *c, const cJSON *body)
{
	int64_t batch = json_int(body, "batch", -1);
	const cJSON *row;
	int i = 0;
	cJSON_ArrayForEach (row, cJSON_GetObjectItemCaseSensitive(body, "rows"))
		c->steps[json_int(row, "step", 0) % STEPS] = true;
	while (i < c->batch_count && c->batches[i] != batch)
		i++;
	if (i < c->batch_count || batch <= c->acknowledged) /* said again meanwhile */
		return;
	assert_true(c->batch_count < BATCHES);
	c->batches[c->batch_count++] = batch;
	if (c->batch_count > c->batch_most)
		c->batch_most = c->batch_count;
}

/* The oldest that waits. */
static __attribute__((unused)) void fake_acknowledge(struct coordinator_fake *c,
                                                     const struct fake_lease *l)
{
	if (!c->batch_count)
		return;
	cJSON *body = cJSON_CreateObject();
	cJSON_AddNumberToObject(body, "trial", (double)l->trial);
	cJSON_AddNumberToObject(body, "attempt", (double)l->attempt);
	cJSON_AddNumberToObject(body, "batch", (double)c->batches[0]);
	c->acknowledged = c->batches[0];
	memmove(c->batches, c->batches + 1, (size_t)--c->batch_count * sizeof *c->batches);
	struct message to = {.route = c->agent_name, .route_bytes = strlen(c->agent_name)};
	fake_reply(c, &to, WIRE_METRICS_SAVED, body);
}

static void fake_report(struct coordinator_fake *c, const struct message *m)
{
	struct fake_lease *l = fake_lease_of(c, m->body);
	enum wire_kind answer = (enum wire_kind)(m->kind + 1); /* wire.def: X, X_SAVED */
	const cJSON *artifact;
	if (!l)
		return;
	l->metrics += m->kind == WIRE_METRICS;
	if (c->slow && m->kind == WIRE_METRICS)
		fake_keep_batch(c, m->body);
	if (c->slow && (m->kind == WIRE_METRICS || m->kind == WIRE_CHECKPOINT))
		return;
	if (m->kind == WIRE_CHECKPOINT) {
		snprintf(l->checkpoint, sizeof l->checkpoint, "%s",
		         json_text(m->body, "sha256", ""));
		l->checkpoint_bytes = json_int(m->body, "bytes", 0);
		l->saved_step = json_int(m->body, "step", 0);
		l->checkpoints++;
		assert_true(fake_is_stored(c, l->checkpoint));
	}
	if (m->kind == WIRE_DONE) {
		l->dones++;
		answer = WIRE_DONE_SAVED;
		cJSON_ArrayForEach (artifact,
		                    cJSON_GetObjectItemCaseSensitive(m->body, "artifacts"))
			assert_true(fake_is_stored(c, json_text(artifact, "sha256", "")));
		cJSON_Delete(l->done);
		l->done = cJSON_Duplicate(m->body, true);
	}
	if (m->kind == WIRE_ENDED) {
		l->endeds++;
		cJSON_Delete(l->ended);
		l->ended = cJSON_Duplicate(m->body, true);
	}
	if (c->mute)
		return;
	if (m->kind == WIRE_DONE && c->need) {
		fake_need(c, m);
		return;
	}
	if (m->kind == WIRE_DONE || m->kind == WIRE_ENDED)
		l->listed = false;
	fake_reply(c, m, answer, cJSON_Duplicate(m->body, true));
}

static void fake_handle(struct coordinator_fake *c, const struct message *m)
{
	cJSON *body;
	switch ((int)m->kind) {
	case WIRE_HELLO:
		c->hellos++;
		assert_int_equal(strncmp(m->route, json_text(m->body, "agent", ""), m->route_bytes),
		                 0); /* the routing id is the agent's name */
		body = cJSON_CreateObject();
		cJSON_AddNumberToObject(body, "worker", 1);
		cJSON_AddNumberToObject(body, "lease_ms", 3000);
		cJSON_AddNumberToObject(body, "beat_ms", BEAT_FAKE_MS);
		cJSON_AddStringToObject(body, "url", artifacts_url(c->artifacts));
		cJSON_AddStringToObject(body, "version", WIRE_VERSION);
		if (c->credits)
			cJSON_AddNumberToObject(body, "credits", (double)c->credits);
		fake_reply(c, m, WIRE_WELCOME, body);
		break;
	case WIRE_BEAT: fake_beat(c, m); break;
	case WIRE_METRICS:
	case WIRE_CHECKPOINT:
	case WIRE_DONE:
	case WIRE_ENDED: fake_report(c, m); break;
	case WIRE_LEAVE: c->left = true; break;
	default: break;
	}
}

/* One round: what came from agents and from the artifact store is answered. */
static void fake_pump(struct coordinator_fake *c)
{
	zmq_pollitem_t polls[] = {{.socket = c->turn, .events = ZMQ_POLLIN},
	                          {.socket = c->socket, .events = ZMQ_POLLIN}};
	struct message m;
	zmq_poll(polls, c->socket ? 2 : 1, 10);
	while (wire_receive(c->turn, &m, NULL)) {
		cJSON *body = cJSON_CreateObject();
		cJSON_AddStringToObject(body, "sha256", json_text(m.body, "sha256", ""));
		cJSON_AddBoolToObject(body, "ok", true);
		struct message answer =
		        message_make(WIRE_STORED_SAVED, m.route, m.route_bytes, body);
		wire_send(c->turn, &answer, NULL);
		message_release(&answer);
		message_release(&m);
	}
	while (c->socket && wire_receive(c->socket, &m, NULL)) {
		fake_handle(c, &m);
		message_release(&m);
	}
}

/* Pumps until the condition holds; fails the test after PATIENCE_MS. */
#define fake_until(c, condition)                                         \
	do {                                                             \
		int64_t until_ms_ = clock_monotonic_ms() + PATIENCE_MS;  \
		while (!(condition) && clock_monotonic_ms() < until_ms_) \
			fake_pump(c);                                    \
		if (!(condition))                                        \
			fail_msg("waited in vain for: %s", #condition);  \
	} while (0)

static __attribute__((unused)) void fake_pump_ms(struct coordinator_fake *c, int64_t ms)
{
	for (int64_t until = clock_monotonic_ms() + ms; clock_monotonic_ms() < until;)
		fake_pump(c);
}

static struct fake_lease *fake_lease_add(struct coordinator_fake *c, int64_t trial, int64_t attempt,
                                         const char *spec, const char *limits)
{
	for (int i = 0; i < LEASES; i++)
		if (!c->leases[i].trial) {
			c->leases[i] = (struct fake_lease){.trial = trial,
			                                   .attempt = attempt,
			                                   .spec = spec,
			                                   .limits = limits,
			                                   .listed = true};
			return &c->leases[i];
		}
	fail_msg("too many leases");
	return NULL;
}

/* How many processes of the agent's jobs live. */
static __attribute__((unused)) size_t fake_processes(struct coordinator_fake *c)
{
	pid_t *pids;
	size_t count = c->agent_name[0] ? processes_marked(c->agent_name, &pids) : 0;
	if (c->agent_name[0])
		free(pids);
	return count;
}
#endif
