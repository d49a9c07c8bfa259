/* A trial's metric over steps, and what is kept of it when there is too much.
 *
 * All rows are kept up to metric_rows (turn.h; 10,000) of one name in one trial.  From there on it
 * is thinned: kept are the rows whose step is a multiple of 2^k behind the first's, and the last; k
 * grows by one whenever there are more than metric_rows again, so that of evenly spaced steps
 * between half as many and as many are there.  What is kept depends on the steps that were reported
 * alone: repeats and attempts that go on from a checkpoint leave the same rows.  Table series says
 * which, and an event says so once.  Rows that are not kept are acknowledged like others.
 *
 * What a study prunes by is kept whole, a row an epoch; final figures are not among the rows. */
#ifndef COORDINATOR_SERIES_H
#define COORDINATOR_SERIES_H
#include "coordinator/turn.h"

/* Rows [{name, step, epoch, value}] that an attempt reports.  Those of an older attempt never
 * replace those of a newer one. */
void series_save(struct turn *t, int64_t trial, int64_t attempt, const cJSON *rows);
#endif
