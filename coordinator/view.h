/* Views for people and notebooks, made of plain SQL. */
#ifndef COORDINATOR_VIEW_H
#define COORDINATOR_VIEW_H
#include "coordinator/sql.h"

/* What the view of a study `s` is called: study_<name> with '_' for '-'; with the number behind it
 * when an older study has that name.  A where clause is to follow. */
#define VIEW_NAME_SQL                                                                              \
	"select 'study_' || replace(s.name, '-', '_') || iif(exists (select 1 from study o where " \
	"o.id < s.id and replace(o.name, '-', '_') = replace(s.name, '-', '_')), '_' || s.id, "    \
	"'') "                                                                                     \
	"as name from study s "

/* Those of views.sql and every study's own, made anew: a newer trawl may know better ones. */
void view_create_all(struct sql *db);

/* study_<name> ('-' becomes '_'): a row per trial; columns trial, state, one per swept field (the
 * last segment of its path, longer where two collide) and one per final metric (final_<metric>
 * where it collides with a field). */
void view_create_study(struct sql *db, int64_t study);

/* A trial is done: studies that see a metric for the first time get their view anew. */
void view_note_metrics(struct sql *db, int64_t trial);
#endif
