/* The database as the verbs see it: a file, or a coordinator at the other end of a socket. */
#include "coordinator/database.h"
#include "coordinator/client.h"
#include "coordinator/explain.h"
#include "coordinator/local.h"
#include "coordinator/store.h"
#include "core/base/clock.h"
#include "core/base/file.h"
#include "core/base/json.h"
#include "core/base/text.h"
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	THERE_MS = 5000,
	ANSWER_MS = 30000,
	LAUNCH_MS = 600000,
	HELD_MS = 10000,
	HELD_POLL_US = 50000
};

struct database {
	char *where;
	sqlite3 *file;         /* null when it is an endpoint */
	struct client *client; /* null when it is a file */
};

const char *database_path(const char *where)
{
	const char *set = getenv("TRAWL_DB");
	return where ? where : set && *set ? set : "trawl.db";
}

static int check_folder(const char *path, struct error *e)
{
	struct stat s;
	return stat(path, &s) == 0 && S_ISDIR(s.st_mode)
	               ? error_set(e, "--db %s: is a folder; a file in it is wanted, %s/trawl.db",
	                           path, path)
	               : 0;
}

int database_check_file(const char *path, const char *verb, struct error *e)
{
	if (strstr(path, "://"))
		return error_set(
		        e, "--db %s: %s needs a file; `trawl launch --db %s` sends a sweep there",
		        path, verb, path);
	return check_folder(path, e);
}

char *database_beside(const char *path, const char *what)
{
	return xformat("%s.%s", path, what);
}

/* Whether a coordinator answers, before anything is asked that may take long. */
static bool is_there(struct client *c, struct error *e)
{
	cJSON *result;
	int rc = client_ask(c, "ping", NULL, THERE_MS, &result, e);
	cJSON_Delete(result);
	return !rc;
}

/* SQLite opens an empty file, and anybody's database, without a word. */
static int check_file(sqlite3 *db, const char *path, struct error *e)
{
	struct rows r;
	int64_t application = 0, version = 0;
	if (!query_run(db,
	               "select a.application_id id, u.user_version version from "
	               "pragma_application_id a, pragma_user_version u",
	               NULL, 0, (struct query_limits){0}, &r, NULL)) {
		application = rows_int(&r, 0, "id", 0);
		version = rows_int(&r, 0, "version", 0);
		rows_release(&r);
	}
	return application == STORE_APPLICATION
	               ? store_readable(path, version, e)
	               : error_set(e, "%s: is not a database of trawl", path);
}

static sqlite3 *open_file(const char *path, bool create, struct error *e)
{
	bool there = file_exists(path);
	if (check_folder(path, e))
		return NULL;
	if (!there && !create) {
		error_set(e,
		          "%s: no such database; `trawl launch` or `trawl run` makes one (--db "
		          "says where)",
		          path);
		return NULL;
	}
	sqlite3 *file = there || !local_create(path, e) ? query_open(path, e) : NULL;
	if (file && !create && check_file(file, path, e)) {
		sqlite3_close(file);
		file = NULL;
	}
	return file;
}

static struct client *open_client(const char *endpoint, struct error *e)
{
	struct client *c = NULL;
	if (strchr(endpoint, ','))
		error_set(e, "--db %s: wants one address (agents know several)", endpoint);
	else
		c = client_open(endpoint, NULL, NULL, e);
	if (c && !is_there(c, e)) {
		client_close(c);
		c = NULL;
	}
	return c;
}

struct database *database_open(const char *where, bool create, struct error *e)
{
	struct database *d = xcalloc(1, sizeof *d);
	const char *path = database_path(where);
	d->where = xstrdup(path);
	if (strstr(path, "://"))
		d->client = open_client(path, e);
	else
		d->file = open_file(path, create, e);
	if (d->client || d->file)
		return d;
	database_close(d);
	return NULL;
}

void database_close(struct database *d)
{
	if (!d)
		return;
	client_close(d->client);
	sqlite3_close(d->file);
	free(d->where);
	free(d);
}

const char *database_name(const struct database *d)
{
	return d->where;
}

/* ---- reading ---- */

static int query_there(struct client *c, const char *sql, const char *const bind[], int count,
                       struct query_limits limits, struct rows *out, struct error *e)
{
	cJSON *args = cJSON_CreateObject(), *result = NULL;
	cJSON_AddStringToObject(args, "sql", sql);
	cJSON_AddItemToObject(args, "bind", cJSON_CreateStringArray(bind, count));
	cJSON_AddNumberToObject(args, "rows", (double)limits.rows);
	cJSON_AddNumberToObject(args, "seconds", (double)limits.seconds);
	int rc = client_ask(c, "query", args, ANSWER_MS + 1000 * (int)limits.seconds, &result, e);
	if (!rc)
		rc = rows_from_json(out, result, e);
	cJSON_Delete(result);
	return rc;
}

int database_query(struct database *d, const char *sql, const char *const bind[], int count,
                   struct query_limits limits, struct rows *out, struct error *e)
{
	return d->file ? query_run(d->file, sql, bind, count, limits, out, e)
	               : query_there(d->client, sql, bind, count, limits, out, e);
}

cJSON *database_explain(struct database *d, int64_t trial, struct error *e)
{
	struct store s;
	cJSON *result = NULL;
	if (d->client) {
		cJSON *args = cJSON_CreateObject();
		cJSON_AddNumberToObject(args, "trial", (double)trial);
		client_ask(d->client, "explain", args, ANSWER_MS, &result, e);
	} else if (!store_open_reader(&s, d->where, e)) {
		result = explain_json(&s.db, clock_wall_ms(), trial, e);
		store_close(&s);
	}
	return result;
}

/* ---- who owns the file ---- */

static bool held(const char *path)
{
	char *lock = xformat("%s.lock", path);
	int fd = open(lock, O_RDONLY | O_CLOEXEC);
	bool taken = fd >= 0 && flock(fd, LOCK_SH | LOCK_NB);
	if (fd >= 0)
		close(fd);
	free(lock);
	return taken;
}

/* An endpoint to connect to: one that listens everywhere is reached through loopback. */
static char *reachable(const char *endpoint)
{
	static const char *const everywhere[] = {"tcp://*:", "tcp://0.0.0.0:", "tcp://[::]:"};
	for (size_t i = 0; i < sizeof everywhere / sizeof *everywhere; i++) {
		size_t length = strlen(everywhere[i]);
		if (!strncmp(endpoint, everywhere[i], length))
			return xformat("tcp://127.0.0.1:%s", endpoint + length);
	}
	return xstrdup(endpoint);
}

char *database_endpoint(const char *path, int64_t pid)
{
	struct rows r;
	char *endpoint = NULL;
	sqlite3 *db = file_exists(path) && held(path) ? query_open(path, NULL) : NULL;
	if (db && !query_run(db, "select endpoint, pid from coordinator", NULL, 0,
	                     (struct query_limits){0}, &r, NULL)) {
		int64_t owner = rows_int(&r, 0, "pid", 0);
		/* What a dead one wrote counts for nothing; the lock may be a passing command's. */
		if (*rows_text(&r, 0, "endpoint") && owner > 0 && (!pid || owner == pid) &&
		    !kill((pid_t)owner, 0))
			endpoint = reachable(rows_text(&r, 0, "endpoint"));
		rows_release(&r);
	}
	sqlite3_close(db);
	return endpoint;
}

char *database_curve(const char *path)
{
	struct rows r;
	char *key = NULL;
	sqlite3 *db = file_exists(path) ? query_open(path, NULL) : NULL;
	if (db && !query_run(db, "select coalesce(curve, '') curve from coordinator", NULL, 0,
	                     (struct query_limits){0}, &r, NULL)) {
		if (*rows_text(&r, 0, "curve"))
			key = xstrdup(rows_text(&r, 0, "curve"));
		rows_release(&r);
	}
	sqlite3_close(db);
	return key;
}

/* ---- changing ---- */

static cJSON *ask(struct client *c, const char *verb, cJSON *args, struct error *e)
{
	cJSON *result = NULL;
	/* A large sweep is looked at whole. */
	int wait_ms = strcmp(verb, "launch") ? ANSWER_MS : LAUNCH_MS;
	if (client_ask(c, verb, args, wait_ms, &result, e))
		return NULL;
	return result ? result : cJSON_CreateObject();
}

/* With the owner's key, where the coordinator asks for keys. */
static cJSON *ask_endpoint(const char *path, const char *endpoint, const char *verb, cJSON *args,
                           struct error *e)
{
	char *server_key = database_curve(path), *key = xformat("%s.owner", path);
	struct client *c =
	        client_open(endpoint, server_key ? key : "", server_key ? server_key : "", e);
	free(server_key);
	free(key);
	cJSON *result = NULL;
	if (c)
		result = ask(c, verb, args, e);
	else
		cJSON_Delete(args);
	client_close(c);
	return result;
}

cJSON *database_change(struct database *d, const char *verb, cJSON *args, struct error *e)
{
	if (d->client)
		return ask(d->client, verb, args, e);
	/* Another command may hold the file for the moment of its own change. */
	for (int64_t until = clock_monotonic_ms() + HELD_MS;;) {
		char *endpoint = database_endpoint(d->where, 0);
		cJSON *result = endpoint ? ask_endpoint(d->where, endpoint, verb, args, e) : NULL;
		bool asked = endpoint != NULL;
		free(endpoint);
		if (asked)
			return result;
		if (!held(d->where) || clock_monotonic_ms() > until)
			return local_change(d->where, verb, args, e);
		usleep(HELD_POLL_US);
	}
}
