/* Files and folders: whole reads, atomic replacement, what a path lies on. */
#include "core/base/file.h"
#include "core/base/text.h"
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

char *file_read(const char *path, size_t *length, struct error *e)
{
	struct text t = {0};
	char chunk[65536];
	ssize_t got = 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0) {
		error_errno(e, "%s: cannot be opened", path);
		return NULL;
	}
	while ((got = read(fd, chunk, sizeof chunk)) != 0) {
		if (got > 0)
			text_add_bytes(&t, chunk, (size_t)got);
		else if (errno != EINTR)
			break;
	}
	if (got < 0) {
		error_errno(e, "%s: cannot be read", path);
		text_release(&t);
		close(fd);
		return NULL;
	}
	close(fd);
	if (length)
		*length = t.length;
	return text_take(&t);
}

static char *folder_of(const char *path)
{
	char *copy = xstrdup(path), *folder = xstrdup(dirname(copy));

	free(copy);
	return folder;
}

int file_sync(const char *path, struct error *e)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return error_errno(e, "%s: cannot be opened", path);
	/* Some file systems know no fsync of a folder and say EINVAL. */
	int status = fsync(fd) == 0 || errno == EINVAL ? 0 : error_errno(e, "%s: fsync", path);
	close(fd);
	return status;
}

int file_publish(const char *temporary, const char *path, struct error *e)
{
	if (rename(temporary, path) != 0)
		return error_errno(e, "%s: cannot be renamed to %s", temporary, path);
	char *folder = folder_of(path);
	int status = file_sync(folder, e);
	free(folder);
	return status;
}

static int write_all(int fd, const char *bytes, size_t length)
{
	while (length) {
		ssize_t wrote = write(fd, bytes, length);
		if (wrote < 0 && errno == EINTR)
			continue;
		if (wrote < 0)
			return -1;
		bytes += wrote;
		length -= (size_t)wrote;
	}
	return fsync(fd);
}

int file_copy(const char *from, const char *to, struct error *e)
{
	char chunk[65536];
	ssize_t got = 0;
	int in = open(from, O_RDONLY | O_CLOEXEC);
	int out = in < 0 ? -1 : open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	int status = in < 0    ? error_errno(e, "%s: cannot be opened", from)
	             : out < 0 ? error_errno(e, "%s: cannot be created", to)
	                       : 0;

	while (status == 0 && (got = read(in, chunk, sizeof chunk)) != 0)
		if (got > 0 && write_all(out, chunk, (size_t)got) != 0)
			status = error_errno(e, "%s: cannot be written", to);
		else if (got < 0 && errno != EINTR)
			status = error_errno(e, "%s: cannot be read", from);
	if (status == 0 && fsync(out) != 0)
		status = error_errno(e, "%s: fsync", to);
	if (in >= 0)
		close(in);
	if (out >= 0)
		close(out);
	return status;
}

int file_write(const char *path, const void *bytes, size_t length, struct error *e)
{
	static unsigned int serial;
	char *temporary = xformat("%s.%d.%u.tmp", path, (int)getpid(),
	                          __atomic_fetch_add(&serial, 1, __ATOMIC_RELAXED));
	int status = -1;
	int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);

	if (fd < 0) {
		error_errno(e, "%s: cannot be created", temporary);
		goto end;
	}
	int written = write_all(fd, bytes, length);
	if (written != 0)
		error_errno(e, "%s: cannot be written", path);
	close(fd);
	if (written == 0)
		status = file_publish(temporary, path, e);
	if (status != 0)
		unlink(temporary);
end:
	free(temporary);
	return status;
}

int file_write_private(const char *path, const void *bytes, size_t length, struct error *e)
{
	mode_t mask = umask(077);
	int status = file_write(path, bytes, length, e);

	umask(mask);
	return status;
}

bool file_exists(const char *path)
{
	return access(path, F_OK) == 0;
}

static bool is_file(const char *path)
{
	struct stat s;

	return stat(path, &s) == 0 && S_ISREG(s.st_mode);
}

char *path_archive(const char *path, const char **inside)
{
	char *copy = xstrdup(path);
	size_t length = strlen(copy);

	while (length && !is_file(copy)) {
		char *slash = strrchr(copy, '/');
		length = slash ? (size_t)(slash - copy) : 0;
		copy[length] = 0;
	}
	*inside = path + length;
	*inside += **inside == '/';
	if (length)
		return copy;
	free(copy);
	return NULL;
}

bool path_leads(const char *path)
{
	const char *inside;
	char *archive = path_archive(path, &inside);
	bool leads = archive || file_exists(path);

	free(archive);
	return leads;
}

char *path_real(const char *path)
{
	const char *inside;
	char *archive = path_archive(path, &inside);
	char *real = realpath(archive ? archive : path, NULL), *whole = real;

	if (real && archive && *inside) {
		whole = xformat("%s/%s", real, inside);
		free(real);
	}
	free(archive);
	return whole;
}

int64_t file_bytes(const char *path)
{
	struct stat s;

	return stat(path, &s) == 0 ? (int64_t)s.st_size : -1;
}

static bool is_folder(const char *path)
{
	struct stat s;

	return stat(path, &s) == 0 && S_ISDIR(s.st_mode);
}

int folder_make(const char *path, struct error *e)
{
	char *copy = xstrdup(path);
	int status = 0;

	for (char *slash = copy + 1; *copy && status == 0; slash++) {
		bool last = *slash == 0;
		if (*slash != '/' && !last)
			continue;
		*slash = 0;
		if (mkdir(copy, 0777) != 0 && (errno != EEXIST || (last && !is_folder(copy))))
			status = error_errno(e, "%s: folder cannot be made", copy);
		if (last)
			break;
		*slash = '/';
	}
	free(copy);
	return status;
}

enum { REMOVE_TRIES = 100 };

static int remove_entry(const char *path, const struct stat *s, int kind, struct FTW *where)
{
	return remove(path) && errno != ENOENT ? -1 : 0;
}

/* Another process may remove the same: what vanishes in the middle of the walk begins a new one. */
int folder_remove(const char *path, struct error *e)
{
	int failed = 0;

	for (int i = 0; i < REMOVE_TRIES; i++) {
		failed = nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
		if (!failed || errno != ENOENT || !file_exists(path))
			break;
	}
	return failed && file_exists(path) ? error_errno(e, "%s: cannot be removed", path) : 0;
}

int64_t disk_free_bytes(const char *path)
{
	struct statvfs s;

	return statvfs(path, &s) == 0 ? (int64_t)(s.f_bavail * s.f_frsize) : -1;
}

static const char *const network_types[] = {"nfs",   "nfs4", "cifs",          "smb3",      "smbfs",
                                            "afs",   "ceph", "lustre",        "gpfs",      "beegfs",
                                            "9p",    "coda", "fuse.sshfs",    "glusterfs", "pvfs2",
                                            "ocfs2", "gfs2", "fuse.glusterfs"};

static const char *network_type(const char *type)
{
	for (size_t i = 0; i < sizeof network_types / sizeof *network_types; i++)
		if (strcmp(type, network_types[i]) == 0)
			return network_types[i];
	return NULL;
}

/* A line of mountinfo: "36 35 98:0 /root /mount options … - type source options". */
static const char *mount_type(const char *line, dev_t device)
{
	unsigned int high = 0, low = 0;
	char type[64];
	const char *dash = strstr(line, " - ");

	if (sscanf(line, "%*d %*d %u:%u", &high, &low) != 2 || makedev(high, low) != device)
		return NULL;
	return dash && sscanf(dash, " - %63s", type) == 1 ? network_type(type) : NULL;
}

const char *file_network_type(const char *path)
{
	struct stat s;
	const char *found = NULL;
	char *line = NULL, *folder = folder_of(path);
	size_t capacity = 0;
	FILE *mounts = fopen("/proc/self/mountinfo", "re");

	if (mounts && (stat(path, &s) == 0 || stat(folder, &s) == 0))
		while (!found && getline(&line, &capacity, mounts) > 0)
			found = mount_type(line, s.st_dev);
	if (mounts)
		fclose(mounts);
	free(line);
	free(folder);
	return found;
}

char *path_join(const char *folder, const char *name)
{
	if (name[0] == '/' || !folder[0])
		return xstrdup(name);
	return xformat("%s%s%s", folder, folder[strlen(folder) - 1] == '/' ? "" : "/", name);
}
