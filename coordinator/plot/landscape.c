/* Pictures of loss landscapes: the points as a grid, and lines in one frame. */
#include "coordinator/plot/landscape.h"
#include "coordinator/plot/frame.h"
#include "coordinator/plot/palette.h"
#include "coordinator/plot/planes.h"
#include "core/base/text.h"
#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	WIDTH_PX = 760,
	PLOT_PX = 400,
	LEFT_PX = 84,
	RIGHT_PX = 28,
	TOP_PX = 48,
	BOTTOM_PX = 56,
	LEGEND_ROW_PX = 20,
	REFINED = 6,   /* pieces of a curve between two points */
	SAMPLE_PX = 32 /* of a line, in the legend */
};
static const double LOG_RATIO = 30, LINE_PX = 2.2, DASH_PX[] = {0, 7, 2.5};
enum { DASHES = sizeof DASH_PX / sizeof *DASH_PX };

/* What the axes of a slice are. */
static const struct slice_name {
	const char *slice, *x, *y;
} slice_names[] = {
        {"random", "step along a random direction (filter-normalised)", NULL},
        {"hessian", "step along the top Hessian direction", NULL},
        {"random_plane", "step along a random direction (filter-normalised)",
         "step along a second one"},
        {"hessian_plane", "step along the top Hessian direction",
         "step along the second Hessian direction"},
        {NULL, "x", "y"},
};

static const struct slice_name *name_of(const char *slice)
{
	const struct slice_name *n = slice_names;

	while (n->slice && strcmp(n->slice, slice) != 0)
		n++;
	return n;
}

/* ---- points to grid ---- */

/* The different values in order; *count of them. */
static double *distinct(const double *v, int points, int *count)
{
	double *sorted = xmalloc((size_t)(points + 1) * sizeof *sorted);

	memcpy(sorted, v, (size_t)points * sizeof *v);
	qsort(sorted, (size_t)points, sizeof *sorted, axis_ascending);
	*count = 0;
	for (int i = 0; i < points; i++)
		if (!i || sorted[i] != sorted[i - 1])
			sorted[(*count)++] = sorted[i];
	return sorted;
}

static int index_of(const double *sorted, int count, double v)
{
	const double *found = bsearch(&v, sorted, (size_t)count, sizeof v, axis_ascending);

	return (int)(found - sorted);
}

struct grid landscape_grid(const double *x, const double *y, const double *value, int points)
{
	struct grid g = {0};

	g.x = distinct(x, points, &g.columns);
	g.y = distinct(y, points, &g.rows);
	int all = g.columns * g.rows;
	g.value = xmalloc((size_t)(all + 1) * sizeof *g.value);
	for (int i = 0; i < all; i++)
		g.value[i] = NAN;
	for (int i = 0; i < points; i++)
		g.value[index_of(g.y, g.rows, y[i]) * g.columns + index_of(g.x, g.columns, x[i])] =
		        value[i];
	return g;
}

/* ---- lines ---- */

static int metric_number(const struct landscape *list, int i)
{
	int number = 0;

	for (int k = 0; k < i; k++) {
		bool seen = false;
		for (int n = 0; n < k; n++)
			seen = seen || !strcmp(list[n].metric, list[k].metric);
		if (!strcmp(list[k].metric, list[i].metric))
			break;
		number += !seen;
	}
	return number;
}

static bool several_metrics(const struct landscape *list, int count)
{
	for (int i = 1; i < count; i++)
		if (strcmp(list[i].metric, list[0].metric) != 0)
			return true;
	return false;
}

static void spoken(const char *metric, char *out, size_t bytes)
{
	snprintf(out, bytes, "%s", metric);
	for (char *c = out; *c; c++)
		*c = *c == '_' ? ' ' : *c;
}

static struct path *line_of(struct figure *f, const struct landscape *list, int i)
{
	return figure_line(f, palette_kind(list[i].trial), 1, LINE_PX,
	                   DASH_PX[metric_number(list, i) % DASHES]);
}

static void draw_legend(struct figure *f, const struct landscape *list, int count)
{
	bool several = several_metrics(list, count);
	char metric[64];

	for (int i = 0; i < count; i++) {
		double y = TOP_PX + LEGEND_ROW_PX * (i + 0.4), x = LEFT_PX;
		struct path *sample = line_of(f, list, i);
		path_move(sample, x, y - NAME_PX * 0.35);
		path_line(sample, x + SAMPLE_PX, y - NAME_PX * 0.35);
		spoken(list[i].metric, metric, sizeof metric);
		char *label = !several         ? xstrdup(list[i].label)
		              : *list[i].label ? xformat("%s, %s", list[i].label, metric)
		                               : xstrdup(metric);
		struct font font = font_fitting(frame_font, label,
		                                WIDTH_PX - LEFT_PX - SAMPLE_PX - RIGHT_PX - 10);
		figure_label(f, &font, x + SAMPLE_PX + 10, y, label);
		free(label);
	}
}

static bool drawable(const struct frame *frame, double v)
{
	return isfinite(v) && (!frame->y.log || v > 0);
}

/* Straight from point to point; broken where a value is no number. */
static void draw_broken(const struct frame *frame, const struct grid *g, struct path *p)
{
	bool goes_on = false;

	for (int k = 0; k < g->columns; k++) {
		bool drawn = drawable(frame, g->value[k]);
		if (drawn)
			(goes_on ? path_line : path_move)(p, axis_px(&frame->x, g->x[k]),
			                                  axis_px(&frame->y, g->value[k]));
		goes_on = drawn;
	}
}

/* A smooth curve through the points, where all are numbers. */
static void draw_line(struct figure *f, const struct frame *frame, const struct landscape *list,
                      int i)
{
	struct grid px = list[i].grid, fine;
	struct path *p = line_of(f, list, i);
	bool whole = true;

	for (int k = 0; k < px.columns; k++)
		whole = whole && drawable(frame, px.value[k]);
	if (!whole) {
		draw_broken(frame, &px, p);
		return;
	}
	px.value = xmalloc((size_t)px.columns * sizeof *px.value);
	for (int k = 0; k < px.columns; k++)
		px.value[k] = axis_px(&frame->y, list[i].grid.value[k]);
	fine = grid_refine(&px, REFINED);
	for (int k = 0; k < fine.columns; k++)
		(k ? path_line : path_move)(p, axis_px(&frame->x, fine.x[k]), fine.value[k]);
	grid_release(&fine);
	free(px.value);
}

static void grow(double range[2], double v)
{
	if (isfinite(v)) {
		range[0] = fmin(range[0], v);
		range[1] = fmax(range[1], v);
	}
}

static struct frame frame_over(const struct landscape *list, int count)
{
	double x[2] = {INFINITY, -INFINITY}, y[2] = {INFINITY, -INFINITY};

	for (int i = 0; i < count; i++)
		for (int k = 0; k < list[i].grid.columns; k++) {
			grow(x, list[i].grid.x[k]);
			grow(y, list[i].grid.value[k]);
		}
	struct frame frame = {.x = axis_over(x[0], x[1], 0), .y = axis_over(y[0], y[1], LOG_RATIO)};
	double room = frame.y.log ? pow(frame.y.high / frame.y.low, 0.05)
	                          : (frame.y.high - frame.y.low) * 0.05;
	frame.y.low = frame.y.log ? frame.y.low / room : frame.y.low - room;
	frame.y.high = frame.y.log ? frame.y.high * room : frame.y.high + room;
	return frame;
}

/* Where the weights themselves are. */
static void mark_zero(struct figure *f, const struct frame *frame)
{
	struct path *p = figure_line(f, 0x999999, 1, 1.2, 4);

	path_move(p, axis_px(&frame->x, 0), frame->y.low_px);
	path_line(p, axis_px(&frame->x, 0), frame->y.high_px);
}

static void draw_lines(struct figure *f, const struct landscape *list, int count, const char *slice,
                       const char *title)
{
	int legend_px = count > 1 ? LEGEND_ROW_PX * count : 0;
	struct frame frame = frame_over(list, count);
	struct font bold = {.size_px = TITLE_PX, .colour = 0x222222, .bold = true};
	char metric[64] = "loss";

	figure_init(f, WIDTH_PX, TOP_PX + legend_px + PLOT_PX + BOTTOM_PX);
	if (!several_metrics(list, count))
		spoken(list[0].metric, metric, sizeof metric);
	frame.x.low_px = LEFT_PX;
	frame.x.high_px = WIDTH_PX - RIGHT_PX;
	frame.y.high_px = TOP_PX + legend_px;
	frame.y.low_px = frame.y.high_px + PLOT_PX;
	frame.x_ticks = 9;
	frame.y_ticks = 7;
	frame.x_name = name_of(slice)->x;
	frame.y_name = metric;
	bold = font_fitting(bold, title, WIDTH_PX - LEFT_PX - RIGHT_PX);
	figure_label(f, &bold, LEFT_PX, 28, title);
	if (count > 1)
		draw_legend(f, list, count);
	frame_draw(f, &frame, true);
	if (axis_part(&frame.x, 0) > 0 && axis_part(&frame.x, 0) < 1)
		mark_zero(f, &frame);
	for (int i = 0; i < count; i++)
		draw_line(f, &frame, list, i);
}

void landscape_draw(struct figure *f, const struct landscape *list, int count, const char *slice,
                    const char *title)
{
	const struct slice_name *n = name_of(slice);

	assert(count > 0);
	if (list[0].grid.rows > 1)
		planes_draw(f, list, count, n->x, n->y ? n->y : "y", title);
	else
		draw_lines(f, list, count, slice, title);
}
