/* A copy of a database with all that belongs to it, fit to be served elsewhere. */
#include "coordinator/backup.h"
#include "coordinator/artifact.h"
#include "coordinator/database.h"
#include "coordinator/generation.h"
#include "coordinator/import.h"
#include "coordinator/store.h"
#include "core/base/file.h"
#include "core/base/text.h"
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* What lies beside a database and makes it the same coordinator to agents and people. */
static const char *const secrets[] = {"key", "curve", "owner", "tls"};

static bool same_file(const char *a, const char *b)
{
	struct stat one, other;

	return stat(a, &one) == 0 && stat(b, &other) == 0 && one.st_dev == other.st_dev &&
	       one.st_ino == other.st_ino;
}

/* What may be replaced: nothing, or an earlier backup of the same database. */
static int check_target(const char *from, const char *to, const char *uuid, struct error *e)
{
	struct store old;
	struct stat is;

	if (!*to || (!stat(to, &is) && S_ISDIR(is.st_mode)))
		return error_set(e, "%s: a file's name is wanted", *to ? to : "\"\"");
	if (same_file(from, to))
		return error_set(e, "%s: is the database itself; give the copy another name", to);
	if (!file_exists(to))
		return 0;
	if (store_open_reader(&old, to, e))
		return -1;
	char *whose = sql_get_text(&old.db, "select uuid from coordinator");
	bool ours = whose && strcmp(whose, uuid) == 0;
	bool served = sql_get_int(&old.db, 0, "select copied from coordinator") == COPY_SERVED;
	free(whose);
	store_close(&old);
	if (!ours)
		return error_set(
		        e,
		        "%s: is there, and no backup of this database; give the copy another name",
		        to);
	return served ? error_set(e,
	                          "%s: is there, and was served since it was a backup; give the "
	                          "copy another name",
	                          to)
	              : 0;
}

static int copy_pages(sqlite3 *from, const char *to, struct error *e)
{
	sqlite3 *copy = NULL;
	int fd = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	if (fd < 0 || close(fd))
		return error_errno(e, "%s: cannot be written", to);
	int status = sqlite3_open_v2(to, &copy, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL);
	sqlite3_backup *backup =
	        status == SQLITE_OK ? sqlite3_backup_init(copy, "main", from, "main") : NULL;

	if (backup) {
		int all = sqlite3_backup_step(backup, -1); /* pages of one snapshot */
		status = sqlite3_backup_finish(backup);    /* knows nothing of a lock */
		status = status == SQLITE_OK && all != SQLITE_DONE ? all : status;
	}
	if (status != SQLITE_OK || !backup)
		status =
		        error_set(e, "%s: cannot be copied: %s", to,
		                  backup && status ? sqlite3_errstr(status) : sqlite3_errmsg(copy));
	sqlite3_close(copy);
	return status;
}

/* One artifact: its bytes are named by their digest, so what is there is right. */
static int copy_artifact(const char *from, const char *to, const char *sha256, int64_t bytes,
                         struct backup *made, struct error *e)
{
	char *source = import_path(from, sha256), *target = import_path(to, sha256);
	char *temporary = xformat("%s.backup", target), *folder = xformat("%s/%.2s", to, sha256);
	int status = 0;

	if (file_bytes(target) != bytes) {
		status = folder_make(folder, e);
		if (status == 0)
			status = file_copy(source, temporary, e);
		if (status == 0)
			status = file_publish(temporary, target, e);
		made->files += status == 0;
		made->bytes += status == 0 ? bytes : 0;
	}
	free(source);
	free(target);
	free(temporary);
	free(folder);
	return status;
}

/* Those that the snapshot names; one that the coordinator has deleted since is none of the copy's.
 */
static int copy_artifacts(struct sql *copy, const char *from, const char *to, struct backup *made,
                          struct error *e)
{
	struct sql_rows *rows = sql_query(copy, "select sha256, bytes from upload order by sha256");
	bool there = file_exists(from);
	int status = 0;

	while (status == 0 && sql_next(rows)) {
		if (!there) {
			status = error_set(e,
			                   "%s: no such folder: name by --store where `trawl "
			                   "serve` keeps checkpoints",
			                   from);
			break;
		}
		char *source = import_path(from, sql_text(rows, 0));
		status = copy_artifact(from, to, sql_text(rows, 0), sql_int(rows, 1), made, e);
		if (status && !file_exists(source)) {
			artifact_condemn(copy, sql_text(rows, 0));
			made->gone++;
			status = 0;
		}
		free(source);
	}
	if (status)
		sql_end(rows);
	return status;
}

static int copy_secrets(const char *from, const char *to, struct error *e)
{
	int status = 0;

	for (size_t i = 0; i < sizeof secrets / sizeof *secrets && status == 0; i++) {
		char *source = database_beside(from, secrets[i]);
		char *target = database_beside(to, secrets[i]);
		char *partial = xformat("%s.partial", target);
		mode_t mask = umask(077);
		if (file_exists(source)) {
			status = file_copy(source, partial, e);
			if (status == 0)
				status = file_publish(partial, target, e);
			if (status != 0)
				unlink(partial);
		}
		umask(mask);
		free(source);
		free(target);
		free(partial);
	}
	return status;
}

/* The copy begins a life of its own: a generation on, and nobody's. */
static int begin_life(struct sql *copy, struct backup *made)
{
	sql_run(copy,
	        "update coordinator set generation = generation + 1, copied = ?, endpoint = null, "
	        "url = null, host = null, pid = null",
	        made->complete ? COPY_COMPLETE : COPY_SNAPSHOT);
	made->generation = sql_get_int(copy, 0, "select generation from coordinator");
	return copy->failure ? -1 : 0;
}

static int fill(const char *from, const char *store, const char *to, const char *partial,
                struct backup *made, struct error *e)
{
	char *source = store ? xstrdup(store) : database_beside(from, "artifacts");
	char *target = database_beside(to, "artifacts");
	sqlite3 *handle = NULL;
	struct sql copy = {0};
	int status = sqlite3_open_v2(partial, &handle, SQLITE_OPEN_READWRITE, NULL) == SQLITE_OK
	                     ? 0
	                     : error_set(e, "%s: cannot be opened", partial);

	if (status == 0) {
		sql_init(&copy, handle);
		/* Without a log of its own it is one file, that can be carried. */
		sql_script(&copy, "pragma journal_mode = delete; begin immediate");
		status = begin_life(&copy, made);
		if (status == 0)
			status = copy_artifacts(&copy, source, target, made, e);
		sql_script(&copy, status == 0 ? "commit" : "rollback");
		if (copy.failure)
			status = error_set(e, "%s: %s", partial, copy.error.text);
		sql_release(&copy);
	}
	free(source);
	free(target);
	return status;
}

/* 1: we hold the database, so that no coordinator starts meanwhile; 0: one runs. */
static int hold(struct store *s, const char *from, struct error *e)
{
	struct error held;

	if (!store_open(s, from, true, &held))
		return 1;
	return store_open_reader(s, from, e) ? -1 : 0;
}

int backup_make(const char *from, const char *store, const char *to, struct backup *made,
                struct error *e)
{
	struct store s;
	char *partial = xformat("%s.partial", to), *uuid = NULL;
	int held =
	        file_exists(from) ? hold(&s, from, e) : error_set(e, "%s: no such database", from);
	int status = held < 0 ? -1 : 0;

	*made = (struct backup){.complete = held == 1};
	if (status == 0) {
		uuid = sql_get_text(&s.db, "select uuid from coordinator");
		status = check_target(from, to, uuid ? uuid : "", e);
	}
	if (status == 0)
		status = copy_pages(s.db.handle, partial, e);
	if (status == 0)
		status = fill(from, store, to, partial, made, e);
	if (status == 0)
		status = copy_secrets(from, to, e);
	if (status == 0)
		status = file_sync(partial, e);
	if (status == 0)
		status = file_publish(partial, to, e);
	if (held >= 0)
		store_close(&s);
	if (status != 0)
		unlink(partial);
	free(partial);
	free(uuid);
	return status;
}
