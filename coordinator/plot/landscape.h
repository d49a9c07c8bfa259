/* Pictures of loss landscapes: curves of a line's slice, filled contours of a plane's. */
#ifndef COORDINATOR_PLOT_LANDSCAPE_H
#define COORDINATOR_PLOT_LANDSCAPE_H
#include "coordinator/plot/contour.h"

/* One metric of one trial along a slice. */
struct landscape {
	char *label;      /* "trial 17: lambda=0.1" */
	char *metric;     /* "loss" */
	int trial;        /* which of the picture's trials: its colour, or panel */
	struct grid grid; /* one row: a line; a value that is no number: none was measured */
};

/* Draws them: lines in one frame, a colour per trial and dashes per metric; planes side by side
 * under one scale of colour.  All are lines or all are planes.  slice: "random", "hessian_plane";
 * it says what the axes are.  Release the figure. */
void landscape_draw(struct figure *f, const struct landscape *list, int count, const char *slice,
                    const char *title);

/* The grid of points in any order; what is missing is no number.  Release with grid_release. */
struct grid landscape_grid(const double *x, const double *y, const double *value, int points);
#endif
