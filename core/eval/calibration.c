/* Keeps confidence and Brier score of every sample, and sums in sample order. */
#include "core/eval/calibration.h"
#include "core/base/text.h"
#include <assert.h>
#include <math.h>
#include <stdlib.h>

void calibration_init(struct calibration *c, int64_t count, int classes)
{
	accuracy_init(&c->accuracy, count, classes);
	c->confidence = xcalloc((size_t)count, sizeof(*c->confidence));
	c->brier = xcalloc((size_t)count, sizeof(*c->brier));
}

void calibration_release(struct calibration *c)
{
	accuracy_release(&c->accuracy);
	free(c->confidence);
	free(c->brier);
	*c = (struct calibration){0};
}

static void add_sample(struct calibration *c, int64_t i, const double *z)
{
	int classes = c->accuracy.classes, label = c->accuracy.label[i] - 1;
	int best = c->accuracy.predicted[i] - 1;
	double sum = 0;

	if (best == classes) { /* no numbers */
		c->confidence[i] = c->brier[i] = NAN;
		return;
	}
	for (int k = 0; k < classes; k++)
		sum += exp(z[k] - z[best]);
	c->confidence[i] = 1 / sum;
	for (int k = 0; k < classes; k++)
		c->brier[i] += pow(exp(z[k] - z[best]) / sum - (k == label), 2);
}

void calibration_add(struct calibration *c, int64_t first, const double *logits,
                     const int32_t *labels, int64_t n)
{
	accuracy_add(&c->accuracy, first, logits, labels, n);
	for (int64_t i = 0; i < n; i++)
		add_sample(c, first + i, logits + i * c->accuracy.classes);
}

void calibration_merge(struct calibration *c, const struct calibration *part)
{
	accuracy_merge(&c->accuracy, &part->accuracy);
	for (int64_t i = 0; i < c->accuracy.count; i++) {
		c->confidence[i] += part->confidence[i];
		c->brier[i] += part->brier[i];
	}
}

/* The k with k / bins < confidence <= (k + 1) / bins. */
static int bin_of(double confidence, int bins)
{
	int k = (int)(confidence * bins);

	while (k > 0 && confidence <= (double)k / bins)
		k--;
	while (k < bins - 1 && confidence > (double)(k + 1) / bins)
		k++;
	return k;
}

double calibration_error(const struct calibration *c, int bins)
{
	assert(bins > 0);
	const struct accuracy *a = &c->accuracy;
	int64_t seen = accuracy_evaluated(a);
	double *excess = xcalloc((size_t)bins, sizeof(*excess)); /* right less confidence */
	double sum = 0;

	for (int64_t i = 0; i < a->count && seen; i++) {
		if (isnan(c->confidence[i]))
			seen = 0;
		else if (a->label[i])
			excess[bin_of(c->confidence[i], bins)] +=
			        (a->label[i] == a->predicted[i]) - c->confidence[i];
	}
	for (int k = 0; k < bins; k++)
		sum += fabs(excess[k]);
	free(excess);
	return seen ? sum / (double)seen : NAN;
}

double calibration_brier(const struct calibration *c)
{
	int64_t seen = accuracy_evaluated(&c->accuracy);
	double sum = 0;

	for (int64_t i = 0; i < c->accuracy.count; i++)
		sum += c->brier[i];
	return seen ? sum / (double)seen : NAN;
}
