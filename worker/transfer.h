/* Bytes to and from the artifact store, in threads of their own, so that beats go on.
 *
 * A transfer goes on where it was cut: uploads ask the store how many bytes it has, downloads
 * continue their .part file.  Both sides check the SHA-256.  What can pass (no connection, 5xx, a
 * full disk over there) is tried again, with growing pauses, until it is cancelled. */
#ifndef WORKER_TRANSFER_H
#define WORKER_TRANSFER_H
#include "core/base/error.h"
#include "core/base/hash.h"
#include <stdbool.h>
#include <stdint.h>

struct transfer; /* the threads and their queue */

enum transfer_status {
	TRANSFER_OK,
	TRANSFER_GONE,    /* the store has no such bytes (404, 410) */
	TRANSFER_BAD,     /* the bytes are not those that the name says, tried three times */
	TRANSFER_REFUSED, /* the token is not valid any more (403), or too large (413) */
	TRANSFER_LOCAL,   /* the file cannot be read or written here; text says why */
	TRANSFER_CANCELLED
};

struct transfer_item {
	bool upload;
	int64_t trial, attempt;
	char sha256[SHA256_HEX];
	int64_t bytes;
	char *path;  /* the file to send, or where it is to be; owned */
	char *token; /* of the lease; owned */
};

struct transfer_result {
	struct transfer_item item;
	enum transfer_status status;
	struct error error;
};

struct transfer_options {
	int threads;      /* 0: 2 */
	int pause_ms;     /* first pause before another try, doubled each time; 0: 250 */
	int pause_max_ms; /* 0: 10,000 */
	int stall_ms;     /* a connection that moves no byte for so long is cut; 0: 30,000 */
};

/* Starts the threads; null on failure. */
struct transfer *transfer_new(const struct transfer_options *o, struct error *e);
/* The store's address, and the key that it must show (http.h; null: any).  May change at any time.
 */
void transfer_url(struct transfer *t, const char *url, const char *pin);
bool transfer_is_stuck(struct transfer *t); /* one has failed and waits to be tried again */
int transfer_fd(const struct transfer *t);  /* readable when a result waits */

/* Queues it; strings are copied.  A download whose file is there and has the right digest succeeds
 * at once; it lands under its name only when whole and right. */
void transfer_put(struct transfer *t, const struct transfer_item *item);
bool transfer_next(struct transfer *t, struct transfer_result *r);        /* release r */
void transfer_cancel(struct transfer *t, int64_t trial, int64_t attempt); /* all of its items */
void transfer_free(struct transfer *t);                                   /* cancels all */
void transfer_result_release(struct transfer_result *r);
const char *transfer_status_text(enum transfer_status status);
#endif
