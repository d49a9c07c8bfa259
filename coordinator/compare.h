/* Two sides compared: trials in groups that match, and what was measured in each. */
#ifndef COORDINATOR_COMPARE_H
#define COORDINATOR_COMPARE_H
#include "coordinator/rows.h"
#include "coordinator/student.h"

enum { SIDES = 2 };

/* Trials that differ in seeds only; on both sides the same values of all that is swept. */
struct group {
	char *key;             /* the values, canonical JSON: {"quant.weight_bits":4} */
	int64_t trials[SIDES]; /* how many */
};

/* Samples of things that have a name (a metric, a category), per group and side. */
struct tally {
	char **name;
	int names;
	struct sample *sample; /* (names, groups, SIDES) */
};

struct comparison {
	char *title[SIDES]; /* "trial 17", "study bits" */
	struct group *group;
	int groups;
	int64_t *trial[SIDES]; /* (members[side]), ascending */
	int *group_of[SIDES];  /* of that trial */
	int members[SIDES];
	cJSON *specification;                          /* as difference_of gives it */
	struct tally metric, accuracy, train_accuracy; /* the last two by category */
	char *shown; /* ",accuracy,loss,": the metrics that people are shown; null: all */
};
void comparison_release(struct comparison *c);

/* Adds a trial, in ascending order on its side, to the group of that key.  All trials come before
 * the first value. */
void comparison_trial(struct comparison *c, int side, int64_t trial, const char *key);

/* Adds a value of a trial that was added; of others, and no numbers, it is forgotten. */
void comparison_value(struct comparison *c, struct tally *t, const char *name, int side,
                      int64_t trial, double value);

/* The sample of a name in a group on a side; empty when there is none. */
struct sample *comparison_sample(const struct comparison *c, const struct tally *t, int name,
                                 int group, int side);

bool comparison_matched(const struct comparison *c, int group); /* has trials on both sides */

/* Over all matched groups, each weighing the same: the mean of a side, or (side SIDES) the mean of
 * what the second side has more. */
struct estimate comparison_overall(const struct comparison *c, const struct tally *t, int name,
                                   int side);

/* All of it: a row per difference of the specifications, per group and metric, per category. */
void comparison_rows(const struct comparison *c, struct rows *out);

/* The same for people: tables. */
void comparison_text(const struct comparison *c, bool bold, struct text *out);
#endif
