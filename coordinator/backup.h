/* A copy of a database with all that belongs to it, fit to be served elsewhere. */
#ifndef COORDINATOR_BACKUP_H
#define COORDINATOR_BACKUP_H
#include "core/base/error.h"
#include <stdbool.h>
#include <stdint.h>

struct backup {
	int64_t generation;   /* of the copy */
	bool complete;        /* no coordinator ran: nothing can be missing in it */
	int64_t files, bytes; /* artifacts that were copied now; those of an earlier backup stay */
	int64_t gone;         /* artifacts whose bytes were not there any more */
};

/* Makes the file `to` out of `from` as it is at one instant, beside it TO.key, TO.curve, TO.owner,
 * TO.tls (secrets: for its owner only) and TO.artifacts out of the folder `store` (null:
 * FROM.artifacts). A coordinator may go on meanwhile.  The copy is of the next generation
 * (generation.h).  An earlier backup of the same database that was never served is replaced;
 * anything else of that name is an error.  Until the end `to` is what it was. */
int backup_make(const char *from, const char *store, const char *to, struct backup *made,
                struct error *e);
#endif
