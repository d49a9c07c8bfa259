/* Gathers, crops, flips and normalises samples. */
#include "core/data/batch.h"
#include "core/base/random.h"
#include <assert.h>
#include <string.h>

struct augment augment_none(const struct dataset *d)
{
	const struct dataset_kind *kind = dataset_kind_find(d->name);
	struct augment a = {0};

	assert(kind);
	memcpy(a.mean, kind->mean, sizeof a.mean);
	memcpy(a.std, kind->std, sizeof a.std);
	return a;
}

void epoch_order(int64_t seed, int64_t epoch, int64_t *order, int64_t count)
{
	struct random_stream s = random_stream(seed, "shuffle", (uint64_t)epoch, 0);

	random_permutation(&s, order, count);
}

/* A byte has few values: each is normalised once, in the float operations of torchvision's ToTensor
 * and Normalize, and then looked up. */
struct normal {
	float of[DATASET_CHANNELS][256];
};

static void normal_init(struct normal *normal, const struct augment *a, int channels)
{
	for (int c = 0; c < channels; c++) {
		assert(a->std[c] > 0);
		for (int x = 0; x < 256; x++)
			normal->of[c][x] = ((float)x / 255.0f - a->mean[c]) / a->std[c];
	}
}

/* Where a sample is cut from: offsets of the crop into the unpadded image (from -padding to
 * +padding), and whether it is mirrored. */
struct view {
	int top, left;
	bool mirrored;
};

static struct view view_of(const struct augment *a, int64_t epoch, int64_t sample)
{
	uint64_t at = (uint64_t)epoch, index = (uint64_t)sample;
	struct view v = {0};

	if (a->crop_padding_px) {
		struct random_stream s = random_stream(a->seed, "crop", at, index);
		uint64_t places = 2 * (uint64_t)a->crop_padding_px + 1;
		v.top = (int)random_below(&s, 0, places) - a->crop_padding_px;
		v.left = (int)random_below(&s, 1, places) - a->crop_padding_px;
	}
	if (a->flip) {
		struct random_stream s = random_stream(a->seed, "flip", at, index);
		v.mirrored = random_bits(&s, 0) & 1;
	}
	return v;
}

/* One row: columns left … left + width - 1 of `in`, black outside, mirrored or not. */
static void fill_row(const uint8_t *in, int width, struct view v, const float *of, float *out)
{
	int from = v.left < 0 ? -v.left : 0, to = v.left > 0 ? width - v.left : width;

	from = from > width ? width : from;
	to = to < from ? from : to;
	for (int x = 0; x < from; x++)
		out[v.mirrored ? width - 1 - x : x] = of[0];
	if (v.mirrored)
		for (int x = from; x < to; x++)
			out[width - 1 - x] = of[in[x + v.left]];
	else
		for (int x = from; x < to; x++)
			out[x] = of[in[x + v.left]];
	for (int x = to; x < width; x++)
		out[v.mirrored ? width - 1 - x : x] = of[0];
}

static void fill_black(float *out, int count, float value)
{
	for (int i = 0; i < count; i++)
		out[i] = value;
}

static void fill_sample(const struct dataset *d, int64_t sample, struct view v,
                        const struct normal *normal, float *out)
{
	const uint8_t *in = d->pixels + sample * d->channels * d->height * d->width;

	for (int c = 0; c < d->channels; c++, in += (size_t)d->height * (size_t)d->width)
		for (int y = 0; y < d->height; y++, out += d->width) {
			int row = y + v.top;
			if (row < 0 || row >= d->height)
				fill_black(out, d->width, normal->of[c][0]);
			else
				fill_row(in + row * d->width, d->width, v, normal->of[c], out);
		}
}

void batch_fill(const struct dataset *d, const int64_t *index, int64_t n, const struct augment *a,
                int64_t epoch, float *images, int32_t *labels)
{
	struct normal normal;
	int64_t image = (int64_t)d->channels * d->height * d->width;

	assert(d->channels <= DATASET_CHANNELS && a->crop_padding_px >= 0);
	normal_init(&normal, a, d->channels);
	for (int64_t i = 0; i < n; i++) {
		assert(index[i] >= 0 && index[i] < d->count);
		fill_sample(d, index[i], view_of(a, epoch, index[i]), &normal, images + i * image);
		if (labels)
			labels[i] = d->label[index[i]];
	}
}
