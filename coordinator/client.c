/* One request to a coordinator over ZeroMQ, and its answer. */
#include "coordinator/client.h"
#include "core/base/clock.h"
#include "core/base/json.h"
#include "core/base/text.h"
#include "schemas/curve.h"
#include "schemas/wire.h"
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

enum { HEARTBEAT_MS = 2000 };

struct client {
	void *context, *socket;
	char *endpoint;
	int64_t last_id;
};

struct client *client_open(const char *endpoint, const char *key, const char *server_key,
                           struct error *e)
{
	struct client *c = xcalloc(1, sizeof *c);
	int linger = 0, beat = HEARTBEAT_MS;
	c->endpoint = xstrdup(endpoint);
	c->context = zmq_ctx_new();
	c->socket = zmq_socket(c->context, ZMQ_DEALER);
	zmq_setsockopt(c->socket, ZMQ_LINGER, &linger, sizeof linger);
	zmq_setsockopt(c->socket, ZMQ_HEARTBEAT_IVL, &beat, sizeof beat);
	zmq_setsockopt(c->socket, ZMQ_CONNECT_TIMEOUT, &beat, sizeof beat);
	if (curve_connect_as_told(c->socket, key, server_key, e) < 0) {
		client_close(c);
		return NULL;
	}
	if (zmq_connect(c->socket, endpoint)) {
		error_set(e, "%s: %s", endpoint, zmq_strerror(zmq_errno()));
		client_close(c);
		return NULL;
	}
	c->last_id = clock_wall_ms();
	return c;
}

void client_close(struct client *c)
{
	if (!c)
		return;
	zmq_close(c->socket);
	zmq_ctx_term(c->context);
	free(c->endpoint);
	free(c);
}

/* 1: the answer to request `id` was taken from m; 0: something else; -1: a refusal. */
static int take_reply(struct message *m, int64_t id, cJSON **result, struct error *e)
{
	const char *said = json_text(m->body, "text", NULL);
	if (m->kind == WIRE_ERROR)
		return error_set(e, "the coordinator says: %s", said);
	if (m->kind != WIRE_REPLY || json_int(m->body, "id", 0) != id)
		return 0;
	if (!json_bool(m->body, "ok", false))
		return error_set(e, "%s", said ? said : "refused without a reason");
	*result = cJSON_DetachItemFromObject(m->body, "result");
	return 1;
}

static int await(struct client *c, int64_t id, int wait_ms, cJSON **result, struct error *e)
{
	int64_t deadline = clock_monotonic_ms() + wait_ms;
	for (;;) {
		int64_t left = deadline - clock_monotonic_ms();
		if (left <= 0)
			return error_set(
			        e,
			        "no answer from a coordinator at %s; is `trawl serve` running, "
			        "and this key authorized?",
			        c->endpoint);
		zmq_pollitem_t item = {.socket = c->socket, .events = ZMQ_POLLIN};
		zmq_poll(&item, 1, left);
		struct message m;
		int got = wire_receive(c->socket, &m, e);
		if (got > 0)
			got = take_reply(&m, id, result, e);
		message_release(&m);
		if (got)
			return got > 0 ? 0 : -1;
	}
}

int client_ask(struct client *c, const char *verb, cJSON *args, int wait_ms, cJSON **result,
               struct error *e)
{
	int64_t id = ++c->last_id;
	cJSON *body = cJSON_CreateObject();
	cJSON_AddNumberToObject(body, "id", (double)id);
	cJSON_AddStringToObject(body, "verb", verb);
	cJSON_AddItemToObject(body, "args", args ? args : cJSON_CreateObject());
	struct message m = message_make(WIRE_REQUEST, NULL, 0, body);
	*result = NULL;
	int rc = wire_send(c->socket, &m, e)
	                 ? error_set(e, "%s: the request could not be sent", c->endpoint)
	                 : await(c, id, wait_ms, result, e);
	message_release(&m);
	return rc;
}
