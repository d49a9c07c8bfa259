/* Keeps the outcome of every sample, and sums in sample order. */
#include "core/eval/accuracy.h"
#include "core/base/text.h"
#include <assert.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

void accuracy_init(struct accuracy *a, int64_t count, int classes)
{
	assert(count >= 0 && classes > 0);
	a->count = count;
	a->classes = classes;
	a->loss = xcalloc((size_t)count, sizeof *a->loss);
	a->predicted = xcalloc((size_t)count, sizeof *a->predicted);
	a->label = xcalloc((size_t)count, sizeof *a->label);
}

void accuracy_release(struct accuracy *a)
{
	free(a->loss);
	free(a->predicted);
	free(a->label);
	*a = (struct accuracy){0};
}

/* -log softmax(z)[label], computed from the largest logit down so that nothing overflows. */
static double cross_entropy(const double *z, int classes, int best, int label)
{
	double sum = 1; /* the largest itself */

	for (int j = 0; j < classes; j++)
		sum += j == best ? 0 : exp(z[j] - z[best]);
	return log(sum) + z[best] - z[label];
}

static int largest(const double *z, int classes)
{
	int best = 0;

	for (int j = 0; j < classes; j++) {
		if (isnan(z[j]))
			return classes;
		best = z[j] > z[best] ? j : best;
	}
	return best;
}

void accuracy_add(struct accuracy *a, int64_t first, const double *logits, const int32_t *labels,
                  int64_t n)
{
	assert(first >= 0 && n >= 0 && first + n <= a->count);
	for (int64_t i = 0; i < n; i++, logits += a->classes) {
		int best = largest(logits, a->classes);
		assert(labels[i] >= 0 && labels[i] < a->classes && !a->label[first + i]);
		a->label[first + i] = labels[i] + 1;
		a->predicted[first + i] = best + 1;
		a->loss[first + i] = best == a->classes
		                             ? NAN
		                             : cross_entropy(logits, a->classes, best, labels[i]);
	}
}

void accuracy_merge(struct accuracy *a, const struct accuracy *part)
{
	assert(a->count == part->count && a->classes == part->classes);
	for (int64_t i = 0; i < a->count; i++) {
		assert(!a->label[i] || !part->label[i]);
		a->loss[i] += part->loss[i];
		a->predicted[i] += part->predicted[i];
		a->label[i] += part->label[i];
	}
}

/* Counts the samples with a label (0: any) and those of them that were predicted right. */
static int64_t tally(const struct accuracy *a, int32_t label, int64_t *right)
{
	int64_t seen = 0;

	*right = 0;
	for (int64_t i = 0; i < a->count; i++) {
		bool counts = a->label[i] && (!label || a->label[i] == label);
		seen += counts;
		*right += counts && a->label[i] == a->predicted[i];
	}
	return seen;
}

int64_t accuracy_evaluated(const struct accuracy *a)
{
	int64_t right;

	return tally(a, 0, &right);
}

double accuracy_top1(const struct accuracy *a)
{
	int64_t right, seen = tally(a, 0, &right);

	return seen ? (double)right / (double)seen : NAN;
}

double accuracy_loss(const struct accuracy *a)
{
	int64_t seen = accuracy_evaluated(a);
	double sum = 0;

	for (int64_t i = 0; i < a->count; i++)
		sum += a->loss[i];
	return seen ? sum / (double)seen : NAN;
}

double accuracy_of_class(const struct accuracy *a, int label, int64_t *count)
{
	assert(label >= 0 && label < a->classes);
	int64_t right, seen = tally(a, label + 1, &right);

	if (count)
		*count = seen;
	return seen ? (double)right / (double)seen : NAN;
}
