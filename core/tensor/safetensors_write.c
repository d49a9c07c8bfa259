/* Writing safetensors: header and values into a temporary file, then published under its name. */
#include "core/base/file.h"
#include "core/base/text.h"
#include "core/tensor/safetensors.h"
#include "core/tensor/safetensors_type.h"
#include <cjson/cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct entry {
	char *name;
	const struct safetensors_type *type;
	struct shape shape;
	const void *values;
	size_t bytes;
	int order; /* of adding */
};

struct safetensors_writer {
	struct entry *entry;
	int count, capacity;
	cJSON *metadata;
};

static const char *const type_name[DTYPE_COUNT] = {
        [F64] = "F64", [F32] = "F32", [I32] = "I32", [U8] = "U8"};

struct safetensors_writer *safetensors_writer_new(void)
{
	return xcalloc(1, sizeof(struct safetensors_writer));
}

void safetensors_writer_free(struct safetensors_writer *w)
{
	if (!w)
		return;
	for (int i = 0; i < w->count; i++)
		free(w->entry[i].name);
	free(w->entry);
	cJSON_Delete(w->metadata);
	free(w);
}

void safetensors_put(struct safetensors_writer *w, const char *name, const char *type,
                     struct shape shape, const void *values)
{
	const struct safetensors_type *t = safetensors_type_named(type);

	assert(t);
	if (w->count == w->capacity) {
		w->capacity = w->capacity ? 2 * w->capacity : 64;
		w->entry = xrealloc(w->entry, (size_t)w->capacity * sizeof(*w->entry));
	}
	w->entry[w->count] = (struct entry){.name = xstrdup(name),
	                                    .type = t,
	                                    .shape = shape,
	                                    .values = values,
	                                    .bytes = (size_t)shape_count(shape) * t->bytes,
	                                    .order = w->count};
	w->count++;
}

void safetensors_put_tensor(struct safetensors_writer *w, const char *name, struct tensor *t)
{
	safetensors_put(w, name, type_name[t->type], t->shape, tensor_plain(t));
}

void safetensors_put_metadata(struct safetensors_writer *w, const char *key, const char *value)
{
	if (!w->metadata)
		w->metadata = cJSON_CreateObject();
	cJSON_AddItemToObject(w->metadata, key, cJSON_CreateString(value));
}

/* Wide elements first, so that all are aligned; else the order of adding. */
static int by_width(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	if (x->type->bytes != y->type->bytes)
		return x->type->bytes > y->type->bytes ? -1 : 1;
	return x->order - y->order;
}

static cJSON *entry_json(const struct entry *t, size_t begin)
{
	cJSON *o = cJSON_CreateObject(), *shape, *range;

	cJSON_AddStringToObject(o, "dtype", t->type->name);
	shape = cJSON_AddArrayToObject(o, "shape");
	for (int i = 0; i < t->shape.n; i++)
		cJSON_AddItemToArray(shape, cJSON_CreateNumber((double)t->shape.d[i]));
	range = cJSON_AddArrayToObject(o, "data_offsets");
	cJSON_AddItemToArray(range, cJSON_CreateNumber((double)begin));
	cJSON_AddItemToArray(range, cJSON_CreateNumber((double)(begin + t->bytes)));
	return o;
}

/* The header, padded with spaces to a multiple of 8. */
static void header_text(const struct safetensors_writer *w, struct text *header)
{
	cJSON *root = cJSON_CreateObject();
	size_t offset = 0;
	char *json;

	if (w->metadata)
		cJSON_AddItemReferenceToObject(root, "__metadata__", w->metadata);
	for (int i = 0; i < w->count; i++) {
		cJSON_AddItemToObject(root, w->entry[i].name, entry_json(&w->entry[i], offset));
		offset += w->entry[i].bytes;
	}
	json = cJSON_PrintUnformatted(root);
	text_add(header, "%s", json);
	while (header->length % 8)
		text_add(header, " ");
	cJSON_free(json);
	cJSON_Delete(root);
}

static int put(int fd, const void *bytes, size_t length)
{
	const char *at = bytes;

	while (length > 0) {
		ssize_t n = write(fd, at, length < 1 << 30 ? length : 1 << 30);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		at += n;
		length -= (size_t)n;
	}
	return 0;
}

static int put_all(const struct safetensors_writer *w, int fd)
{
	struct text header = {0};
	uint8_t length[8];
	int bad;

	header_text(w, &header);
	for (int i = 0; i < 8; i++)
		length[i] = (uint8_t)((uint64_t)header.length >> (8 * i));
	bad = put(fd, length, 8) || put(fd, header.data, header.length);
	text_release(&header);
	for (int i = 0; i < w->count && !bad; i++)
		bad = put(fd, w->entry[i].values, w->entry[i].bytes);
	return bad || fsync(fd) ? -1 : 0;
}

int safetensors_write(struct safetensors_writer *w, const char *path, struct error *e)
{
	char *temporary = xformat("%s.%ld.tmp", path, (long)getpid());
	int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666), result = -1;

	qsort(w->entry, (size_t)w->count, sizeof(*w->entry), by_width);
	if (fd < 0) {
		error_errno(e, "%s", temporary);
	} else if (put_all(w, fd)) {
		error_errno(e, "%s: writing", temporary);
		close(fd);
	} else {
		result = close(fd) ? error_errno(e, "%s: closing", temporary)
		                   : file_publish(temporary, path, e);
	}
	if (result)
		unlink(temporary);
	free(temporary);
	return result;
}
