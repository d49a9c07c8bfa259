/* Sends notices as webhooks: {"text": "…"}, which Slack and its like take, over HTTP with libcurl,
 * by a thread of its own.  Where to is the coordinator's configuration alone. */
#ifndef COORDINATOR_NOTIFY_H
#define COORDINATOR_NOTIFY_H
#include "core/base/error.h"

struct notify;

/* `turn` is the inproc:// endpoint that takes what the thread reports.  Null on failure: an
 * address that is no http:// or https:// URL. */
struct notify *notify_start(void *zmq, const char *turn, const char *database, const char *url,
                            struct error *e);
void notify_stop(struct notify *n); /* null is fine */
#endif
