/* Images from outside of a distribution. */
#include "core/data/outside.h"
#include "core/base/random.h"
#include "core/base/text.h"
#include "core/data/image.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- noise ---- */
static uint8_t uniform_byte(const struct random_stream *s, uint64_t k)
{
	return (uint8_t)random_below(s, k, 256);
}

static uint8_t gaussian_byte(const struct random_stream *s, uint64_t k)
{
	double value = nearbyint(127.5 + 63.75 * random_normal(s, k));

	return (uint8_t)fmin(fmax(value, 0), 255);
}

static const struct noise {
	const char *name;
	uint8_t (*byte)(const struct random_stream *s, uint64_t k);
} noises[] = {{"uniform", uniform_byte}, {"gaussian", gaussian_byte}};

static const struct noise *noise_find(const char *kind)
{
	for (size_t i = 0; i < sizeof noises / sizeof *noises; i++)
		if (!strcmp(noises[i].name, kind))
			return &noises[i];
	return NULL;
}

/* A data set in memory, of images yet to be written. */
static struct dataset *new_set(const char *name, int64_t count, int size_px, uint8_t **pixels)
{
	struct dataset *d = xcalloc(1, sizeof *d);
	size_t image = (size_t)DATASET_CHANNELS * (size_t)size_px * (size_t)size_px;

	*d = (struct dataset){.name = name,
	                      .split = SPLIT_TEST,
	                      .count = count,
	                      .channels = DATASET_CHANNELS,
	                      .height = size_px,
	                      .width = size_px,
	                      .classes = 1};
	d->pixels = d->own_pixels = *pixels = xmalloc((size_t)count * image);
	d->label = d->own_label = xcalloc((size_t)count, sizeof *d->own_label);
	return d;
}

static struct dataset *make_noise(const struct noise *noise, const struct outside_request *r)
{
	int64_t count = r->limit ? r->limit : NOISE_IMAGES;
	int64_t image = (int64_t)DATASET_CHANNELS * r->size_px * r->size_px;
	uint8_t *pixels;
	struct dataset *d = new_set(noise->name, count, r->size_px, &pixels);

	for (int64_t i = 0; i < count; i++) {
		struct random_stream s = random_stream(r->seed, noise->name, (uint64_t)i, 0);
		for (int64_t k = 0; k < image; k++)
			*pixels++ = noise->byte(&s, (uint64_t)k);
	}
	return d;
}

/* ---- other data sets ---- */

/* The square in the middle of planes (3, height, width). */
static void crop(const struct dataset *d, const uint8_t *from, int size_px, uint8_t *out)
{
	int top = (d->height - size_px) / 2, left = (d->width - size_px) / 2;

	for (int c = 0; c < d->channels; c++)
		for (int y = 0; y < size_px; y++, out += size_px)
			memcpy(out, from + (c * d->height + top + y) * d->width + left,
			       (size_t)size_px);
}

static void resize(const struct dataset *d, const uint8_t *from, int size_px, uint8_t *out)
{
	int plane = d->height * d->width;
	struct image image = {d->height, d->width, xmalloc((size_t)plane * DATASET_CHANNELS)};

	for (int i = 0; i < plane; i++)
		for (int c = 0; c < DATASET_CHANNELS; c++)
			image.pixels[i * DATASET_CHANNELS + c] = from[c * plane + i];
	image_fit(&image, size_px, out);
	free(image.pixels);
}

static struct dataset *fit(const struct dataset *d, const struct outside_request *r)
{
	int64_t image = (int64_t)d->channels * d->height * d->width;
	int64_t fitted = (int64_t)DATASET_CHANNELS * r->size_px * r->size_px;
	bool crops = r->fit == FIT_CROP && d->height >= r->size_px && d->width >= r->size_px;
	uint8_t *pixels;
	struct dataset *to = new_set(d->name, d->count, r->size_px, &pixels);

	for (int64_t i = 0; i < d->count; i++)
		(crops ? crop : resize)(d, d->pixels + i * image, r->size_px, pixels + i * fitted);
	return to;
}

int outside_open(const struct outside_request *r, struct dataset **out, struct error *e)
{
	const struct noise *noise = noise_find(r->kind);
	struct dataset_request request = {.name = r->kind,
	                                  .source = r->source,
	                                  .split = SPLIT_TEST,
	                                  .limit = r->limit,
	                                  .cache = r->cache,
	                                  .image_size_px =
	                                          r->fit == FIT_CROP ? 2 * r->size_px : r->size_px,
	                                  .flat = !strcmp(r->kind, "folder")};
	struct dataset *d;

	*out = noise ? make_noise(noise, r) : NULL;
	if (noise)
		return 0;
	if (dataset_open(&request, &d, e))
		return -1;
	if (d->height == r->size_px && d->width == r->size_px) {
		d->label = d->own_label = xcalloc((size_t)d->count, sizeof *d->own_label);
		d->classes = 1;
		*out = d;
		return 0;
	}
	*out = fit(d, r);
	dataset_free(d);
	return 0;
}
