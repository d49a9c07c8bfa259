/* Folders of JPEG and PNG images by class. */
#include "core/base/text.h"
#include "core/data/bundle.h"
#include "core/data/image.h"
#include "core/data/listing.h"
#include "core/data/reader.h"
#include <stdlib.h>
#include <string.h>

enum { QUEUE = 64, FILE_LIMIT_BYTES = 1 << 28 };

/* Files are read one after the other and decoded many at a time, each to its own place. */
struct pending {
	char *name;
	void *data;
	size_t bytes;
	int64_t position;
	int status;
	struct error error;
};

struct decoding {
	const struct listing *listing;
	struct cache_draft *draft;
	struct pending queue[QUEUE];
	int count;
};

static void decode_one(struct pending *p, const struct cache_draft *draft)
{
	int size_px = draft->shape.width;
	struct image image;

	p->status = image_decode(p->data, p->bytes, p->name, &image, &p->error);
	if (p->status == 0)
		image_fit(&image, size_px, draft->pixels + p->position * 3 * size_px * size_px);
	image_release(&image);
}

static void queue_clear(struct decoding *d)
{
	for (int i = 0; i < d->count; i++) {
		free(d->queue[i].name);
		free(d->queue[i].data);
	}
	d->count = 0;
}

static int queue_flush(struct decoding *d, struct error *e)
{
	int status = 0;

#pragma omp parallel for schedule(dynamic)
	for (int i = 0; i < d->count; i++)
		decode_one(&d->queue[i], d->draft);
	for (int i = 0; i < d->count && status == 0; i++)
		if (d->queue[i].status != 0)
			status = error_set(e, "%s", d->queue[i].error.text);
	queue_clear(d);
	return status;
}

static int visit(void *context, struct bundle_file *file, struct error *e)
{
	struct decoding *d = context;
	const struct listing_item *item = listing_find(d->listing, file->name);
	struct pending *p = &d->queue[d->count];

	if (!item)
		return 0;
	p->data = bundle_read(file, FILE_LIMIT_BYTES, &p->bytes, e);
	if (!p->data)
		return -1;
	p->name = xformat("%s/%s", file->bundle, file->name);
	p->position = item->position;
	d->draft->label[item->position] = item->label;
	return ++d->count == QUEUE ? queue_flush(d, e) : 0;
}

static int decode_all(const char *source, const struct listing *listing, struct cache_draft *draft,
                      struct error *e)
{
	struct decoding *d = xcalloc(1, sizeof *d);

	d->listing = listing;
	d->draft = draft;
	int status = bundle_each(source, visit, d, e);
	if (status == 0)
		status = queue_flush(d, e);
	queue_clear(d);
	free(d);
	return status;
}

int folder_decode(const char *source, const struct listing *listing, const char *const *class_name,
                  int size_px, struct cache_draft *draft, struct error *e)
{
	struct cache_shape shape = {listing->count, DATASET_CHANNELS, size_px, size_px,
	                            listing->classes};

	if (cache_draft_begin(draft, &shape, class_name, e) != 0)
		return -1;
	return decode_all(source, listing, draft, e);
}

static int size_of(const struct dataset_request *request)
{
	return request->image_size_px ? request->image_size_px : FOLDER_SIZE_PX;
}

static int fill(const struct dataset_kind *kind, const struct dataset_request *request,
                struct cache_draft *draft, struct error *e)
{
	struct listing listing;

	(void)kind;
	if (listing_read(request->source, request->split, request->flat, &listing, e) != 0)
		return -1;
	int status =
	        folder_decode(request->source, &listing, (const char *const *)listing.class_name,
	                      size_of(request), draft, e);
	listing_release(&listing);
	return status;
}

static char *variant(const struct dataset_request *request)
{
	return xformat("%d px%s", size_of(request), request->flat ? " flat" : "");
}

const struct reader folder_reader = {1, fill, variant};
