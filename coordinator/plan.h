/* What a sweep would mean: its trials counted and checked, nothing changed. */
#ifndef COORDINATOR_PLAN_H
#define COORDINATOR_PLAN_H
#include "coordinator/study.h"
#include "schemas/sweep_spec.h"

struct plan {
	int64_t trials; /* combinations; all that follows is of those looked at */
	int64_t looked;
	int64_t distinct; /* different trials among them */
	int64_t parents;  /* trials that come first, and are not there yet or not done */
	int64_t reused;   /* distinct ones, parents included, that are done already */
	int64_t to_train; /* distinct ones, parents included, that are not */
	double epochs;    /* that those have */
};

/* Looks at all trials, or at so many that lie evenly among them; with checks of fields against each
 * other, files and data sets.  Of an adaptive search, whose trials are not known yet, at draws. */
int plan_make(struct sql *db, const struct sweep_spec *sweep, struct study_digests *digests,
              int64_t most, struct plan *plan, struct error *e);

/* Every difference between a study's sweep and a new one of the same name that is not more values
 * or more trials: a line of e each; how many. */
int plan_differences(const cJSON *old, const cJSON *changed, struct error *e);
#endif
