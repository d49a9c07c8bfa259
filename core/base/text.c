/* A growing string, and allocation that ends the program rather than fail. */
#include "core/base/text.h"
#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void (*exhausted)(size_t bytes);

void memory_exhausted_call(void (*last_word)(size_t bytes))
{
	exhausted = last_word;
}

void memory_exhausted(size_t bytes)
{
	void (*last_word)(size_t) = exhausted;

	exhausted = NULL; /* it may want memory itself */
	if (last_word)
		last_word(bytes);
	fprintf(stderr, "out of memory: %zu bytes could not be had\n", bytes);
	exit(EXIT_FAILURE);
}

static void *memory_or_exit(void *p, size_t bytes)
{
	if (!p && bytes)
		memory_exhausted(bytes);
	return p;
}

void *xmalloc(size_t bytes)
{
	return memory_or_exit(malloc(bytes ? bytes : 1), bytes);
}

void *xcalloc(size_t count, size_t bytes)
{
	size_t total = 0;

	if (__builtin_mul_overflow(count, bytes, &total))
		return memory_or_exit(NULL, SIZE_MAX);
	return memory_or_exit(calloc(total ? total : 1, 1), total);
}

void *xrealloc(void *p, size_t bytes)
{
	return memory_or_exit(realloc(p, bytes ? bytes : 1), bytes);
}

char *xstrdup(const char *s)
{
	size_t bytes = strlen(s) + 1;

	return memcpy(xmalloc(bytes), s, bytes);
}

static void text_add_list(struct text *t, const char *format, va_list arguments);

char *xformat(const char *format, ...)
{
	struct text t = {0};
	va_list arguments;

	va_start(arguments, format);
	text_add_list(&t, format, arguments);
	va_end(arguments);
	return text_take(&t);
}

/* Room for `more` bytes and the NUL. */
static void text_reserve(struct text *t, size_t more)
{
	size_t need = t->length + more + 1;

	if (need <= t->capacity)
		return;
	size_t capacity = t->capacity ? t->capacity : 64;
	while (capacity < need)
		capacity *= 2;
	t->data = xrealloc(t->data, capacity);
	t->capacity = capacity;
}

static void text_add_list(struct text *t, const char *format, va_list arguments)
{
	va_list again;

	va_copy(again, arguments);
	int length = vsnprintf(NULL, 0, format, arguments);
	assert(length >= 0);
	text_reserve(t, (size_t)length);
	vsnprintf(t->data + t->length, (size_t)length + 1, format, again);
	va_end(again);
	t->length += (size_t)length;
}

void text_add(struct text *t, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	text_add_list(t, format, arguments);
	va_end(arguments);
}

void text_add_bytes(struct text *t, const void *bytes, size_t length)
{
	text_reserve(t, length);
	if (length)
		memcpy(t->data + t->length, bytes, length);
	t->length += length;
	t->data[t->length] = 0;
}

void text_clear(struct text *t)
{
	t->length = 0;
	if (t->data)
		t->data[0] = 0;
}

void text_release(struct text *t)
{
	free(t->data);
	*t = (struct text){0};
}

int text_columns(const char *s)
{
	int n = 0;

	for (; *s; s++)
		n += (*s & 0xC0) != 0x80;
	return n;
}

char *text_take(struct text *t)
{
	char *data = t->data ? t->data : xstrdup("");

	*t = (struct text){0};
	return data;
}
