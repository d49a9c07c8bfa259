/* How long data takes: building and opening caches, and filling batches. */
#include "core/base/clock.h"
#include "core/data/batch.h"
#include "tests/fixture.h"

enum { BATCH = 128 };

static struct dataset *open_timed(const char *what, struct dataset_request r, struct error *e)
{
	struct dataset *d = NULL;
	double start = clock_seconds();

	if (dataset_open(&r, &d, e) != 0)
		printf("%s\n", e->text);
	else
		printf("%-34s %-5s %9.2f ms  %lld images of %d x %d\n", what, split_name(r.split),
		       1e3 * (clock_seconds() - start), (long long)d->count, d->width, d->height);
	return d;
}

/* Epochs of batches for about a second, on one thread. */
static void fill_timed(const char *what, const struct dataset *d, const struct augment *a)
{
	int64_t *order = xcalloc((size_t)d->count, sizeof *order), done = 0;
	size_t image = (size_t)(d->channels * d->height * d->width);
	float *images = xmalloc(BATCH * image * sizeof *images);
	int32_t labels[BATCH];
	double start = clock_seconds(), seconds = 0;

	for (int64_t epoch = 0; seconds < 1; epoch++) {
		epoch_order(1, epoch, order, d->count);
		for (int64_t at = 0; at + BATCH <= d->count; at += BATCH, done += BATCH)
			batch_fill(d, order + at, BATCH, a, epoch, images, labels);
		seconds = clock_seconds() - start;
	}
	printf("batch_fill %-23s       %9.0f images/s on one thread, epoch_order included\n", what,
	       (double)done / seconds);
	free(order);
	free(images);
}

static void measure(const char *name, const char *source, const char *cache, enum split split)
{
	struct dataset_request r = {.name = name, .source = source, .cache = cache, .split = split};
	char *built = xformat("%s: built", name), *opened = xformat("%s: opened", name);
	struct error e;

	dataset_free(open_timed(built, r, &e));
	struct dataset *d = open_timed(opened, r, &e);
	if (d && split == SPLIT_TRAIN) {
		struct augment plain = augment_none(d), augmented = plain;
		augmented.crop_padding_px = 4;
		augmented.flip = true;
		fill_timed("plain", d, &plain);
		fill_timed("crop and flip", d, &augmented);
	}
	dataset_free(d);
	free(built);
	free(opened);
}

int main(void)
{
	char *cache = scratch_new(), *cifar = real_data("bench", "cifar10-small.tar.xz");
	char *tiny = real_data("bench", "tiny-imagenet-20.tar.xz");

	for (enum split split = 0; split < SPLIT_COUNT; split++) {
		measure("shapes", NULL, cache, split);
		if (cifar)
			measure("cifar10", cifar, cache, split);
		if (tiny)
			measure("folder", tiny, cache, split);
	}
	free(cifar);
	free(tiny);
	scratch_remove(cache);
	return 0;
}
