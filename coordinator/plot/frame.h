/* The frame of a chart: axes with ticks and names around a rectangle. */
#ifndef COORDINATOR_PLOT_FRAME_H
#define COORDINATOR_PLOT_FRAME_H
#include "coordinator/plot/axis.h"
#include "coordinator/plot/figure.h"

/* The pixels of both axes are the rectangle's sides. */
struct frame {
	struct axis x, y;
	int x_ticks, y_ticks;        /* about how many */
	const char *x_name, *y_name; /* null: none, and no numbers at its ticks */
};

enum { TITLE_PX = 17, NAME_PX = 13, NUMBER_PX = 12, NUMBER_BYTES = 32 };
extern const struct font frame_font; /* of names: dark grey */

/* Draws numbers, names, ticks and the rectangle; grid lines in light grey when wanted. */
void frame_draw(struct figure *f, const struct frame *frame, bool lines);

/* The font, smaller where the text would be wider than that. */
struct font font_fitting(struct font font, const char *text, double width_px);

/* "0.05", "−1", "2e6". */
void number_text(double value, char out[NUMBER_BYTES]);
#endif
