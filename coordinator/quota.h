/* The artifact store's quota (serve --artifact-quota): what is freed when it is passed, what waits.
 *
 * A turn that finds more bytes in the store than the quota frees, until a tenth of it is free:
 *   1. checkpoints that nothing needs: of done trials, superseded ones of trials that wait, those
 * of trials that ended otherwise (a retry begins anew);
 *   2. rung checkpoints of paused trials, those that stand worst at their rungs first: they stay
 *      paused, and begin anew if they are let go on.
 * Final artifacts, the files that sweeps start from, whatever a leased trial has, and the newest
 * checkpoint of one that is ready or waiting are never freed.  What runs may pass the quota with
 * its checkpoints.  While more than the quota is left nevertheless, only trials with a checkpoint
 * in the store are leased: they end, and give back.  All of it follows from the database, so a
 * restart changes nothing. */
#ifndef COORDINATOR_QUOTA_H
#define COORDINATOR_QUOTA_H
#include "coordinator/turn.h"
#include "core/base/text.h"

/* Before leases are given: frees, and says in t->full whether only what has begun is leased. */
void quota_settle(struct turn *t);

/* For people: what the quota means for a paused or a ready trial; nothing for others. */
void quota_explain(struct sql *db, int64_t trial, struct text *out);
#endif
