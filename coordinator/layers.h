/* The layers of a trial as a person sees them: a line each, with a bar as long as its bits. */
#ifndef COORDINATOR_LAYERS_H
#define COORDINATOR_LAYERS_H
#include "coordinator/rows.h"

struct layers_look {
	bool all;     /* bars and a line per layer even when all have the same bits */
	bool unicode; /* bars of blocks, not of '#' */
	bool bold;    /* headings */
};

/* Draws measured rows (layer, metric, value), those of a layer together.  A line per layer where
 * bits differ or something was measured that is worth a column, otherwise one line for all of them.
 * Bars where bits differ or their sensitivity is known.  Shares are of the bytes of all weights;
 * the sensitivity is that at the layer's bits. */
void layers_draw(const struct rows *measured, struct layers_look look, struct text *out);

/* Whether this process's terminal takes UTF-8, by LC_ALL, LC_CTYPE or LANG. */
bool layers_unicode(void);
#endif
