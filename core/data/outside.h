/* Images from outside of a distribution: other data sets brought to its size, and noise. */
#ifndef DATA_OUTSIDE_H
#define DATA_OUTSIDE_H
#include "core/data/dataset.h"

enum outside_fit {
	FIT_RESIZE, /* the shorter side to size_px, then the square in the middle */
	FIT_CROP,   /* the square in the middle, of a picture twice that size where it can be had */
};

struct outside_request {
	const char *kind;   /* a row of dataset_kinds[], whose test images are taken; or noise */
	const char *source; /* folder or archive; null for "shapes" and noise */
	const char *cache;  /* as in dataset_request */
	enum outside_fit fit;
	int size_px;   /* height and width wanted */
	int64_t limit; /* at most so many images; 0: all, of noise NOISE_IMAGES */
	int64_t seed;  /* of noise */
};
enum { NOISE_IMAGES = 10000 };

/* A data set of these images; labels are 0.  Noise is "uniform" (each byte of 0 … 255 as likely) or
 * "gaussian" (mean 127.5, deviation 63.75, rounded and clamped to a byte); byte k of image i is a
 * function of (seed, kind, i, k) alone.  The caller frees *out with dataset_free. */
int outside_open(const struct outside_request *r, struct dataset **out, struct error *e);
#endif
