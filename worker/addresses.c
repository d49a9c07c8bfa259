/* Where the coordinator may be: the addresses of --connect, and at which of them it is now. */
#include "worker/addresses.h"
#include "core/base/json.h"
#include "core/base/log.h"
#include "core/base/text.h"
#include "schemas/curve.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

enum {
	QUEUE_MESSAGES = 100000,
	HEARTBEAT_MS = 1000,
	TIMEOUT_MS = 2000,
	LINGER_MS = 1000,
	SETTLE_MS = 2000, /* the first probes' answers are waited for so long */
	PROBE_MS = 5000,
	PROBE_SILENT_MS = 1000
};

static void socket_set(void *socket, int option, int value)
{
	zmq_setsockopt(socket, option, &value, sizeof value);
}

static int address_connect(struct addresses *a, int i, struct error *e)
{
	struct address *at = &a->address[i];
	int64_t limit = WIRE_BODY_BYTES;
	void *socket = at->socket = zmq_socket(a->zmq, ZMQ_DEALER);
	int secured = curve_connect_as_told(socket, a->key, a->server_key, e);

	if (secured < 0)
		return -1;
	if (!secured && i == a->at) /* a coordinator that asks for keys gives routes itself */
		zmq_setsockopt(socket, ZMQ_ROUTING_ID, a->name, strlen(a->name));
	zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &limit, sizeof limit);
	socket_set(socket, ZMQ_LINGER, LINGER_MS);
	socket_set(socket, ZMQ_IMMEDIATE, 1); /* nothing is queued for who is not there */
	socket_set(socket, ZMQ_SNDHWM, QUEUE_MESSAGES);
	socket_set(socket, ZMQ_HEARTBEAT_IVL, HEARTBEAT_MS);
	socket_set(socket, ZMQ_HEARTBEAT_TIMEOUT, TIMEOUT_MS);
	socket_set(socket, ZMQ_CONNECT_TIMEOUT, TIMEOUT_MS);
	socket_set(socket, ZMQ_HANDSHAKE_IVL, TIMEOUT_MS);
	socket_set(socket, ZMQ_RECONNECT_IVL, 100);
	socket_set(socket, ZMQ_RECONNECT_IVL_MAX, TIMEOUT_MS);
	if (zmq_connect(socket, at->endpoint))
		return error_set(e, "--connect %s: %s", at->endpoint, zmq_strerror(errno));
	return 0;
}

int addresses_open(struct addresses *a, void *zmq, const char *name, const char *connect,
                   const char *key, const char *server_key, struct error *e)
{
	char *endpoint[ENDPOINTS_MAX];
	int count = endpoints_split(connect, endpoint, e);

	*a = (struct addresses){.count = count > 0 ? count : 0,
	                        .zmq = zmq,
	                        .name = name,
	                        .key = key,
	                        .server_key = server_key};
	for (int i = 0; i < a->count; i++)
		a->address[i].endpoint = endpoint[i];
	for (int i = 0; i < a->count; i++)
		if (address_connect(a, i, e))
			return -1;
	return count < 0 ? -1 : 0;
}

void addresses_close(struct addresses *a)
{
	for (int i = 0; i < a->count; i++) {
		if (a->address[i].socket)
			zmq_close(a->address[i].socket);
		free(a->address[i].endpoint);
	}
	*a = (struct addresses){0};
}

const char *addresses_here(const struct addresses *a)
{
	return a->address[a->at].endpoint;
}

bool addresses_settled(const struct addresses *a, int64_t now_ms)
{
	int answered = 0;

	for (int i = 0; i < a->count; i++)
		answered += a->address[i].generation > 0 || a->address[i].foreign;
	return a->count == 1 || answered == a->count ||
	       (a->begun_ms && now_ms - a->begun_ms > SETTLE_MS);
}

static int send_to(struct addresses *a, int i, enum wire_kind kind, cJSON *body, struct error *e)
{
	if (a->generation)
		cJSON_AddNumberToObject(body, "generation", (double)a->generation);
	if (a->generation && (kind == WIRE_HELLO || kind == WIRE_PROBE)) {
		cJSON_AddStringToObject(body, "uuid", a->uuid);
		cJSON_AddStringToObject(body, "seal", a->seal);
	}
	a->greeted |= kind == WIRE_HELLO;
	struct message m = message_make(kind, NULL, 0, body);
	int status = wire_send(a->address[i].socket, &m, e);
	message_release(&m);
	return status;
}

int addresses_send(struct addresses *a, enum wire_kind kind, cJSON *body, struct error *e)
{
	return send_to(a, a->at, kind, body, e);
}

void addresses_probe(struct addresses *a, const char *agent, bool silent, int64_t now_ms)
{
	bool settled = addresses_settled(a, now_ms);

	a->begun_ms = a->begun_ms ? a->begun_ms : now_ms;
	if (a->count == 1 ||
	    (a->probed_ms &&
	     now_ms - a->probed_ms < (silent || !settled ? PROBE_SILENT_MS : PROBE_MS)))
		return;
	a->probed_ms = now_ms;
	for (int i = 0; i < a->count; i++) {
		if (i == a->at && settled)
			continue;
		cJSON *body = cJSON_CreateObject();
		cJSON_AddStringToObject(body, "agent", agent);
		send_to(a, i, WIRE_PROBE, body, NULL);
	}
}

static void leave_alone(struct addresses *a, int i)
{
	if (!a->address[i].foreign)
		log_warn("%s serves another database than %s: it is left alone",
		         a->address[i].endpoint, a->address[a->learnt].endpoint);
	a->address[i].foreign = true;
	a->address[i].generation = 0;
}

/* Who is at address i: false when it is none of ours. */
static bool learn(struct addresses *a, int i, const struct message *m, int64_t generation)
{
	const char *uuid = json_text(m->body, "uuid", ""), *seal = json_text(m->body, "seal", "");
	bool other = strcmp(uuid, a->uuid) != 0;
	/* The database at our own address is ours, also when another lies there now. */
	bool fresh =
	        !a->generation ||
	        (other && (m->kind == WIRE_WELCOME ? i == a->at : !a->greeted && i < a->learnt));

	if (!fresh && other) {
		leave_alone(a, i);
		return false;
	}
	if (fresh || generation > a->generation) {
		snprintf(a->uuid, sizeof a->uuid, "%s", uuid);
		snprintf(a->seal, sizeof a->seal, "%s", seal);
		a->generation = generation;
		a->learnt = i;
	}
	for (int j = 0; fresh && j < a->count; j++)
		if (j != i && a->address[j].generation)
			leave_alone(a, j);
	a->address[i].foreign = false;
	a->address[i].generation = generation;
	return true;
}

static const char *why_moving(const struct address *from, bool silent)
{
	return from->foreign       ? "of the one named first"
	       : !from->generation ? "and nobody yet at our own address"
	       : silent            ? "and our own address is silent"
	                           : "newer than ours";
}

/* The address in use from now on, and the one before, are connected anew: as the agent, and as
 * nobody. */
static void move_to(struct addresses *a, int i)
{
	const int again[] = {a->at, i};
	struct error e;

	a->at = i;
	for (int k = 0; k < 2 && a->zmq; k++) {
		zmq_close(a->address[again[k]].socket);
		if (address_connect(a, again[k], &e))
			log_warn("%s", e.text);
	}
}

enum heard_from addresses_heard(struct addresses *a, int i, const struct message *m, bool silent)
{
	int64_t generation = json_int(m->body, "generation", 0);
	bool introduces = m->kind == WIRE_PRESENT || m->kind == WIRE_WELCOME;

	if (introduces && generation && !learn(a, i, m, generation))
		return HEARD_NOTHING;
	if (generation && generation < a->generation)
		return HEARD_NOTHING;
	if (i == a->at)
		return m->kind == WIRE_PRESENT ? HEARD_NOTHING : HEARD_OURS;
	if (m->kind != WIRE_PRESENT || (a->address[a->at].generation >= generation && !silent))
		return HEARD_NOTHING;
	log_info("%s: generation %lld of the database is there, %s: moving", a->address[i].endpoint,
	         (long long)generation, why_moving(&a->address[a->at], silent));
	move_to(a, i);
	return HEARD_MOVED;
}
