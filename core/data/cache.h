/* The cache: one file per data set and split, written once, checked, mapped read-only.
 *
 *   header | class names, each with its NUL | labels int32 | pixels uint8 (count, C, H, W)
 *
 * The header holds a magic, the version, the shape, the stamp of the source and the SHA-256 of all
 * that follows it.  A file appears under its name only when complete (temporary, fsync, rename);
 * builders of the same file wait for each other (flock of FILE.lock).  FILE.verified remembers that
 * the checksum was right. */
#ifndef DATA_CACHE_H
#define DATA_CACHE_H
#include "core/base/error.h"
#include "core/base/hash.h"
#include "core/data/dataset.h"

struct cache_shape {
	int64_t count;
	int channels, height, width, classes;
};

/* A file being built: read-write until it is published. */
struct cache_draft {
	struct cache_shape shape;
	int32_t *label;  /* (count) */
	uint8_t *pixels; /* (count, channels, height, width) */
	char *temporary;
	void *map;
	size_t bytes;
};

/* Reserves the disk space and maps it, zeroed.  class_name (classes) is copied. */
int cache_draft_begin(struct cache_draft *d, const struct cache_shape *shape,
                      const char *const *class_name, struct error *e);

/* What fills a draft: it calls cache_draft_begin once, then writes labels and pixels. */
typedef int cache_fill(void *context, struct cache_draft *d, struct error *e);

/* Maps the file at path into out, whose count, shape, class names, pixels and labels it sets.  When
 * the file is absent, made from another stamp, or damaged, fill makes it anew first. */
int cache_open(const char *path, const char *stamp, cache_fill *fill, void *context,
               struct dataset *out, struct error *e);
void cache_close(struct dataset *d);

/* The folder of caches: folder if given, else $XDG_CACHE_HOME/trawl/data, else
 * ~/.cache/trawl/data; made when it is not there.  Free with free(); null on failure. */
char *cache_folder(const char *folder, struct error *e);
#endif
