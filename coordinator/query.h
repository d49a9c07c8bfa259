/* One read-only query of SQLite, with limits, into rows. */
#ifndef COORDINATOR_QUERY_H
#define COORDINATOR_QUERY_H
#include "coordinator/rows.h"
#include <sqlite3.h>

struct query_limits {
	int64_t rows;    /* at most so many; 0: no limit */
	int64_t seconds; /* interrupted after; 0: never */
};

/* Opens a database file for reading only: nothing that is asked can change it.  Null on failure. */
sqlite3 *query_open(const char *path, struct error *e);

/* Runs one statement with text parameters bind[0 … count-1] for ?1 … .  Anything but a single
 * reading statement is an error.  On failure `out` is empty and needs no release. */
int query_run(sqlite3 *db, const char *sql, const char *const bind[], int count,
              struct query_limits limits, struct rows *out, struct error *e);
#endif
