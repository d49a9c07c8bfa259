/* Builds, checks and maps cache files. */
#include "core/data/cache.h"
#include "core/base/file.h"
#include "core/base/log.h"
#include "core/base/text.h"
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CACHE_VERSION = 1, HEADER_BYTES = 4096, MAX_SIDE = 1 << 16, MAX_CLASSES = 1 << 20 };
static const char MAGIC[8] = "TRAWLDS";

struct header {
	char magic[8];
	uint32_t version, byte_order;
	struct cache_shape shape;
	int64_t names_bytes;
	char stamp[SHA256_HEX], sha256[SHA256_HEX];
	uint64_t check; /* FNV-1a of all fields before it */
};

struct mapping {
	void *map;
	size_t bytes;
	const char **class_name;
};

enum state { CACHE_GOOD, CACHE_ABSENT, CACHE_STALE, CACHE_DAMAGED };

static uint64_t header_check(const struct header *h)
{
	return fnv1a(h, offsetof(struct header, check));
}

static int64_t round_up(int64_t bytes)
{
	return (bytes + 63) / 64 * 64;
}

static int64_t image_bytes(const struct cache_shape *s)
{
	return (int64_t)s->channels * s->height * s->width;
}

static int64_t label_at(const struct header *h)
{
	return HEADER_BYTES + round_up(h->names_bytes);
}

static int64_t pixels_at(const struct header *h)
{
	return label_at(h) + round_up(h->shape.count * (int64_t)sizeof(int32_t));
}

static int64_t total_bytes(const struct header *h)
{
	return pixels_at(h) + h->shape.count * image_bytes(&h->shape);
}

/* Of all that the header's own check leaves out. */
static void payload_sha256(const void *map, size_t bytes, char hex[SHA256_HEX])
{
	size_t header = sizeof(struct header);

	sha256_hex((const char *)map + header, bytes - header, hex);
}

/* --- building --- */

static int reserve(struct cache_draft *d, struct error *e)
{
	int fd = open(d->temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);

	if (fd < 0)
		return error_errno(e, "%s: cannot be created", d->temporary);
	/* All blocks now, so that a full disk is an error here and not a signal in the middle. */
	errno = posix_fallocate(fd, 0, (off_t)d->bytes);
	if (errno) {
		error_errno(e, "%s: no room for %zu bytes", d->temporary, d->bytes);
	} else {
		void *map = mmap(NULL, d->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		d->map = map == MAP_FAILED ? NULL : map;
		if (!d->map)
			error_errno(e, "%s: cannot be mapped", d->temporary);
	}
	close(fd);
	return d->map ? 0 : -1;
}

int cache_draft_begin(struct cache_draft *d, const struct cache_shape *shape,
                      const char *const *class_name, struct error *e)
{
	struct header h = {.version = CACHE_VERSION, .byte_order = 1, .shape = *shape};

	assert(!d->map && shape->count > 0 && shape->classes > 0 && image_bytes(shape) > 0);
	for (int i = 0; i < shape->classes; i++)
		h.names_bytes += (int64_t)strlen(class_name[i]) + 1;
	d->shape = *shape;
	d->bytes = (size_t)total_bytes(&h);
	if (reserve(d, e) != 0)
		return -1;
	memcpy(h.magic, MAGIC, sizeof MAGIC);
	memcpy(d->map, &h, sizeof h);
	d->label = (int32_t *)((char *)d->map + label_at(&h));
	d->pixels = (uint8_t *)d->map + pixels_at(&h);
	char *names = (char *)d->map + HEADER_BYTES;
	for (int i = 0; i < shape->classes; i++)
		names = stpcpy(names, class_name[i]) + 1;
	return 0;
}

static int draft_publish(struct cache_draft *d, const char *path, const char *stamp,
                         struct error *e)
{
	struct header *h = d->map;

	memcpy(h->stamp, stamp, SHA256_HEX);
	payload_sha256(d->map, d->bytes, h->sha256);
	h->check = header_check(h);
	if (msync(d->map, d->bytes, MS_SYNC) != 0)
		return error_errno(e, "%s: cannot be written", d->temporary);
	return file_sync(d->temporary, e) != 0 ? -1 : file_publish(d->temporary, path, e);
}

static int build(const char *path, const char *stamp, cache_fill *fill, void *context,
                 struct error *e)
{
	/* Only one builder at a time (the lock), so what lies there is of one that was killed. */
	struct cache_draft d = {.temporary = xformat("%s.tmp", path)};

	unlink(d.temporary);
	int status = fill(context, &d, e);
	assert(status != 0 || d.map);
	if (status == 0)
		status = draft_publish(&d, path, stamp, e);
	if (d.map)
		munmap(d.map, d.bytes);
	if (status != 0)
		unlink(d.temporary);
	free(d.temporary);
	return status;
}

/* --- checking --- */

static const char *header_fault(const struct header *h, int64_t bytes)
{
	const struct cache_shape *s = &h->shape;

	if (memcmp(h->magic, MAGIC, sizeof MAGIC) != 0)
		return "not a cache file";
	if (h->version != CACHE_VERSION || h->byte_order != 1)
		return "of another version or machine";
	if (h->check != header_check(h) || h->stamp[SHA256_HEX - 1] || h->sha256[SHA256_HEX - 1])
		return "damaged (header)";
	if (s->count <= 0 || s->channels <= 0 || s->channels > MAX_SIDE || s->height <= 0 ||
	    s->height > MAX_SIDE || s->width <= 0 || s->width > MAX_SIDE || s->classes <= 0 ||
	    s->classes > MAX_CLASSES || h->names_bytes < s->classes)
		return "damaged (shape)";
	if (total_bytes(h) != bytes)
		return "truncated";
	return NULL;
}

/* What the file was when its checksum was last found right. */
static char *verified_line(const struct header *h, const struct stat *s)
{
	return xformat("%llu %lld %lld.%09ld %s\n", (unsigned long long)s->st_ino,
	               (long long)s->st_size, (long long)s->st_mtim.tv_sec, s->st_mtim.tv_nsec,
	               h->sha256);
}

/* Reading all of a large file at every start would cost more than the rest of the start, so a good
 * checksum is remembered beside the file for as long as inode, size and time stay. */
static const char *payload_fault(const char *path, const void *map, const struct stat *s)
{
	char sha256[SHA256_HEX], *verified = xformat("%s.verified", path);
	char *line = verified_line(map, s), *known = NULL;
	bool good = file_exists(verified) && (known = file_read(verified, NULL, NULL)) &&
	            strcmp(known, line) == 0;

	if (!good) {
		payload_sha256(map, (size_t)s->st_size, sha256);
		good = strcmp(sha256, ((const struct header *)map)->sha256) == 0;
		if (good) /* where the folder is read-only, it is checked every time */
			file_write(verified, line, strlen(line), NULL);
	}
	free(verified);
	free(line);
	free(known);
	return good ? NULL : "damaged (checksum)";
}

static void map_dataset(void *map, size_t bytes, struct dataset *out)
{
	const struct header *h = map;
	struct mapping *m = xmalloc(sizeof *m);
	const char *name = (const char *)map + HEADER_BYTES;

	*m = (struct mapping){map, bytes, xcalloc((size_t)h->shape.classes, sizeof *m->class_name)};
	for (int i = 0; i < h->shape.classes; i++, name += strlen(name) + 1)
		m->class_name[i] = name;
	out->count = h->shape.count;
	out->channels = h->shape.channels;
	out->height = h->shape.height;
	out->width = h->shape.width;
	out->classes = h->shape.classes;
	out->class_name = m->class_name;
	out->label = (const int32_t *)((const char *)map + label_at(h));
	out->pixels = (const uint8_t *)map + pixels_at(h);
	out->mapping = m;
}

static enum state check_and_map(const char *path, int fd, const char *stamp, struct dataset *out,
                                const char **fault)
{
	struct stat s;

	*fault = "truncated";
	if (fstat(fd, &s) != 0 || s.st_size < HEADER_BYTES)
		return CACHE_DAMAGED;
	void *map = mmap(NULL, (size_t)s.st_size, PROT_READ, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED) {
		*fault = "not mappable";
		return CACHE_DAMAGED;
	}
	*fault = header_fault(map, s.st_size);
	bool stale = !*fault && strcmp(((const struct header *)map)->stamp, stamp) != 0;
	if (!*fault && !stale)
		*fault = payload_fault(path, map, &s);
	if (!*fault && !stale) {
		map_dataset(map, (size_t)s.st_size, out);
		return CACHE_GOOD;
	}
	munmap(map, (size_t)s.st_size);
	return stale ? CACHE_STALE : CACHE_DAMAGED;
}

static enum state try_map(const char *path, const char *stamp, struct dataset *out,
                          const char **fault)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	*fault = "not readable";
	if (fd < 0)
		return errno == ENOENT ? CACHE_ABSENT : CACHE_DAMAGED;
	enum state state = check_and_map(path, fd, stamp, out, fault);
	close(fd);
	return state;
}

/* With the lock held: another builder may have been faster; else builds and maps. */
static int build_and_map(const char *path, const char *stamp, cache_fill *fill, void *context,
                         struct dataset *out, struct error *e)
{
	const char *fault;
	enum state state = try_map(path, stamp, out, &fault);

	if (state == CACHE_GOOD)
		return 0;
	if (state == CACHE_STALE)
		log_info("%s: its source has changed; building it again", path);
	if (state == CACHE_DAMAGED)
		log_warn("%s: %s; building it again", path, fault);
	if (build(path, stamp, fill, context, e) != 0)
		return -1;
	if (try_map(path, stamp, out, &fault) != CACHE_GOOD)
		return error_set(e, "%s: %s just after it was written", path, fault);
	return 0;
}

static int lock(const char *path, struct error *e)
{
	char *name = xformat("%s.lock", path);
	int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0666), status;

	if (fd < 0) {
		error_errno(e, "%s: cannot be created", name);
		goto end;
	}
	do
		status = flock(fd, LOCK_EX);
	while (status != 0 && errno == EINTR);
	if (status != 0) {
		error_errno(e, "%s: cannot be locked", name);
		close(fd);
		fd = -1;
	}
end:
	free(name);
	return fd;
}

int cache_open(const char *path, const char *stamp, cache_fill *fill, void *context,
               struct dataset *out, struct error *e)
{
	const char *fault;

	if (try_map(path, stamp, out, &fault) == CACHE_GOOD)
		return 0;
	int fd = lock(path, e);
	if (fd < 0)
		return -1;
	int status = build_and_map(path, stamp, fill, context, out, e);
	close(fd);
	return status;
}

void cache_close(struct dataset *d)
{
	if (!d->mapping)
		return;
	munmap(d->mapping->map, d->mapping->bytes);
	free(d->mapping->class_name);
	free(d->mapping);
	d->mapping = NULL;
}

char *cache_folder(const char *folder, struct error *e)
{
	const char *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
	char *path;

	if (folder)
		path = xstrdup(folder);
	else if (xdg && xdg[0])
		path = xformat("%s/trawl/data", xdg);
	else if (home && home[0])
		path = xformat("%s/.cache/trawl/data", home);
	else {
		error_set(e, "no folder for the data cache: neither --cache nor HOME is set");
		return NULL;
	}
	if (folder_make(path, e) == 0)
		return path;
	free(path);
	return NULL;
}
