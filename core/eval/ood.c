/* Out-of-distribution detection: both kinds of samples in order of their scores, and sums. */
#include "core/eval/ood.h"
#include "core/base/text.h"
#include <assert.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

const struct ood_metric ood_metrics[] = {
        {"auroc", "area under the ROC curve", ood_auroc},
        {"aupr_in", "average precision of finding the in-distribution samples", ood_aupr_in},
        {"aupr_out", "average precision of finding the others", ood_aupr_out},
        {"fpr_at_95_tpr", "others kept where 95 % of the in-distribution samples are", ood_fpr},
        {"detection_error_at_95_tpr", "share of samples called wrongly there", ood_detection_error},
        {"detection_error_at_95_tpr_balanced", "the same, both kinds weighing a half",
         ood_balanced_detection_error},
        {"min_detection_error", "the least balanced error of all thresholds",
         ood_least_detection_error},
};
const int ood_metric_count = sizeof(ood_metrics) / sizeof(*ood_metrics);

struct sample {
	double score;
	bool in;
};

static int highest_first(const void *a, const void *b)
{
	double x = ((const struct sample *)a)->score, y = ((const struct sample *)b)->score;

	return (x < y) - (x > y);
}

static struct ood_level *add_level(struct ood *o, double score)
{
	struct ood_level *l = &o->level[o->levels];

	*l = (struct ood_level){.score = score};
	if (o->levels > 0) {
		l->in_above = l[-1].in_above + l[-1].in;
		l->out_above = l[-1].out_above + l[-1].out;
	}
	o->levels++;
	return l;
}

/* No levels, when a score is no number: nothing can be said. */
static void make_levels(struct ood *o, const struct sample *sample, int64_t count)
{
	struct ood_level *l = NULL;

	o->level = xcalloc((size_t)count + 1, sizeof(*o->level));
	for (int64_t i = 0; i < count; i++)
		if (isnan(sample[i].score))
			return;
	for (int64_t i = 0; i < count; i++) {
		if (!l || l->score != sample[i].score)
			l = add_level(o, sample[i].score);
		l->in += sample[i].in;
		l->out += !sample[i].in;
	}
}

void ood_init(struct ood *o, const double *in_score, int64_t in, const double *out_score,
              int64_t out)
{
	struct sample *sample = xcalloc((size_t)(in + out) + 1, sizeof(*sample));

	assert(in >= 0 && out >= 0);
	for (int64_t i = 0; i < in; i++)
		sample[i] = (struct sample){in_score[i], true};
	for (int64_t i = 0; i < out; i++)
		sample[in + i] = (struct sample){out_score[i], false};
	qsort(sample, (size_t)(in + out), sizeof(*sample), highest_first);
	*o = (struct ood){.in = in, .out = out};
	make_levels(o, sample, in + out);
	free(sample);
}

void ood_release(struct ood *o)
{
	free(o->level);
	*o = (struct ood){0};
}

static bool undefined(const struct ood *o)
{
	return o->levels == 0 || o->in == 0 || o->out == 0;
}

double ood_auroc(const struct ood *o)
{
	int64_t twice = 0; /* pairs in the right order count two, equal ones one */

	if (undefined(o))
		return NAN;
	for (int64_t i = 0; i < o->levels; i++) {
		const struct ood_level *l = &o->level[i];

		twice += l->in * (2 * (o->out - l->out_above) - l->out);
	}
	return (double)twice / (2 * (double)o->in * (double)o->out);
}

double ood_aupr_in(const struct ood *o)
{
	double sum = 0;

	if (undefined(o))
		return NAN;
	for (int64_t i = 0; i < o->levels; i++) {
		const struct ood_level *l = &o->level[i];
		double right = (double)(l->in_above + l->in);

		sum += (double)l->in * right / (right + (double)(l->out_above + l->out));
	}
	return sum / (double)o->in;
}

double ood_aupr_out(const struct ood *o)
{
	double sum = 0;

	if (undefined(o))
		return NAN;
	for (int64_t i = o->levels - 1; i >= 0; i--) {
		const struct ood_level *l = &o->level[i];
		double right = (double)(o->out - l->out_above);

		sum += (double)l->out * right / (right + (double)(o->in - l->in_above));
	}
	return sum / (double)o->out;
}

/* What is called wrongly with the score of a level as threshold. */
static int64_t missed(const struct ood *o, const struct ood_level *l)
{
	return o->in - l->in_above - l->in;
}

static int64_t kept(const struct ood_level *l)
{
	return l->out_above + l->out;
}

static double balanced(const struct ood *o, const struct ood_level *l)
{
	return ((double)missed(o, l) / (double)o->in + (double)kept(l) / (double)o->out) / 2;
}

/* The highest threshold that keeps 95 % of the in-distribution samples. */
static const struct ood_level *level_at_95_tpr(const struct ood *o)
{
	const struct ood_level *l = o->level;

	while (l->in_above + l->in < o->in - o->in / 20)
		l++;
	return l;
}

double ood_fpr(const struct ood *o)
{
	return undefined(o) ? NAN : (double)kept(level_at_95_tpr(o)) / (double)o->out;
}

double ood_detection_error(const struct ood *o)
{
	if (undefined(o))
		return NAN;

	const struct ood_level *l = level_at_95_tpr(o);
	return (double)(missed(o, l) + kept(l)) / (double)(o->in + o->out);
}

double ood_balanced_detection_error(const struct ood *o)
{
	return undefined(o) ? NAN : balanced(o, level_at_95_tpr(o));
}

double ood_least_detection_error(const struct ood *o)
{
	double least = 0.5; /* where all are called the same */

	if (undefined(o))
		return NAN;
	for (int64_t i = 0; i < o->levels; i++)
		least = fmin(least, balanced(o, &o->level[i]));
	return least;
}
