/* The live view, kept up until a study ends. */
#ifndef COORDINATOR_WATCH_H
#define COORDINATOR_WATCH_H
#include "coordinator/screen.h"

typedef bool watch_stop_fn(void *context);

/* Draws (plain: prints changes) until nothing is left to do: 0; until stop() says so: 1; -1 on
 * failure. */
int watch_until(struct database *d, const char *study, bool plain, watch_stop_fn *stop,
                void *context, struct error *e);
#endif
