/* Counted, recycled, aligned memory for tensors. */
#include "core/base/text.h"
#include "core/tensor/tensor.h"
#include <stdio.h>
#include <stdlib.h>

enum {
	ALIGNMENT = 64,
	SMALLEST = 4 * ALIGNMENT, /* bytes of size class 0; every fourth class is twice as large */
	CLASSES = 4 * 40,
};

static struct storage *recycled[CLASSES];
static size_t in_use, peak;

static size_t class_bytes(int c)
{
	return (size_t)(4 + c % 4) * ALIGNMENT << c / 4;
}

static int class_of(size_t bytes)
{
	int c = 0;

	if (bytes > SMALLEST) {
		int log2 = 63 - __builtin_clzll(bytes - 1);
		c = 4 * (log2 - 8) + (int)((bytes - 1) >> (log2 - 2) & 3) + 1;
	}
	assert(c < CLASSES && class_bytes(c) >= bytes);
	return c;
}

static struct storage *storage_fresh(size_t bytes)
{
	struct storage *s = xcalloc(1, sizeof *s);

	s->data = aligned_alloc(ALIGNMENT, bytes);
	if (!s->data) {
		storage_trim();
		s->data = aligned_alloc(ALIGNMENT, bytes);
	}
	if (!s->data)
		memory_exhausted(bytes);
	s->bytes = bytes;
	return s;
}

struct storage *storage_new(size_t bytes)
{
	int c = class_of(bytes);
	struct storage *s = recycled[c];

	if (s)
		recycled[c] = s->next;
	else
		s = storage_fresh(class_bytes(c));
	s->next = NULL;
	s->references = 1;
	in_use += s->bytes;
	peak = in_use > peak ? in_use : peak;
	return s;
}

struct storage *storage_share(struct storage *s)
{
	if (s) {
		assert(s->references > 0);
		s->references++;
	}
	return s;
}

void storage_free(struct storage *s)
{
	if (!s)
		return;
	assert(s->references > 0);
	if (--s->references)
		return;
	int c = class_of(s->bytes);
	in_use -= s->bytes;
	s->next = recycled[c];
	recycled[c] = s;
}

void storage_trim(void)
{
	for (int c = 0; c < CLASSES; c++)
		while (recycled[c]) {
			struct storage *s = recycled[c];
			recycled[c] = s->next;
			free(s->data);
			free(s);
		}
}

size_t storage_bytes_in_use(void)
{
	return in_use;
}

size_t storage_bytes_peak(void)
{
	return peak;
}

void storage_peak_clear(void)
{
	peak = in_use;
}
