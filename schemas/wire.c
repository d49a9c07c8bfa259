/* Encoding, checking and sending of the messages in wire.def. */
#include "schemas/wire.h"
#include "core/base/json.h"
#include "core/base/text.h"
#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

enum { FRAMES = 3, ECHO_BYTES = 40 };

static const struct {
	const char *upper, *from, *members;
} kinds[WIRE_KINDS] = {
#define WIRE(NAME, from, body) {#NAME, from, body},
#include "schemas/wire.def"
#undef WIRE
};

const char *wire_name(enum wire_kind kind)
{
	static char names[WIRE_KINDS][32];
	static bool ready;

	assert(kind >= 0 && kind < WIRE_KINDS);
	for (int k = 0; k < WIRE_KINDS && !__atomic_load_n(&ready, __ATOMIC_ACQUIRE); k++)
		for (int i = 0; kinds[k].upper[i]; i++)
			names[k][i] = (char)tolower(kinds[k].upper[i]);
	__atomic_store_n(&ready, true, __ATOMIC_RELEASE);
	return names[kind];
}

const char *wire_from(enum wire_kind kind)
{
	assert(kind >= 0 && kind < WIRE_KINDS);
	return kinds[kind].from;
}

void message_init(struct message *m)
{
	*m = (struct message){.kind = WIRE_KINDS};
}

void message_release(struct message *m)
{
	free(m->route);
	cJSON_Delete(m->body);
	message_init(m);
}

static void message_route(struct message *m, const void *route, size_t bytes)
{
	free(m->route);
	m->route = route ? memcpy(xmalloc(bytes + 1), route, bytes) : NULL;
	m->route_bytes = route ? bytes : 0;
}

struct message message_make(enum wire_kind kind, const void *route, size_t route_bytes, cJSON *body)
{
	struct message m = {.kind = kind, .body = body};

	assert(kind >= 0 && kind < WIRE_KINDS && cJSON_IsObject(body));
	message_route(&m, route, route_bytes);
	return m;
}

struct message message_error(const void *route, size_t route_bytes, int64_t id,
                             const struct error *e)
{
	cJSON *body = cJSON_CreateObject();

	cJSON_AddStringToObject(body, "text", e->text);
	cJSON_AddStringToObject(body, "versions", WIRE_VERSION);
	if (id)
		cJSON_AddNumberToObject(body, "id", (double)id);
	return message_make(WIRE_ERROR, route, route_bytes, body);
}

static bool is_int(const cJSON *value)
{
	return cJSON_IsNumber(value) && fabs(value->valuedouble) <= 0x1p53 &&
	       value->valuedouble == floor(value->valuedouble);
}

static bool has_type(const cJSON *value, const char *type)
{
	return strcmp(type, "text") == 0     ? cJSON_IsString(value)
	       : strcmp(type, "int") == 0    ? is_int(value)
	       : strcmp(type, "real") == 0   ? cJSON_IsNumber(value)
	       : strcmp(type, "bool") == 0   ? cJSON_IsBool(value)
	       : strcmp(type, "list") == 0   ? cJSON_IsArray(value)
	       : strcmp(type, "object") == 0 ? cJSON_IsObject(value)
	                                     : false;
}

/* One "name:type" or "name:type?" of a kind's member list. */
static int check_member(enum wire_kind kind, const cJSON *body, char *member, struct error *e)
{
	char *type = strchr(member, ':'), *optional = strchr(member, '?');

	assert(type);
	*type++ = 0;
	if (optional)
		*optional = 0;
	const cJSON *value = cJSON_GetObjectItemCaseSensitive(body, member);
	if (!value || (optional && cJSON_IsNull(value)))
		return optional ? 0
		                : error_set(e, "message \"%s\" lacks \"%s\" (%s)", wire_name(kind),
		                            member, type);
	if (!has_type(value, type))
		return error_set(e, "message \"%s\": \"%s\" is not %s", wire_name(kind), member,
		                 type);
	return 0;
}

int wire_check(enum wire_kind kind, const cJSON *body, struct error *e)
{
	char *list = xstrdup(kinds[kind].members), *rest = list, *member = NULL;
	int status = cJSON_IsObject(body)
	                     ? 0
	                     : error_set(e, "message \"%s\": its body is not an object",
	                                 wire_name(kind));

	while (status == 0 && (member = strsep(&rest, " ")))
		if (*member)
			status = check_member(kind, body, member, e);
	free(list);
	return status;
}

/* What a stranger sent, fit for a line of text. */
static const char *printable(const struct wire_frame *frame, char out[ECHO_BYTES + 1])
{
	const char *bytes = frame->data;
	size_t length = frame->bytes < ECHO_BYTES ? frame->bytes : ECHO_BYTES;

	for (size_t i = 0; i < length; i++)
		out[i] = isprint((unsigned char)bytes[i]) && bytes[i] != '"' ? bytes[i] : '.';
	out[length] = 0;
	return out;
}

static bool frame_is(const struct wire_frame *frame, const char *text)
{
	return frame->bytes == strlen(text) && memcmp(frame->data, text, frame->bytes) == 0;
}

static int decode_kind(const struct wire_frame *frame, struct error *e)
{
	const char *names[WIRE_KINDS];
	char echo[ECHO_BYTES + 1];

	for (int k = 0; k < WIRE_KINDS; k++) {
		names[k] = wire_name((enum wire_kind)k);
		if (frame_is(frame, names[k]))
			return k;
	}
	const char *nearest = nearest_name(printable(frame, echo), names, WIRE_KINDS);
	error_set(e, "message of unknown kind \"%s\" in %s%s%s%s", echo, WIRE_VERSION,
	          nearest ? " (is \"" : "", nearest ? nearest : "", nearest ? "\" meant?)" : "");
	return -1;
}

static int decode_version(const struct wire_frame *frame, struct error *e)
{
	char echo[ECHO_BYTES + 1];

	if (frame_is(frame, WIRE_VERSION))
		return 0;
	if (frame->bytes < 6 || memcmp(frame->data, "trawl/", 6) != 0)
		return error_set(e, "not a message of trawl: it begins with \"%s\", not \"%s\"",
		                 printable(frame, echo), WIRE_VERSION);
	return error_set(e,
	                 "a message speaks \"%s\", this program speaks \"%s\": "
	                 "install the same version of trawl on both sides",
	                 printable(frame, echo), WIRE_VERSION);
}

int wire_decode(const struct wire_frame *frames, size_t count, struct message *m, struct error *e)
{
	message_init(m);
	if (count < 1 || decode_version(&frames[0], e) != 0)
		return count < 1 ? error_set(e, "an empty message") : -1;
	if (count != FRAMES)
		return error_set(e, "a message of %zu frames, not %d", count, FRAMES);
	int kind = decode_kind(&frames[1], e);
	if (kind < 0)
		return -1;
	if (frames[2].bytes > WIRE_BODY_BYTES)
		return error_set(e, "message \"%s\": a body of %zu bytes, at most %d are taken",
		                 wire_name((enum wire_kind)kind), frames[2].bytes, WIRE_BODY_BYTES);
	cJSON *body = json_parse(frames[2].data, frames[2].bytes, "the message's body", e);
	if (!body || wire_check((enum wire_kind)kind, body, e) != 0) {
		cJSON_Delete(body);
		return -1;
	}
	m->kind = (enum wire_kind)kind;
	m->body = body;
	return 0;
}

int wire_send(void *socket, const struct message *m, struct error *e)
{
	const char *name = wire_name(m->kind);
	char *body = json_print(m->body, false);
	struct wire_frame frames[] = {{m->route, m->route_bytes},
	                              {WIRE_VERSION, strlen(WIRE_VERSION)},
	                              {name, strlen(name)},
	                              {body, strlen(body)}};
	int status = 0;

	for (int i = m->route ? 0 : 1; i < 4 && status == 0; i++) {
		int flags = ZMQ_DONTWAIT | (i < 3 ? ZMQ_SNDMORE : 0);
		while (zmq_send(socket, frames[i].data, frames[i].bytes, flags) < 0) {
			if (errno == EINTR)
				continue;
			status = errno == EAGAIN || errno == EHOSTUNREACH
			                 ? 1
			                 : error_set(e, "message \"%s\" cannot be sent: %s", name,
			                             zmq_strerror(errno));
			break;
		}
	}
	free(body);
	return status;
}

/* Every frame of one message; those beyond `limit` are read and counted only. */
static size_t receive_frames(void *socket, zmq_msg_t *parts, size_t limit)
{
	size_t count = 0;
	int more = 1;

	while (more) {
		/* cppcheck-suppress uninitvar */
		zmq_msg_t extra, *part = count < limit ? &parts[count] : &extra;
		zmq_msg_init(part);
		while (zmq_msg_recv(part, socket, ZMQ_DONTWAIT) < 0)
			if (errno != EINTR) {
				zmq_msg_close(part);
				return count;
			}
		more = zmq_msg_more(part);
		if (count++ >= limit)
			zmq_msg_close(part);
	}
	return count;
}

static bool carries_route(void *socket)
{
	int type = 0;
	size_t size = sizeof type;

	zmq_getsockopt(socket, ZMQ_TYPE, &type, &size);
	return type == ZMQ_ROUTER || type == ZMQ_PAIR; /* ours, between threads */
}

int wire_receive(void *socket, struct message *m, struct error *e)
{
	zmq_msg_t parts[FRAMES + 1];
	struct wire_frame frames[FRAMES + 1];
	size_t front = carries_route(socket) ? 1 : 0, limit = FRAMES + front;
	size_t count = receive_frames(socket, parts, limit), kept = count < limit ? count : limit;

	message_init(m);
	if (count == 0)
		return 0;
	for (size_t i = 0; i < kept; i++)
		frames[i] = (struct wire_frame){zmq_msg_data(&parts[i]), zmq_msg_size(&parts[i])};
	int status = wire_decode(frames + front, count - front, m, e) == 0 ? 1 : -1;
	if (front)
		message_route(m, frames[0].data, frames[0].bytes);
	const char *key = zmq_msg_gets(&parts[kept - 1], "User-Id");
	snprintf(m->key, sizeof m->key, "%s", key ? key : "");
	for (size_t i = 0; i < kept; i++)
		zmq_msg_close(&parts[i]);
	return status;
}
