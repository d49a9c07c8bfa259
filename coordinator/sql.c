/* Statements are prepared once, found again by their text, and remember the first failure. */
#include "coordinator/sql.h"
#include "core/base/text.h"
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct sql_rows {
	struct sql *db;
	sqlite3_stmt *statement;
	const char *key;  /* the caller's text, by its address: most are literals */
	const char *text; /* sqlite's own copy */
	bool busy;        /* between sql_query and its end */
	struct sql_rows *next;
};

void sql_configure(void)
{
	sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
}

void sql_init(struct sql *db, sqlite3 *handle)
{
	*db = (struct sql){.handle = handle};
}

void sql_release(struct sql *db)
{
	for (int i = 0; i < SQL_CHAINS; i++)
		while (db->cache[i]) {
			struct sql_rows *rows = db->cache[i];
			db->cache[i] = rows->next;
			sqlite3_finalize(rows->statement);
			free(rows);
		}
	sqlite3_close(db->handle);
	*db = (struct sql){0};
}

static void fail(struct sql *db, const char *text)
{
	if (db->failure)
		return;
	db->failure = sqlite3_extended_errcode(db->handle);
	if (db->failure == SQLITE_OK)
		db->failure = SQLITE_ERROR;
	error_set(&db->error, "%s (in: %.200s)", sqlite3_errmsg(db->handle), text);
}

bool sql_failed_by_world(const struct sql *db)
{
	switch (db->failure & 0xff) {
	case SQLITE_FULL:
	case SQLITE_IOERR:
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
	case SQLITE_NOMEM:
	case SQLITE_READONLY:
	case SQLITE_CANTOPEN:
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB: return true;
	default: return false;
	}
}

void sql_failure_clear(struct sql *db)
{
	db->failure = SQLITE_OK;
	db->error.text[0] = 0;
}

static struct sql_rows **chain_of(struct sql *db, const char *text)
{
	return &db->cache[(uintptr_t)text / 8 % SQL_CHAINS];
}

static struct sql_rows **find(struct sql *db, const char *text, bool literal)
{
	struct sql_rows **link = chain_of(db, text);

	while (*link && ((*link)->key != text || (*link)->busy ||
	                 (!literal && strcmp((*link)->text, text) != 0)))
		link = &(*link)->next;
	return link;
}

/* A free statement of this text: cached, or prepared now.  Null on failure. */
static struct sql_rows *prepare(struct sql *db, const char *text, bool literal)
{
	struct sql_rows **link = find(db, text, literal), *rows = *link;

	if (rows) {
		*link = rows->next;
	} else {
		rows = xcalloc(1, sizeof *rows);
		rows->db = db;
		if (sqlite3_prepare_v3(db->handle, text, -1, SQLITE_PREPARE_PERSISTENT,
		                       &rows->statement, NULL) != SQLITE_OK) {
			fail(db, text);
			free(rows);
			return NULL;
		}
		rows->key = text;
		rows->text = sqlite3_sql(rows->statement);
	}
	link = chain_of(db, text);
	rows->next = *link;
	*link = rows;
	return rows;
}

static void bind(sqlite3_stmt *statement, int index, const struct sql_argument *a)
{
	if (a->type == 'i')
		sqlite3_bind_int64(statement, index, a->i);
	else if (a->type == 'r')
		sqlite3_bind_double(statement, index, a->r);
	else if (a->t)
		sqlite3_bind_text(statement, index, a->t, -1, SQLITE_TRANSIENT);
	else
		sqlite3_bind_null(statement, index);
}

struct sql_rows *sql_query_(struct sql *db, const char *text, bool literal, size_t count,
                            const struct sql_argument *arguments)
{
	struct sql_rows *rows = db->failure ? NULL : prepare(db, text, literal);

	if (!rows)
		return NULL;
	assert((int)count == sqlite3_bind_parameter_count(rows->statement));
	for (size_t i = 0; i < count; i++)
		bind(rows->statement, (int)i + 1, &arguments[i]);
	rows->busy = true;
	return rows;
}

void sql_end(struct sql_rows *rows)
{
	if (!rows)
		return;
	sqlite3_reset(rows->statement);
	rows->busy = false;
}

bool sql_next(struct sql_rows *rows)
{
	if (!rows)
		return false;
	int status = sqlite3_step(rows->statement);
	if (status == SQLITE_ROW)
		return true;
	if (status != SQLITE_DONE)
		fail(rows->db, rows->text);
	sql_end(rows);
	return false;
}

int64_t sql_int(struct sql_rows *rows, int column)
{
	return sqlite3_column_int64(rows->statement, column);
}

double sql_real(struct sql_rows *rows, int column)
{
	return sql_is_null(rows, column) ? NAN : sqlite3_column_double(rows->statement, column);
}

const char *sql_text(struct sql_rows *rows, int column)
{
	return (const char *)sqlite3_column_text(rows->statement, column);
}

bool sql_is_null(struct sql_rows *rows, int column)
{
	return sqlite3_column_type(rows->statement, column) == SQLITE_NULL;
}

int sql_run_(struct sql *db, const char *text, bool literal, size_t count,
             const struct sql_argument *arguments)
{
	struct sql_rows *rows = sql_query_(db, text, literal, count, arguments);

	if (!rows)
		return 0;
	int before = sqlite3_total_changes(db->handle);
	while (sql_next(rows))
		;
	int changed = sqlite3_total_changes(db->handle) != before;
	return db->failure || !changed ? 0 : sqlite3_changes(db->handle);
}

int64_t sql_get_int_(struct sql *db, int64_t otherwise, const char *text, bool literal,
                     size_t count, const struct sql_argument *arguments)
{
	struct sql_rows *rows = sql_query_(db, text, literal, count, arguments);
	int64_t value = otherwise;

	if (sql_next(rows)) {
		value = sql_is_null(rows, 0) ? otherwise : sql_int(rows, 0);
		sql_end(rows);
	}
	return value;
}

char *sql_get_text_(struct sql *db, const char *text, bool literal, size_t count,
                    const struct sql_argument *arguments)
{
	struct sql_rows *rows = sql_query_(db, text, literal, count, arguments);
	char *value = NULL;

	if (sql_next(rows)) {
		value = sql_is_null(rows, 0) ? NULL : xstrdup(sql_text(rows, 0));
		sql_end(rows);
	}
	return value;
}

int sql_script(struct sql *db, const char *text)
{
	if (!db->failure && sqlite3_exec(db->handle, text, NULL, NULL, NULL) != SQLITE_OK)
		fail(db, text);
	return db->failure ? -1 : 0;
}

int64_t *sql_get_ids(struct sql *db, const char *text, int64_t argument, size_t *count)
{
	struct sql_rows *rows = sql_query(db, text, argument);
	int64_t *ids = NULL;
	size_t capacity = 0;

	for (*count = 0; sql_next(rows); (*count)++) {
		if (*count == capacity) {
			capacity = capacity ? 2 * capacity : 64;
			ids = xrealloc(ids, capacity * sizeof *ids);
		}
		ids[*count] = sql_int(rows, 0);
	}
	return ids;
}
