/* Means of small samples, and how sure they are: Student's t and Welch's degrees of freedom. */
#include "coordinator/student.h"
#include <assert.h>
#include <math.h>

enum { FRACTION_TERMS = 300, HALVINGS = 200 };
static const double CERTAINTY = 0.95;

void sample_add(struct sample *s, double value)
{
	double distance = value - s->mean; /* Welford */

	s->count++;
	s->mean += distance / (double)s->count;
	s->squares += distance * (value - s->mean);
}

/* The continued fraction of the incomplete beta function (DLMF 8.17.22), by Lentz's method. */
static double beta_fraction(double a, double b, double x)
{
	double c = 1, d = 1 / (1 - (a + b) * x / (a + 1)), f = d;

	for (int m = 1; m < FRACTION_TERMS; m++) {
		double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
		double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
		d = 1 / (1 + even * d);
		c = 1 + even / c;
		f *= c * d;
		d = 1 / (1 + odd * d);
		c = 1 + odd / c;
		f *= c * d;
		if (fabs(c * d - 1) < 1e-15)
			break;
	}
	return f;
}

/* The regularized incomplete beta function I_x(a, b). */
static double beta_share(double a, double b, double x)
{
	if (x <= 0 || x >= 1)
		return x <= 0 ? 0 : 1;
	double front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x));
	return x < (a + 1) / (a + b + 2) ? front * beta_fraction(a, b, x) / a
	                                 : 1 - front * beta_fraction(b, a, 1 - x) / b;
}

double student_within(double t, double freedom)
{
	return 1 - beta_share(freedom / 2, 0.5, freedom / (freedom + t * t));
}

double student_95(double freedom)
{
	double low = 0, high = 2;

	assert(freedom > 0);
	while (student_within(high, freedom) < CERTAINTY && high < 1e30)
		high *= 2;
	for (int i = 0; i < HALVINGS && high - low > 1e-12 * high; i++) {
		double middle = (low + high) / 2;
		if (student_within(middle, freedom) < CERTAINTY)
			low = middle;
		else
			high = middle;
	}
	return high;
}

struct estimate estimate_sum(const struct sample *const sample[], const double weight[], int count)
{
	struct estimate e = {0};
	double variance = 0, shares = 0;

	for (int i = 0; i < count; i++) {
		double n = (double)sample[i]->count;
		double of_mean = weight[i] * weight[i] * sample[i]->squares / (n - 1) / n;
		e.value += n > 0 ? weight[i] * sample[i]->mean : NAN;
		variance += n > 1 ? of_mean : NAN;
		shares += of_mean * of_mean / (n - 1);
	}
	e.half =
	        variance > 0 ? student_95(variance * variance / shares) * sqrt(variance) : variance;
	return e;
}

struct estimate estimate_mean(const struct sample *s)
{
	return estimate_sum(&s, (double[]){1}, 1);
}

struct estimate estimate_difference(const struct sample *a, const struct sample *b)
{
	return estimate_sum((const struct sample *const[]){a, b}, (double[]){-1, 1}, 2);
}

bool estimate_clear(struct estimate e)
{
	return fabs(e.value) > e.half; /* false where either is not a number */
}
