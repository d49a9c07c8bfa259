/* Early stopping: what studies let their trials do, from what those report.
 *
 * Table `rung` is the record: who came to which rung of which bracket with what value, and what
 * became of it; study_trial.until_epoch is how far a study lets a trial train (null: to its end).
 * Every decision is made in the transaction that commits what it is made from, so a coordinator
 * that ends at any point goes on with the same ones.  A trial trains as far as any study lets it.
 */
#ifndef COORDINATOR_PRUNE_H
#define COORDINATOR_PRUNE_H
#include "coordinator/turn.h"
#include "core/base/text.h"

/* A study has come to want the trial: where it starts, and what it has measured already. */
void prune_joined(struct turn *t, int64_t study, int64_t trial);

/* The trial has reported metrics. */
void prune_reported(struct turn *t, int64_t trial);

/* How far the trial may train: the most of what the studies let it; 0: to its end.  Those in mode
 * stop let it go on until they say no. */
int64_t prune_until(struct sql *db, int64_t trial);

/* Whether a study that wants the trial compares by this metric, at any epoch and at any time. */
bool prune_reads(struct sql *db, int64_t trial, const char *metric);

/* The attempt has trained as far as it was let: it waits, or is let go on meanwhile. */
void prune_at_rung(struct turn *t, const struct trial *trial);

/* At the end of a turn: at rungs to which no trial can come any more, the best one at least goes
 * on, and the others end. */
void prune_settle(struct turn *t);

/* For people: at which rungs the trial stands, and how. */
void prune_explain(struct sql *db, int64_t trial, struct text *out);
#endif
