/* Walks folders (fts) and archives (libarchive) file by file. */
#include "core/data/bundle.h"
#include "core/base/file.h"
#include "core/base/text.h"
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <locale.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BLOCK_BYTES = 1 << 18, FIRST_READ_BYTES = 1 << 16, LISTED_BYTES = 300 };

const char *bundle_base_name(const char *name)
{
	const char *slash = strrchr(name, '/');

	return slash ? slash + 1 : name;
}

void bundle_list(const struct bundle_file *file, struct text *found)
{
	if (found->length < LISTED_BYTES)
		text_add(found, "%s%s", found->length ? ", " : "", file->name);
}

static int by_name(const FTSENT **a, const FTSENT **b)
{
	return strcmp((*a)->fts_name, (*b)->fts_name);
}

/* What one entry of a folder means: 1 a file to visit, 0 nothing, -1 an error. */
static int entry_kind(FTS *fts, FTSENT *entry, struct error *e)
{
	if (entry->fts_level > 0 && entry->fts_name[0] == '.') {
		fts_set(fts, entry, FTS_SKIP);
		return 0;
	}
	if (entry->fts_info == FTS_DNR || entry->fts_info == FTS_ERR || entry->fts_info == FTS_NS) {
		errno = entry->fts_errno;
		return error_errno(e, "%s: cannot be read", entry->fts_path);
	}
	if (entry->fts_info == FTS_DC)
		return error_set(e, "%s: a link that leads back to a folder above it",
		                 entry->fts_path);
	return entry->fts_info == FTS_F;
}

/* What each walk of a folder does with an entry that is a file. */
typedef int entry_visit(void *context, FTSENT *entry, const char *name, struct error *e);

static int folder_walk(const char *source, entry_visit *visit, void *context, struct error *e)
{
	char *roots[] = {(char *)source, NULL};
	FTS *fts = fts_open(roots, FTS_LOGICAL | FTS_NOCHDIR, by_name);
	size_t skip = strlen(source);
	FTSENT *entry;
	int status = 0;

	if (!fts)
		return error_errno(e, "%s: cannot be read", source);
	while (skip > 0 && source[skip - 1] == '/')
		skip--;
	while (status == 0 && (entry = fts_read(fts))) {
		status = entry_kind(fts, entry, e);
		if (status == 1)
			status = visit(context, entry, entry->fts_path + skip + 1, e);
	}
	fts_close(fts);
	return status;
}

struct visitor {
	const char *source;
	char *archive;        /* the file that source is, or goes on inside of; null: a folder */
	const char *inside;   /* what follows it in source; "": nothing */
	size_t inside_length; /* without a slash at its end */
	bundle_visit *visit;
	void *context;
};

static int visit_entry(void *context, FTSENT *entry, const char *name, struct error *e)
{
	struct visitor *v = context;
	struct bundle_file file = {.bundle = v->source, .name = name};

	file.fd = open(entry->fts_path, O_RDONLY | O_CLOEXEC);
	if (file.fd < 0)
		return error_errno(e, "%s: cannot be opened", entry->fts_path);
	int status = v->visit(v->context, &file, e);
	close(file.fd);
	return status;
}

static int archive_fail(struct archive *a, const char *source, struct error *e)
{
	const char *why = archive_error_string(a);

	return error_set(e, "%s: not a readable archive (tar, tar.gz, tar.xz, zip): %s", source,
	                 why ? why : "damaged");
}

static struct archive *archive_open(const char *source, struct error *e)
{
	struct archive *a = archive_read_new();

	if (!a) {
		error_set(e, "%s: out of memory", source);
		return NULL;
	}
	archive_read_support_format_tar(a);
	archive_read_support_format_zip(a);
	archive_read_support_filter_gzip(a);
	archive_read_support_filter_xz(a);
	archive_read_support_filter_bzip2(a);
	archive_read_support_filter_zstd(a);
	if (archive_read_open_filename(a, source, BLOCK_BYTES) == ARCHIVE_OK)
		return a;
	archive_fail(a, source, e);
	archive_read_free(a);
	return NULL;
}

/* The name of an entry to visit: 1; a folder, link or hidden file: 0. */
static int entry_name(const char *source, struct archive_entry *entry, const char **out,
                      struct error *e)
{
	const char *name = archive_entry_pathname(entry);

	if (archive_entry_filetype(entry) != AE_IFREG || archive_entry_hardlink(entry))
		return 0;
	if (!name)
		name = archive_entry_pathname_utf8(entry);
	if (!name)
		return error_set(e, "%s: has a file whose name cannot be read", source);
	while (strncmp(name, "./", 2) == 0)
		name += 2;
	*out = name;
	return name[0] != '.' && !strstr(name, "/.");
}

/* Whether a file of the archive is one that is asked for; then its name below that folder. */
static bool is_inside(const struct visitor *v, const char **name)
{
	if (!v->inside_length)
		return true;
	if (strncmp(*name, v->inside, v->inside_length) || (*name)[v->inside_length] != '/')
		return false;
	*name += v->inside_length + 1;
	return true;
}

static int archive_visit(const struct visitor *v, struct archive *a, struct error *e)
{
	struct archive_entry *entry;
	bool any = !v->inside_length;
	int status = 0;

	while (status == 0) {
		struct bundle_file file = {.bundle = v->source, .archive = a, .fd = -1};
		int got = archive_read_next_header(a, &entry);
		if (got == ARCHIVE_EOF)
			break;
		if (got < ARCHIVE_WARN)
			return archive_fail(a, v->archive, e);
		status = entry_name(v->archive, entry, &file.name, e);
		if (status == 1 && !is_inside(v, &file.name))
			status = 0;
		else if (status == 1) {
			any = true;
			status = v->visit(v->context, &file, e);
		}
	}
	return status || any ? status
	                     : error_set(e, "%s: no folder %.*s in this archive", v->archive,
	                                 (int)v->inside_length, v->inside);
}

/* libarchive turns names into the locale's character set and gives up on what that lacks: names are
 * wanted as they are, in UTF-8, whatever the locale. */
static int archive_walk(const struct visitor *v, struct error *e)
{
	struct archive *a = archive_open(v->archive, e);
	locale_t unicode = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
	locale_t before = unicode ? uselocale(unicode) : (locale_t)0;
	int status = a ? archive_visit(v, a, e) : -1;

	if (unicode) {
		uselocale(before);
		freelocale(unicode);
	}
	archive_read_free(a);
	return status;
}

int bundle_each(const char *source, bundle_visit *visit, void *context, struct error *e)
{
	struct visitor v = {.source = source, .visit = visit, .context = context};

	v.archive = path_archive(source, &v.inside);
	if (!v.archive && !file_exists(source))
		return error_errno(e, "%s", source);
	if (!v.archive)
		return folder_walk(source, visit_entry, &v, e);
	v.inside_length = strlen(v.inside);
	while (v.inside_length && v.inside[v.inside_length - 1] == '/')
		v.inside_length--;
	int status = archive_walk(&v, e);
	free(v.archive);
	return status;
}

static ssize_t read_some(struct bundle_file *file, void *buffer, size_t bytes, struct error *e)
{
	ssize_t got;

	if (file->archive) {
		got = archive_read_data(file->archive, buffer, bytes);
		if (got < 0)
			archive_fail(file->archive, file->bundle, e);
		return got;
	}
	do
		got = read(file->fd, buffer, bytes);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		error_errno(e, "%s/%s: cannot be read", file->bundle, file->name);
	return got;
}

void *bundle_read(struct bundle_file *file, size_t limit_bytes, size_t *bytes, struct error *e)
{
	size_t capacity = FIRST_READ_BYTES, length = 0;
	char *data = xmalloc(capacity);
	ssize_t got;

	while ((got = read_some(file, data + length, capacity - length, e)) > 0) {
		length += (size_t)got;
		if (length > limit_bytes) {
			error_set(e, "%s/%s: larger than %zu bytes, the limit", file->bundle,
			          file->name, limit_bytes);
			got = -1;
			break;
		}
		if (length == capacity)
			data = xrealloc(data, capacity *= 2);
	}
	if (got < 0) {
		free(data);
		return NULL;
	}
	*bytes = length;
	return data;
}

static void stamp_add(struct hash *h, const char *name, const struct stat *s)
{
	int64_t when[3] = {s->st_size, s->st_mtim.tv_sec, s->st_mtim.tv_nsec};

	hash_add(h, name, strlen(name) + 1);
	hash_add(h, when, sizeof when);
}

static int stamp_entry(void *context, FTSENT *entry, const char *name, struct error *e)
{
	(void)e;
	stamp_add(context, name, entry->fts_statp);
	return 0;
}

int bundle_stamp(const char *source, char hex[SHA256_HEX], struct error *e)
{
	const char *inside;
	char *archive = path_archive(source, &inside);
	struct hash *h = hash_new("sha256");
	struct stat s;
	int status = 0;

	if (stat(archive ? archive : source, &s) != 0)
		status = error_errno(e, "%s", source);
	else if (archive)
		stamp_add(h, inside, &s);
	else
		status = folder_walk(source, stamp_entry, h, e);
	hash_end(h, hex);
	free(archive);
	return status;
}
