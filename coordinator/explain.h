/* Why a trial does not run, why it failed, and all that happened to it. */
#ifndef COORDINATOR_EXPLAIN_H
#define COORDINATOR_EXPLAIN_H
#include "coordinator/sql.h"
#include "core/base/text.h"
#include <cjson/cJSON.h>

/* Adds to `reason` one or a few lines: what the trial does, or what it waits for.  A reader's
 * connection will do.  -1 when there is no such trial. */
int explain_reason(struct sql *db, int64_t now_ms, int64_t trial, struct text *reason,
                   struct error *e);

/* Adds every move, one line each: when, event, from, to, attempt, agent, why. */
void explain_history(struct sql *db, int64_t trial, struct text *out);

/* Both as {"trial", "reason", "moves"}; the caller's to delete, null with a message on failure. */
cJSON *explain_json(struct sql *db, int64_t now_ms, int64_t trial, struct error *e);
#endif
