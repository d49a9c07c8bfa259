/* Queries of remote clients: answered by a thread with a read-only connection of its own. */
#include "coordinator/reader.h"
#include "coordinator/explain.h"
#include "coordinator/query.h"
#include "core/base/clock.h"
#include "core/base/json.h"
#include "core/base/text.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zmq.h>

#define INSIDE "inproc://reader"
enum { ROWS_MOST = 200000, SECONDS_MOST = 600, BINDS_MOST = 8, WAITING_MOST = 64, JOIN_MS = 50 };

struct reader {
	pthread_t thread;
	void *socket, *theirs; /* both ends of a PAIR */
	sqlite3 *db;
	struct sql sql; /* the same connection, for explain */
	bool stopping;  /* set by one thread, read by the other */
};

static int64_t limited(int64_t asked, int64_t most)
{
	return asked <= 0 || asked > most ? most : asked;
}

static cJSON *answer_query(struct reader *r, const cJSON *args, struct error *e)
{
	const char *bind[BINDS_MOST];
	struct query_limits limits = {limited(json_int(args, "rows", 0), ROWS_MOST),
	                              limited(json_int(args, "seconds", 0), SECONDS_MOST)};
	const cJSON *item;
	struct rows rows;
	int count = 0;
	cJSON_ArrayForEach (item, json_at(args, "bind")) {
		if (count < BINDS_MOST && cJSON_IsString(item))
			bind[count++] = item->valuestring;
	}
	if (query_run(r->db, json_text(args, "sql", ""), bind, count, limits, &rows, e))
		return NULL;
	cJSON *result = rows_to_json(&rows);
	rows_release(&rows);
	return result;
}

static cJSON *answer_explain(struct reader *r, const cJSON *args, struct error *e)
{
	return explain_json(&r->sql, clock_wall_ms(), json_int(args, "trial", 0), e);
}

/* The requests that only read. */
static const struct {
	const char *verb;
	cJSON *(*answer)(struct reader *r, const cJSON *args, struct error *e);
} verbs[] = {{"query", answer_query}, {"explain", answer_explain}};
enum { VERBS = sizeof verbs / sizeof *verbs };

static int find(const cJSON *request)
{
	const char *verb = json_text(request, "verb", "");
	int i = 0;
	while (i < VERBS && strcmp(verbs[i].verb, verb))
		i++;
	return i;
}

/* The answer's body, or a refusal. */
static cJSON *answer(struct reader *r, const cJSON *request)
{
	struct error e = {""};
	cJSON *body = cJSON_CreateObject();
	cJSON *result = verbs[find(request)].answer(r, json_at(request, "args"), &e);
	cJSON_AddNumberToObject(body, "id", (double)json_int(request, "id", 0));
	cJSON_AddBoolToObject(body, "ok", result != NULL);
	if (result)
		cJSON_AddItemToObject(body, "result", result);
	else
		cJSON_AddStringToObject(body, "text", e.text);
	return body;
}

/* Frames over the PAIR: the route, then the body; an empty route ends the thread. */
static void *serve_queries(void *context)
{
	struct reader *r = context;
	for (;;) {
		zmq_msg_t route, body;
		zmq_msg_init(&route);
		zmq_msg_init(&body);
		bool more = zmq_msg_recv(&route, r->theirs, 0) > 0 &&
		            zmq_msg_recv(&body, r->theirs, 0) >= 0;
		cJSON *request =
		        more ? cJSON_ParseWithLength(zmq_msg_data(&body), zmq_msg_size(&body))
		             : NULL;
		if (__atomic_load_n(&r->stopping, __ATOMIC_ACQUIRE))
			more = false;
		else if (request) {
			struct message m = message_make(WIRE_REPLY, zmq_msg_data(&route),
			                                zmq_msg_size(&route), answer(r, request));
			wire_send(r->theirs, &m, NULL);
			message_release(&m);
		}
		cJSON_Delete(request);
		zmq_msg_close(&route);
		zmq_msg_close(&body);
		if (!more)
			return NULL;
	}
}

/* Up to WAITING_MOST requests wait in the PAIR; a turn never waits for the reader. */
static void *pair(void *zmq, bool bind)
{
	void *socket = zmq_socket(zmq, ZMQ_PAIR);
	int linger = 0, half = WAITING_MOST / 2;
	zmq_setsockopt(socket, bind ? ZMQ_SNDHWM : ZMQ_RCVHWM, &half, sizeof half);
	zmq_setsockopt(socket, ZMQ_LINGER, &linger, sizeof linger);
	if (bind)
		zmq_bind(socket, INSIDE);
	else
		zmq_connect(socket, INSIDE);
	return socket;
}

struct reader *reader_start(void *zmq, const char *database, struct error *e)
{
	struct reader *r = xcalloc(1, sizeof *r);
	r->db = query_open(database, e);
	if (!r->db) {
		free(r);
		return NULL;
	}
	sql_init(&r->sql, r->db);
	r->socket = pair(zmq, true);
	r->theirs = pair(zmq, false);
	pthread_create(&r->thread, NULL, serve_queries, r);
	return r;
}

void reader_stop(struct reader *r)
{
	if (!r)
		return;
	__atomic_store_n(&r->stopping, true, __ATOMIC_RELEASE);
	struct timespec until;
	do {
		sqlite3_interrupt(r->db);
		zmq_send(r->socket, "", 0, ZMQ_DONTWAIT);
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_nsec += JOIN_MS * 1000000L;
		until.tv_sec += until.tv_nsec / 1000000000L;
		until.tv_nsec %= 1000000000L;
	} while (pthread_timedjoin_np(r->thread, NULL, &until));
	zmq_close(r->socket);
	zmq_close(r->theirs);
	sql_release(&r->sql);
	free(r);
}

int reader_take(struct reader *r, const struct message *m, struct error *e)
{
	if (m->kind != WIRE_REQUEST || find(m->body) == VERBS)
		return 0;
	char *body = cJSON_PrintUnformatted(m->body);
	int flags = ZMQ_DONTWAIT | ZMQ_SNDMORE;
	bool sent = zmq_send(r->socket, m->route, m->route_bytes, flags) >= 0 &&
	            zmq_send(r->socket, body, strlen(body), ZMQ_DONTWAIT) >= 0;
	free(body);
	return sent ? 1 : error_set(e, "too many queries wait for an answer: ask again later");
}

void *reader_socket(struct reader *r)
{
	return r->socket;
}
