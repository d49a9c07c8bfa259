/* Finding data sets below the data roots, and digesting them. */
#include "core/data/source.h"
#include "core/base/file.h"
#include "core/base/text.h"
#include <errno.h>
#include <fts.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* What a data set may be called below a root, the whole ones first. */
static const struct {
	const char *name, *builtin_digest;
	bool fetched;
	const char *places[12];
} sets[] = {
        {"shapes", "builtin:shapes:1", false, {NULL}},
        {"cifar10",
         NULL,
         true,
         {"cifar-10-batches-bin", "cifar-10-binary.tar.gz", "cifar-10-binary.tar", "cifar10",
          "cifar10.tar", "cifar10.tar.gz", "cifar10.tar.xz", "cifar10.zip",
          "cifar10-small.tar.xz"}},
        {"cifar100",
         NULL,
         true,
         {"cifar-100-binary", "cifar-100-binary.tar.gz", "cifar-100-binary.tar", "cifar100",
          "cifar100.tar", "cifar100.tar.gz", "cifar100.tar.xz", "cifar100.zip",
          "cifar100-test.tar.xz"}},
        {"tiny_imagenet",
         NULL,
         false,
         {"tiny-imagenet-200", "tiny-imagenet-200.zip", "tiny-imagenet-200.tar",
          "tiny-imagenet-200.tar.gz", "tiny-imagenet-200.tar.xz", "tiny_imagenet",
          "tiny-imagenet-20.tar.xz"}},
};
enum { SETS = sizeof sets / sizeof *sets };

static int set_index(const char *name)
{
	for (int i = 0; i < SETS; i++)
		if (strcmp(sets[i].name, name) == 0)
			return i;
	return -1;
}

bool source_is_builtin(const char *name)
{
	int set = set_index(name);

	return set >= 0 && sets[set].builtin_digest;
}

static const char *set_variable(const char *name)
{
	const char *value = getenv(name);

	return value && value[0] ? value : NULL;
}

/* $VARIABLE/trawl/tail, or ~/otherwise/trawl/tail. */
static char *home_folder(const char *variable, const char *otherwise, const char *tail)
{
	const char *folder = set_variable(variable), *home = set_variable("HOME");

	if (folder)
		return xformat("%s/trawl/%s", folder, tail);
	return xformat("%s/%s/trawl/%s", home ? home : "/tmp", otherwise, tail);
}

char *source_roots(void)
{
	const char *given = set_variable("TRAWL_DATA");

	if (given)
		return xstrdup(given);
	char *home = home_folder("XDG_DATA_HOME", ".local/share", "data");
	char *roots = xformat("../shared/data:%s", home);
	free(home);
	return roots;
}

char *source_fetch_folder(void)
{
	const char *given = set_variable("TRAWL_DATA");

	if (given && given[0] != ':')
		return xformat("%.*s", (int)strcspn(given, ":"), given);
	return home_folder("XDG_DATA_HOME", ".local/share", "data");
}

/* The first of the names that is there below the first root that has one; null when none is. */
static char *find_below(const char *roots, const char *const *names)
{
	char *copy = xstrdup(roots), *rest = copy, *root = NULL, *found = NULL;

	while (!found && (root = strsep(&rest, ":"))) {
		for (int i = 0; root[0] && names[i] && !found; i++) {
			char *path = path_join(root, names[i]);
			if (path_leads(path))
				found = path;
			else
				free(path);
		}
	}
	free(copy);
	return found;
}

static void no_such_set(int set, const char *roots, struct error *e)
{
	struct text names = {0};

	for (int i = 0; sets[set].places[i]; i++)
		text_add(&names, "%s%s", i ? ", " : "", sets[set].places[i]);
	error_set(e, "data set %s not found: looked in %s for %s%s%s", sets[set].name, roots,
	          names.data, sets[set].fetched ? "; to get it: trawl data fetch " : "",
	          sets[set].fetched ? sets[set].name : "");
	text_release(&names);
}

char *source_find(const char *name, const char *path, const char *roots, struct error *e)
{
	int set = set_index(name);
	char *found = NULL;

	if (source_is_builtin(name))
		return xstrdup("");
	if (path && path_leads(path))
		return xstrdup(path);
	if (path) {
		found = path[0] == '/' ? NULL : find_below(roots, (const char *[]){path, NULL});
		if (!found)
			error_set(e, "data set %s: %s is not there%s%s", name, path,
			          path[0] == '/' ? "" : ", nor below ",
			          path[0] == '/' ? "" : roots);
		return found;
	}
	if (set < 0) {
		error_set(e, "data set %s: data.path must say where it is", name);
		return NULL;
	}
	found = find_below(roots, sets[set].places);
	if (!found)
		no_such_set(set, roots, e);
	return found;
}

/* One file of a source, as it is seen without reading it. */
struct part {
	char *path, *name; /* name: below the folder; they share memory */
	struct stat about;
};

struct parts {
	struct part *list;
	size_t count, capacity;
};

static void parts_add(struct parts *parts, const char *path, size_t prefix,
                      const struct stat *about)
{
	if (parts->count == parts->capacity) {
		parts->capacity = parts->capacity ? 2 * parts->capacity : 64;
		parts->list = xrealloc(parts->list, parts->capacity * sizeof *parts->list);
	}
	char *copy = xstrdup(path);
	parts->list[parts->count++] = (struct part){copy, copy + prefix, *about};
}

static void parts_release(struct parts *parts)
{
	for (size_t i = 0; i < parts->count; i++)
		free(parts->list[i].path);
	free(parts->list);
}

static int compare_parts(const void *a, const void *b)
{
	const struct part *left = a, *right = b;

	return strcmp(left->name, right->name);
}

/* The regular files of a folder, sorted by name; or the file itself. */
static int parts_list(const char *found, struct parts *parts, struct error *e)
{
	char *paths[] = {(char *)found, NULL};
	FTS *walk = fts_open(paths, FTS_LOGICAL | FTS_NOCHDIR, NULL);
	int status = walk ? 0 : error_errno(e, "%s: cannot be read", found);
	FTSENT *entry = NULL;

	while (status == 0 && (entry = fts_read(walk))) {
		bool top = entry->fts_level == 0;
		if (entry->fts_info == FTS_F)
			parts_add(parts, entry->fts_path, top ? 0 : strlen(found) + 1,
			          entry->fts_statp);
		errno = entry->fts_errno;
		if (entry->fts_info == FTS_ERR || entry->fts_info == FTS_DNR ||
		    entry->fts_info == FTS_NS)
			status = error_errno(e, "%s: cannot be read", entry->fts_path);
	}
	if (walk)
		fts_close(walk);
	if (status == 0 && parts->count == 0)
		status = error_set(e, "%s: holds no files", found);
	if (parts->count)
		qsort(parts->list, parts->count, sizeof *parts->list, compare_parts);
	return status;
}

/* The file that remembers the digest for as long as nothing about the parts changes. */
static char *memory_path(const struct parts *parts)
{
	struct hash *h = hash_new("sha256");
	char hex[SHA256_HEX];

	for (size_t i = 0; i < parts->count; i++) {
		const struct part *part = parts->list + i;
		char *real = realpath(part->path, NULL);
		char *line = xformat(
		        "%s\t%s\t%lld\t%lld.%09ld\t%llu\n", part->name, real ? real : part->path,
		        (long long)part->about.st_size, (long long)part->about.st_mtim.tv_sec,
		        part->about.st_mtim.tv_nsec, (unsigned long long)part->about.st_ino);
		hash_add(h, line, strlen(line));
		free(line);
		free(real);
	}
	hash_end(h, hex);
	char *folder = home_folder("XDG_CACHE_HOME", ".cache", "digests");
	char *path = path_join(folder, hex);
	folder_make(folder, NULL);
	free(folder);
	return path;
}

static int digest_folder(const struct parts *parts, char digest[SHA256_HEX], struct error *e)
{
	struct hash *h = hash_new("sha256");
	int status = 0;

	for (size_t i = 0; i < parts->count && status == 0; i++) {
		const struct part *part = parts->list + i;
		char hex[SHA256_HEX] = {0};
		status = sha256_file(part->path, hex, e);
		char *line =
		        xformat("%s\t%lld\t%s\n", part->name, (long long)part->about.st_size, hex);
		hash_add(h, line, strlen(line));
		free(line);
	}
	hash_end(h, digest);
	return status;
}

static bool remembered(const char *memory, char digest[SHA256_HEX])
{
	size_t length = 0;
	char *text = file_read(memory, &length, NULL);
	bool fine = text && length == SHA256_HEX - 1 &&
	            strspn(text, "0123456789abcdef") == SHA256_HEX - 1;

	if (fine)
		memcpy(digest, text, SHA256_HEX);
	free(text);
	return fine;
}

/* Of a file, or of the files of a folder. */
static int digest_path(const char *found, char digest[SHA256_HEX], struct error *e)
{
	struct parts parts = {0};
	struct stat about;
	int status = 0;

	if (stat(found, &about) != 0)
		return error_errno(e, "%s: cannot be read", found);
	if (parts_list(found, &parts, e) != 0) {
		parts_release(&parts);
		return -1;
	}
	char *memory = memory_path(&parts);
	if (!remembered(memory, digest)) {
		status = S_ISDIR(about.st_mode) ? digest_folder(&parts, digest, e)
		                                : sha256_file(found, digest, e);
		if (status == 0)
			file_write(memory, digest, SHA256_HEX - 1, NULL);
	}
	free(memory);
	parts_release(&parts);
	return status;
}

int source_digest(const char *name, const char *found, char digest[SHA256_HEX], struct error *e)
{
	if (source_is_builtin(name)) {
		snprintf(digest, SHA256_HEX, "%s", sets[set_index(name)].builtin_digest);
		return 0;
	}
	const char *inside;
	char *archive = path_archive(found, &inside);
	int status = digest_path(archive ? archive : found, digest, e);
	if (status == 0 && archive && *inside) {
		char *line = xformat("%s\t%s\n", digest, inside);
		sha256_hex(line, strlen(line), digest);
		free(line);
	}
	free(archive);
	return status;
}
