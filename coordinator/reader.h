/* Queries of remote clients: answered by a thread with a read-only connection of its own, so that a
 * slow one never holds up the turn. */
#ifndef COORDINATOR_READER_H
#define COORDINATOR_READER_H
#include "core/base/error.h"
#include "schemas/wire.h"
#include <stdbool.h>

struct reader;

/* Starts the thread; `zmq` is the context whose inproc:// it uses.  Null on failure. */
struct reader *reader_start(void *zmq, const char *database, struct error *e);
void reader_stop(struct reader *r); /* null is fine */

/* 1: the message is a request that only reads, and was handed over; 0: it is none; -1: too many
 * wait already. */
int reader_take(struct reader *r, const struct message *m, struct error *e);

/* The socket on which answers arrive, ready to be sent on as they are; poll it. */
void *reader_socket(struct reader *r);
#endif
