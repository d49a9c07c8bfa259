/* Cuts spans from a range of addresses: the smallest free one that fits, lowest first. */
#include "core/tensor/span.h"
#include "core/base/text.h"
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { GRAIN = 64 << 10, HUGE = 2 << 20, GROWTH = 64 << 20 };
#define RESERVED_MOST  ((size_t)1 << 40)
#define RESERVED_LEAST ((size_t)1 << 30)

static struct {
	char *begin, *top, *open, *end; /* [begin, top) is spans, [begin, open) may be touched */
	struct span *first, *last;
	size_t waiting;
} range;

static size_t round_up(size_t bytes, size_t to)
{
	return (bytes + to - 1) / to * to;
}

/* Addresses alone, no memory.  Limits on addresses (ulimit -v) may allow less than one asks for. */
static bool range_reserve(void)
{
	for (size_t bytes = RESERVED_MOST; bytes >= RESERVED_LEAST && !range.begin; bytes /= 2) {
		char *p = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
		               -1, 0);
		if (p == MAP_FAILED)
			continue;
		range.begin = range.top = range.open = (char *)round_up((uintptr_t)p, HUGE);
		range.end = p + bytes;
	}
	return range.begin;
}

static bool range_open(size_t bytes)
{
	size_t more = round_up(bytes, GROWTH);

	if (range.open - range.top >= (ptrdiff_t)bytes)
		return true;
	if (range.end - range.open < (ptrdiff_t)more ||
	    mprotect(range.open, more, PROT_READ | PROT_WRITE))
		return false;
	madvise(range.open, more, MADV_HUGEPAGE); /* a wish */
	range.open += more;
	return true;
}

static void link_after(struct span *s, struct span *before)
{
	s->before = before;
	s->after = before ? before->after : range.first;
	*(s->before ? &s->before->after : &range.first) = s;
	*(s->after ? &s->after->before : &range.last) = s;
}

static void take_out(struct span *s)
{
	*(s->before ? &s->before->after : &range.first) = s->after;
	*(s->after ? &s->after->before : &range.last) = s->before;
	free(s);
}

static struct span *span_add(char *data, size_t bytes, struct span *before)
{
	struct span *s = xcalloc(1, sizeof *s);

	s->data = data;
	s->bytes = bytes;
	s->untouched = true;
	link_after(s, before);
	return s;
}

static struct span *best(size_t bytes)
{
	struct span *found = NULL;

	for (struct span *s = range.first; s; s = s->after)
		if (!s->used && s->bytes >= bytes && (!found || s->bytes < found->bytes))
			found = s;
	return found;
}

/* A free span at the top, that is `bytes` long or longer. */
static struct span *grow(size_t bytes)
{
	struct span *last = range.last && !range.last->used ? range.last : NULL;
	size_t missing = bytes - (last ? last->bytes : 0);

	if ((!range.begin && !range_reserve()) || !range_open(missing))
		return NULL;
	if (last)
		last->bytes += missing;
	else
		last = span_add(range.top, missing, range.last);
	if (!last->untouched)
		range.waiting += missing;
	range.top += missing;
	return last;
}

struct span *span_take(size_t bytes)
{
	bytes = round_up(bytes, GRAIN);
	struct span *s = best(bytes);

	if (!s && !(s = grow(bytes)))
		return NULL;
	if (!s->untouched)
		range.waiting -= bytes;
	if (s->bytes > bytes) {
		struct span *rest = span_add(s->data + bytes, s->bytes - bytes, s);
		rest->untouched = s->untouched;
		s->bytes = bytes;
	}
	s->used = true;
	s->untouched = false;
	return s;
}

/* Joins s with the one after it, when both are free. */
static void join(struct span *s)
{
	struct span *after = s ? s->after : NULL;

	if (!after || s->used || after->used)
		return;
	if (s->untouched != after->untouched) /* all of it may have been touched */
		range.waiting += s->untouched ? s->bytes : after->bytes;
	s->untouched &= after->untouched;
	s->bytes += after->bytes;
	take_out(after);
}

void span_give(struct span *s)
{
	assert(s->used);
	s->used = false;
	range.waiting += s->bytes;
	join(s);
	join(s->before);
}

size_t span_bytes_waiting(void)
{
	return range.waiting;
}

void span_trim(size_t bytes)
{
	while (range.waiting > bytes) {
		struct span *most = NULL;
		for (struct span *s = range.first; s; s = s->after)
			if (!s->used && !s->untouched && (!most || s->bytes > most->bytes))
				most = s;
		assert(most);
		madvise(most->data, most->bytes, MADV_DONTNEED);
		most->untouched = true;
		range.waiting -= most->bytes;
	}
}
