/* A font of strokes, for pictures that must not depend on installed fonts. */
#ifndef COORDINATOR_PLOT_GLYPH_H
#define COORDINATOR_PLOT_GLYPH_H
#include "coordinator/plot/figure.h"

/* How wide a label comes out, in pixels. */
double glyph_width(const struct font *font, const char *text);

/* Appends the strokes of a label whose baseline is at (x, y), and says how wide its lines are. */
double glyph_strokes(const struct font *font, double x, double y, const char *text,
                     struct path *out);
#endif
