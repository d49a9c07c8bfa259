/* Charts of a kind side by side, each with lines of its own, under one legend. */
#ifndef COORDINATOR_PLOT_PANELS_H
#define COORDINATOR_PLOT_PANELS_H
#include "coordinator/plot/figure.h"

struct series {
	double *x, *y; /* (points) */
	int points;
	int kind;    /* its colour (palette_kind), and entry of the legend */
	bool filled; /* down to 0 */
	char *note;  /* beside the others' in the chart; null: none */
};

struct panel {
	char *title;
	struct series *series;
	int count;
};

struct panels_look {
	const char *title, *x_name, *y_name;
	const char *const *legend; /* (kinds) */
	int kinds;
	bool rates; /* both axes are 0 … 1, and a dashed diagonal is drawn */
};

/* Each panel has an x axis over its own values, unless they are rates. */
void panels_draw(struct figure *f, const struct panel *panel, int count,
                 const struct panels_look *look);
void panel_release(struct panel *p); /* titles, series and notes, by free */
#endif
