/* Bytes between agent and artifact store: resumed where they were cut, checked on both sides,
 * promised only after the commit. */
#include "worker/transfer.h"
#include "coordinator/web/artifacts.h"
#include "core/base/clock.h"
#include "core/base/file.h"
#include "core/base/json.h"
#include "core/base/text.h"
#include "schemas/wire.h"
#include "tests/fake_store.h"
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
	bool ending;
	int commits;     /* STORED messages answered */
	int refusals;    /* so many are answered ok = false first */
	int64_t slow_ms; /* before an answer */
	int64_t committed_ms;
};

static void *turn_main(void *context)
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

static void sql_do(const char *path, const char *text)
{
	sqlite3 *db;
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

static void store_start(struct world *w, int64_t floor)
{
	struct error e;
	struct artifacts_options o = {.folder = w->store,
	                              .database = w->database,
	                              .zmq_context = w->zmq,
	                              .turn_endpoint = "inproc://turn",
	                              .upload_bytes_max = 8 << 20,
	                              .free_bytes_floor = floor,
	                              .commit_wait_ms = 500};
	w->artifacts = artifacts_start(&o, &e);
	if (!w->artifacts)
		fail_msg("%s", e.text);
	transfer_url(w->transfer, artifacts_url(w->artifacts));
}

static int setup(void **state)
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

static int teardown(void **state)
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

static void put(struct world *w, bool upload, const char *with_token)
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
static int result(struct world *w, int wait_ms)
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

static int64_t stored_bytes(struct world *w, const char *suffix)
{
	char *path = artifact_path(w->store, w->sha256), *full = xformat("%s%s", path, suffix);
	int64_t bytes = file_bytes(full);
	free(path);
	free(full);
	return bytes;
}

static void what_goes_up_comes_down_the_same(void **state)
{
	struct world *w = *state;
	char hex[SHA256_HEX];
	put(w, true, token);
	assert_int_equal(result(w, WAIT_MS), TRANSFER_OK);
	assert_int_equal(stored_bytes(w, ""), BLOB_BYTES);
	assert_int_equal(stored_bytes(w, ".part"), -1);
	put(w, false, token);
	assert_int_equal(result(w, WAIT_MS), TRANSFER_OK);
	assert_int_equal(sha256_file(w->copy, hex, NULL), 0);
	assert_string_equal(hex, w->sha256);
	put(w, true, token); /* again: nothing is sent, but it is committed again */
	assert_int_equal(result(w, WAIT_MS), TRANSFER_OK);
	assert_int_equal(w->commits, 2);
}

static void stored_is_said_only_after_the_commit(void **state)
{
	struct world *w = *state;
	w->slow_ms = 300;
	int64_t begin = clock_monotonic_ms();
	put(w, true, token);
	assert_int_equal(result(w, 250), -1); /* the bytes lie there, the commit does not */
	assert_int_equal(stored_bytes(w, ""), BLOB_BYTES);
	assert_int_equal(result(w, WAIT_MS), TRANSFER_OK);
	assert_true(w->committed_ms - begin >= 300);
	assert_int_equal(w->commits, 1);
}

static void commit_that_fails_or_is_late_is_asked_for_again(void **state)
{
	struct world *w = *state;
	w->refusals = 3;
	put(w, true, token);
	assert_int_equal(result(w, WAIT_MS), TRANSFER_OK);
	assert_int_equal(w->commits, 1);
}

static void wrong_digest_is_refused_and_leaves_nothing(void **state)
{
	struct world *w = *state;
	w->sha256[0] = w->sha256[0] == '0' ? '1' : '0';
	put(w, true, token);
	assert_int_equal(result(w, WAIT_MS), TRANSFER_BAD);
	assert_int_equal(stored_bytes(w, ""), -1);
	assert_int_equal(stored_bytes(w, ".part"), -1);
	assert_int_equal(w->commits, 0);
}

static void damaged_bytes_are_not_taken_for_good(void **state)
{
	struct world *w = *state;
	put(w, true, token);
	assert_int_equal(result(w, WAIT_MS), TRANSFER_OK);
	char *path = artifact_path(w->store, w->sha256), *bytes = file_read(path, NULL, NULL);
	bytes[12345] ^= 1;
	file_write(path, bytes, BLOB_BYTES, NULL);
	free(bytes);
	free(path);
	put(w, false, token);
	assert_int_equal(result(w, WAIT_MS), TRANSFER_BAD);
	assert_false(file_exists(w->copy));
	put(w, true, token); /* an upload replaces them */
	assert_int_equal(result(w, WAIT_MS), TRANSFER_OK);
	put(w, false, token);
	assert_int_equal(result(w, WAIT_MS), TRANSFER_OK);
}

static void token_without_lease_is_refused(void **state)
{
	struct world *w = *state;
	put(w, true, "guessed");
	assert_int_equal(result(w, WAIT_MS), TRANSFER_REFUSED);
	sql_do(w->database, "update trial set state = 'done'");
	put(w, true, token);
	assert_int_equal(result(w, WAIT_MS), TRANSFER_REFUSED);
	put(w, false, token);
	assert_int_equal(result(w, WAIT_MS), TRANSFER_REFUSED);
	assert_int_equal(stored_bytes(w, ".part"), -1);
}

/* Though its trial is leased still, or again. */
static void token_of_a_revoked_key_is_refused(void **state)
{
	struct world *w = *state;
	put(w, true, token);
	assert_int_equal(result(w, WAIT_MS), TRANSFER_OK);
	sql_do(w->database, "update key set revoked_ms = 1");
	put(w, false, token);
	assert_int_equal(result(w, WAIT_MS), TRANSFER_REFUSED);
}

static void absent_bytes_are_gone(void **state)
{
	struct world *w = *state;
	put(w, false, token);
	assert_int_equal(result(w, WAIT_MS), TRANSFER_GONE);
	assert_false(file_exists(w->copy));
}

static void full_disk_over_there_waits_for_room(void **state)
{
	struct world *w = *state;
	artifacts_stop(w->artifacts);
	store_start(w, INT64_MAX / 2); /* never so much is free: 507 */
	put(w, true, token);
	assert_int_equal(result(w, 200), -1);
	assert_int_equal(stored_bytes(w, ".part"), -1);
	artifacts_stop(w->artifacts);
	store_start(w, 1);
	assert_int_equal(result(w, WAIT_MS), TRANSFER_OK);
}

static void too_large_is_refused(void **state)
{
	struct world *w = *state;
	struct error e;
	char *blob = xcalloc(9 << 20, 1);
	file_write(w->file, blob, 9 << 20, &e);
	sha256_hex(blob, 9 << 20, w->sha256);
	struct transfer_item item = {
	        .upload = true, .bytes = 9 << 20, .path = w->file, .token = (char *)token};
	memcpy(item.sha256, w->sha256, sizeof item.sha256);
	transfer_put(w->transfer, &item);
	assert_int_equal(result(w, WAIT_MS), TRANSFER_REFUSED);
	free(blob);
}

static void store_that_is_away_is_waited_for(void **state)
{
	struct world *w = *state;
	artifacts_stop(w->artifacts);
	put(w, true, token);
	assert_int_equal(result(w, 200), -1);
	store_start(w, 1);
	assert_int_equal(result(w, WAIT_MS), TRANSFER_OK);
}

static void cancelled_transfer_ends(void **state)
{
	struct world *w = *state;
	artifacts_stop(w->artifacts);
	w->artifacts = NULL;
	put(w, true, token);
	assert_int_equal(result(w, 100), -1);
	transfer_cancel(w->transfer, 1, 1);
	assert_int_equal(result(w, WAIT_MS), TRANSFER_CANCELLED);
}

/* --- a line between both that is cut -----------------------------------------------------------
 */

struct line {
	int listener, port, store_port;
	int64_t cut_after_bytes; /* of what goes up or down in one connection */
	int64_t passed;          /* bytes in all */
	int cuts;
	bool ending;
	pthread_t thread;
};

static void line_pass(struct line *l, int client, int store)
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
		if (write(p[!from].fd, block, (size_t)n) != n)
			break;
		l->passed += n;
	}
	l->cuts += here > l->cut_after_bytes;
}

static void *line_main(void *context)
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

static void line_start(struct line *l, struct world *w, int64_t cut_after_bytes)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof at;
	*l = (struct line){.listener = socket(AF_INET, SOCK_STREAM, 0),
	                   .store_port = artifacts_port(w->artifacts),
	                   .cut_after_bytes = cut_after_bytes};
	assert_int_equal(bind(l->listener, (struct sockaddr *)&at, sizeof at), 0);
	assert_int_equal(listen(l->listener, 8), 0);
	getsockname(l->listener, (struct sockaddr *)&at, &length);
	char *url = xformat("http://127.0.0.1:%d", ntohs(at.sin_port));
	transfer_url(w->transfer, url);
	free(url);
	pthread_create(&l->thread, NULL, line_main, l);
}

static void line_stop(struct line *l)
{
	__atomic_store_n(&l->ending, true, __ATOMIC_RELEASE);
	pthread_join(l->thread, NULL);
	close(l->listener);
}

/* Three megabytes over a line that is cut after each: what came is not sent again. */
static void cut_transfers_go_on_where_they_were(void **state)
{
	struct world *w = *state;
	struct line l;
	line_start(&l, w, 1 << 20);
	put(w, true, token);
	assert_int_equal(result(w, WAIT_MS), TRANSFER_OK);
	assert_true(l.cuts >= 2);
	assert_true(l.passed < BLOB_BYTES * 4 / 3);
	l.cuts = 0;
	l.passed = 0;
	put(w, false, token);
	assert_int_equal(result(w, WAIT_MS), TRANSFER_OK);
	assert_true(l.cuts >= 2);
	assert_true(l.passed < BLOB_BYTES * 4 / 3);
	line_stop(&l);
}

static void port_in_use_is_said(void **state)
{
	struct world *w = *state;
	struct error e;
	struct artifacts_options o = {.folder = w->store,
	                              .database = w->database,
	                              .port = artifacts_port(w->artifacts),
	                              .zmq_context = w->zmq,
	                              .turn_endpoint = "inproc://turn"};
	assert_null(artifacts_start(&o, &e));
	assert_non_null(strstr(e.text, "cannot listen on 127.0.0.1"));
	assert_non_null(strstr(e.text, "Address already in use"));
}

#define LAW(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        LAW(what_goes_up_comes_down_the_same),
	        LAW(stored_is_said_only_after_the_commit),
	        LAW(commit_that_fails_or_is_late_is_asked_for_again),
	        LAW(wrong_digest_is_refused_and_leaves_nothing),
	        LAW(damaged_bytes_are_not_taken_for_good),
	        LAW(token_without_lease_is_refused),
	        LAW(token_of_a_revoked_key_is_refused),
	        LAW(absent_bytes_are_gone),
	        LAW(full_disk_over_there_waits_for_room),
	        LAW(too_large_is_refused),
	        LAW(store_that_is_away_is_waited_for),
	        LAW(cancelled_transfer_ends),
	        LAW(cut_transfers_go_on_where_they_were),
	        LAW(port_in_use_is_said),
	};
	cmocka_set_test_filter(getenv("TRAWL_TEST_ONLY"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
