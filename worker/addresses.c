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

static int address_connect(struct address *at, void *zmq, const char *name, const char *key,
                           const char *server_key, struct error *e)
{
	int64_t limit = WIRE_BODY_BYTES;
	void *socket = at->socket = zmq_socket(zmq, ZMQ_DEALER);
	int secured = curve_connect_as_told(socket, key, server_key, e);

	if (secured < 0)
		return -1;
	if (!secured) /* who it is; a coordinator that asks for keys gives routes itself */
		zmq_setsockopt(socket, ZMQ_ROUTING_ID, name, strlen(name));
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
		return error_set(e, "--connect %s: %s (an address looks like tcp://host:5555)",
		                 at->endpoint, zmq_strerror(errno));
	return 0;
}

int addresses_open(struct addresses *a, void *zmq, const char *name, const char *connect,
                   const char *key, const char *server_key, struct error *e)
{
	*a = (struct addresses){0};
	for (const char *from = connect; from;) {
		const char *comma = strchr(from, ',');
		size_t length = comma ? (size_t)(comma - from) : strlen(from);
		if (a->count == ADDRESSES_MAX)
			return error_set(e, "--connect: more than %d addresses", ADDRESSES_MAX);
		struct address *at = &a->address[a->count++];
		at->endpoint = xformat("%.*s", (int)length, from);
		if (address_connect(at, zmq, name, key, server_key, e))
			return -1;
		from = comma ? comma + 1 : NULL;
	}
	return 0;
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

/* Who is at address i: false when it is none of ours. */
static bool learn(struct addresses *a, int i, const struct message *m, int64_t generation)
{
	const char *uuid = json_text(m->body, "uuid", ""), *seal = json_text(m->body, "seal", "");
	struct address *from = &a->address[i];
	/* The database at our own address is ours, also when another lies there now. */
	bool fresh = !a->generation || (m->kind == WIRE_WELCOME && strcmp(uuid, a->uuid) != 0);

	if (fresh || (strcmp(uuid, a->uuid) == 0 && generation > a->generation)) {
		snprintf(a->uuid, sizeof a->uuid, "%s", uuid);
		snprintf(a->seal, sizeof a->seal, "%s", seal);
		a->generation = generation;
	}
	bool ours = strcmp(uuid, a->uuid) == 0;
	if (!ours && !from->foreign)
		log_warn("%s serves another database than %s: it is left alone", from->endpoint,
		         addresses_here(a));
	from->foreign = !ours;
	from->generation = ours ? generation : 0;
	return ours;
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
	log_info("%s: generation %lld of the database is there, %s", a->address[i].endpoint,
	         (long long)generation,
	         silent ? "and our own address is silent: moving" : "newer than ours: moving");
	a->at = i;
	return HEARD_MOVED;
}
