/* Rungs of a study: what prune.c and rung.c share. */
#ifndef COORDINATOR_RUNG_H
#define COORDINATOR_RUNG_H
#include "coordinator/pruner/pruner.h"
#include "coordinator/turn.h"

/* What a study's sweep says. */
struct rules {
	struct pruner pruner;
	char *metric;
	int64_t study;
	bool more;    /* trials are still to be made */
	bool at_rung; /* the trial that is looked at has ended there: it reports no more for now */
};

/* Of rung.c: as far as the trial's reports reach. */
void rung_climb(struct turn *t, const struct rules *r, int64_t trial);
/* Mode promote: rungs to which nobody can come any more. */
void rung_settle(struct turn *t, const struct rules *r);

/* Of prune.c: a trial's own epochs (0: it does not train), and those that it has trained. */
int64_t prune_epochs(struct sql *db, int64_t trial);
int64_t prune_trained(struct sql *db, int64_t trial);
/* A trial that waits goes on, when some study lets it. */
void prune_let_go_on(struct turn *t, int64_t trial);
/* The study wants no more of it; when no other does, it ends. */
void prune_give_up(struct turn *t, int64_t study, int64_t trial, const char *why);
#endif
