/* Reading safetensors: maps the file and checks everything that its header claims. */
#include "core/tensor/safetensors.h"
#include "core/base/json.h"
#include "core/base/text.h"
#include "core/tensor/safetensors_type.h"
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HEADER_BYTES_MAX = 100 * 1000 * 1000 };

struct safetensors {
	char *path;
	const uint8_t *map;
	size_t bytes;
	const uint8_t *data; /* behind the header */
	size_t data_bytes;
	cJSON *header; /* owns names and metadata */
	struct safetensor *item;
	int count;
};

static int map_file(struct safetensors *f, struct error *e)
{
	struct stat s;
	int fd = open(f->path, O_RDONLY | O_CLOEXEC);
	void *map = MAP_FAILED;

	if (fd < 0)
		return error_errno(e, "%s", f->path);
	if (fstat(fd, &s) == 0 && !S_ISREG(s.st_mode)) {
		close(fd);
		return error_set(e, "%s: not a regular file", f->path);
	}
	if (s.st_size < 8) {
		close(fd);
		return error_set(e, "%s: not a safetensors file: %lld bytes", f->path,
		                 (long long)s.st_size);
	}
	map = mmap(NULL, (size_t)s.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
	if (map == MAP_FAILED)
		return error_errno(e, "%s: mmap", f->path);
	f->map = map;
	f->bytes = (size_t)s.st_size;
	return 0;
}

static int parse_header(struct safetensors *f, struct error *e)
{
	uint64_t length = 0;

	for (int i = 7; i >= 0; i--)
		length = length << 8 | f->map[i];
	if (length > HEADER_BYTES_MAX)
		return error_set(e, "%s: not a safetensors file: a header of %llu bytes", f->path,
		                 (unsigned long long)length);
	if (length > f->bytes - 8)
		return error_set(e, "%s: cut short: header of %llu bytes in a file of %zu", f->path,
		                 (unsigned long long)length, f->bytes);
	if (length == 0 || f->map[8] != '{')
		return error_set(e, "%s: header is not a JSON object", f->path);
	f->data = f->map + 8 + length;
	f->data_bytes = f->bytes - 8 - (size_t)length;
	f->header = json_parse((const char *)f->map + 8, (size_t)length, f->path, e);
	return f->header ? 0 : -1;
}

/* A whole number of 0 … 2^53, or -1. */
static int64_t whole(const cJSON *number)
{
	double v = cJSON_IsNumber(number) ? number->valuedouble : -1;
	return v >= 0 && v <= 9007199254740992.0 && v == floor(v) ? (int64_t)v : -1;
}

static int bad(const struct safetensors *f, const cJSON *entry, struct error *e, const char *what)
{
	return error_set(e, "%s: tensor \"%.200s\": %s", f->path, entry->string, what);
}

static int parse_shape(const struct safetensors *f, const cJSON *entry, struct safetensor *s,
                       struct error *e)
{
	const cJSON *shape = cJSON_GetObjectItemCaseSensitive(entry, "shape"), *d;

	if (!cJSON_IsArray(shape))
		return bad(f, entry, e, "no shape");
	s->count = 1;
	cJSON_ArrayForEach (d, shape) {
		int64_t size = whole(d);

		if (s->shape.n == TENSOR_DIMS)
			return bad(f, entry, e, "more than 6 dimensions");
		if (size < 0 || __builtin_mul_overflow(s->count, size, &s->count))
			return bad(f, entry, e, "impossible shape");
		s->shape.d[s->shape.n++] = size;
	}
	return 0;
}

static int parse_range(const struct safetensors *f, const cJSON *entry, struct safetensor *s,
                       size_t element_bytes, struct error *e)
{
	const cJSON *range = cJSON_GetObjectItemCaseSensitive(entry, "data_offsets");
	int64_t begin = whole(cJSON_GetArrayItem(range, 0)), bytes;
	int64_t end = whole(cJSON_GetArrayItem(range, 1));

	if (!cJSON_IsArray(range) || cJSON_GetArraySize(range) != 2 || begin < 0 || end < begin)
		return bad(f, entry, e, "impossible data_offsets");
	if ((uint64_t)end > f->data_bytes)
		return bad(f, entry, e, "its values pass the end of the file (cut short?)");
	if (__builtin_mul_overflow(s->count, (int64_t)element_bytes, &bytes) ||
	    bytes != end - begin)
		return bad(f, entry, e, "data_offsets do not fit shape and type");
	s->data = f->data + begin;
	s->bytes = (size_t)bytes;
	return 0;
}

static int parse_entry(const struct safetensors *f, const cJSON *entry, struct safetensor *s,
                       struct error *e)
{
	const cJSON *type = cJSON_GetObjectItemCaseSensitive(entry, "dtype");
	const struct safetensors_type *t;

	if (!cJSON_IsString(type))
		return bad(f, entry, e, "no dtype");
	t = safetensors_type_named(type->valuestring);
	if (!t)
		return error_set(e, "%s: tensor \"%.200s\": unknown dtype \"%.40s\"", f->path,
		                 entry->string, type->valuestring);
	s->name = entry->string;
	s->type = t->name;
	if (parse_shape(f, entry, s, e))
		return -1;
	return parse_range(f, entry, s, t->bytes, e);
}

static int by_offset(const void *a, const void *b)
{
	const struct safetensor *x = a, *y = b;

	if (x->data != y->data)
		return (const char *)x->data < (const char *)y->data ? -1 : 1;
	return (x->bytes > y->bytes) - (x->bytes < y->bytes);
}

/* Every byte of the data belongs to exactly one tensor. */
static int check_cover(const struct safetensors *f, struct error *e)
{
	const uint8_t *at = f->data;

	for (int i = 0; i < f->count; i++) {
		if ((const uint8_t *)f->item[i].data != at)
			return error_set(e, "%s: tensor \"%.200s\": values %s", f->path,
			                 f->item[i].name,
			                 (const uint8_t *)f->item[i].data < at
			                         ? "overlap those before"
			                         : "leave a gap to those before");
		at += f->item[i].bytes;
	}
	if (at != f->data + f->data_bytes)
		return error_set(e, "%s: %zu bytes behind the last tensor", f->path,
		                 (size_t)(f->data + f->data_bytes - at));
	return 0;
}

static int check_metadata(const struct safetensors *f, const cJSON *metadata, struct error *e)
{
	const cJSON *value;

	cJSON_ArrayForEach (value, metadata) {
		if (!cJSON_IsString(value))
			return error_set(e, "%s: metadata \"%.200s\" is not text", f->path,
			                 value->string);
	}
	return 0;
}

static int parse_entries(struct safetensors *f, struct error *e)
{
	const cJSON *entry;

	f->item = xcalloc((size_t)cJSON_GetArraySize(f->header) + 1, sizeof(*f->item));
	cJSON_ArrayForEach (entry, f->header) {
		if (!cJSON_IsObject(entry))
			return bad(f, entry, e, "not an object");
		if (strcmp(entry->string, "__metadata__") == 0) {
			if (check_metadata(f, entry, e))
				return -1;
		} else if (parse_entry(f, entry, &f->item[f->count++], e)) {
			return -1;
		}
	}
	qsort(f->item, (size_t)f->count, sizeof(*f->item), by_offset);
	return check_cover(f, e);
}

struct safetensors *safetensors_open(const char *path, struct error *e)
{
	struct safetensors *f = xcalloc(1, sizeof(*f));

	f->path = xstrdup(path);
	if (map_file(f, e) || parse_header(f, e) || parse_entries(f, e)) {
		safetensors_close(f);
		return NULL;
	}
	return f;
}

void safetensors_close(struct safetensors *f)
{
	if (!f)
		return;
	if (f->map)
		munmap((void *)(uintptr_t)f->map, f->bytes);
	cJSON_Delete(f->header);
	free(f->item);
	free(f->path);
	free(f);
}

const char *safetensors_path(const struct safetensors *f)
{
	return f->path;
}

int safetensors_count(const struct safetensors *f)
{
	return f->count;
}

const struct safetensor *safetensors_item(const struct safetensors *f, int index)
{
	assert(index >= 0 && index < f->count);
	return &f->item[index];
}

const struct safetensor *safetensors_find(const struct safetensors *f, const char *name)
{
	for (int i = 0; i < f->count; i++)
		if (strcmp(f->item[i].name, name) == 0)
			return &f->item[i];
	return NULL;
}

const char *safetensors_metadata(const struct safetensors *f, const char *key)
{
	return json_text(cJSON_GetObjectItemCaseSensitive(f->header, "__metadata__"), key, NULL);
}
