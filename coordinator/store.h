/* The database file: opened by one coordinator for writing, by anybody for reading.
 *
 * Everything that the coordinator knows is in here.  WAL, synchronous=FULL, foreign keys on. */
#ifndef COORDINATOR_STORE_H
#define COORDINATOR_STORE_H
#include "coordinator/sql.h"

enum { STORE_SCHEMA = 5, STORE_APPLICATION = 0x7472776c /* "trwl" */ };

struct store {
	struct sql db;
	char *path;
	int lock; /* of PATH.lock; -1 for readers and in memory */
};

/* Opens PATH for writing: creates it or brings its schema up to date, and holds PATH.lock. Refuses,
 * in one line each: a newer schema, a file that is no trawl database, a network file system, and a
 * database that another coordinator holds (who: host, pid, endpoint).  ":memory:" is neither locked
 * nor logged. */
int store_open(struct store *s, const char *path, bool allow_network, struct error *e);

/* Says where its coordinator is reached: in table coordinator, and in PATH.lock for one that would
 * like to be the second.  url is the artifact store's; both may be null. */
int store_announce(struct store *s, const char *endpoint, const char *url, const char *curve,
                   struct error *e);

/* Opens it for reading only, beside a running coordinator. */
int store_open_reader(struct store *s, const char *path, struct error *e);

/* Whether a file of that schema can be read as it is; if not, what to do. */
int store_readable(const char *path, int64_t version, struct error *e);

void store_close(struct store *s);

/* Where the coordinator that owns, or last owned, the database is reached; null when none was.  The
 * caller's to free. */
char *store_endpoint(struct store *s);
#endif
