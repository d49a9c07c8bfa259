/* Bytes in the artifact store's folder that the database does not know. */
#ifndef COORDINATOR_ORPHAN_H
#define COORDINATOR_ORPHAN_H
#include "coordinator/sql.h"

/* Deletes what a crash left between writing bytes and committing their row, and uploads that were
 * given up: files below `folder` that no row of `upload` names and nobody touched for a day.
 * Returns how many. */
int orphan_sweep(struct sql *db, const char *folder, int64_t now_ms);
#endif
