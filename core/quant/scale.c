/* Where the scale of a row of weights comes from: pure functions of the sizes |w|. */
#include "core/quant/scale.h"
#include <assert.h>
#include <math.h>

enum { LANES = 8, GRID = 80, GRID_LEAST = 4, SECTIONS = 12 };

/* Hoare's selection, by the middle of three. */
static double select_rank(double *v, int64_t count, int64_t rank)
{
	int64_t from = 0, to = count - 1;

	while (from < to) {
		double a = v[from], b = v[from + (to - from) / 2], c = v[to];
		double pivot = fmax(fmin(a, b), fmin(fmax(a, b), c));
		int64_t i = from, j = to;
		while (i <= j) {
			while (v[i] < pivot)
				i++;
			while (v[j] > pivot)
				j--;
			if (i <= j) {
				double swap = v[i];
				v[i++] = v[j];
				v[j--] = swap;
			}
		}
		if (rank <= j)
			to = j;
		else if (rank >= i)
			from = i;
		else
			break;
	}
	return v[rank];
}

double percentile_of(double *value, int64_t count, double percentile)
{
	int64_t rank = (int64_t)ceil(percentile / 100 * (double)count) - 1;

	assert(count >= 1);
	rank = rank < 0 ? 0 : rank >= count ? count - 1 : rank;
	return select_rank(value, count, rank);
}

/* Half to even, for 0 <= x < 2^51; nearbyint() is a call where the processor is not known. */
static inline double round_even(double x)
{
	return x + 0x1p52 - 0x1p52;
}

/* Lanes are summed apart, so that the bits do not depend on how wide the machine's vectors are. */
static double square_error(const double *size, int64_t count, double s, double top)
{
	double lane[LANES] = {0}, sum = 0;
	int64_t i = 0;

	for (; i + LANES <= count; i += LANES)
		for (int l = 0; l < LANES; l++) {
			double code = round_even(size[i + l] / s);
			double d = s * (code < top ? code : top) - size[i + l];
			lane[l] += d * d;
		}
	for (; i < count; i++) {
		double d = s * fmin(round_even(size[i] / s), top) - size[i];
		sum += d * d;
	}
	for (int l = 0; l < LANES; l++)
		sum += lane[l];
	return sum;
}

/* The better end of an interval around a minimum, narrowed by the golden ratio. */
static double golden_section(const double *size, int64_t count, double top, double from, double to)
{
	const double ratio = (sqrt(5) - 1) / 2;
	double a = to - ratio * (to - from), b = from + ratio * (to - from);
	double at_a = square_error(size, count, a, top), at_b = square_error(size, count, b, top);

	for (int i = 0; i < SECTIONS; i++) {
		if (at_a <= at_b) {
			to = b, b = a, at_b = at_a;
			at_a = square_error(size, count, a = to - ratio * (to - from), top);
		} else {
			from = a, a = b, at_a = at_b;
			at_b = square_error(size, count, b = from + ratio * (to - from), top);
		}
	}
	return at_a <= at_b ? a : b;
}

static double largest(const double *size, int64_t count)
{
	double most = 0;

	for (int64_t i = 0; i < count; i++)
		most = size[i] > most ? size[i] : most;
	return most;
}

double least_square_scale(const double *size, int64_t count, int top)
{
	double step = largest(size, count) / (GRID * top), best = 0, least = INFINITY;

	if (step == 0)
		return 0;
	for (int k = GRID_LEAST; k <= GRID; k++) {
		double error = square_error(size, count, step * k, top);
		if (error < least) {
			least = error;
			best = step * k;
		}
	}
	double between = golden_section(size, count, top, best - step, best + step);
	return square_error(size, count, between, top) < least ? between : best;
}

double learned_step_start(const double *size, int64_t count, int top)
{
	double sum = 0;

	for (int64_t i = 0; i < count; i++)
		sum += size[i];
	return 2 * sum / (double)count / sqrt(top);
}
