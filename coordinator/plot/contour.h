/* Level lines and areas of values on a grid, by marching squares. */
#ifndef COORDINATOR_PLOT_CONTOUR_H
#define COORDINATOR_PLOT_CONTOUR_H
#include "coordinator/plot/figure.h"

/* Values over a rectangle, at crossings of equally or unequally spaced lines. */
struct grid {
	int columns, rows;
	double *x, *y; /* (columns) and (rows), ascending */
	double *value; /* (rows, columns), finite */
};
void grid_release(struct grid *g);

/* A finer grid with `factor` steps for each: Catmull-Rom splines through lines and values, along
 * rows and then columns.  Release with grid_release. */
struct grid grid_refine(const struct grid *g, int factor);

/* Appends the outlines of where value >= level, as closed runs in the grid's coordinates: the area
 * lies to the left of each (x to the right, y up).  Points on an edge between two corners are
 * interpolated along it.  Saddles are joined where the mean of the four corners is at least level.
 */
void contour_area(const struct grid *g, double level, struct path *out);

/* Appends the parts of such outlines that do not run along the grid's border: the level's lines. */
void contour_lines(const struct grid *g, const struct path *area, struct path *out);
#endif
