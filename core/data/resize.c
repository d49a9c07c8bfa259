/* Resizing and cropping: two passes of a triangle filter in fixed point, as PIL does it. */
#include "core/base/text.h"
#include "core/data/image.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PRECISION_BITS = 22 }; /* 32, less 8 of the pixel, less 2 of headroom */

/* The weights of each output pixel over the input pixels first … first + count - 1. */
struct filter {
	int size, widest;
	int *first, *count; /* (size) */
	int32_t *weight;    /* (size, widest) */
};

static double triangle(double x)
{
	x = fabs(x);
	return x < 1 ? 1 - x : 0;
}

/* Where images shrink, the triangle is as wide as an output pixel, so that no input is skipped. */
static void filter_row(struct filter *f, int at, int in, double scale, double wide)
{
	double centre = (at + 0.5) * scale, sum = 0;
	int first = (int)(centre - wide + 0.5), end = (int)(centre + wide + 0.5);

	first = first < 0 ? 0 : first;
	end = end > in ? in : end;
	for (int i = first; i < end; i++)
		sum += triangle((i - centre + 0.5) * (1 / wide));
	for (int i = first; i < end; i++) {
		double w = triangle((i - centre + 0.5) * (1 / wide)) / sum;
		f->weight[at * f->widest + i - first] = (int32_t)(0.5 + w * (1 << PRECISION_BITS));
	}
	f->first[at] = first;
	f->count[at] = end - first;
}

static struct filter filter_new(int in, int out)
{
	double scale = (double)in / out, wide = scale < 1 ? 1 : scale;
	struct filter f = {.size = out, .widest = (int)ceil(wide) * 2 + 1};

	f.first = xcalloc((size_t)out, sizeof *f.first);
	f.count = xcalloc((size_t)out, sizeof *f.count);
	f.weight = xcalloc((size_t)out * (size_t)f.widest, sizeof *f.weight);
	for (int i = 0; i < out; i++)
		filter_row(&f, i, in, scale, wide);
	return f;
}

static void filter_release(struct filter *f)
{
	free(f->first);
	free(f->count);
	free(f->weight);
}

/* One output value: a weighted sum of bytes that lie `step` apart. */
static uint8_t weigh(const struct filter *f, int at, const uint8_t *in, size_t step)
{
	const int32_t *weight = f->weight + at * f->widest;
	int32_t sum = 1 << (PRECISION_BITS - 1);

	in += (size_t)f->first[at] * step;
	for (int i = 0; i < f->count[at]; i++)
		sum += in[(size_t)i * step] * weight[i];
	sum >>= PRECISION_BITS;
	return (uint8_t)(sum < 0 ? 0 : sum > 255 ? 255 : sum);
}

/* Columns left … left + size - 1 of the image resized in width: (height, size, 3). */
static uint8_t *resize_width(const struct image *image, int width, int left, int size)
{
	struct filter f = filter_new(image->width, width);
	uint8_t *out = xmalloc((size_t)image->height * (size_t)size * 3), *to = out;

	for (int y = 0; y < image->height; y++) {
		const uint8_t *row = image->pixels + (size_t)y * (size_t)image->width * 3;
		for (int x = 0; x < size; x++)
			for (int c = 0; c < 3; c++)
				*to++ = weigh(&f, left + x, row + c, 3);
	}
	filter_release(&f);
	return out;
}

/* From row top on, of (in_height, size, 3) resized in height, as planes (3, size, size). */
static void resize_height(const uint8_t *in, int in_height, int height, int top, int size,
                          uint8_t *out)
{
	struct filter f = filter_new(in_height, height);

	for (int c = 0; c < 3; c++)
		for (int y = 0; y < size; y++)
			for (int x = 0; x < size; x++)
				*out++ = weigh(&f, top + y, in + x * 3 + c, (size_t)size * 3);
	filter_release(&f);
}

/* Half of an odd margin: rounded to even, as Python's round() does. */
static int crop_from(int length, int size)
{
	return (int)nearbyint((length - size) / 2.0);
}

void image_fit(const struct image *image, int size_px, uint8_t *out)
{
	int64_t w = image->width, h = image->height;
	int width = w <= h ? size_px : (int)(size_px * w / h);
	int height = h <= w ? size_px : (int)(size_px * h / w);
	uint8_t *narrow = resize_width(image, width, crop_from(width, size_px), size_px);

	resize_height(narrow, image->height, height, crop_from(height, size_px), size_px, out);
	free(narrow);
}
