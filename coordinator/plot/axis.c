/* An axis: from values to pixels, linear or logarithmic, and the round numbers along it. */
#include "coordinator/plot/axis.h"
#include <math.h>

struct axis axis_over(double least, double greatest, double ratio)
{
	struct axis a = {.low = least, .high = greatest};

	if (!(greatest > least)) {
		double room = least != 0 ? fabs(least) / 10 : 1;
		a.low = least - room;
		a.high = least + room;
	}
	a.log = ratio > 0 && a.low > 0 && a.high > ratio * a.low;
	return a;
}

double axis_part(const struct axis *a, double value)
{
	return a->log ? log(value / a->low) / log(a->high / a->low)
	              : (value - a->low) / (a->high - a->low);
}

int axis_ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

double axis_px(const struct axis *a, double value)
{
	return a->low_px + axis_part(a, value) * (a->high_px - a->low_px);
}

static bool within(const struct axis *a, double value)
{
	double part = axis_part(a, value);

	return part > -1e-9 && part < 1 + 1e-9;
}

static int ticks_linear(const struct axis *a, int wanted, double tick[AXIS_TICKS])
{
	double rough = (a->high - a->low) / wanted, power = pow(10, floor(log10(rough)));
	double step = power * (rough < 1.5 * power   ? 1
	                       : rough < 3.5 * power ? 2
	                       : rough < 7.5 * power ? 5
	                                             : 10);
	int count = 0;

	for (double k = ceil(a->low / step - 1e-9); k * step <= a->high + step * 1e-9; k++)
		if (count < AXIS_TICKS)
			tick[count++] = k * step + 0.0; /* no negative zero */
	return count;
}

/* Digits to step through in each decade, from many to few; each list ends with 0. */
static const double digits[][8] = {
        {1, 1.5, 2, 3, 4, 5, 7}, {1, 1.5, 2, 3, 5, 7}, {1, 2, 3, 5}, {1, 2, 5}, {1, 3}, {1}};
enum { LISTS = sizeof digits / sizeof *digits };

static int length_of(const double *list)
{
	int length = 0;

	while (list[length] > 0)
		length++;
	return length;
}

/* In every `skip`th decade, that power of ten times each of the list. */
static int ticks_decades(const struct axis *a, const double *list, int skip,
                         double tick[AXIS_TICKS])
{
	int count = 0;

	for (int k = (int)floor(log10(a->low)); k <= (int)ceil(log10(a->high)); k++)
		for (const double *d = list; *d > 0 && k % skip == 0; d++)
			if (within(a, *d * pow(10, k)) && count < AXIS_TICKS)
				tick[count++] = *d * pow(10, k);
	return count;
}

int axis_ticks(const struct axis *a, int wanted, double tick[AXIS_TICKS])
{
	double decades = a->log ? log10(a->high / a->low) : 0;

	if (decades < 0.5)
		return ticks_linear(a, wanted, tick);
	for (int i = 0; i < LISTS; i++)
		if (decades * length_of(digits[i]) <= 1.2 * wanted)
			return ticks_decades(a, digits[i], 1, tick);
	return ticks_decades(a, digits[LISTS - 1], (int)ceil(decades / wanted), tick);
}
