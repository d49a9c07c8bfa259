/* Means of small samples, and how sure they are: Student's t and Welch's degrees of freedom. */
#ifndef COORDINATOR_STUDENT_H
#define COORDINATOR_STUDENT_H
#include <stdbool.h>
#include <stdint.h>

/* Values seen so far; all zero: none. */
struct sample {
	int64_t count;
	double mean, squares; /* squares: of the distances from the mean, summed */
};
void sample_add(struct sample *s, double value);

/* A mean, or a sum of means with weights, and half the width of its 95 % confidence interval; not a
 * number where it is not known. */
struct estimate {
	double value, half;
};

/* weight[0] mean[0] + …: variance v = sum of weight^2 s^2 / n, interval t(0.975, nu) sqrt(v) with
 * nu = v^2 / sum of (weight^2 s^2 / n)^2 / (n - 1) (Welch 1947, Satterthwaite 1946).  One sample:
 * Student's.  A sample of one value leaves the interval unknown, an empty one the value too. */
struct estimate estimate_sum(const struct sample *const sample[], const double weight[], int count);
struct estimate estimate_mean(const struct sample *s);
struct estimate estimate_difference(const struct sample *a, const struct sample *b); /* b - a */

/* Whether the interval excludes zero. */
bool estimate_clear(struct estimate e);

/* P(|T| <= t) of Student's distribution, and the t at which it is 0.95; freedom > 0, any real. */
double student_within(double t, double freedom);
double student_95(double freedom);
#endif
