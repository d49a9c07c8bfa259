/* The database as the verbs see it: a file, or a coordinator at the other end of a socket. */
#ifndef COORDINATOR_DATABASE_H
#define COORDINATOR_DATABASE_H
#include "coordinator/query.h"
#include <cjson/cJSON.h>

struct database;

/* The meaning of --db: `where`, else $TRAWL_DB, else ./trawl.db. */
const char *database_path(const char *where);

/* Refuses what cannot be the path of a database file: an address, a folder. */
int database_check_file(const char *path, const char *verb, struct error *e);

/* Opens a file, "tcp://…" or "ipc://…" (null: see database_path).  A file that does not exist is an
 * error unless `create`: then it is made, with its tables. */
struct database *database_open(const char *where, bool create, struct error *e);
void database_close(struct database *d); /* null is fine */

/* Where it is, for messages: the file's path or the endpoint. */
const char *database_name(const struct database *d);

/* query_run on the file, or by the coordinator. */
int database_query(struct database *d, const char *sql, const char *const bind[], int count,
                   struct query_limits limits, struct rows *out, struct error *e);

/* {"trial", "reason", "moves"}: why a trial does not run or how it ended, and all that happened to
 * it, as text; the caller's to delete.  Null on failure. */
cJSON *database_explain(struct database *d, int64_t trial, struct error *e);

/* A change: sent to the coordinator that owns the database; when none runs on the file, made here
 * in one turn.  Takes ownership of args.  Returns the answer's result (the caller's; maybe an empty
 * object); null on failure. */
cJSON *database_change(struct database *d, const char *verb, cJSON *args, struct error *e);

/* The endpoint of the coordinator that holds the file now (pid 0: any), or null.  Free with free().
 */
char *database_endpoint(const char *path, int64_t pid);

/* The public key of a coordinator that asks for keys (gate.h); null: it does not.  Free it. */
char *database_curve(const char *path);

/* Folder or file that belongs to a database: study.db, "work" -> study.db.work.  Free with free().
 */
char *database_beside(const char *path, const char *what);
#endif
