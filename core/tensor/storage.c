/* Counted, recycled, aligned memory for tensors: small pieces in size classes, large ones as spans.
 */
#include "core/base/text.h"
#include "core/tensor/span.h"
#include "core/tensor/tensor.h"
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	ALIGNMENT = 64,
	SMALLEST = 4 * ALIGNMENT, /* bytes of size class 0; every fourth class is twice as large */
	CLASSES = 4 * 40,
	SLACK = 16 << 20, /* bytes that may wait in any case */
	APART = 1 << 18,  /* bytes from which on the C library gives a block its own pages */
};

/* Bytes from which on storage is a span; none where a sanitizer looks at each piece. */
#ifdef __SANITIZE_ADDRESS__
static const size_t LARGE = SIZE_MAX;
#else
static const size_t LARGE = 1 << 20;
#endif

static struct storage *recycled[CLASSES];
static size_t in_use, peak, most; /* bytes; most: the peak since the program began */
static size_t waiting;            /* in classes */

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

static struct storage *take_recycled(int c)
{
	struct storage *s = recycled[c];

	if (s) {
		recycled[c] = s->next;
		waiting -= s->bytes;
	}
	return s;
}

/* Gives back what waits until at most `bytes` do: spans first, then the largest classes. */
static void trim_to(size_t bytes)
{
	span_trim(bytes > waiting ? bytes - waiting : 0);
	for (int c = CLASSES - 1; c >= 0; c--)
		while (storage_bytes_waiting() > bytes && recycled[c]) {
			struct storage *s = take_recycled(c);
			free(s->data);
			free(s);
		}
}

void storage_trim(void)
{
	trim_to(0);
}

/* The C library gives large blocks pages of their own, but raises what it calls large with every
 * such block that is freed; then they come from its heap, and holes there grow over the epochs. */
static void keep_blocks_apart(void)
{
	static bool done;

	if (!done)
		mallopt(M_MMAP_THRESHOLD, APART);
	done = true;
}

static struct storage *small_fresh(size_t bytes)
{
	struct storage *s = xcalloc(1, sizeof *s);

	keep_blocks_apart();
	s->bytes = bytes;
	s->data = aligned_alloc(ALIGNMENT, bytes);
	if (!s->data)
		memory_exhausted(bytes);
	return s;
}

static struct span *span_must(size_t bytes)
{
	struct span *s = span_take(bytes);

	if (!s) {
		storage_trim();
		s = span_take(bytes);
	}
	if (!s)
		memory_exhausted(bytes);
	return s;
}

static struct storage *large_fresh(size_t bytes)
{
	struct storage *s = xcalloc(1, sizeof *s);

	s->span = span_must(bytes);
	s->bytes = s->span->bytes;
	s->data = s->span->data;
	return s;
}

/* Phases of a run want other sizes: what one leaves waiting must not add to what the next uses. */
static void count(size_t bytes)
{
	in_use += bytes;
	peak = in_use > peak ? in_use : peak;
	most = in_use > most ? in_use : most;
	size_t limit = most + most / 4 + SLACK;
	if (in_use + storage_bytes_waiting() > limit)
		trim_to(limit - in_use);
}

struct storage *storage_new(size_t bytes)
{
	bool large = bytes >= LARGE;
	int c = large ? 0 : class_of(bytes);
	struct storage *s = large ? large_fresh(bytes) : take_recycled(c);

	if (!s)
		s = small_fresh(class_bytes(c));
	s->next = NULL;
	s->references = 1;
	count(s->bytes);
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
	in_use -= s->bytes;
	if (s->span) {
		span_give(s->span);
		free(s);
		return;
	}
	int c = class_of(s->bytes);
	waiting += s->bytes;
	s->next = recycled[c];
	recycled[c] = s;
}

size_t storage_bytes_in_use(void)
{
	return in_use;
}

size_t storage_bytes_waiting(void)
{
	return waiting + span_bytes_waiting();
}

size_t storage_bytes_peak(void)
{
	return peak;
}

void storage_peak_clear(void)
{
	peak = in_use;
}
