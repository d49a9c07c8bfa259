/* Data sets for classification: labelled images of one shape, memory-mapped from a checked cache.
 *
 * A split is read once, from a folder or straight from an archive (tar, tar.gz, tar.xz, zip), into
 * one file of the cache folder; after that every process maps that file read-only.  A cache file
 * that is truncated or damaged is reported in one log line and built again. */
#ifndef DATA_DATASET_H
#define DATA_DATASET_H
#include "core/base/error.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum split { SPLIT_TRAIN, SPLIT_TEST, SPLIT_COUNT };
enum { DATASET_CHANNELS = 3 };

/* What to open.  Zero and null mean the default. */
struct dataset_request {
	const char *name;   /* a row of dataset_kinds[] */
	const char *source; /* folder or archive; null for "shapes" */
	enum split split;
	/* At most the first `limit` images: records in file order (CIFAR, idx); the first image of
	 * every class, then the second of every class, … (folder, tiny_imagenet).  Shapes makes
	 * exactly that many. */
	int64_t limit;
	const char *cache; /* folder; default $XDG_CACHE_HOME/trawl/data, ~/.cache/trawl/data */
	int64_t seed;      /* shapes: another seed, another data set */
	/* folder, tiny_imagenet: width and height of the images; default 32 and 64 */
	int image_size_px;
	bool flat; /* folder: source is this split alone, <class>/… without train/, test/ */
};

struct dataset {
	const char *name; /* of its kind */
	enum split split;
	int64_t count;
	int channels, height, width, classes;
	const char *const *class_name; /* (classes) */
	const char *const *group_name; /* (classes) superclass of each; null: there are none */
	const uint8_t *pixels;         /* (count, channels, height, width), RGB */
	const int32_t *label;          /* (count), 0 … classes - 1 */
	struct mapping *mapping;       /* what all of these lie in; or else in these two: */
	uint8_t *own_pixels;
	int32_t *own_label;
};

/* Opens, and builds the cache when it is not there.  The caller frees *out with dataset_free.
 * Fails with one line: nothing found (names what was looked for), a split that the source lacks, a
 * truncated record, a label out of range, a corrupt image (names it), a full disk. */
int dataset_open(const struct dataset_request *request, struct dataset **out, struct error *e);
void dataset_free(struct dataset *d); /* null is fine */

/* One row per kind of data set. */
struct dataset_kind {
	const char *name;
	int classes;                  /* 0: as many as the source has */
	float mean[DATASET_CHANNELS]; /* default normalisation, of values in 0 … 1 */
	float std[DATASET_CHANNELS];
	const struct reader *reader;
	const char *help;
	const char *const
	        *group_name; /* (classes) superclass of each; null: none, or the source's */
};
extern const struct dataset_kind dataset_kinds[];
extern const size_t dataset_kind_count;
const struct dataset_kind *dataset_kind_find(const char *name); /* null: unknown */

const char *split_name(enum split split); /* "train" | "test" */
#endif
