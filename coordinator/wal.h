/* The database's write-ahead log: whether it has become large, and who keeps it so.
 *
 * SQLite writes all changes behind the log's end, and begins at its start again when everything is
 * in the database and nobody reads an older state.  A reader that never ends stops nobody, but the
 * log grows for as long. */
#ifndef COORDINATOR_WAL_H
#define COORDINATOR_WAL_H
#include "core/base/text.h"
#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

enum { WAL_LOOK_MS = 1000 };
#define WAL_BYTES_MAX ((int64_t)1 << 30)

struct wal_watch {
	const char *database;
	int64_t bytes_max; /* 0: WAL_BYTES_MAX */
	int64_t looked_ms;
	bool large; /* and said so */
};

/* What has changed, as the kind of an event with its text: "wal_large", with the processes that
 * read; "wal_small" when that is over; null: nothing.  Looks once in WAL_LOOK_MS.  A log that is
 * too large is emptied as soon as it can be.  Between transactions only. */
const char *wal_look(struct wal_watch *w, sqlite3 *db, int64_t now_ms, struct text *text);
#endif
