/* One upload on its way into the artifact store: a .part file, appended to, checked, named. */
#include "coordinator/web/upload.h"
#include "coordinator/web/artifacts.h"
#include "core/base/file.h"
#include "core/base/text.h"
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

enum { CONFLICT = 409, TOO_LARGE = 413, WRONG = 422, LOCKED = 423, BROKEN = 500, FULL = 507 };

int64_t upload_look(const char *folder, const char *sha256, bool *whole)
{
	char *path = artifact_path(folder, sha256), *part = xformat("%s.part", path);
	int64_t bytes = file_bytes(path);
	*whole = bytes >= 0;
	if (!*whole)
		bytes = file_bytes(part);
	free(path);
	free(part);
	return bytes > 0 ? bytes : 0;
}

static int fail(int status, struct error *e, const char *text)
{
	error_set(e, "%s", text);
	return status;
}

/* A write or fsync that failed: a full disk is the sender's to know. */
static int fail_disk(struct upload *u, struct error *e)
{
	int status = errno == ENOSPC || errno == EDQUOT ? FULL : BROKEN;
	error_errno(e, "%s", u->part);
	return status;
}

/* The bytes are here under their name already.  Damaged ones make room for new ones. */
static bool stored_is_sound(const struct upload *u)
{
	char hex[SHA256_HEX];
	if (file_bytes(u->path) < 0)
		return false;
	if (sha256_file(u->path, hex, NULL) == 0 && strcmp(hex, u->sha256) == 0)
		return true;
	unlink(u->path);
	return false;
}

static int part_open(struct upload *u, struct error *e)
{
	char *copy = xstrdup(u->path);
	int status = folder_make(dirname(copy), e) ? BROKEN : 0;
	free(copy);
	if (status)
		return status;
	u->fd = open(u->part, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	if (u->fd < 0)
		return fail_disk(u, e);
	if (flock(u->fd, LOCK_EX | LOCK_NB))
		return fail(LOCKED, e, "another upload of these bytes is under way");
	/* Who held the lock before may have renamed or removed what we opened. */
	if (file_bytes(u->part) != lseek(u->fd, 0, SEEK_END))
		return fail(LOCKED, e, "another upload of these bytes has just ended");
	u->offset = file_bytes(u->part);
	return 0;
}

int upload_open(struct upload *u, const char *folder, const char *sha256, int64_t first,
                int64_t total, int64_t free_bytes_floor, struct error *e)
{
	*u = (struct upload){.fd = -1, .total = total};
	memcpy(u->sha256, sha256, SHA256_HEX);
	u->path = artifact_path(folder, sha256);
	u->part = xformat("%s.part", u->path);
	if (stored_is_sound(u)) {
		u->offset = u->total = file_bytes(u->path);
		return 0;
	}
	int64_t room = disk_free_bytes(folder);
	if (room >= 0 && room - (total - (first > 0 ? first : 0)) < free_bytes_floor)
		return fail(FULL, e, "the coordinator's disk is full: free some space there");
	int status = part_open(u, e);
	if (status)
		return status;
	if (u->offset > total && ftruncate(u->fd, 0) == 0)
		u->offset = 0;
	if (first != u->offset && !(first < 0 && u->offset == total))
		return fail(CONFLICT, e, "the range does not begin where the upload ends");
	return 0;
}

int upload_add(struct upload *u, const void *bytes, size_t length, struct error *e)
{
	if (u->fd < 0)
		return 0;
	if (u->offset + (int64_t)length > u->total)
		return fail(TOO_LARGE, e, "more bytes than were announced");
	for (size_t done = 0; done < length;) {
		ssize_t n = write(u->fd, (const char *)bytes + done, length - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fail_disk(u, e);
		done += (size_t)n;
		u->offset += n;
	}
	return 0;
}

int upload_finish(struct upload *u, struct error *e)
{
	char hex[SHA256_HEX];
	if (u->fd < 0)
		return 0;
	if (fsync(u->fd))
		return fail_disk(u, e);
	if (sha256_file(u->part, hex, e))
		return BROKEN;
	if (strcmp(hex, u->sha256)) {
		unlink(u->part);
		error_set(e, "the bytes that came have SHA-256 %s", hex);
		return WRONG;
	}
	return file_publish(u->part, u->path, e) ? BROKEN : 0;
}

void upload_release(struct upload *u)
{
	if (u->fd >= 0)
		close(u->fd);
	free(u->path);
	free(u->part);
	*u = (struct upload){.fd = -1};
}
