/* Hostile images: decoded, or refused with a message. */
#include "core/data/image.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct error e = {{0}};
	struct image image = {0};

	if (image_decode(data, size, "fuzz", &image, &e)) {
		if (!e.text[0])
			abort();
		return 0;
	}
	if ((int64_t)image.height * image.width <= 1 << 20) {
		uint8_t *fit = malloc(3 * 32 * 32);
		image_fit(&image, 32, fit);
		free(fit);
	}
	image_release(&image);
	return 0;
}
