/* The learning rate as a pure function of the step. */
#include "core/train/schedule.h"
#include <math.h>
#include <stddef.h>
#include <string.h>

static double rate_constant(const struct schedule *s, double epoch, double epochs)
{
	return s->rate;
}

static double rate_step(const struct schedule *s, double epoch, double epochs)
{
	double rate = s->rate;

	for (int i = 0; i < s->milestone_count; i++)
		if (epoch >= s->milestone[i])
			rate *= s->gamma;
	return rate;
}

/* Half a cosine from the end of the warm-up to the end of training. */
static double rate_cosine(const struct schedule *s, double epoch, double epochs)
{
	double length = epochs - s->warmup_epochs;
	double done = length > 0 ? (epoch - s->warmup_epochs) / length : 1;

	done = fmin(1, fmax(0, done));
	return s->final_rate + (s->rate - s->final_rate) * 0.5 * (1 + cos(M_PI * done));
}

const struct schedule_rule schedule_rules[] = {
        {"constant", "the same rate throughout", rate_constant},
        {"step", "times gamma at each milestone", rate_step},
        {"cosine", "half a cosine down to the final rate", rate_cosine},
};
const int schedule_rule_count = sizeof(schedule_rules) / sizeof(*schedule_rules);

static const struct schedule_rule *rule_named(const char *name)
{
	for (int i = 0; i < schedule_rule_count; i++)
		if (strcmp(schedule_rules[i].name, name) == 0)
			return &schedule_rules[i];
	return NULL;
}

int schedule_check(const struct schedule *s, struct error *e)
{
	if (!rule_named(s->kind))
		return error_set(e, "unknown schedule \"%s\"", s->kind);
	if (!(s->rate >= 0) || !(s->warmup_epochs >= 0) || !(s->final_rate >= 0))
		return error_set(e, "a schedule's rates and epochs are not negative");
	if (s->milestone_count < 0 || s->milestone_count > SCHEDULE_MILESTONES)
		return error_set(e, "more than %d milestones", SCHEDULE_MILESTONES);
	return 0;
}

double schedule_rate(const struct schedule *s, int64_t step, int64_t steps_per_epoch, double epochs)
{
	double warmup_steps = s->warmup_epochs * (double)steps_per_epoch;
	double epoch = (double)step / (double)steps_per_epoch;

	if ((double)step + 1 < warmup_steps)
		return s->rate * ((double)step + 1) / warmup_steps;
	return rule_named(s->kind)->rate(s, epoch, epochs);
}
