/* An axis: from values to pixels, linear or logarithmic, and the round numbers along it. */
#ifndef COORDINATOR_PLOT_AXIS_H
#define COORDINATOR_PLOT_AXIS_H
#include <stdbool.h>

struct axis {
	double low, high; /* values at its ends; above 0 when logarithmic */
	bool log;
	double low_px, high_px; /* where its ends lie */
};

enum { AXIS_TICKS = 32 };

/* An axis over all that was seen.  Logarithmic where all is above 0 and the greatest is more than
 * `ratio` times the least (0: never).  A single value gets room around it. */
struct axis axis_over(double least, double greatest, double ratio);

/* Orders doubles for qsort and bsearch: the values that an axis goes over. */
int axis_ascending(const void *a, const void *b);

/* Where a value lies, in pixels. */
double axis_px(const struct axis *a, double value);

/* How far along a value lies: 0 at low, 1 at high. */
double axis_part(const struct axis *a, double value);

/* Round numbers within the axis, about `wanted` of them and AXIS_TICKS at most; returns how many.
 * Linear: multiples of 1, 2 or 5 times a power of ten; logarithmic: powers of ten, and as many
 * digits between as there is room for. */
int axis_ticks(const struct axis *a, int wanted, double tick[AXIS_TICKS]);
#endif
