/* One photograph: decoded from JPEG or PNG, resized, cropped. */
#ifndef DATA_IMAGE_H
#define DATA_IMAGE_H
#include "core/base/error.h"
#include <stddef.h>
#include <stdint.h>

enum { IMAGE_MAX_SIDE_PX = 1 << 15, IMAGE_MAX_PX = 1 << 27 };

struct image {
	int height, width;
	uint8_t *pixels; /* (height, width, 3), RGB */
};

/* Decodes a JPEG or PNG in memory, told apart by its first bytes.  Grey becomes RGB, transparency
 * is dropped, 16 bits become the upper 8, profiles and gamma are ignored (as PIL's convert("RGB")).
 * Data that had to be guessed (a truncated file, a bad code or checksum) is an error.  On failure
 * one line that begins with name. */
int image_decode(const void *bytes, size_t length, const char *name, struct image *out,
                 struct error *e);
void image_release(struct image *image);

/* The shorter side to size_px, bilinear with antialiasing, then the square in the middle, as
 * planes: out (3, size_px, size_px).  Bit for bit what torchvision's Resize and CenterCrop give on
 * PIL. */
void image_fit(const struct image *image, int size_px, uint8_t *out);
#endif
