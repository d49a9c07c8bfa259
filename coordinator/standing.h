/* How paused trials stand at the rungs where they wait (rung.h). */
#ifndef COORDINATOR_STANDING_H
#define COORDINATOR_STANDING_H
#include "coordinator/sql.h"

/* Paused trials that have a checkpoint, those least likely to go on first: by where they stand
 * among all that came to their rung (in the study and bracket where that is best), then by how
 * little they have trained.  The caller's to free; null when there are none. */
int64_t *standing_worst_first(struct sql *db, size_t *count);
#endif
