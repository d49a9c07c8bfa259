/* The frame of a chart: axes with ticks and names around a rectangle. */
#include "coordinator/plot/frame.h"
#include "coordinator/plot/glyph.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { TICK_PX = 5, NUMBER_GAP_PX = 4, NAME_GAP_PX = 38, NAME_GAP_LEFT_PX = 16, SIZE_LEAST_PX = 8 };
static const colour ink = 0x333333, rule = 0xe4e4e4, box = 0x666666;

const struct font frame_font = {.size_px = NAME_PX, .colour = 0x333333};

void number_text(double value, char out[NUMBER_BYTES])
{
	char plain[NUMBER_BYTES];
	const char *from = plain;

	snprintf(plain, sizeof plain, "%.4g", value);
	for (; *from; from++) {
		bool exponent = from > plain && from[-1] == 'e';
		if (*from == '-')
			out = stpcpy(out, "−");
		else if (!(exponent && *from == '+'))
			*out++ = *from;
		if (exponent && from[1] == '0') /* e+06 */
			from++;
	}
	*out = 0;
}

struct font font_fitting(struct font font, const char *text, double width_px)
{
	double width = glyph_width(&font, text);

	if (width > width_px)
		font.size_px = fmax(SIZE_LEAST_PX, font.size_px * width_px / width);
	return font;
}

static void draw_segment(struct figure *f, colour c, const double ends[4])
{
	struct path *p = figure_line(f, c, 1, 1, 0);

	path_move(p, ends[0], ends[1]);
	path_line(p, ends[2], ends[3]);
}

static void draw_x(struct figure *f, const struct frame *frame, bool lines)
{
	double tick[AXIS_TICKS], bottom = frame->y.low_px, top = frame->y.high_px;
	struct font font = {.size_px = NUMBER_PX, .colour = ink, .anchor = ANCHOR_MIDDLE};
	char number[NUMBER_BYTES];

	for (int i = 0, n = axis_ticks(&frame->x, frame->x_ticks, tick); i < n; i++) {
		double x = axis_px(&frame->x, tick[i]);
		if (lines)
			draw_segment(f, rule, (double[]){x, bottom, x, top});
		draw_segment(f, box, (double[]){x, bottom, x, bottom + TICK_PX});
		number_text(tick[i], number);
		figure_label(f, &font, x, bottom + TICK_PX + NUMBER_GAP_PX + NUMBER_PX * 0.8,
		             number);
	}
	font.size_px = NAME_PX;
	figure_label(f, &font, (frame->x.low_px + frame->x.high_px) / 2, bottom + NAME_GAP_PX,
	             frame->x_name);
}

static void draw_y(struct figure *f, const struct frame *frame, bool lines)
{
	double tick[AXIS_TICKS], left = frame->x.low_px, right = frame->x.high_px, widest = 0;
	struct font font = {.size_px = NUMBER_PX, .colour = ink, .anchor = ANCHOR_END};
	char number[NUMBER_BYTES];

	for (int i = 0, n = axis_ticks(&frame->y, frame->y_ticks, tick); i < n; i++) {
		double y = axis_px(&frame->y, tick[i]);
		if (lines)
			draw_segment(f, rule, (double[]){left, y, right, y});
		draw_segment(f, box, (double[]){left - TICK_PX, y, left, y});
		if (!frame->y_name)
			continue;
		number_text(tick[i], number);
		widest = fmax(widest, glyph_width(&font, number));
		figure_label(f, &font, left - TICK_PX - NUMBER_GAP_PX, y + NUMBER_PX * 0.36,
		             number);
	}
	font = (struct font){
	        .size_px = NAME_PX, .colour = ink, .anchor = ANCHOR_MIDDLE, .degrees = 90};
	if (frame->y_name)
		figure_label(f, &font, left - TICK_PX - NUMBER_GAP_PX - widest - NAME_GAP_LEFT_PX,
		             (frame->y.low_px + frame->y.high_px) / 2, frame->y_name);
}

void frame_draw(struct figure *f, const struct frame *frame, bool lines)
{
	draw_x(f, frame, lines);
	draw_y(f, frame, lines);
	path_box(figure_line(f, box, 1, 1, 0), frame->x.low_px, frame->y.high_px, frame->x.high_px,
	         frame->y.low_px);
}
