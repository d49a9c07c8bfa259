/* Readers: how each kind of data set becomes labels and pixels. */
#ifndef DATA_READER_H
#define DATA_READER_H
#include "core/data/cache.h"

struct reader {
	/* Raised when the same source would give other bytes, so that old caches are not used. */
	int version;
	int (*fill)(const struct dataset_kind *kind, const struct dataset_request *request,
	            struct cache_draft *draft, struct error *e);
	/* What of the request decides the bytes, apart from source and split.  Free with free(). */
	char *(*variant)(const struct dataset_request *request);
};

extern const struct reader cifar10_reader, cifar100_reader, folder_reader, idx_reader,
        shapes_reader, tiny_imagenet_reader;

enum { SHAPES_TRAIN = 4000, SHAPES_TEST = 1000, FOLDER_SIZE_PX = 32, TINY_IMAGENET_SIZE_PX = 64 };

/* A reader's variant when only source and split decide: "", to be freed. */
char *variant_none(const struct dataset_request *request);

/* Decodes the listed images of a folder or archive into a draft of squares of size_px; class_name
 * (classes) is copied. */
struct listing;
int folder_decode(const char *source, const struct listing *listing, const char *const *class_name,
                  int size_px, struct cache_draft *draft, struct error *e);
#endif
