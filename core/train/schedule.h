/* The learning rate as a pure function of the step. */
#ifndef TRAIN_SCHEDULE_H
#define TRAIN_SCHEDULE_H
#include "core/base/error.h"
#include <stdint.h>

enum { SCHEDULE_MILESTONES = 16 };

struct schedule {
	const char *kind;     /* a row of schedule_rules[]: "constant" "step" "cosine" */
	double rate;          /* the base learning rate */
	double warmup_epochs; /* rises linearly to rate over the steps of these epochs */
	double milestone[SCHEDULE_MILESTONES]; /* step: epochs at which … */
	int milestone_count;
	double gamma;      /* … the rate is multiplied by this: 0.1 */
	double final_rate; /* cosine: where it ends: 0 */
};

struct schedule_rule {
	const char *name, *help;
	double (*rate)(const struct schedule *s, double epoch,
	               double epochs); /* fractional epochs */
};
extern const struct schedule_rule schedule_rules[];
extern const int schedule_rule_count;

int schedule_check(const struct schedule *s, struct error *e); /* unknown kind, bad numbers */

/* The rate for update `step` (0 is the first) of a training of `epochs` epochs. */
double schedule_rate(const struct schedule *s, int64_t step, int64_t steps_per_epoch,
                     double epochs);
#endif
