/* Writes a figure as SVG. */
#ifndef COORDINATOR_PLOT_SVG_H
#define COORDINATOR_PLOT_SVG_H
#include "coordinator/plot/figure.h"
#include "core/base/text.h"

/* Appends the whole document. */
void svg_write(const struct figure *f, struct text *out);
#endif
