/* Writes a figure as PNG. */
#ifndef COORDINATOR_PLOT_PNG_H
#define COORDINATOR_PLOT_PNG_H
#include "coordinator/plot/figure.h"
#include "core/base/error.h"
#include "core/base/text.h"

/* Appends the whole file, with `scale` pixels for each of the figure's. */
int png_write_figure(const struct figure *f, double scale, struct text *out, struct error *e);
#endif
