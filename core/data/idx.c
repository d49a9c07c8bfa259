/* Images and labels in idx files: MNIST and what is laid out like it (Fashion-MNIST, KMNIST,
 * EMNIST).
 *
 * A file is a magic number (0, 0, type 8: bytes, number of dimensions), each dimension in four
 * bytes, the highest first, then the values; often in gzip.  Grey is given three times, as red,
 * green and blue, so that every model takes it.  Files are found by their base name anywhere below
 * the source. */
#include "core/base/text.h"
#include "core/data/bundle.h"
#include "core/data/reader.h"
#include <archive.h>
#include <archive_entry.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

enum { IMAGES, LABELS, KINDS, IMAGE_SIDE_PX = 4096, TYPE_BYTE = 8 };
static const size_t LIMIT_BYTES = (size_t)1 << 31;

/* What a file is called, and how many dimensions it has. */
static const struct {
	const char *pattern[SPLIT_COUNT], *example[SPLIT_COUNT];
	int dimensions;
} kinds[KINDS] = {
        {{"*train-images?idx3-ubyte?(.gz)", "*@(t10k|test)-images?idx3-ubyte?(.gz)"},
         {"train-images-idx3-ubyte", "t10k-images-idx3-ubyte"},
         3},
        {{"*train-labels?idx1-ubyte?(.gz)", "*@(t10k|test)-labels?idx1-ubyte?(.gz)"},
         {"train-labels-idx1-ubyte", "t10k-labels-idx1-ubyte"},
         1},
};

struct part {
	char *name; /* null: not there */
	uint8_t *data, *values;
	size_t bytes;
	int64_t size[3];
};

struct collection {
	struct part part[SPLIT_COUNT][KINDS];
	enum split split; /* images of the other are passed over */
	struct text found;
};

static void collection_release(struct collection *c)
{
	for (int s = 0; s < SPLIT_COUNT; s++)
		for (int k = 0; k < KINDS; k++) {
			free(c->part[s][k].name);
			free(c->part[s][k].data);
		}
	text_release(&c->found);
}

/* All that an open raw stream has, into p. */
static int inflate_all(struct archive *a, struct part *p, struct error *e)
{
	struct archive_entry *entry;
	size_t capacity = 1 << 20, length = 0;
	uint8_t *out = xmalloc(capacity);
	ssize_t got = archive_read_next_header(a, &entry) == ARCHIVE_OK ? 1 : -1;

	while (got > 0 && length <= LIMIT_BYTES) {
		if (length == capacity)
			out = xrealloc(out, capacity *= 2);
		got = archive_read_data(a, out + length, capacity - length);
		length += got > 0 ? (size_t)got : 0;
	}
	free(p->data);
	p->data = out;
	p->bytes = length;
	if (length > LIMIT_BYTES)
		return error_set(e, "%s: more than %zu bytes", p->name, LIMIT_BYTES);
	if (got < 0)
		return error_set(e, "%s: damaged gzip: %s", p->name, archive_error_string(a));
	return 0;
}

static int inflate(struct part *p, struct error *e)
{
	struct archive *a = archive_read_new();
	uint8_t *packed = p->data;
	int status = -1;

	p->data = NULL;
	archive_read_support_format_raw(a);
	archive_read_support_filter_gzip(a);
	if (archive_read_open_memory(a, packed, p->bytes) == ARCHIVE_OK)
		status = inflate_all(a, p, e);
	else
		error_set(e, "%s: damaged gzip: %s", p->name, archive_error_string(a));
	archive_read_free(a);
	free(packed);
	return status;
}

static int take(struct part *p, struct bundle_file *file, struct error *e)
{
	if (p->name)
		return error_set(e, "%s: both %s and %s/%s are there; name the folder of one",
		                 file->bundle, p->name, file->bundle, file->name);
	p->data = bundle_read(file, LIMIT_BYTES, &p->bytes, e);
	if (!p->data)
		return -1;
	p->name = xformat("%s/%s", file->bundle, file->name);
	if (p->bytes > 2 && p->data[0] == 0x1f && p->data[1] == 0x8b)
		return inflate(p, e);
	return 0;
}

static int visit(void *context, struct bundle_file *file, struct error *e)
{
	struct collection *c = context;
	const char *base = bundle_base_name(file->name);

	bundle_list(file, &c->found);
	for (int s = 0; s < SPLIT_COUNT; s++)
		for (int k = 0; k < KINDS; k++)
			if ((k == LABELS || s == (int)c->split) &&
			    fnmatch(kinds[k].pattern[s], base, FNM_EXTMATCH) == 0)
				return take(&c->part[s][k], file, e);
	return 0;
}

static uint32_t read_be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* Checks the header of a file of so many dimensions, and that all values are there. */
static int parse(struct part *p, int dimensions, struct error *e)
{
	uint32_t expected = TYPE_BYTE << 8 | (uint32_t)dimensions;
	size_t header = 4 + 4 * (size_t)dimensions, values = 1;

	if (p->bytes < header)
		return error_set(e, "%s: %zu bytes are less than a header of %zu: truncated",
		                 p->name, p->bytes, header);
	if (read_be32(p->data) != expected)
		return error_set(e, "%s: magic number %08x, expected %08x (bytes in %d dimensions)",
		                 p->name, read_be32(p->data), expected, dimensions);
	for (int i = 0; i < dimensions; i++) {
		p->size[i] = read_be32(p->data + 4 + 4 * i);
		if (p->size[i] == 0 || (i > 0 && p->size[i] > IMAGE_SIDE_PX))
			return error_set(e, "%s: dimension %d is %lld", p->name, i,
			                 (long long)p->size[i]);
		values *= (size_t)p->size[i]; /* below 2^56 */
	}
	if (p->bytes - header != values)
		return error_set(e, "%s: %zu values, its header says %zu%s", p->name,
		                 p->bytes - header, values,
		                 p->bytes - header < values ? ": truncated" : "");
	p->values = p->data + header;
	return 0;
}

static int parse_all(struct collection *c, const char *source, struct error *e)
{
	for (int k = 0; k < KINDS; k++)
		if (!c->part[c->split][k].name)
			return error_set(e, "%s: no file %s (or .gz); found %s", source,
			                 kinds[k].example[c->split],
			                 c->found.length ? c->found.data : "no files at all");
	for (int s = 0; s < SPLIT_COUNT; s++)
		for (int k = 0; k < KINDS; k++)
			if (c->part[s][k].name &&
			    parse(&c->part[s][k], kinds[k].dimensions, e) != 0)
				return -1;
	const struct part *images = &c->part[c->split][IMAGES];
	const struct part *labels = &c->part[c->split][LABELS];
	if (images->size[0] != labels->size[0])
		return error_set(e, "%s has %lld images, %s %lld labels", images->name,
		                 (long long)images->size[0], labels->name,
		                 (long long)labels->size[0]);
	return 0;
}

static int largest(const struct part *labels)
{
	int most = 0;

	for (int64_t i = 0; i < labels->size[0]; i++)
		most = labels->values[i] > most ? labels->values[i] : most;
	return most;
}

/* As many as the training labels have, where these are there, so that both splits agree. */
static int class_count(const struct collection *c, struct error *e)
{
	const struct part *train = &c->part[SPLIT_TRAIN][LABELS], *own = &c->part[c->split][LABELS];
	int classes = 1 + largest(train->name ? train : own);

	for (int64_t i = 0; i < own->size[0]; i++)
		if (own->values[i] >= classes)
			return error_set(
			        e, "%s: label %lld is %d, but the training labels are 0 to %d",
			        own->name, (long long)i, own->values[i], classes - 1);
	return classes;
}

static void copy(const struct collection *c, struct cache_draft *draft)
{
	const struct part *images = &c->part[c->split][IMAGES];
	size_t plane = (size_t)images->size[1] * (size_t)images->size[2];
	uint8_t *to = draft->pixels;

	for (int64_t i = 0; i < draft->shape.count; i++) {
		draft->label[i] = c->part[c->split][LABELS].values[i];
		for (int channel = 0; channel < DATASET_CHANNELS; channel++, to += plane)
			memcpy(to, images->values + (size_t)i * plane, plane);
	}
}

static int fill_draft(const struct collection *c, int classes, struct cache_draft *draft,
                      struct error *e)
{
	const int64_t *size = c->part[c->split][IMAGES].size;
	struct cache_shape shape = {size[0], DATASET_CHANNELS, (int)size[1], (int)size[2], classes};
	char store[256][4];
	const char *name[256];

	for (int i = 0; i < classes; i++) {
		snprintf(store[i], sizeof store[i], "%u", (uint8_t)i);
		name[i] = store[i];
	}
	if (cache_draft_begin(draft, &shape, name, e) != 0)
		return -1;
	copy(c, draft);
	return 0;
}

static int fill(const struct dataset_kind *kind, const struct dataset_request *request,
                struct cache_draft *draft, struct error *e)
{
	struct collection c = {.split = request->split};
	int status = bundle_each(request->source, visit, &c, e), classes = 0;

	(void)kind;
	if (status == 0)
		status = parse_all(&c, request->source, e);
	if (status == 0)
		status = (classes = class_count(&c, e)) < 0 ? -1 : 0;
	if (status == 0)
		status = fill_draft(&c, classes, draft, e);
	collection_release(&c);
	return status;
}

const struct reader idx_reader = {1, fill, variant_none};
