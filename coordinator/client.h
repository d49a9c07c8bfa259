/* One request to a coordinator over ZeroMQ, and its answer. */
#ifndef COORDINATOR_CLIENT_H
#define COORDINATOR_CLIENT_H
#include "core/base/error.h"
#include <cjson/cJSON.h>

struct client;

/* key and server_key as curve_connect_as_told has them. */
struct client *client_open(const char *endpoint, const char *key, const char *server_key,
                           struct error *e);
void client_close(struct client *c);

/* Asks and waits at most wait_ms.  Takes ownership of args.  0: *result is the answer's (the
 * caller's to delete, may be null); -1: a message says what the coordinator refused, or that none
 * answered.  Asking again is harmless. */
int client_ask(struct client *c, const char *verb, cJSON *args, int wait_ms, cJSON **result,
               struct error *e);
#endif
