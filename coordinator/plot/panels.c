/* Charts of a kind side by side, each with lines of its own, under one legend. */
#include "coordinator/plot/panels.h"
#include "coordinator/plot/frame.h"
#include "coordinator/plot/palette.h"
#include <math.h>
#include <stdlib.h>

enum {
	COLUMNS = 3, /* or four, where that leaves less of a hole */
	PLOT_PX = 250,
	LEFT_PX = 64,
	RIGHT_PX = 18,
	HEAD_PX = 34, /* a panel's title */
	FOOT_PX = 56, /* its numbers and name */
	TITLE_TOP_PX = 30,
	LEGEND_TOP_PX = 44,
	LEGEND_ROW_PX = 20,
	SAMPLE_PX = 28,
	NOTE_PX = 16
};
static const double LINE_PX = 2, FILL = 0.22;
static const colour faint = 0x999999;

static double cell_width(void)
{
	return LEFT_PX + PLOT_PX + RIGHT_PX;
}

static double cell_height(void)
{
	return HEAD_PX + PLOT_PX + FOOT_PX;
}

static void grow(double range[2], double v)
{
	if (isfinite(v)) {
		range[0] = fmin(range[0], v);
		range[1] = fmax(range[1], v);
	}
}

static struct frame frame_of(const struct panel *p, const struct panels_look *look, double left,
                             double top)
{
	double x[2] = {INFINITY, -INFINITY}, y[2] = {0, 0};
	struct frame frame = {
	        .x_ticks = 5, .y_ticks = 5, .x_name = look->x_name, .y_name = look->y_name};

	for (int i = 0; i < p->count; i++)
		for (int k = 0; k < p->series[i].points; k++) {
			grow(x, p->series[i].x[k]);
			grow(y, p->series[i].y[k]);
		}
	if (look->rates || !(x[0] < x[1])) {
		x[0] = 0;
		x[1] = 1;
	}
	frame.x = axis_over(x[0], x[1], 0);
	frame.y = axis_over(0, look->rates || y[1] <= 0 ? 1 : 1.05 * y[1], 0);
	frame.x.low_px = left;
	frame.x.high_px = left + PLOT_PX;
	frame.y.low_px = top + PLOT_PX;
	frame.y.high_px = top;
	return frame;
}

static void draw_dashes(struct figure *f, double x0, double y0, double x1, double y1)
{
	struct path *p = figure_line(f, faint, 1, 1.2, 5);

	path_move(p, x0, y0);
	path_line(p, x1, y1);
}

static void draw_series(struct figure *f, const struct frame *frame, const struct series *s)
{
	double floor = axis_px(&frame->y, 0);
	struct path *p;

	if (!s->points)
		return;
	if (s->filled) {
		p = figure_area(f, palette_kind(s->kind), FILL);
		path_move(p, axis_px(&frame->x, s->x[0]), floor);
		for (int k = 0; k < s->points; k++)
			path_line(p, axis_px(&frame->x, s->x[k]), axis_px(&frame->y, s->y[k]));
		path_line(p, axis_px(&frame->x, s->x[s->points - 1]), floor);
	}
	p = figure_line(f, palette_kind(s->kind), 1, LINE_PX, 0);
	for (int k = 0; k < s->points; k++)
		(k ? path_line : path_move)(p, axis_px(&frame->x, s->x[k]),
		                            axis_px(&frame->y, s->y[k]));
}

/* Rates leave the lower right free. */
static void draw_notes(struct figure *f, const struct frame *frame, const struct panel *p)
{
	double y = frame->y.low_px - 12;
	struct font font = {
	        .size_px = 12, .anchor = ANCHOR_END, .bold = true, .halo = 0xffffff, .halo_px = 3};

	for (int i = p->count - 1; i >= 0; i--) {
		if (!p->series[i].note)
			continue;
		font.colour = palette_kind(p->series[i].kind);
		figure_label(f, &font, frame->x.high_px - 10, y, p->series[i].note);
		y -= NOTE_PX;
	}
}

static void draw_panel(struct figure *f, const struct panel *p, const struct panels_look *look,
                       double left, double top)
{
	struct frame frame = frame_of(p, look, left + LEFT_PX, top + HEAD_PX);
	struct font font = frame_font;

	frame_draw(f, &frame, true);
	if (look->rates)
		draw_dashes(f, frame.x.low_px, frame.y.low_px, frame.x.high_px, frame.y.high_px);
	for (int i = 0; i < p->count; i++)
		draw_series(f, &frame, &p->series[i]);
	draw_notes(f, &frame, p);
	font.bold = true;
	struct font fitting = font_fitting(font, p->title, PLOT_PX);
	figure_label(f, &fitting, frame.x.low_px, top + HEAD_PX - 9, p->title);
}

static double draw_legend(struct figure *f, const struct panels_look *look, double width)
{
	double y = LEGEND_TOP_PX;

	for (int i = 0; i < look->kinds; i++, y += LEGEND_ROW_PX) {
		struct path *sample = figure_line(f, palette_kind(i), 1, LINE_PX + 1, 0);
		path_move(sample, LEFT_PX, y + 8);
		path_line(sample, LEFT_PX + SAMPLE_PX, y + 8);
		struct font font =
		        font_fitting(frame_font, look->legend[i], width - 2 * LEFT_PX - SAMPLE_PX);
		figure_label(f, &font, LEFT_PX + SAMPLE_PX + 10, y + 12, look->legend[i]);
	}
	return y;
}

void panels_draw(struct figure *f, const struct panel *panel, int count,
                 const struct panels_look *look)
{
	int most = count % COLUMNS == 1 ? COLUMNS + 1 : COLUMNS;
	int columns = count < most ? count : most, rows = (count + columns - 1) / columns;
	double width = columns * cell_width() + RIGHT_PX;
	struct font heading = {.size_px = TITLE_PX, .colour = 0x222222, .bold = true};
	double top = LEGEND_TOP_PX + look->kinds * LEGEND_ROW_PX;

	figure_init(f, width, top + rows * cell_height() + RIGHT_PX);
	struct font fitting = font_fitting(heading, look->title, width - LEFT_PX - RIGHT_PX);
	figure_label(f, &fitting, LEFT_PX, TITLE_TOP_PX, look->title);
	draw_legend(f, look, width);
	for (int i = 0; i < count; i++)
		draw_panel(f, &panel[i], look, i % columns * cell_width(),
		           top + i / columns * cell_height());
}

void panel_release(struct panel *p)
{
	for (int i = 0; i < p->count; i++) {
		free(p->series[i].x);
		free(p->series[i].y);
		free(p->series[i].note);
	}
	free(p->series);
	free(p->title);
}
