/* The coordinator as a process: sockets, timers and signals around the turn. */
#include "coordinator/serve.h"
#include "coordinator/gate.h"
#include "coordinator/generation.h"
#include "coordinator/import.h"
#include "coordinator/notify.h"
#include "coordinator/orphan.h"
#include "coordinator/reader.h"
#include "coordinator/store.h"
#include "coordinator/turn.h"
#include "coordinator/wal.h"
#include "coordinator/web/artifacts.h"
#include "core/base/clock.h"
#include "core/base/file.h"
#include "core/base/json.h"
#include "core/base/log.h"
#include "core/base/random.h"
#include "core/base/text.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>
#include <zmq.h>

enum { BATCH = 256, PEER_MESSAGES = 1000, POLL_MS = 500, RETRY_MS = 1000, LINGER_MS = 500 };

#define INSIDE "inproc://turn"

struct server {
	const struct serve_options *options;
	struct store store;
	struct coordinator coordinator;
	void *zmq, *outside, *inside; /* ROUTERs: for agents and clients; for our HTTP threads */
	struct gate *gate;            /* null: nobody is asked for keys */
	struct notify *notify;
	struct artifacts *artifacts;
	struct certificate certificate; /* of the artifact store; pem null: it speaks plain HTTP */
	struct reader *reader;
	char *folder, *secret, *endpoint, *url;
	struct message batch[BATCH]; /* received, not yet committed */
	size_t batch_count;
	bool drained;
	char (*deleted)[SHA256_HEX];
	size_t deleted_count;
	int64_t wake_ms, complained_ms;
	struct wal_watch wal;
	const char *note; /* the kind of an event that no turn has recorded yet, or null */
	struct text note_text;
	int64_t superseded;
	bool more, stop;
};

static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
	interrupted = 1;
}

static void catch_signals(void)
{
	struct sigaction action = {.sa_handler = on_signal};

	interrupted = 0;
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	signal(SIGPIPE, SIG_IGN);
}

static void set_int(void *socket, int option, int value)
{
	zmq_setsockopt(socket, option, &value, sizeof value);
}

static void *router(struct server *s)
{
	int64_t largest = WIRE_BODY_BYTES;
	void *socket = zmq_socket(s->zmq, ZMQ_ROUTER);

	/* Of what one peer sends so much waits here, the rest with the peer; they are heard in
	 * turn.  What a peer does not read is thrown away beyond as much, and said again when it
	 * repeats. */
	set_int(socket, ZMQ_RCVHWM, PEER_MESSAGES);
	set_int(socket, ZMQ_SNDHWM, PEER_MESSAGES);
	set_int(socket, ZMQ_LINGER, LINGER_MS);
	set_int(socket, ZMQ_ROUTER_HANDOVER,
	        1); /* an agent that comes back over a new connection */
	set_int(socket, ZMQ_HEARTBEAT_IVL, 2000);
	set_int(socket, ZMQ_HEARTBEAT_TIMEOUT, 2000);
	set_int(socket, ZMQ_HEARTBEAT_TTL, 4000);
	zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &largest, sizeof largest);
	return socket;
}

/* Whether only this machine can connect. */
static bool is_local(const char *listen)
{
	static const char *const local[] = {
	        "tcp://127.", "tcp://localhost:", "tcp://[::1]:", "ipc://", "inproc://"};

	for (size_t i = 0; i < sizeof local / sizeof *local; i++)
		if (strncmp(listen, local[i], strlen(local[i])) == 0)
			return true;
	return false;
}

/* Beyond this machine everybody shows a key. */
static int guard_outside(struct server *s, struct error *e)
{
	if (s->options->insecure || is_local(s->options->listen))
		return 0;
	s->gate = gate_open(s->zmq, &s->store.db, s->options->database, clock_wall_ms(), e);
	return s->gate ? gate_guard(s->gate, s->outside, e) : -1;
}

static int bind_all(struct server *s, struct error *e)
{
	char bound[256] = "";
	size_t size = sizeof bound;

	s->zmq = zmq_ctx_new();
	s->outside = router(s);
	if (guard_outside(s, e))
		return -1;
	s->inside = router(s);
	if (zmq_bind(s->inside, INSIDE) != 0)
		return error_set(e, "%s: %s", INSIDE, zmq_strerror(errno));
	if (zmq_bind(s->outside, s->options->listen) != 0)
		return error_set(e, "%s: cannot listen: %s%s", s->options->listen,
		                 zmq_strerror(errno),
		                 errno == EADDRINUSE ? "; choose another port with --listen"
		                                     : "; --listen wants tcp://HOST:PORT");
	zmq_getsockopt(s->outside, ZMQ_LAST_ENDPOINT, bound, &size);
	/* Clients on this machine find us through the loopback. */
	const char *any = strstr(bound, "//0.0.0.0:");
	s->endpoint =
	        any ? xformat("tcp://127.0.0.1:%s", any + strlen("//0.0.0.0:")) : xstrdup(bound);
	return 0;
}

/* DATABASE.key: 64 hex digits that tokens are derived from; made once, for its owner only. */
static int load_secret(struct server *s, struct error *e)
{
	char *path = xformat("%s.key", s->options->database), bytes[32], hex[SHA256_HEX];
	int status = 0;

	if (file_exists(path)) {
		s->secret = file_read(path, NULL, e);
		status = s->secret ? 0 : -1;
	} else if (getrandom(bytes, sizeof bytes, 0) != sizeof bytes) {
		status = error_errno(e, "no random bytes");
	} else {
		sha256_hex(bytes, sizeof bytes, hex);
		s->secret = xstrdup(hex);
		status = file_write_private(path, hex, strlen(hex), e);
	}
	free(path);
	return status;
}

/* Where the artifact store listens: as told, or where the socket does. */
static void http_address(const struct server *s, char address[64])
{
	const char *listen = s->options->listen, *host = strstr(s->endpoint, "//");
	bool everywhere = strstr(listen, "//*:") || strstr(listen, "//0.0.0.0:");
	struct in_addr ignored;

	snprintf(address, 64, "%.*s", host ? (int)strcspn(host + 2, ":") : 0, host ? host + 2 : "");
	if (s->options->http_address)
		snprintf(address, 64, "%s", s->options->http_address);
	else if (everywhere)
		snprintf(address, 64, "0.0.0.0");
	else if (inet_pton(AF_INET, address, &ignored) != 1)
		snprintf(address, 64, "127.0.0.1");
}

/* DATABASE.tls, where keys are asked for, or others than this machine can connect. */
static int load_certificate(struct server *s, const char *address, struct error *e)
{
	const char *url = s->options->http_url;
	char *path = xformat("%s.tls", s->options->database);
	int status = 0;

	if (!s->options->insecure && (s->gate || strncmp(address, "127.", 4) != 0))
		status = certificate_open(path, &s->certificate, e);
	free(path);
	if (s->certificate.pem && url && strncmp(url, "https://", 8) != 0)
		status =
		        error_set(e,
		                  "--http-url %s: https:// is wanted where checkpoints travel over "
		                  "TLS (--insecure does without)",
		                  url);
	return status;
}

static int start_artifacts(struct server *s, struct error *e)
{
	char address[64], host[256] = "";

	http_address(s, address);
	if (load_certificate(s, address, e))
		return -1;
	if (strcmp(address, "0.0.0.0") == 0)
		gethostname(host, sizeof host - 1);
	else
		snprintf(host, sizeof host, "%s", address);
	struct artifacts_options options = {.folder = s->folder,
	                                    .database = s->options->database,
	                                    .address = address,
	                                    .port = s->options->http_port,
	                                    .certificate =
	                                            s->certificate.pem ? &s->certificate : NULL,
	                                    .zmq_context = s->zmq,
	                                    .turn_endpoint = INSIDE};
	s->artifacts = artifacts_start(&options, e);
	if (!s->artifacts)
		return -1;
	s->url = s->options->http_url ? xstrdup(s->options->http_url)
	                              : xformat("http%s://%s:%d", s->certificate.pem ? "s" : "",
	                                        host, artifacts_port(s->artifacts));
	return 0;
}

static int start(struct server *s, struct error *e)
{
	const struct serve_options *o = s->options;

	s->folder = o->artifacts ? xstrdup(o->artifacts) : xformat("%s.artifacts", o->database);
	if (store_open(&s->store, o->database, o->allow_network, e) != 0 ||
	    generation_begin(&s->store.db, o->database, o->take_over, clock_wall_ms(), e) != 0 ||
	    bind_all(s, e) != 0 || load_secret(s, e) != 0 || folder_make(s->folder, e) != 0 ||
	    start_artifacts(s, e) != 0 ||
	    store_announce(&s->store, s->endpoint, s->url, s->gate ? gate_public(s->gate) : NULL,
	                   e) != 0 ||
	    !(s->reader = reader_start(s->zmq, o->database, e)))
		return -1;
	int orphans = orphan_sweep(&s->store.db, s->folder, clock_wall_ms());
	if (orphans)
		log_info("%d files that nothing names any more were deleted from %s", orphans,
		         s->folder);
	s->coordinator = (struct coordinator){.db = &s->store.db, .options = turn_defaults};
	struct turn_options *t = &s->coordinator.options;
	t->lease_ms = o->lease_ms ? o->lease_ms : t->lease_ms;
	t->beat_ms = o->beat_ms ? o->beat_ms : t->beat_ms;
	t->url = s->url;
	t->pin = s->certificate.pem ? s->certificate.pin : NULL;
	t->secret = s->secret;
	t->files = import_files(s->folder);
	s->wal = (struct wal_watch){.database = o->database, .bytes_max = o->wal_bytes};
	t->notifies = o->notify != NULL;
	t->quota_bytes = o->artifact_quota;
	if (o->notify)
		s->notify = notify_start(s->zmq, INSIDE, o->database, o->notify, e);
	return o->notify && !s->notify ? -1 : 0;
}

/* What strangers send is worth a line a second at most. */
static void complain(struct server *s, const char *text)
{
	int64_t now = clock_monotonic_ms();

	if (now - s->complained_ms < 1000 && s->complained_ms)
		return;
	s->complained_ms = now;
	log_warn("%s", text);
}

static void answer_error(struct server *s, void *socket, const struct message *m,
                         const struct error *e)
{
	struct message reply =
	        message_error(m->route, m->route_bytes, json_int(m->body, "id", 0), e);

	complain(s, e->text);
	wire_send(socket, &reply, NULL);
	message_release(&reply);
}

/* Bytes that a turn deleted while their upload was being reported are not there: the uploader hears
 * so, and says it again. */
static bool refuse_stored(struct server *s, const struct message *m)
{
	const char *sha256 = json_text(m->body, "sha256", "");
	char *path = import_path(s->folder, sha256);
	bool there = strlen(sha256) == SHA256_HEX - 1 &&
	             file_bytes(path) == json_int(m->body, "bytes", -1);

	free(path);
	if (there)
		return false;
	cJSON *body = cJSON_CreateObject();
	cJSON_AddStringToObject(body, "sha256", sha256);
	cJSON_AddBoolToObject(body, "ok", false);
	struct message reply = message_make(WIRE_STORED_SAVED, m->route, m->route_bytes, body);
	wire_send(s->inside, &reply, NULL);
	message_release(&reply);
	return true;
}

/* Whether there was a message; one that is fit for the turn is added to the batch. */
static bool take(struct server *s, void *socket)
{
	struct message m;
	struct error e = {{0}};
	int got = wire_receive(socket, &m, &e);
	bool http = got > 0 && strcmp(wire_from(m.kind), "http") == 0;

	if (got > 0 && http != (socket == s->inside))
		got = error_set(&e, "message \"%s\" came from where it is not taken",
		                wire_name(m.kind));
	if (got > 0 && !http && s->gate && !gate_admits(s->gate, &m, &e))
		got = -1;
	if (got < 0)
		answer_error(s, socket, &m, &e);
	if (got > 0 && m.kind == WIRE_ERROR)
		complain(s, json_text(m.body, "text", "an error without text"));
	else if (got > 0 && !(m.kind == WIRE_STORED && refuse_stored(s, &m))) {
		int reads = reader_take(s->reader, &m, &e);
		if (reads < 0)
			answer_error(s, socket, &m, &e);
		if (reads == 0) {
			s->batch[s->batch_count++] = m;
			return true;
		}
	}
	message_release(&m);
	return got != 0;
}

static void receive(struct server *s)
{
	bool inside = true, outside = true;

	while (s->batch_count < BATCH && (inside || outside)) {
		inside = take(s, s->inside);
		if (s->batch_count < BATCH)
			outside = take(s, s->outside);
	}
	s->drained = !inside && !outside;
}

static void delete_bytes(struct server *s, const struct turn_output *out)
{
	s->deleted_count = 0;
	s->deleted = xrealloc(s->deleted, out->deletion_count * sizeof *s->deleted + 1);
	for (size_t i = 0; i < out->deletion_count; i++) {
		char *path = import_path(s->folder, out->deletions[i]);
		if (unlink(path) == 0 || errno == ENOENT)
			memcpy(s->deleted[s->deleted_count++], out->deletions[i], SHA256_HEX);
		free(path);
	}
}

static void send_all(struct server *s, const struct turn_output *out)
{
	struct error e;

	for (size_t i = 0; i < out->count; i++) {
		bool http = out->messages[i].kind == WIRE_STORED_SAVED;
		if (!http && s->gate && !gate_directs(s->gate, &out->messages[i]))
			continue;
		if (wire_send(http ? s->inside : s->outside, &out->messages[i], &e) < 0)
			complain(s, e.text);
	}
}

static void turn(struct server *s)
{
	struct turn_input in = {.wall_ms = clock_wall_ms(),
	                        .monotonic_ms = clock_monotonic_ms(),
	                        .messages = s->batch,
	                        .count = s->batch_count,
	                        .drained = s->drained,
	                        .free_bytes = disk_free_bytes(s->folder),
	                        .deleted = s->deleted,
	                        .deleted_count = s->deleted_count,
	                        .note = s->note,
	                        .note_text = s->note_text.data};
	struct turn_output out;
	struct error e = {{0}};

	if (turn_run(&s->coordinator, &in, &out, &e) != 0) {
		complain(s, e.text);
		usleep(RETRY_MS * 1000);
		s->wake_ms = in.wall_ms + RETRY_MS;
	} else {
		send_all(s, &out);
		delete_bytes(s, &out);
		for (size_t i = 0; i < s->batch_count; i++)
			message_release(&s->batch[i]);
		s->batch_count = 0;
		s->wake_ms = out.wake_ms;
		s->more = out.more || !in.drained;
		s->superseded = out.superseded;
		s->stop = out.stop || out.superseded;
		s->note = NULL;
		text_release(&s->note_text);
	}
	turn_output_release(&out);
}

/* What the reader has answered goes on to who asked. */
static void pass_answers(struct server *s)
{
	struct message m;

	while (wire_receive(reader_socket(s->reader), &m, NULL) > 0) {
		wire_send(s->outside, &m, NULL);
		message_release(&m);
	}
}

/* A log that has become large, or small again: an event of the next turn. */
static void watch_log(struct server *s)
{
	if (s->note)
		return;
	s->note = wal_look(&s->wal, s->store.db.handle, clock_monotonic_ms(), &s->note_text);
	if (s->note)
		log_warn("%s", s->note_text.data);
}

static void loop(struct server *s)
{
	bool first = true;

	while (!interrupted && !s->stop &&
	       !(s->options->ended && s->options->ended(s->options->context))) {
		int64_t wait = s->wake_ms - clock_wall_ms();
		zmq_pollitem_t items[] = {{s->inside, 0, ZMQ_POLLIN, 0},
		                          {s->outside, 0, ZMQ_POLLIN, 0},
		                          {reader_socket(s->reader), 0, ZMQ_POLLIN, 0}};
		wait = first || s->more || wait < 0 ? 0 : wait > POLL_MS ? POLL_MS : wait;
		zmq_poll(items, 3, (long)wait);
		pass_answers(s);
		receive(s);
		watch_log(s);
		if (first || s->more || s->batch_count || s->note || s->wake_ms <= clock_wall_ms())
			turn(s);
		first = false;
	}
}

static void stop(struct server *s)
{
	notify_stop(s->notify);
	artifacts_stop(s->artifacts);
	reader_stop(s->reader);
	for (size_t i = 0; i < s->batch_count; i++)
		message_release(&s->batch[i]);
	if (s->inside)
		zmq_close(s->inside);
	if (s->outside)
		zmq_close(s->outside);
	if (s->zmq)
		zmq_ctx_term(s->zmq);
	gate_close(s->gate);
	store_close(&s->store);
	free(s->deleted);
	free(s->secret);
	free(s->folder);
	free(s->endpoint);
	free(s->url);
	certificate_release(&s->certificate);
	text_release(&s->note_text);
}

int serve_run(const struct serve_options *options, struct error *e)
{
	struct server *s = xcalloc(1, sizeof *s);
	int status = 0;

	s->options = options;
	s->store.lock = -1;
	catch_signals();
	status = start(s, e);
	if (status == 0) {
		if (options->ready)
			options->ready(options->context, s->endpoint, s->url,
			               s->gate ? gate_public(s->gate) : NULL);
		loop(s);
	}
	if (s->superseded)
		status = error_set(
		        e,
		        "%s: a newer copy of it (generation %ld) is served elsewhere: this "
		        "one gives up",
		        options->database, (long)s->superseded);
	stop(s);
	free(s);
	return status;
}
