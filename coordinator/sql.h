/* Cached SQLite statements with typed arguments, and failure that is remembered.
 *
 *   sql_run(db, "update trial set why = ? where id = ?", "no space", trial);
 *
 *   struct sql_rows *rows = sql_query(db, "select id, name from study where state = ?", "active");
 *   while (sql_next(rows))
 *           printf("%ld %s\n", sql_int(rows, 0), sql_text(rows, 1));
 *
 * Arguments are integers, double, or text (a null pointer binds null; so does NaN).  After the
 * first failure every further statement does nothing and gives nothing, until sql_failure_clear:
 * callers check once, before they commit. */
#ifndef COORDINATOR_SQL_H
#define COORDINATOR_SQL_H
#include "core/base/error.h"
#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sql_rows;

enum { SQL_CHAINS = 128 };

struct sql {
	sqlite3 *handle;
	struct sql_rows *cache[SQL_CHAINS]; /* statements by their texts' addresses, newest first */
	int failure;        /* extended result code of the first failure, or SQLITE_OK */
	struct error error; /* its text */
};

struct sql_argument {
	char type; /* i, r, t */
	int64_t i;
	double r;
	const char *t;
};

/* Once, before the process opens any database: SQLite counts no memory, which it would under a
 * lock. */
void sql_configure(void);

void sql_init(struct sql *db, sqlite3 *handle); /* takes the handle */
void sql_release(struct sql *db);               /* finalizes and closes */

/* Whether the world failed (disk full, I/O, lock), not the statement (constraint, syntax). */
bool sql_failed_by_world(const struct sql *db);
void sql_failure_clear(struct sql *db);

/* A literal is what it was when its address was seen before. */
#define SQL_LITERAL(text) __builtin_constant_p(text)
#define sql_run(db, text, ...) \
	sql_run_(db, text, SQL_LITERAL(text), SQL_COUNT(__VA_ARGS__), SQL_ARGUMENTS(__VA_ARGS__))
#define sql_query(db, text, ...) \
	sql_query_(db, text, SQL_LITERAL(text), SQL_COUNT(__VA_ARGS__), SQL_ARGUMENTS(__VA_ARGS__))
#define sql_get_int(db, otherwise, text, ...)                                        \
	sql_get_int_(db, otherwise, text, SQL_LITERAL(text), SQL_COUNT(__VA_ARGS__), \
	             SQL_ARGUMENTS(__VA_ARGS__))
#define sql_get_text(db, text, ...)                                        \
	sql_get_text_(db, text, SQL_LITERAL(text), SQL_COUNT(__VA_ARGS__), \
	              SQL_ARGUMENTS(__VA_ARGS__))

/* Runs to the end; how many rows it changed (insert, update, delete), 0 on failure. */
int sql_run_(struct sql *db, const char *text, bool literal, size_t count,
             const struct sql_argument *arguments);

/* Starts a query.  sql_next steps to the next row, and ends the query when there is none; a query
 * left earlier is ended with sql_end. */
struct sql_rows *sql_query_(struct sql *db, const char *text, bool literal, size_t count,
                            const struct sql_argument *arguments);
bool sql_next(struct sql_rows *rows);
void sql_end(struct sql_rows *rows);

/* Columns of the present row; text lives until the next step, and is null for null. */
int64_t sql_int(struct sql_rows *rows, int column);
double sql_real(struct sql_rows *rows, int column); /* NaN for null */
const char *sql_text(struct sql_rows *rows, int column);
bool sql_is_null(struct sql_rows *rows, int column);

/* The first column of the first row; `otherwise`, or null, where there is no row or it is null.
 * The text is the caller's to free. */
int64_t sql_get_int_(struct sql *db, int64_t otherwise, const char *text, bool literal,
                     size_t count, const struct sql_argument *arguments);
char *sql_get_text_(struct sql *db, const char *text, bool literal, size_t count,
                    const struct sql_argument *arguments);

/* Several statements, not cached: schemas, views, pragmas. */
int sql_script(struct sql *db, const char *text);

/* The first column of every row that a query of one argument gives, all read before anything is
 * changed; the caller's to free. */
int64_t *sql_get_ids(struct sql *db, const char *text, int64_t argument, size_t *count);

static inline struct sql_argument sql_argument_int(int64_t value)
{
	return (struct sql_argument){.type = 'i', .i = value};
}
static inline struct sql_argument sql_argument_real(double value)
{
	return (struct sql_argument){.type = 'r', .r = value};
}
static inline struct sql_argument sql_argument_text(const char *value)
{
	return (struct sql_argument){.type = 't', .t = value};
}

/* clang-format off */
#define SQL_ARGUMENT(x) _Generic((x), char *: sql_argument_text, const char *: sql_argument_text, \
	double: sql_argument_real, float: sql_argument_real, default: sql_argument_int)(x)
#define SQL_MAP1(x)       SQL_ARGUMENT(x)
#define SQL_MAP2(x, ...)  SQL_ARGUMENT(x), SQL_MAP1(__VA_ARGS__)
#define SQL_MAP3(x, ...)  SQL_ARGUMENT(x), SQL_MAP2(__VA_ARGS__)
#define SQL_MAP4(x, ...)  SQL_ARGUMENT(x), SQL_MAP3(__VA_ARGS__)
#define SQL_MAP5(x, ...)  SQL_ARGUMENT(x), SQL_MAP4(__VA_ARGS__)
#define SQL_MAP6(x, ...)  SQL_ARGUMENT(x), SQL_MAP5(__VA_ARGS__)
#define SQL_MAP7(x, ...)  SQL_ARGUMENT(x), SQL_MAP6(__VA_ARGS__)
#define SQL_MAP8(x, ...)  SQL_ARGUMENT(x), SQL_MAP7(__VA_ARGS__)
#define SQL_MAP9(x, ...)  SQL_ARGUMENT(x), SQL_MAP8(__VA_ARGS__)
#define SQL_MAP10(x, ...) SQL_ARGUMENT(x), SQL_MAP9(__VA_ARGS__)
#define SQL_MAP11(x, ...) SQL_ARGUMENT(x), SQL_MAP10(__VA_ARGS__)
#define SQL_MAP12(x, ...) SQL_ARGUMENT(x), SQL_MAP11(__VA_ARGS__)
#define SQL_MAP13(x, ...) SQL_ARGUMENT(x), SQL_MAP12(__VA_ARGS__)
#define SQL_MAP14(x, ...) SQL_ARGUMENT(x), SQL_MAP13(__VA_ARGS__)
#define SQL_MAP15(x, ...) SQL_ARGUMENT(x), SQL_MAP14(__VA_ARGS__)
#define SQL_MAP16(x, ...) SQL_ARGUMENT(x), SQL_MAP15(__VA_ARGS__)
#define SQL_COUNT_(_1, _2, _3, _4, _5, _6, _7, _8, _9, _10, _11, _12, _13, _14, _15, _16, n, \
	...) n
#define SQL_COUNT(...) (0 __VA_OPT__(+ SQL_COUNT_(__VA_ARGS__, \
	16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1)))
#define SQL_MAP_(_1, _2, _3, _4, _5, _6, _7, _8, _9, _10, _11, _12, _13, _14, _15, _16, n, \
	...) n
#define SQL_MAP(...) \
	SQL_MAP_(__VA_ARGS__, SQL_MAP16, SQL_MAP15, SQL_MAP14, SQL_MAP13, SQL_MAP12, SQL_MAP11, \
	SQL_MAP10, SQL_MAP9, SQL_MAP8, SQL_MAP7, SQL_MAP6, SQL_MAP5, SQL_MAP4, SQL_MAP3, SQL_MAP2, \
	SQL_MAP1)(__VA_ARGS__)
#define SQL_ARGUMENTS(...) \
	((const struct sql_argument[]){{0} __VA_OPT__(, SQL_MAP(__VA_ARGS__))} + 1)
/* clang-format on */
#endif
