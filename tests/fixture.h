/* What tests of data share: a scratch folder, small files, archives made from folders. */
#ifndef TESTS_FIXTURE_H
#define TESTS_FIXTURE_H
#include "core/base/file.h"
#include "core/base/text.h"
#include "core/data/bundle.h"
#include "core/data/dataset.h"
#include <archive.h>
#include <archive_entry.h>
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A new empty folder; scratch_remove deletes it with all below it and frees the name. */
static inline char *scratch_new(void)
{
	const char *base = getenv("TMPDIR");
	char *folder = xformat("%s/trawl-test-XXXXXX", base ? base : "/tmp");

	assert(mkdtemp(folder));
	return folder;
}

static inline void scratch_remove(char *folder)
{
	folder_remove(folder, NULL);
	free(folder);
}

/* folder/name with these bytes; makes the folders on the way. */
static inline void put_file(const char *folder, const char *name, const void *bytes, size_t length)
{
	char *path = xformat("%s/%s", folder, name);
	char *parent = xformat("%.*s", (int)(bundle_base_name(path) - path), path);

	assert(folder_make(parent, NULL) == 0);
	assert(file_write(path, bytes, length, NULL) == 0);
	free(parent);
	free(path);
}

struct packing {
	struct archive *archive;
	const char *top;
};

static inline int pack_one(void *context, struct bundle_file *file, struct error *e)
{
	struct packing *p = context;
	struct archive_entry *entry = archive_entry_new();
	size_t bytes;
	void *data = bundle_read(file, SIZE_MAX / 2, &bytes, e);
	char *name = xformat("%s%s", p->top, file->name);

	assert(data);
	archive_entry_set_pathname(entry, name);
	archive_entry_set_filetype(entry, AE_IFREG);
	archive_entry_set_perm(entry, 0644);
	archive_entry_set_size(entry, (la_int64_t)bytes);
	assert(archive_write_header(p->archive, entry) == ARCHIVE_OK);
	assert(archive_write_data(p->archive, data, bytes) == (la_ssize_t)bytes);
	archive_entry_free(entry);
	free(data);
	free(name);
	return 0;
}

/* Packs all below folder, each name with `top` in front, into path: .tar, .tar.gz, .tar.xz, .zip.
 */
static inline void pack(const char *folder, const char *top, const char *path)
{
	struct packing p = {archive_write_new(), top};
	struct error e = {{0}};

	assert(archive_write_set_format_filter_by_ext(p.archive, path) == ARCHIVE_OK);
	assert(archive_write_open_filename(p.archive, path) == ARCHIVE_OK);
	assert(bundle_each(folder, pack_one, &p, &e) == 0);
	assert(archive_write_free(p.archive) == ARCHIVE_OK);
}

/* n CIFAR-10 records whose bytes are a function of `first` and their place. */
static inline uint8_t *cifar10_records(int first, int n)
{
	uint8_t *bytes = xmalloc((size_t)n * 3073);

	for (int i = 0; i < n; i++) {
		bytes[i * 3073] = (uint8_t)((first + i) % 10);
		for (int k = 0; k < 3072; k++)
			bytes[i * 3073 + 1 + k] = (uint8_t)(k * 7 + (first + i) * 31 + k / 1024);
	}
	return bytes;
}

static inline void put_cifar10(const char *folder, const char *name, int first, int n)
{
	uint8_t *bytes = cifar10_records(first, n);

	put_file(folder, name, bytes, (size_t)n * 3073);
	free(bytes);
}

/* The archive below $TRAWL_DATA (default ../shared/data) that a law needs; null, and a line that
 * says so, when it is not there. */
static inline char *real_data(const char *law, const char *archive)
{
	const char *root = getenv("TRAWL_DATA");
	char *path = xformat("%s/%s", root ? root : "../shared/data", archive);

	if (file_exists(path))
		return path;
	printf("SKIPPED %s: %s is not there\n", law, path);
	free(path);
	return NULL;
}
#endif
