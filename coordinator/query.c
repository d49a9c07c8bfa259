/* One read-only query of SQLite, with limits, into rows. */
#include "coordinator/query.h"
#include "core/base/clock.h"
#include <ctype.h>
#include <inttypes.h>
#include <string.h>

enum { BUSY_MS = 5000, PROGRESS_STEPS = 10000 };

sqlite3 *query_open(const char *path, struct error *e)
{
	sqlite3 *db = NULL;
	int opened = sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL);

	/* Also of the first read, which may meet another's recovery of the log. */
	sqlite3_busy_timeout(db, BUSY_MS);
	if (opened || sqlite3_exec(db, "pragma query_only = on; select 1 from sqlite_schema", NULL,
	                           NULL, NULL)) {
		error_set(e, "%s: cannot be read as a trawl database: %s", path,
		          sqlite3_errmsg(db));
		sqlite3_close(db);
		return NULL;
	}
	return db;
}

static int out_of_time(void *deadline)
{
	return clock_monotonic_ms() > *(int64_t *)deadline;
}

/* Writing is refused by the connection itself and by sqlite3_stmt_readonly; this refuses what opens
 * other files or changes the connection. */
static int authorize(void *context, int action, const char *a, const char *b, const char *c,
                     const char *d)
{
	switch (action) {
	case SQLITE_ATTACH:
	case SQLITE_DETACH:
	case SQLITE_TRANSACTION:
	case SQLITE_SAVEPOINT: return SQLITE_DENY;
	case SQLITE_PRAGMA: return b && strncmp(a, "table_", 6) ? SQLITE_DENY : SQLITE_OK;
	default: return SQLITE_OK;
	}
}

static bool only_space(const char *s)
{
	while (isspace((unsigned char)*s) || *s == ';')
		s++;
	return !*s;
}

static void add_row(sqlite3_stmt *s, struct rows *out)
{
	static const enum cell_type type[] = {[SQLITE_INTEGER] = CELL_INTEGER,
	                                      [SQLITE_FLOAT] = CELL_REAL,
	                                      [SQLITE_TEXT] = CELL_TEXT,
	                                      [SQLITE_BLOB] = CELL_TEXT,
	                                      [SQLITE_NULL] = CELL_NULL};
	struct cell *row = rows_add(out);
	for (int i = 0; i < out->columns; i++) {
		row[i].type = type[sqlite3_column_type(s, i)];
		if (row[i].type != CELL_NULL)
			row[i].text = xstrdup((const char *)sqlite3_column_text(s, i));
	}
}

static int collect(sqlite3 *db, sqlite3_stmt *s, struct query_limits limits, struct rows *out,
                   struct error *e)
{
	int rc;
	rows_init(out, sqlite3_column_count(s));
	for (int i = 0; i < out->columns; i++)
		out->name[i] = xstrdup(sqlite3_column_name(s, i));
	while ((rc = sqlite3_step(s)) == SQLITE_ROW) {
		if (limits.rows && out->count == limits.rows) {
			out->cut = true;
			return 0;
		}
		add_row(s, out);
	}
	if (rc == SQLITE_DONE)
		return 0;
	rows_release(out);
	if (rc == SQLITE_INTERRUPT)
		return error_set(e, "the query took longer than %" PRId64 " s; see --timeout",
		                 limits.seconds);
	return error_set(e, "%s", sqlite3_errmsg(db));
}

int query_run(sqlite3 *db, const char *sql, const char *const bind[], int count,
              struct query_limits limits, struct rows *out, struct error *e)
{
	sqlite3_stmt *s = NULL;
	const char *rest = NULL;
	int64_t deadline = clock_monotonic_ms() + 1000 * limits.seconds;
	int rc = -1;

	*out = (struct rows){0};
	sqlite3_set_authorizer(db, authorize, NULL);
	if (limits.seconds)
		sqlite3_progress_handler(db, PROGRESS_STEPS, out_of_time, &deadline);
	int prepared = sqlite3_prepare_v2(db, sql, -1, &s, &rest);
	if (prepared == SQLITE_AUTH) {
		error_set(e, "only reading is allowed here");
	} else if (prepared) {
		error_set(e, "%s", sqlite3_errmsg(db));
	} else if (!s || !only_space(rest)) {
		error_set(e, s ? "one statement at a time, please" : "an empty query");
	} else if (!sqlite3_stmt_readonly(s)) {
		error_set(e, "only reading is allowed here");
	} else {
		for (int i = 0; i < count; i++)
			sqlite3_bind_text(s, i + 1, bind[i], -1, SQLITE_STATIC);
		rc = collect(db, s, limits, out, e);
	}
	sqlite3_finalize(s);
	sqlite3_progress_handler(db, 0, NULL, NULL);
	sqlite3_set_authorizer(db, NULL, NULL);
	return rc;
}
