/* Filled contours of planes through loss landscapes, side by side under one scale of colour. */
#ifndef COORDINATOR_PLOT_PLANES_H
#define COORDINATOR_PLOT_PLANES_H
#include "coordinator/plot/landscape.h"

/* One panel per landscape, all of one metric.  Levels are logarithmic where the range is large.
 * What is no number counts as the greatest value. */
void planes_draw(struct figure *f, const struct landscape *list, int count, const char *x_name,
                 const char *y_name, const char *title);
#endif
