/* The safetensors format: 8 bytes of header length, a JSON header, values.
 *
 * A file is untrusted: every offset is checked before anything is read. */
#ifndef TENSOR_SAFETENSORS_H
#define TENSOR_SAFETENSORS_H
#include "core/base/error.h"
#include "core/tensor/tensor.h"

struct safetensor {
	const char *name;
	const char *type; /* "F64" "F32" "F16" "BF16" "I64" "I32" "U8" "I8" */
	struct shape shape;
	int64_t count;    /* elements */
	const void *data; /* little-endian, row-major, mapped; maybe not aligned */
	size_t bytes;
};

struct safetensors; /* a mapped file */

/* Null and one line on: not a regular file, shorter than its header says, header beyond 100 MB or
 * not a JSON object, unknown type, more than 6 dimensions, sizes that disagree, ranges that
 * overlap, leave gaps or pass the end, duplicate names. */
struct safetensors *safetensors_open(const char *path, struct error *e);
void safetensors_close(struct safetensors *f);

/* What the file holds; the names and values live as long as it is open. */
const char *safetensors_path(const struct safetensors *f);
int safetensors_count(const struct safetensors *f);
const struct safetensor *safetensors_item(const struct safetensors *f, int index); /* by offset */
const struct safetensor *safetensors_find(const struct safetensors *f, const char *name);
const char *safetensors_metadata(const struct safetensors *f, const char *key); /* or null */

/* Copies the values, converted, into t (F64 F32 I32 U8), whatever t's shape is: the counts must be
 * equal.  To fewer bits floats round to nearest; an integer that does not fit fails. */
int safetensor_read(const struct safetensor *s, struct tensor *t, struct error *e);
double safetensor_at(const struct safetensor *s, int64_t index);

/* Writing: add tensors (values are borrowed until the end) and metadata, then write.  The bytes of
 * the file depend on content and order of adding alone. */
struct safetensors_writer;
struct safetensors_writer *safetensors_writer_new(void);
void safetensors_writer_free(struct safetensors_writer *w);
void safetensors_put(struct safetensors_writer *w, const char *name, const char *type,
                     struct shape shape, const void *values);
void safetensors_put_tensor(struct safetensors_writer *w, const char *name, struct tensor *t);
void safetensors_put_metadata(struct safetensors_writer *w, const char *key, const char *value);
/* Written beside `path`, fsynced, renamed: never a partial file under the final name. */
int safetensors_write(struct safetensors_writer *w, const char *path, struct error *e);
#endif
