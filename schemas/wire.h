/* The messages between coordinator, agents, jobs and clients; every kind is a row of wire.def.
 *
 * A message is three frames: version, kind, body.  A ROUTER socket puts the sender's routing id in
 * front.  Whatever arrives, decoding either gives a message whose body has all members of its kind
 * in their types, or one line that says what is wrong with it. */
#ifndef SCHEMAS_WIRE_H
#define SCHEMAS_WIRE_H
#include "core/base/error.h"
#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WIRE_VERSION     "trawl/1"
#define WIRE_BODY_BYTES  (64 << 20) /* no body is longer; serve and agents set ZMQ_MAXMSGSIZE */
#define WIRE_ROUTE_BYTES 255        /* ZeroMQ's limit of a routing id */

enum wire_kind {
#define WIRE(NAME, from, body) WIRE_##NAME,
#include "schemas/wire.def"
#undef WIRE
	WIRE_KINDS
};

struct message {
	enum wire_kind kind;
	char *route; /* routing id: whom it came from or goes to; null at a DEALER */
	size_t route_bytes;
	cJSON *body;  /* an object */
	char key[41]; /* CURVE's public key of the sender, in Z85; empty: the socket asks for none
	               */
};

struct wire_frame {
	const void *data;
	size_t bytes;
};

const char *wire_name(enum wire_kind kind); /* "metrics_saved" */
const char *wire_from(enum wire_kind kind); /* "agent", "coordinator", "http", "client", "job", … */

/* Checks and parses the frames (version, kind, body).  On failure -1, *m as message_init left it,
 * and one line that names both versions, the unknown kind with its nearest, or the bad member. */
int wire_decode(const struct wire_frame *frames, size_t count, struct message *m, struct error *e);

/* Whether the body has every member of its kind, rightly typed. */
int wire_check(enum wire_kind kind, const cJSON *body, struct error *e);

void message_init(struct message *m);
void message_release(struct message *m);

/* A message of a kind, to the route (copied; may be null) with the body, which is now the
 * message's. */
struct message message_make(enum wire_kind kind, const void *route, size_t route_bytes,
                            cJSON *body);

/* The answer to what could not be decoded or served: an ERROR that carries e's text, our version,
 * and the request's id where it has one (0: none). */
struct message message_error(const void *route, size_t route_bytes, int64_t id,
                             const struct error *e);

/* Sends without waiting; a message without a route is sent as from a DEALER.  0: queued; 1: dropped
 * (the peer is gone or its queue full), which is no error, since everything is said again; -1:
 * the socket failed. */
int wire_send(void *socket, const struct message *m, struct error *e);

/* Takes one message without waiting.  1: *m is it; 0: there is none; -1: what came is no message
 * (*e says why; m->route says from whom, so that it can be answered).  Release *m in any case. */
int wire_receive(void *socket, struct message *m, struct error *e);
#endif
