/* The coordinator's disk: one database file in memory, behind a VFS of its own.
 *
 * A seed begins with the bytes of an empty store, put under the connection that the seeds before
 * had: SQLite sees that the file was changed, as it would if another process had written it, and
 * that the schema was not, so that no statement is prepared twice. */
#ifndef SIM_DISK_H
#define SIM_DISK_H
#include "coordinator/store.h"
#include "core/base/text.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct disk {
	unsigned char *bytes;
	int64_t length, capacity;
	bool full; /* the file grows no more */
};

struct disk_file {
	sqlite3_file base;
	struct disk *disk;
};

static struct disk disk; /* the only one */

static struct disk *disk_of(sqlite3_file *file)
{
	return ((struct disk_file *)file)->disk;
}

static void disk_resize(struct disk *d, int64_t length)
{
	if (length > d->capacity) {
		d->capacity = 2 * length;
		d->bytes = xrealloc(d->bytes, (size_t)d->capacity);
	}
	if (length > d->length)
		memset(d->bytes + d->length, 0, (size_t)(length - d->length));
	d->length = length;
}

static int disk_close(sqlite3_file *file)
{
	return SQLITE_OK;
}

static int disk_read(sqlite3_file *file, void *into, int count, sqlite3_int64 at)
{
	struct disk *d = disk_of(file);
	int64_t there = d->length - at;

	there = there < 0 ? 0 : there > count ? count : there;
	if (there)
		memcpy(into, d->bytes + at, (size_t)there);
	memset((char *)into + there, 0, (size_t)(count - there));
	return there == count ? SQLITE_OK : SQLITE_IOERR_SHORT_READ;
}

static int disk_write(sqlite3_file *file, const void *from, int count, sqlite3_int64 at)
{
	struct disk *d = disk_of(file);

	if (at + count > d->length && d->full)
		return SQLITE_FULL;
	if (at + count > d->length)
		disk_resize(d, at + count);
	memcpy(d->bytes + at, from, (size_t)count);
	return SQLITE_OK;
}

static int disk_truncate(sqlite3_file *file, sqlite3_int64 length)
{
	disk_resize(disk_of(file), length);
	return SQLITE_OK;
}

static int disk_sync(sqlite3_file *file, int flags)
{
	return SQLITE_OK;
}

static int disk_size(sqlite3_file *file, sqlite3_int64 *length)
{
	*length = disk_of(file)->length;
	return SQLITE_OK;
}

static int disk_lock(sqlite3_file *file, int level)
{
	return SQLITE_OK;
}

static int disk_reserved(sqlite3_file *file, int *held)
{
	*held = 0;
	return SQLITE_OK;
}

static int disk_control(sqlite3_file *file, int what, void *argument)
{
	return SQLITE_NOTFOUND;
}

static int disk_sector(sqlite3_file *file)
{
	return 4096;
}

static int disk_traits(sqlite3_file *file)
{
	return 0;
}

static const sqlite3_io_methods disk_methods = {.iVersion = 1,
                                                .xClose = disk_close,
                                                .xRead = disk_read,
                                                .xWrite = disk_write,
                                                .xTruncate = disk_truncate,
                                                .xSync = disk_sync,
                                                .xFileSize = disk_size,
                                                .xLock = disk_lock,
                                                .xUnlock = disk_lock,
                                                .xCheckReservedLock = disk_reserved,
                                                .xFileControl = disk_control,
                                                .xSectorSize = disk_sector,
                                                .xDeviceCharacteristics = disk_traits};

/* Journals are kept by the process (journal_mode = memory): there is no other file. */
static int disk_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *got)
{
	struct disk_file *f = (struct disk_file *)file;

	if (!(flags & SQLITE_OPEN_MAIN_DB))
		return SQLITE_CANTOPEN;
	*f = (struct disk_file){.base.pMethods = &disk_methods, .disk = &disk};
	if (got)
		*got = flags;
	return SQLITE_OK;
}

static int disk_access(sqlite3_vfs *vfs, const char *name, int flags, int *there)
{
	*there = 0;
	return SQLITE_OK;
}

/* Dies when the store cannot be made: there is nothing to test then. */
static void disk_must(int status, const char *doing)
{
	if (status == SQLITE_OK)
		return;
	printf("the simulation's disk: %s\n", doing);
	abort();
}

/* The bytes of an empty store. */
static unsigned char *disk_blank(sqlite3_int64 *length)
{
	struct store blank;
	struct error e = {{0}};

	disk_must(store_open(&blank, ":memory:", false, &e), e.text);
	unsigned char *bytes = sqlite3_serialize(blank.db.handle, "main", length, 0);
	disk_must(bytes ? SQLITE_OK : SQLITE_NOMEM, "serialize");
	store_close(&blank);
	return bytes;
}

static void disk_connect(struct sql *db)
{
	static sqlite3_vfs vfs;
	sqlite3 *handle = NULL;

	vfs = *sqlite3_vfs_find(NULL); /* its clock, its random bytes, its paths */
	vfs.zName = "disk";
	vfs.szOsFile = sizeof(struct disk_file);
	vfs.xOpen = disk_open;
	vfs.xAccess = disk_access;
	disk_must(sqlite3_vfs_register(&vfs, 0), "vfs");
	disk_must(sqlite3_open_v2("store", &handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX,
	                          "disk"),
	          "open");
	sql_init(db, handle);
	disk_must(sql_script(db, "pragma journal_mode = memory; pragma synchronous = off;"
	                         "pragma temp_store = memory; pragma secure_delete = off;"
	                         "pragma foreign_keys = on"),
	          "pragmas");
}

/* An empty store.  `prepare` is called once, with its connection. */
static struct sql *disk_clear(void (*prepare)(sqlite3 *))
{
	static struct sql db;
	static unsigned char *blank;
	static sqlite3_int64 length;
	static uint32_t times;
	bool fresh = !blank;

	if (fresh)
		blank = disk_blank(&length);
	if (!fresh) /* look at the file anew */
		disk_must(sql_script(&db, "pragma locking_mode = normal; select 1 from study"),
		          "unlock");
	disk.full = false;
	disk_resize(&disk, length);
	memcpy(disk.bytes, blank, (size_t)length);
	times++; /* the file's change counter: what the connection has of its pages is not true */
	for (int i = 0; i < 4; i++)
		disk.bytes[24 + i] = (unsigned char)((times << 16) >> 8 * (3 - i));
	if (fresh) {
		disk_connect(&db);
		prepare(db.handle);
	}
	disk_must(sql_script(&db, "pragma locking_mode = exclusive"), "lock");
	return &db;
}
#endif
