/* Class probabilities of logits. */
#include "core/eval/softmax.h"
#include <math.h>

void softmax(const double *z, int count, double *p)
{
	double most = z[0], sum = 0;

	for (int j = 1; j < count; j++)
		most = fmax(most, z[j]);
	for (int j = 0; j < count; j++)
		sum += p[j] = exp(z[j] - most);
	for (int j = 0; j < count; j++)
		p[j] /= sum;
}
