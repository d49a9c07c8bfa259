/* Filter importance, summed over batches, and the order on which submodels agree. */
#include "core/split/importance.h"
#include "core/base/text.h"
#include <math.h>
#include <stdlib.h>

void importance_add(double *importance, struct tensor *weight, struct tensor *gradient)
{
	int64_t filters = weight->shape.d[0], each = shape_count(weight->shape) / filters;

	assert(weight->shape.n > 0 && shape_equal(weight->shape, gradient->shape));
	for (int64_t f = 0; f < filters; f++) {
		double sum = 0;
		for (int64_t i = f * each; i < (f + 1) * each; i++)
			sum += tensor_at(weight, i) * tensor_at(gradient, i);
		importance[f] += sum * sum;
	}
}

struct filter {
	double importance;
	int64_t index;
};

static int by_importance(const void *a, const void *b)
{
	double x = ((const struct filter *)a)->importance,
	       y = ((const struct filter *)b)->importance;
	return (x > y) - (x < y);
}

/* score[] = at least the percentile ranks of these filters, least important first. */
static void raise_to_ranks(const struct filter *path, int64_t count, double *score)
{
	for (int64_t first = 0, end; first < count; first = end) {
		for (end = first + 1; end < count; end++)
			if (path[end].importance != path[first].importance)
				break;
		double rank = (double)(first + end) / 2 / (double)count;
		for (int64_t i = first; i < end; i++)
			score[path[i].index] = fmax(score[path[i].index], rank);
	}
}

void importance_agree(const double *importance, const uint32_t *member, int64_t filters,
                      int submodels, double *score)
{
	struct filter *path = xcalloc((size_t)filters, sizeof *path);

	assert(submodels <= 32);
	for (int64_t f = 0; f < filters; f++)
		score[f] = 0;
	for (int i = 0; i < submodels; i++) {
		int64_t count = 0;
		for (int64_t f = 0; f < filters; f++) {
			double v = importance[f * submodels + i];
			if (member[f] >> i & 1)
				path[count++] = (struct filter){isnan(v) ? INFINITY : v, f};
		}
		qsort(path, (size_t)count, sizeof *path, by_importance);
		raise_to_ranks(path, count, score);
	}
	free(path);
}
