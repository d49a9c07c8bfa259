/* The database's write-ahead log: whether it has become large, and who keeps it so. */
#include "coordinator/wal.h"
#include "core/base/file.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Readers lock one of these bytes of the file DATABASE-shm (sqlite.org/walformat.html). */
enum { READ_LOCK_FIRST = 123, READ_LOCK_LAST = 127 };

static void name_reader(int pid, struct text *out)
{
	char path[64];

	snprintf(path, sizeof path, "/proc/%d/comm", pid);
	char *comm = file_read(path, NULL, NULL);
	if (comm)
		comm[strcspn(comm, "\n")] = 0;
	text_add(out, "%s%s (pid %d)", out->length ? ", " : "",
	         pid == getpid() ? "a query that this coordinator answers"
	         : comm          ? comm
	                         : "a program",
	         pid);
	free(comm);
}

/* Those that hold a read lock now, from /proc/locks: "1: POSIX ADVISORY READ 4242 08:01:77 124
 * 124". */
static void name_readers(const char *shm, struct text *out)
{
	struct stat file;
	FILE *locks = stat(shm, &file) == 0 ? fopen("/proc/locks", "r") : NULL;
	char line[256];

	while (locks && fgets(line, sizeof line, locks)) {
		unsigned long inode = 0;
		int pid = 0;
		long from = 0, to = 0;
		if (sscanf(line, "%*d: POSIX %*s READ %d %*x:%*x:%lu %ld %ld", &pid, &inode, &from,
		           &to) == 4 &&
		    inode == file.st_ino && from <= READ_LOCK_LAST && to >= READ_LOCK_FIRST &&
		    pid > 0)
			name_reader(pid, out);
	}
	if (locks)
		fclose(locks);
}

/* Whether all of it is in the database, and the file empty: not while an older state is read. */
static bool empty(sqlite3 *db)
{
	enum { BUSY_MS = 5000 }; /* as store.c sets it */

	sqlite3_busy_timeout(db, 0);
	int status = sqlite3_wal_checkpoint_v2(db, "main", SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
	sqlite3_busy_timeout(db, BUSY_MS);
	return status == SQLITE_OK;
}

const char *wal_look(struct wal_watch *w, sqlite3 *db, int64_t now_ms, struct text *text)
{
	int64_t most = w->bytes_max ? w->bytes_max : WAL_BYTES_MAX;

	if (w->looked_ms && now_ms - w->looked_ms < WAL_LOOK_MS)
		return NULL;
	w->looked_ms = now_ms;
	char *path = xformat("%s-wal", w->database), *shm = xformat("%s-shm", w->database);
	int64_t bytes = file_bytes(path);
	bool large = bytes >= most && !empty(db), changed = large != w->large;
	struct text readers = {0};

	if (changed && large) {
		name_readers(shm, &readers);
		text_add(text,
		         "%s has grown to %ld MB: %s reads the database and does not end; nothing "
		         "waits for that, but the file grows until it has ended",
		         path, (long)(bytes >> 20), readers.length ? readers.data : "some program");
	} else if (changed) {
		text_add(text, "%s is small again", path);
	}
	w->large = large;
	text_release(&readers);
	free(path);
	free(shm);
	return !changed ? NULL : large ? "wal_large" : "wal_small";
}
