/* A growing string, and allocation that cannot fail. */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H
#include <stdarg.h>
#include <stddef.h>

struct text {
	char *data; /* always ends in NUL once anything was added; null before */
	size_t length, capacity;
};

/* Appends. */
void text_add(struct text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
void text_add_bytes(struct text *t, const void *bytes, size_t length);
void text_clear(struct text *t); /* empty, keeps the memory */
void text_release(struct text *t);
char *text_take(struct text *t); /* the string ("" at least), now the caller's to free */

/* Characters, not bytes: UTF-8 continuation bytes take no room. */
int text_columns(const char *s);

/* Like their namesakes, but running out of memory ends the program with a line that says so. */
void *xmalloc(size_t bytes);
void *xcalloc(size_t count, size_t bytes);
void *xrealloc(void *p, size_t bytes);
char *xstrdup(const char *s);
char *xformat(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Called once, before the program ends for want of memory: the last word.  May not return. */
void memory_exhausted_call(void (*last_word)(size_t bytes));
_Noreturn void memory_exhausted(size_t bytes); /* for allocators of other kinds */
#endif
