/* Changes made without a running coordinator: this process is one, for a moment. */
#ifndef COORDINATOR_LOCAL_H
#define COORDINATOR_LOCAL_H
#include "core/base/error.h"
#include <cjson/cJSON.h>

/* Makes the database file with its tables. */
int local_create(const char *path, struct error *e);

/* One request, handled in turns of our own until it is all done.  Takes ownership of args.  As
 * database_change. */
cJSON *local_change(const char *path, const char *verb, cJSON *args, struct error *e);
#endif
