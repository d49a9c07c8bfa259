/* Hostile checkpoints: opened and read, or refused with a message. */
#include "core/tensor/safetensors.h"
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int fd = -1;
	char path[64];
	struct error e = {{0}};

	fd = fd < 0 ? memfd_create("fuzz", 0) : fd;
	if (ftruncate(fd, 0) || pwrite(fd, data, size, 0) != (ssize_t)size)
		abort();
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	struct safetensors *f = safetensors_open(path, &e);
	if (!f) {
		if (!e.text[0])
			abort();
		return 0;
	}
	safetensors_metadata(f, "split");
	for (int i = 0; i < safetensors_count(f); i++) {
		const struct safetensor *item = safetensors_item(f, i);
		int64_t count = shape_count(item->shape);
		if (count > 0)
			safetensor_at(item, count - 1);
	}
	safetensors_close(f);
	return 0;
}
