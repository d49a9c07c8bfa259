/* One line for the user about what failed in the world: files, network, users, data. */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

enum { ERROR_TEXT_BYTES = 2048 };

struct error {
	char text[ERROR_TEXT_BYTES]; /* what failed, where, what to do; no newline unless a list */
};

/* Sets the message, replacing what was there.  A null `e` is allowed.  Returns -1 always, so that
 * `return error_set(e, …)` reads well. */
int error_set(struct error *e, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The same with ": <strerror(errno)>" at the end. */
int error_errno(struct error *e, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Puts what the caller was doing in front: "<context>: <message so far>".  Returns -1. */
int error_prefix(struct error *e, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Adds a further line, for callers that report several problems at once.  Returns -1. */
int error_append(struct error *e, const char *format, ...) __attribute__((format(printf, 2, 3)));
#endif
