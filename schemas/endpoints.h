/* Where a coordinator may be: addresses of --connect, tcp://HOST:PORT[,tcp://…]. */
#ifndef SCHEMAS_ENDPOINTS_H
#define SCHEMAS_ENDPOINTS_H
#include "core/base/error.h"

enum { ENDPOINTS_MAX = 8 };

/* Splits the list; how many there are, each the caller's to free.  -1: one that is none, the same
 * twice, or too many. */
int endpoints_split(const char *list, char *endpoint[ENDPOINTS_MAX], struct error *e);
#endif
