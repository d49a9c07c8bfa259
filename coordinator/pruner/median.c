/* The median rule. */
#include "coordinator/pruner/pruner.h"
#include <math.h>

bool pruner_median_stops(const struct pruner *p, int64_t epoch, double best, double *others,
                         int64_t count)
{
	if (epoch < p->least || count < p->startup || count < 1)
		return false;
	double median = (others[(count - 1) / 2] + others[count / 2]) / 2;

	return isnan(best) || (p->maximizes ? best < median : best > median);
}
