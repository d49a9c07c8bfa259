/* Views for people and notebooks, made of plain SQL. */
#ifndef COORDINATOR_VIEW_H
#define COORDINATOR_VIEW_H
#include "coordinator/sql.h"

/* Those of views.sql and every study's own, made anew: a newer trawl may know better ones. */
void view_create_all(struct sql *db);

/* study_<name> ('-' becomes '_'): a row per trial; columns trial, state, one per swept field (the
 * last segment of its path, longer where two collide) and one per final metric (final_<metric>
 * where it collides with a field). */
void view_create_study(struct sql *db, int64_t study);

/* A trial is done: studies that see a metric for the first time get their view anew. */
void view_note_metrics(struct sql *db, int64_t trial);
#endif
