/* Files by their SHA-256 in one folder, shared by the agents of a work folder; the oldest go. */
#include "worker/cache.h"
#include "core/base/file.h"
#include "core/base/text.h"
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { YOUNG_SECONDS = 600 };

struct entry {
	char *path;
	int64_t bytes, used_s;
};

void cache_touch(const char *folder, const char *sha256)
{
	char *path = path_join(folder, sha256);
	utimensat(AT_FDCWD, path, NULL, 0);
	free(path);
}

void cache_keep(const char *folder, const char *sha256, const char *path)
{
	char *to = path_join(folder, sha256);
	if (file_exists(to) || rename(path, to))
		unlink(path);
	utimensat(AT_FDCWD, to, NULL, 0);
	free(to);
}

static int by_use(const void *left, const void *right)
{
	const struct entry *a = left, *b = right;
	return (a->used_s > b->used_s) - (a->used_s < b->used_s);
}

static size_t cache_list(const char *folder, struct entry **entries, int64_t *bytes)
{
	size_t count = 0, capacity = 0;
	DIR *d = opendir(folder);
	*entries = NULL;
	*bytes = 0;
	for (struct dirent *f; d && (f = readdir(d));) {
		struct stat st;
		if (fstatat(dirfd(d), f->d_name, &st, 0) || !S_ISREG(st.st_mode))
			continue;
		if (count == capacity)
			*entries = xrealloc(*entries,
			                    (capacity = capacity * 2 + 16) * sizeof **entries);
		(*entries)[count++] =
		        (struct entry){path_join(folder, f->d_name), st.st_size, st.st_mtime};
		*bytes += st.st_size;
	}
	if (d)
		closedir(d);
	return count;
}

void cache_trim(const char *folder, int64_t bytes_max, int64_t wall_ms)
{
	struct entry *entries;
	int64_t bytes;
	size_t count = cache_list(folder, &entries, &bytes);
	if (count)
		qsort(entries, count, sizeof *entries, by_use);
	for (size_t i = 0; i < count; i++) {
		bool old = wall_ms / 1000 - entries[i].used_s > YOUNG_SECONDS;
		if (bytes > bytes_max && old && unlink(entries[i].path) == 0)
			bytes -= entries[i].bytes;
		free(entries[i].path);
	}
	free(entries);
}
