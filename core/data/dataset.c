/* The table of data sets, and how one is opened through the cache. */
#include "core/data/dataset.h"
#include "core/base/file.h"
#include "core/base/json.h"
#include "core/base/text.h"
#include "core/data/bundle.h"
#include "core/data/group.h"
#include "core/data/reader.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

const struct dataset_kind dataset_kinds[] = {
        {"shapes",
         10,
         {.38f, .38f, .38f},
         {.21f, .21f, .21f},
         &shapes_reader,
         "drawn here, nothing to download: 32x32 RGB, 10 classes, 4000 and 1000 images",
         NULL},
        {"cifar10",
         10,
         {.4914f, .4822f, .4465f},
         {.2470f, .2435f, .2616f},
         &cifar10_reader,
         "official binary files data_batch_*.bin, test_batch.bin: 32x32 RGB, 10 classes",
         cifar10_groups},
        {"cifar100",
         100,
         {.5071f, .4865f, .4409f},
         {.2673f, .2564f, .2762f},
         &cifar100_reader,
         "official binary files train.bin, test.bin: 32x32 RGB, 100 (fine) classes",
         cifar100_groups},
        {"tiny_imagenet",
         0,
         {.4802f, .4481f, .3975f},
         {.2770f, .2691f, .2821f},
         &tiny_imagenet_reader,
         "as distributed: wnids.txt, words.txt, train/, val/: 64x64 RGB, 200 classes",
         NULL},
        {"idx",
         0,
         {.1307f, .1307f, .1307f},
         {.3081f, .3081f, .3081f},
         &idx_reader,
         "MNIST and its like: train-images-idx3-ubyte, t10k-labels-idx1-ubyte, … or .gz; grey "
         "becomes RGB",
         NULL},
        {"folder",
         0,
         {.485f, .456f, .406f},
         {.229f, .224f, .225f},
         &folder_reader,
         "JPEG, PNG below train/<class>/, and test/<class>/ or val/<class>/",
         NULL},
};
const size_t dataset_kind_count = sizeof dataset_kinds / sizeof *dataset_kinds;

char *variant_none(const struct dataset_request *request)
{
	(void)request;
	return xstrdup("");
}

const char *split_name(enum split split)
{
	assert((unsigned int)split < SPLIT_COUNT);
	return split == SPLIT_TRAIN ? "train" : "test";
}

const struct dataset_kind *dataset_kind_find(const char *name)
{
	for (size_t i = 0; i < dataset_kind_count; i++)
		if (strcmp(dataset_kinds[i].name, name) == 0)
			return &dataset_kinds[i];
	return NULL;
}

static int unknown_kind(const char *name, struct error *e)
{
	const char *known[sizeof dataset_kinds / sizeof *dataset_kinds];
	struct text list = {0};

	for (size_t i = 0; i < dataset_kind_count; i++) {
		known[i] = dataset_kinds[i].name;
		text_add(&list, "%s%s", i ? ", " : "", known[i]);
	}
	const char *near = nearest_name(name, known, dataset_kind_count);
	error_set(e, "data set \"%s\" is not known (%s)%s%s%s", name, list.data,
	          near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
	text_release(&list);
	return -1;
}

struct filling {
	const struct dataset_kind *kind;
	const struct dataset_request *request;
};

static int fill(void *context, struct cache_draft *draft, struct error *e)
{
	const struct filling *f = context;

	return f->kind->reader->fill(f->kind, f->request, draft, e);
}

/* The file's name tells kind, split, and what else was asked for; its stamp tells the source's
 * state, so a source that changes replaces its cache file instead of adding one. */
static char *cache_path(const char *folder, const struct filling *f)
{
	const struct reader *reader = f->kind->reader;
	const char *source = f->request->source ? f->request->source : "";
	char *real = path_real(source), *variant = reader->variant(f->request);
	char *key = xformat("%s\n%d\n%s\n", real ? real : source, reader->version, variant);
	char hex[SHA256_HEX];

	sha256_hex(key, strlen(key), hex);
	char *path = xformat("%s/%s-%s-%.16s.images", folder, f->kind->name,
	                     split_name(f->request->split), hex);
	free(real);
	free(variant);
	free(key);
	return path;
}

static int source_stamp(const struct dataset_request *r, char hex[SHA256_HEX], struct error *e)
{
	if (r->source)
		return bundle_stamp(r->source, hex, e);
	sha256_hex("", 0, hex);
	return 0;
}

static int open_kind(const struct filling *f, struct dataset *d, struct error *e)
{
	char stamp[SHA256_HEX], *folder = NULL, *path = NULL;
	int status = source_stamp(f->request, stamp, e);

	if (status == 0)
		status = (folder = cache_folder(f->request->cache, e)) ? 0 : -1;
	if (status == 0) {
		path = cache_path(folder, f);
		status = cache_open(path, stamp, fill, (void *)f, d, e);
	}
	free(folder);
	free(path);
	return status;
}

int dataset_open(const struct dataset_request *request, struct dataset **out, struct error *e)
{
	struct dataset_request r = *request;
	const struct dataset_kind *kind = dataset_kind_find(r.name);

	*out = NULL;
	if (!kind)
		return unknown_kind(r.name, e);
	if (kind->reader == &shapes_reader)
		r.source = NULL;
	else if (!r.source)
		return error_set(e, "data set %s: no folder or archive was given or found", r.name);
	struct dataset *d = xcalloc(1, sizeof *d);
	d->name = kind->name;
	d->split = r.split;
	if (open_kind(&(struct filling){kind, &r}, d, e) != 0) {
		free(d);
		return error_prefix(e, "data set %s, %s split", kind->name, split_name(r.split));
	}
	if (!d->group_name)
		d->group_name = kind->group_name;
	if (r.limit > 0 && r.limit < d->count)
		d->count = r.limit;
	*out = d;
	return 0;
}

void dataset_free(struct dataset *d)
{
	if (!d)
		return;
	cache_close(d);
	free(d->own_pixels);
	free(d->own_label);
	free(d);
}
