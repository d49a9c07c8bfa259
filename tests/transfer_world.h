/* An agent's transfers and a real artifact store, with a turn that commits, and a line between them
 * that can be cut and listened to. */
#ifndef TESTS_TRANSFER_WORLD_H
#define TESTS_TRANSFER_WORLD_H
#include "coordinator/web/artifacts.h"
#include "core/base/clock.h"
#include "core/base/file.h"
#include "core/base/json.h"
#include "core/base/text.h"
#include "schemas/wire.h"
#include "tests/fake_store.h"
#include "worker/transfer.h"
#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zmq.h>

#include <cmocka.h>

enum { BLOB_BYTES = 3 << 20, WAIT_MS = 10000 };
static const char token[] = "secret-of-the-lease";

/* A store with its folder, a database of one leased trial, and a turn that commits. */
struct world {
	char folder[256];
	char *store, *database, *file, *copy;
	char sha256[SHA256_HEX];
	void *zmq;
	struct artifacts *artifacts;
	struct transfer *transfer;
	pthread_t turn;
	const struct certificate *certificate; /* null: plain HTTP */
	const char *pin;                       /* that the agent is told */
	int port;                              /* 0: any free one */
	bool ending;
	int commits;     /* STORED messages answered */
	int refusals;    /* so many are answered ok = false first */
	int64_t slow_ms; /* before an answer */
	int64_t committed_ms;
};

static inline void *turn_main(void *context)
{
	struct world *w = context;
	void *socket = zmq_socket(w->zmq, ZMQ_ROUTER);
	int none = 0;
	zmq_setsockopt(socket, ZMQ_LINGER, &none, sizeof none);
	assert_int_equal(zmq_bind(socket, "inproc://turn"), 0);
	while (!__atomic_load_n(&w->ending, __ATOMIC_ACQUIRE)) {
		zmq_pollitem_t poll = {.socket = socket, .events = ZMQ_POLLIN};
		struct message m;
		zmq_poll(&poll, 1, 20);
		if (wire_receive(socket, &m, NULL) > 0 && m.kind == WIRE_STORED) {
			usleep((useconds_t)w->slow_ms * 1000);
			bool ok = w->refusals-- <= 0;
			cJSON *body = cJSON_CreateObject();
			cJSON_AddStringToObject(body, "sha256", json_text(m.body, "sha256", ""));
			cJSON_AddBoolToObject(body, "ok", ok);
			struct message answer =
			        message_make(WIRE_STORED_SAVED, m.route, m.route_bytes, body);
			w->committed_ms = clock_monotonic_ms();
			w->commits += ok;
			wire_send(socket, &answer, NULL);
			message_release(&answer);
		}
		message_release(&m);
	}
	zmq_close(socket);
	return NULL;
}

static inline void sql_do(const char *path, const char *text)
{
	sqlite3 *db;
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

static inline void store_start(struct world *w, int64_t floor)
{
	struct error e;
	struct artifacts_options o = {.folder = w->store,
	                              .database = w->database,
	                              .port = w->port,
	                              .certificate = w->certificate,
	                              .zmq_context = w->zmq,
	                              .turn_endpoint = "inproc://turn",
	                              .upload_bytes_max = 8 << 20,
	                              .free_bytes_floor = floor,
	                              .commit_wait_ms = 500};
	w->artifacts = artifacts_start(&o, &e);
	if (!w->artifacts)
		fail_msg("%s", e.text);
	transfer_url(w->transfer, artifacts_url(w->artifacts), w->pin);
}

static inline int setup(void **state)
{
	struct world *w = *state = xcalloc(1, sizeof *w);
	struct error e;
	const char *above = getenv("TMPDIR");
	snprintf(w->folder, sizeof w->folder, "%s/trawl-transfer-XXXXXX", above ? above : "/tmp");
	assert_non_null(mkdtemp(w->folder));
	w->store = path_join(w->folder, "artifacts");
	w->database = path_join(w->folder, "db");
	w->file = path_join(w->folder, "file");
	w->copy = path_join(w->folder, "copy");
	char *sql = fake_store_sql(token);
	sql_do(w->database, sql);
	free(sql);
	unsigned char *blob = xmalloc(BLOB_BYTES);
	for (int i = 0; i < BLOB_BYTES; i++)
		blob[i] = (unsigned char)(i * 2654435761u >> 13);
	assert_int_equal(file_write(w->file, blob, BLOB_BYTES, &e), 0);
	sha256_hex(blob, BLOB_BYTES, w->sha256);
	free(blob);
	w->zmq = zmq_ctx_new();
	assert_int_equal(pthread_create(&w->turn, NULL, turn_main, w), 0);
	w->transfer = transfer_new(
	        &(struct transfer_options){.pause_ms = 10, .pause_max_ms = 50, .stall_ms = 2000},
	        &e);
	store_start(w, 1);
	return 0;
}

static inline int teardown(void **state)
{
	struct world *w = *state;
	transfer_free(w->transfer);
	artifacts_stop(w->artifacts);
	__atomic_store_n(&w->ending, true, __ATOMIC_RELEASE);
	pthread_join(w->turn, NULL);
	zmq_ctx_term(w->zmq);
	folder_remove(w->folder, NULL);
	free(w->store);
	free(w->database);
	free(w->file);
	free(w->copy);
	free(w);
	return 0;
}

static inline void put(struct world *w, bool upload, const char *with_token)
{
	struct transfer_item item = {.upload = upload,
	                             .trial = 1,
	                             .attempt = 1,
	                             .bytes = BLOB_BYTES,
	                             .path = upload ? w->file : w->copy,
	                             .token = (char *)with_token};
	memcpy(item.sha256, w->sha256, sizeof item.sha256);
	transfer_put(w->transfer, &item);
}

/* The next result within wait_ms: its status, or -1. */
static inline int result(struct world *w, int wait_ms)
{
	struct pollfd p = {.fd = transfer_fd(w->transfer), .events = POLLIN};
	struct transfer_result r;
	int64_t until = clock_monotonic_ms() + wait_ms;
	do {
		poll(&p, 1, 20);
		if (transfer_next(w->transfer, &r)) {
			int status = r.status;
			if (status != TRANSFER_OK)
				print_message("%s: %s\n", transfer_status_text(r.status),
				              r.error.text);
			transfer_result_release(&r);
			return status;
		}
	} while (clock_monotonic_ms() < until);
	return -1;
}

static inline int64_t stored_bytes(struct world *w, const char *suffix)
{
	char *path = artifact_path(w->store, w->sha256), *full = xformat("%s%s", path, suffix);
	int64_t bytes = file_bytes(full);
	free(path);
	free(full);
	return bytes;
}

/* --- a line between both that is cut -----------------------------------------------------------
 */

struct line {
	int listener, port, store_port;
	int64_t cut_after_bytes; /* of what goes up or down in one connection */
	int64_t passed;          /* bytes in all */
	struct text heard;       /* the first of what came from the agent */
	int cuts;
	char *url;
	bool ending;
	pthread_t thread;
};

static inline void line_pass(struct line *l, int client, int store)
{
	struct pollfd p[2] = {{client, POLLIN, 0}, {store, POLLIN, 0}};
	int64_t here = 0;
	char block[65536];
	for (;;) {
		poll(p, 2, 1000);
		int from = p[0].revents ? 0 : 1;
		ssize_t n = p[from].revents ? read(p[from].fd, block, sizeof block) : 0;
		if (n <= 0 || (here += n) > l->cut_after_bytes)
			break;
		if (from == 0 && l->heard.length < 1 << 16)
			text_add_bytes(&l->heard, block, (size_t)n);
		if (write(p[!from].fd, block, (size_t)n) != n)
			break;
		l->passed += n;
	}
	l->cuts += here > l->cut_after_bytes;
}

static inline void *line_main(void *context)
{
	struct line *l = context;
	while (!__atomic_load_n(&l->ending, __ATOMIC_ACQUIRE)) {
		struct pollfd p = {l->listener, POLLIN, 0};
		if (poll(&p, 1, 20) <= 0)
			continue;
		int client = accept(l->listener, NULL, NULL);
		int store = socket(AF_INET, SOCK_STREAM, 0);
		struct sockaddr_in to = {.sin_family = AF_INET,
		                         .sin_port = htons((uint16_t)l->store_port),
		                         .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
		if (connect(store, (struct sockaddr *)&to, sizeof to) == 0)
			line_pass(l, client, store);
		close(client);
		close(store);
	}
	return NULL;
}

static inline void line_start(struct line *l, struct world *w, const char *scheme,
                              int64_t cut_after_bytes)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof at;
	*l = (struct line){.listener = socket(AF_INET, SOCK_STREAM, 0),
	                   .store_port = artifacts_port(w->artifacts),
	                   .cut_after_bytes = cut_after_bytes};
	assert_int_equal(bind(l->listener, (struct sockaddr *)&at, sizeof at), 0);
	assert_int_equal(listen(l->listener, 8), 0);
	getsockname(l->listener, (struct sockaddr *)&at, &length);
	l->url = xformat("%s://127.0.0.1:%d", scheme, ntohs(at.sin_port));
	transfer_url(w->transfer, l->url, w->pin);
	pthread_create(&l->thread, NULL, line_main, l);
}

static inline void line_stop(struct line *l)
{
	__atomic_store_n(&l->ending, true, __ATOMIC_RELEASE);
	pthread_join(l->thread, NULL);
	close(l->listener);
	text_release(&l->heard);
	free(l->url);
}
#endif
