/* CIFAR-10 and CIFAR-100 in their official binary layouts.
 *
 * A record is its labels, one byte each, then 3072 bytes of pixels: red, green, blue planes of 32
 * rows of 32.  Files are found by their base name anywhere below the source. */
#include "core/base/text.h"
#include "core/data/bundle.h"
#include "core/data/reader.h"
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

enum { SIDE = 32, PIXEL_BYTES = 3 * SIDE * SIDE, MAX_FILES = 64 };
static const size_t LIMIT_BYTES = (size_t)1 << 30;

struct layout {
	const char *file[SPLIT_COUNT]; /* patterns of base names */
	const char *names_file;
	size_t label_bytes, label_at; /* labels of a record; which of them is the class */
};

static const struct layout cifar10 = {
        {"data_batch_*.bin", "test_batch.bin"}, "batches.meta.txt", 1, 0};
static const struct layout cifar100 = {{"train.bin", "test.bin"}, "fine_label_names.txt", 2, 1};

struct part {
	char *name;
	uint8_t *data;
	size_t bytes;
};

struct collection {
	const struct layout *layout;
	const char *pattern;
	struct part part[MAX_FILES];
	int count;
	char *names;       /* content of the names file; null when there is none */
	struct text found; /* names of all files, for the error message */
};

static void collection_release(struct collection *c)
{
	for (int i = 0; i < c->count; i++) {
		free(c->part[i].name);
		free(c->part[i].data);
	}
	free(c->names);
	text_release(&c->found);
}

static int take_names(struct collection *c, struct bundle_file *file, struct error *e)
{
	size_t bytes;
	char *text = bundle_read(file, 1 << 16, &bytes, e);

	if (!text)
		return -1;
	free(c->names);
	c->names = xformat("%.*s", (int)bytes, text);
	free(text);
	return 0;
}

static int take_part(struct collection *c, struct bundle_file *file, struct error *e)
{
	const char *base = bundle_base_name(file->name);

	if (c->count == MAX_FILES)
		return error_set(e, "%s: more than %d files %s", file->bundle, MAX_FILES,
		                 c->pattern);
	for (int i = 0; i < c->count; i++)
		if (strcmp(bundle_base_name(c->part[i].name), base) == 0)
			return error_set(e, "%s: %s is there twice: %s and %s", file->bundle, base,
			                 c->part[i].name, file->name);
	struct part *p = &c->part[c->count];
	p->data = bundle_read(file, LIMIT_BYTES, &p->bytes, e);
	if (!p->data)
		return -1;
	p->name = xformat("%s/%s", file->bundle, file->name);
	c->count++;
	return 0;
}

static int visit(void *context, struct bundle_file *file, struct error *e)
{
	struct collection *c = context;
	const char *base = bundle_base_name(file->name);

	bundle_list(file, &c->found);
	if (strcmp(base, c->layout->names_file) == 0)
		return take_names(c, file, e);
	return fnmatch(c->pattern, base, 0) == 0 ? take_part(c, file, e) : 0;
}

static int by_base_name(const void *a, const void *b)
{
	return strcmp(bundle_base_name(((const struct part *)a)->name),
	              bundle_base_name(((const struct part *)b)->name));
}

/* One name a line; without a names file, the numbers. */
static int class_names(const struct collection *c, const char *source, int classes,
                       const char **name, struct text *store, struct error *e)
{
	int count = 0;

	for (char *rest = c->names, *line; rest && (line = strsep(&rest, "\r\n"));)
		if (line[0] && ++count <= classes)
			text_add_bytes(store, line, strlen(line) + 1);
	if (c->names && count != classes)
		return error_set(e, "%s: %s has %d names, expected %d", source,
		                 c->layout->names_file, count, classes);
	for (int i = 0; !c->names && i < classes; i++) {
		text_add(store, "%d", i);
		text_add_bytes(store, "", 1);
	}
	const char *at = store->data;
	for (int i = 0; i < classes; i++, at += strlen(at) + 1)
		name[i] = at;
	return 0;
}

static int check_part(const struct part *p, size_t record, const char *kind, struct error *e)
{
	if (p->bytes == 0 || p->bytes % record != 0)
		return error_set(e,
		                 "%s: %zu bytes are not whole records of %zu bytes: truncated (in "
		                 "record %zu), or not %s",
		                 p->name, p->bytes, record, p->bytes / record, kind);
	return 0;
}

static int copy_part(const struct part *p, const struct layout *layout, int64_t first,
                     struct cache_draft *draft, struct error *e)
{
	size_t record = layout->label_bytes + PIXEL_BYTES;

	for (size_t i = 0; i < p->bytes / record; i++) {
		const uint8_t *from = p->data + i * record;
		int label = from[layout->label_at];
		if (label >= draft->shape.classes)
			return error_set(e, "%s: record %zu has label %d, expected 0 to %d",
			                 p->name, i, label, draft->shape.classes - 1);
		int64_t at = first + (int64_t)i;
		draft->label[at] = label;
		memcpy(draft->pixels + at * PIXEL_BYTES, from + layout->label_bytes, PIXEL_BYTES);
	}
	return 0;
}

static int write_parts(const struct collection *c, int classes, const char *const *name,
                       struct cache_draft *draft, struct error *e)
{
	struct cache_shape shape = {0, 3, SIDE, SIDE, classes};
	size_t record = c->layout->label_bytes + PIXEL_BYTES;
	int64_t first = 0;

	for (int i = 0; i < c->count; i++)
		shape.count += (int64_t)(c->part[i].bytes / record);
	if (cache_draft_begin(draft, &shape, name, e) != 0)
		return -1;
	for (int i = 0; i < c->count; i++) {
		if (copy_part(&c->part[i], c->layout, first, draft, e) != 0)
			return -1;
		first += (int64_t)(c->part[i].bytes / record);
	}
	return 0;
}

static int fill(const struct dataset_kind *kind, const struct dataset_request *request,
                const struct layout *layout, struct cache_draft *draft, struct error *e)
{
	struct collection c = {.layout = layout, .pattern = layout->file[request->split]};
	const char **name = xcalloc((size_t)kind->classes, sizeof *name);
	struct text store = {0};
	int status = bundle_each(request->source, visit, &c, e);

	if (status == 0 && c.count == 0)
		status = error_set(e, "%s: no file %s; found %s", request->source, c.pattern,
		                   c.found.length ? c.found.data : "no files at all");
	qsort(c.part, (size_t)c.count, sizeof *c.part, by_base_name);
	for (int i = 0; status == 0 && i < c.count; i++)
		status = check_part(&c.part[i], layout->label_bytes + PIXEL_BYTES, kind->name, e);
	if (status == 0)
		status = class_names(&c, request->source, kind->classes, name, &store, e);
	if (status == 0)
		status = write_parts(&c, kind->classes, name, draft, e);
	collection_release(&c);
	text_release(&store);
	free(name);
	return status;
}

static int fill_cifar10(const struct dataset_kind *kind, const struct dataset_request *request,
                        struct cache_draft *draft, struct error *e)
{
	return fill(kind, request, &cifar10, draft, e);
}

static int fill_cifar100(const struct dataset_kind *kind, const struct dataset_request *request,
                         struct cache_draft *draft, struct error *e)
{
	return fill(kind, request, &cifar100, draft, e);
}

const struct reader cifar10_reader = {1, fill_cifar10, variant_none};
const struct reader cifar100_reader = {1, fill_cifar100, variant_none};
