/* The thread that sends notices. */
#include "coordinator/notify.h"
#include "coordinator/query.h"
#include "core/base/clock.h"
#include "core/base/json.h"
#include "core/base/text.h"
#include "schemas/wire.h"
#include <curl/curl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zmq.h>

enum { LOOK_MS = 500, SEND_SECONDS = 10 };

struct notify {
	void *socket; /* DEALER to the turn */
	char *url;
	sqlite3 *db;
	pthread_t thread;
	int stop;
	int64_t last, tries; /* what was sent last: not again until the turn has taken that down */
};

static size_t ignore(char *bytes, size_t size, size_t count, void *self)
{
	return size * count;
}

/* 0, or -1 with what the other side, or the network, said. */
static int post(const struct notify *n, const char *text, struct error *e)
{
	cJSON *json = cJSON_CreateObject();
	cJSON_AddStringToObject(json, "text", text);
	char *body = json_print(json, false), reason[CURL_ERROR_SIZE] = "";
	struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");
	CURL *c = curl_easy_init();
	long code = 0;

	curl_easy_setopt(c, CURLOPT_URL, n->url);
	curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(c, CURLOPT_TIMEOUT, (long)SEND_SECONDS);
	curl_easy_setopt(c, CURLOPT_ERRORBUFFER, reason);
	curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(c, CURLOPT_POSTFIELDS, body);
	curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, ignore);
	CURLcode status = curl_easy_perform(c);
	curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &code);
	curl_easy_cleanup(c);
	curl_slist_free_all(headers);
	free(body);
	cJSON_Delete(json);
	if (status != CURLE_OK)
		return error_set(e, "%s", reason[0] ? reason : curl_easy_strerror(status));
	return code / 100 == 2 ? 0 : error_set(e, "it answered %ld", code);
}

static void report(struct notify *n, int64_t notice, bool ok, const char *text)
{
	cJSON *body = cJSON_CreateObject();

	cJSON_AddNumberToObject(body, "notice", (double)notice);
	cJSON_AddBoolToObject(body, "ok", ok);
	cJSON_AddStringToObject(body, "text", text);
	struct message m = message_make(WIRE_NOTICED, NULL, 0, body);
	wire_send(n->socket, &m, NULL);
	message_release(&m);
}

/* The oldest that is due. */
static void send_one(struct notify *n)
{
	static const char sql[] = "select id, tries, text from notice where sent_ms is null and "
	                          "not_before_ms <= cast(?1 as integer) order by id limit 1";
	char *now = xformat("%lld", (long long)clock_wall_ms());
	struct error e = {{0}};
	struct rows r;

	if (!query_run(n->db, sql, (const char *[]){now}, 1, (struct query_limits){.seconds = 5},
	               &r, &e)) {
		int64_t id = r.count ? rows_int(&r, 0, "id", 0) : 0;
		int64_t tries = r.count ? rows_int(&r, 0, "tries", 0) : 0;
		if (id && (id != n->last || tries != n->tries)) {
			bool ok = post(n, rows_text(&r, 0, "text"), &e) == 0;
			n->last = id;
			n->tries = tries;
			report(n, id, ok, ok ? "" : e.text);
		}
		rows_release(&r);
	}
	free(now);
}

static void *serve(void *self)
{
	struct notify *n = self;

	while (!__atomic_load_n(&n->stop, __ATOMIC_ACQUIRE)) {
		send_one(n);
		usleep(LOOK_MS * 1000);
	}
	zmq_close(n->socket);
	return NULL;
}

struct notify *notify_start(void *zmq, const char *turn, const char *database, const char *url,
                            struct error *e)
{
	int linger = 0;

	if (strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0) {
		error_set(e, "--notify %s: wants http://… or https://…", url);
		return NULL;
	}
	struct notify *n = xcalloc(1, sizeof *n);
	n->db = query_open(database, e);
	if (!n->db) {
		free(n);
		return NULL;
	}
	n->url = xstrdup(url);
	n->socket = zmq_socket(zmq, ZMQ_DEALER);
	zmq_setsockopt(n->socket, ZMQ_LINGER, &linger, sizeof linger);
	zmq_connect(n->socket, turn);
	pthread_create(&n->thread, NULL, serve, n);
	return n;
}

void notify_stop(struct notify *n)
{
	if (!n)
		return;
	__atomic_store_n(&n->stop, 1, __ATOMIC_RELEASE);
	pthread_join(n->thread, NULL);
	sqlite3_close(n->db);
	free(n->url);
	free(n);
}
