/* The artifact store over HTTP: checkpoints, weights and logs, named by their SHA-256. */
#include "coordinator/web/artifacts.h"
#include "coordinator/web/upload.h"
#include "core/base/clock.h"
#include "core/base/file.h"
#include "core/base/json.h"
#include "core/base/text.h"
#include "schemas/wire.h"
#include <arpa/inet.h>
#include <assert.h>
#include <fcntl.h>
#include <microhttpd.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zmq.h>

enum {
	CONNECTIONS_MAX = 256,
	IDLE_SECONDS = 60,
	COMMIT_WAIT_MS = 10000,
	BUSY_MS = 5000,
	ADDRESS_BYTES = 64
};

static const char authorised_sql[] =
        "select 1 from attempt a join trial t on t.id = a.trial where a.token_sha256 = ? "
        "and t.state in ('waiting', 'ready', 'leased', 'paused') and not exists (select 1 from "
        "worker "
        "w join key k on k.public = w.key where w.id = a.worker and k.revoked_ms is not null)";

struct artifacts {
	struct MHD_Daemon *daemon;
	char *folder, *endpoint, *url;
	void *zmq_context;
	int64_t upload_bytes_max, free_bytes_floor;
	int port, commit_wait_ms;
	pthread_mutex_t lock; /* of the connection and its statement */
	sqlite3 *db;
	sqlite3_stmt *authorised;
};

/* One request; `status` is set by the first thing that goes wrong. */
struct request {
	struct upload upload;
	bool uploads;
	int status;
	struct error error;
};

char *artifact_path(const char *folder, const char *sha256)
{
	return xformat("%s/%.2s/%s", folder, sha256, sha256);
}

/* --- who may -----------------------------------------------------------------------------------
 */

static bool token_is_valid(struct artifacts *a, const char *header)
{
	char hex[SHA256_HEX];
	if (!header || strncmp(header, "Bearer ", 7))
		return false;
	sha256_hex(header + 7, strlen(header + 7), hex);
	pthread_mutex_lock(&a->lock);
	sqlite3_bind_text(a->authorised, 1, hex, -1, SQLITE_STATIC);
	bool found = sqlite3_step(a->authorised) == SQLITE_ROW;
	sqlite3_reset(a->authorised);
	pthread_mutex_unlock(&a->lock);
	return found;
}

/* The 64 hex digits of /artifacts/<64 hex>, or null. */
static const char *url_sha256(const char *url)
{
	static const char prefix[] = "/artifacts/";
	if (strncmp(url, prefix, sizeof prefix - 1))
		return NULL;
	url += sizeof prefix - 1;
	return strlen(url) == 64 && strspn(url, "0123456789abcdef") == 64 ? url : NULL;
}

/* --- answers -----------------------------------------------------------------------------------
 */

static enum MHD_Result respond(struct MHD_Connection *c, int status, struct MHD_Response *r,
                               int64_t upload_offset)
{
	char number[32];
	snprintf(number, sizeof number, "%lld", (long long)upload_offset);
	if (upload_offset >= 0)
		MHD_add_response_header(r, "Upload-Offset", number);
	enum MHD_Result result = MHD_queue_response(c, (unsigned)status, r);
	MHD_destroy_response(r);
	return result;
}

static enum MHD_Result respond_text(struct MHD_Connection *c, int status, const char *text,
                                    int64_t upload_offset)
{
	char *line = xformat("%s\n", text);
	struct MHD_Response *r =
	        MHD_create_response_from_buffer(strlen(line), line, MHD_RESPMEM_MUST_FREE);
	MHD_add_response_header(r, "Content-Type", "text/plain; charset=utf-8");
	return respond(c, status, r, upload_offset);
}

static enum MHD_Result respond_file(struct MHD_Connection *c, const char *path, int64_t first)
{
	int64_t bytes = file_bytes(path);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || bytes < 0)
		return respond_text(c, 404, "no such bytes", -1);
	if (first < 0 || (first && first >= bytes)) {
		close(fd);
		return respond_text(c, 416, "the range lies outside of the file", -1);
	}
	struct MHD_Response *r = MHD_create_response_from_fd_at_offset64((uint64_t)(bytes - first),
	                                                                 fd, (uint64_t)first);
	char range[80];
	snprintf(range, sizeof range, "bytes %lld-%lld/%lld", (long long)first,
	         (long long)bytes - 1, (long long)bytes);
	MHD_add_response_header(r, "Accept-Ranges", "bytes");
	if (first)
		MHD_add_response_header(r, "Content-Range", range);
	return respond(c, first ? 206 : 200, r, -1);
}

static enum MHD_Result answer_read(struct artifacts *a, struct MHD_Connection *c,
                                   const char *sha256, bool head)
{
	bool whole;
	int64_t here = upload_look(a->folder, sha256, &whole);
	if (!whole)
		return respond_text(c, 404, "no such bytes", here);
	const char *range = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Range");
	long long first = 0;
	if (range && !head && sscanf(range, "bytes=%lld-", &first) != 1)
		first = -1;
	char *path = artifact_path(a->folder, sha256);
	enum MHD_Result result = respond_file(c, path, first);
	free(path);
	return result;
}

/* --- uploads -----------------------------------------------------------------------------------
 */

/* Tells the turn that the bytes are stored, and waits for the commit that says so. */
static bool commit_stored(struct artifacts *a, const char *sha256, int64_t bytes)
{
	void *socket = zmq_socket(a->zmq_context, ZMQ_DEALER);
	int none = 0;
	bool saved = false, ended = false;
	cJSON *body = cJSON_CreateObject();
	cJSON_AddStringToObject(body, "sha256", sha256);
	cJSON_AddNumberToObject(body, "bytes", (double)bytes);
	struct message m = message_make(WIRE_STORED, NULL, 0, body), answer;
	int64_t until_ms = clock_monotonic_ms() + a->commit_wait_ms;
	if (!socket) {
		message_release(&m);
		return false;
	}
	zmq_setsockopt(socket, ZMQ_LINGER, &none, sizeof none);
	ended = zmq_connect(socket, a->endpoint) || wire_send(socket, &m, NULL);
	message_release(&m);
	while (!ended && clock_monotonic_ms() < until_ms) {
		zmq_pollitem_t poll = {.socket = socket, .events = ZMQ_POLLIN};
		zmq_poll(&poll, 1, (long)(until_ms - clock_monotonic_ms()));
		int got = wire_receive(socket, &answer, NULL);
		if (got > 0 && answer.kind == WIRE_STORED_SAVED &&
		    strcmp(json_text(answer.body, "sha256", ""), sha256) == 0) {
			saved = json_bool(answer.body, "ok", false);
			ended = true;
		}
		message_release(&answer);
	}
	zmq_close(socket);
	return saved;
}

/* What comes, by its headers: first byte (-1: none) and the length of the whole. */
static int read_range(struct MHD_Connection *c, long long *first, long long *total)
{
	const char *range = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Content-Range");
	const char *length = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Content-Length");
	long long last;
	*first = 0;
	if (range && sscanf(range, "bytes */%lld", total) == 1)
		*first = -1;
	else if (range && (sscanf(range, "bytes %lld-%lld/%lld", first, &last, total) != 3 ||
	                   *first < 0 || last < *first || last >= *total))
		return -1;
	else if (!range && (!length || sscanf(length, "%lld", total) != 1))
		return -1;
	return *total >= 0 ? 0 : -1;
}

static void upload_begin(struct artifacts *a, struct MHD_Connection *c, const char *sha256,
                         struct request *r)
{
	long long first, total;
	if (read_range(c, &first, &total)) {
		error_set(&r->error, "Content-Range or Content-Length is missing or wrong");
		r->status = 400;
	} else if (total > a->upload_bytes_max) {
		error_set(&r->error, "%lld bytes; at most %lld are taken", total,
		          (long long)a->upload_bytes_max);
		r->status = 413;
	} else {
		r->uploads = true;
		r->status = upload_open(&r->upload, a->folder, sha256, first, total,
		                        a->free_bytes_floor, &r->error);
	}
}

static enum MHD_Result upload_end(struct artifacts *a, struct MHD_Connection *c, struct request *r)
{
	struct upload *u = &r->upload;
	if (!r->status && u->offset < u->total)
		return respond_text(c, 202, "more is to come", u->offset);
	if (!r->status)
		r->status = upload_finish(u, &r->error);
	if (r->status)
		return respond_text(c, r->status, r->error.text,
		                    r->uploads && r->status == 409 ? u->offset : -1);
	if (!commit_stored(a, u->sha256, u->total))
		return respond_text(c, 503, "stored, but not yet recorded: say it again", -1);
	return respond_text(c, 201, "stored", u->total);
}

static enum MHD_Result on_request(void *context, struct MHD_Connection *c, const char *url,
                                  const char *method, const char *version, const char *data,
                                  size_t *length, void **state)
{
	struct artifacts *a = context;
	struct request *r = *state;
	const char *sha256 = url_sha256(url);
	bool put = strcmp(method, "PUT") == 0, head = strcmp(method, "HEAD") == 0;
	if (!r) {
		*state = r = xcalloc(1, sizeof *r);
		r->upload.fd = -1;
		if (!token_is_valid(
		            a, MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Authorization")))
			return respond_text(c, 403, "this token holds no lease", -1);
		if (!sha256)
			return respond_text(c, 404, "only /artifacts/<64 hex digits> is here", -1);
		if (!put && !head && strcmp(method, "GET"))
			return respond_text(c, 405, "GET, HEAD or PUT", -1);
		if (put)
			upload_begin(a, c, sha256, r);
		return r->status ? upload_end(a, c, r) : MHD_YES;
	}
	if (!put)
		return answer_read(a, c, sha256, head);
	if (!*length)
		return upload_end(a, c, r);
	if (!r->status)
		r->status = upload_add(&r->upload, data, *length, &r->error);
	*length = 0;
	return MHD_YES;
}

static void on_completed(void *context, struct MHD_Connection *c, void **state,
                         enum MHD_RequestTerminationCode code)
{
	struct request *r = *state;
	if (r && r->uploads)
		upload_release(&r->upload);
	free(r);
	*state = NULL;
}

/* --- start and stop ----------------------------------------------------------------------------
 */

static int open_database(struct artifacts *a, const char *path, struct error *e)
{
	if (sqlite3_open_v2(path, &a->db, SQLITE_OPEN_READONLY | SQLITE_OPEN_FULLMUTEX, NULL))
		return error_set(e, "%s: %s", path, sqlite3_errmsg(a->db));
	sqlite3_busy_timeout(a->db, BUSY_MS);
	if (sqlite3_prepare_v2(a->db, authorised_sql, -1, &a->authorised, NULL))
		return error_set(e, "%s: %s", path, sqlite3_errmsg(a->db));
	return 0;
}

/* What our agents speak, and any browser. */
#define TLS "SECURE128:-VERS-ALL:+VERS-TLS1.3"

static int listen_http(struct artifacts *a, const struct artifacts_options *o, struct error *e)
{
	const char *address = o->address ? o->address : "127.0.0.1";
	int port = o->port;
	const char *pem = o->certificate ? o->certificate->pem : NULL;
	struct MHD_OptionItem tls[] = {{MHD_OPTION_HTTPS_MEM_KEY, 0, (void *)pem},
	                               {MHD_OPTION_HTTPS_MEM_CERT, 0, (void *)pem},
	                               {MHD_OPTION_HTTPS_PRIORITIES, 0, TLS},
	                               {MHD_OPTION_END, 0, NULL}};
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	if (inet_pton(AF_INET, address, &in.sin_addr) != 1)
		return error_set(e, "artifact store: \"%s\" is no IPv4 address", address);
	if (pem && MHD_is_feature_supported(MHD_FEATURE_TLS) != MHD_YES)
		return error_set(e, "artifact store: this libmicrohttpd has no TLS (serve "
		                    "--insecure does without)");
	a->daemon = MHD_start_daemon(
	        MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_THREAD_PER_CONNECTION |
	                (pem ? MHD_USE_TLS : 0),
	        (uint16_t)port, NULL, NULL, on_request, a, MHD_OPTION_ARRAY, pem ? tls : &tls[3],
	        MHD_OPTION_SOCK_ADDR, &in, MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_MAX,
	        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_SECONDS, MHD_OPTION_NOTIFY_COMPLETED,
	        on_completed, NULL, MHD_OPTION_END);
	if (!a->daemon)
		return error_errno(e, "artifact store: cannot listen on %s:%d", address, port);
	a->port = MHD_get_daemon_info(a->daemon, MHD_DAEMON_INFO_BIND_PORT)->port;
	a->url = xformat("http%s://%s:%d", pem ? "s" : "",
	                 strcmp(address, "0.0.0.0") ? address : "127.0.0.1", a->port);
	return 0;
}

struct artifacts *artifacts_start(const struct artifacts_options *o, struct error *e)
{
	assert(o->folder && o->database && o->zmq_context && o->turn_endpoint);
	struct artifacts *a = xcalloc(1, sizeof *a);
	a->folder = xstrdup(o->folder);
	a->endpoint = xstrdup(o->turn_endpoint);
	a->zmq_context = o->zmq_context;
	a->upload_bytes_max = o->upload_bytes_max ? o->upload_bytes_max : (int64_t)64 << 30;
	a->free_bytes_floor = o->free_bytes_floor ? o->free_bytes_floor : (int64_t)256 << 20;
	a->commit_wait_ms = o->commit_wait_ms ? o->commit_wait_ms : COMMIT_WAIT_MS;
	pthread_mutex_init(&a->lock, NULL);
	if (folder_make(a->folder, e) == 0 && open_database(a, o->database, e) == 0 &&
	    listen_http(a, o, e) == 0)
		return a;
	artifacts_stop(a);
	return NULL;
}

int artifacts_port(const struct artifacts *a)
{
	return a->port;
}

const char *artifacts_url(const struct artifacts *a)
{
	return a->url;
}

void artifacts_stop(struct artifacts *a)
{
	if (!a)
		return;
	if (a->daemon)
		MHD_stop_daemon(a->daemon);
	sqlite3_finalize(a->authorised);
	sqlite3_close(a->db);
	pthread_mutex_destroy(&a->lock);
	free(a->folder);
	free(a->endpoint);
	free(a->url);
	free(a);
}
