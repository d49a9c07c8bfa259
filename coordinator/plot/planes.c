/* Filled contours of planes through loss landscapes, side by side under one scale of colour. */
#include "coordinator/plot/planes.h"
#include "coordinator/plot/frame.h"
#include "coordinator/plot/glyph.h"
#include "coordinator/plot/palette.h"
#include "core/base/text.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	PANEL_ONE_PX = 460,
	PANEL_PX = 380, /* of several */
	LEFT_PX = 78,
	GAP_PX = 34,
	TOP_PX = 64,
	BOTTOM_PX = 56,
	BAR_GAP_PX = 26,
	BAR_PX = 20,
	BAR_RIGHT_PX = 74,
	LEVELS = 13, /* about */
	FINE = 160,  /* cells along a side that look smooth */
	LABEL_PX = 11,
	LABELS_APART_PX = 34
};
static const double LOG_RATIO = 15, SHOWN_SHARE = 0.95, STEEP_RATIO = 1.5;

/* One scale of values for all panels. */
struct scale {
	struct axis axis;
	double level[AXIS_TICKS];
	int levels;
	bool more; /* some values lie beyond its upper end */
};

/* Labels of isolines that are set already. */
struct labels {
	double xy[AXIS_TICKS][2];
	int count;
};

/* Steep corners would leave no colours for the valley: the scale may end below them. */
static double top_of(const double *sorted, int count)
{
	double most = sorted[(int)(SHOWN_SHARE * (count - 1))];

	return most > 0 && sorted[count - 1] > STEEP_RATIO * most ? most : sorted[count - 1];
}

static struct scale scale_over(const struct landscape *list, int count)
{
	double *sorted = xmalloc(sizeof *sorted), top = 0;
	struct scale s = {.more = false};
	int n = 0;

	for (int i = 0; i < count; i++) {
		const struct grid *g = &list[i].grid;
		int all = g->columns * g->rows;
		sorted = xrealloc(sorted, (size_t)(n + all + 1) * sizeof *sorted);
		for (int k = 0; k < all; k++)
			if (isfinite(g->value[k]))
				sorted[n++] = g->value[k];
	}
	qsort(sorted, (size_t)n, sizeof *sorted, axis_ascending);
	if (n) {
		top = top_of(sorted, n);
		s.more = top < sorted[n - 1];
	}
	s.axis = axis_over(n ? sorted[0] : 0, top, LOG_RATIO);
	s.levels = axis_ticks(&s.axis, LEVELS, s.level);
	free(sorted);
	return s;
}

/* Of the band above level i; −1: below them all. */
static colour band_colour(const struct scale *s, int i)
{
	return palette_scale((i + 1.0) / s->levels);
}

/* The values as parts of the scale, on a grid fine enough to look smooth. */
static struct grid fine_grid(const struct grid *g, const struct scale *s)
{
	int all = g->columns * g->rows, longer = g->columns > g->rows ? g->columns : g->rows;
	struct grid parts = *g;

	parts.value = xmalloc((size_t)all * sizeof *parts.value);
	for (int i = 0; i < all; i++) {
		double v = isfinite(g->value[i]) ? g->value[i] : s->axis.high;
		parts.value[i] = axis_part(&s->axis, v);
	}
	struct grid fine = grid_refine(&parts, longer < 2 ? 1 : (FINE + longer - 2) / (longer - 1));
	free(parts.value);
	return fine;
}

static void to_pixels(const struct frame *frame, struct path *p)
{
	for (int i = 0; i < p->points; i++) {
		p->xy[2 * i] = axis_px(&frame->x, p->xy[2 * i]);
		p->xy[2 * i + 1] = axis_px(&frame->y, p->xy[2 * i + 1]);
	}
}

/* ---- labels on isolines ---- */

static double distance(const double *a, const double *b)
{
	return hypot(b[0] - a[0], b[1] - a[1]);
}

/* How well a label of that width sits around point i of a run [from, to): the chord over the line's
 * length, 1 where it is straight; below 0: it does not.  *degrees is how it lies. */
static double fit(const double (*xy)[2], int from, int to, int i, double width, double *degrees)
{
	double length[2] = {0};
	int end[2] = {i, i};

	for (; end[0] > from && length[0] < width / 2; end[0]--)
		length[0] += distance(xy[end[0]], xy[end[0] - 1]);
	for (; end[1] + 1 < to && length[1] < width / 2; end[1]++)
		length[1] += distance(xy[end[1]], xy[end[1] + 1]);
	if (length[0] < width / 2 || length[1] < width / 2)
		return -1;
	double dx = xy[end[1]][0] - xy[end[0]][0], dy = xy[end[1]][1] - xy[end[0]][1];
	*degrees = atan2(-dy, dx) * 180 / M_PI;
	*degrees += *degrees > 90 ? -180 : *degrees < -90 ? 180 : 0;
	return hypot(dx, dy) / (length[0] + length[1]);
}

/* Away from other labels, and from the frame by half the label's width. */
static bool is_free(const struct labels *set, const struct frame *frame, const double xy[2],
                    double width)
{
	double margin = width / 2 + 4;

	for (int i = 0; i < set->count; i++)
		if (distance(set->xy[i], xy) < LABELS_APART_PX)
			return false;
	return xy[0] > frame->x.low_px + margin && xy[0] < frame->x.high_px - margin &&
	       xy[1] > frame->y.high_px + margin && xy[1] < frame->y.low_px - margin &&
	       set->count < AXIS_TICKS;
}

/* Sets the level's number where its lines are straightest, if there is room anywhere. */
static void label_lines(struct figure *f, const struct frame *frame, const struct path *lines,
                        double level, colour band, struct labels *set)
{
	struct font font = {.size_px = LABEL_PX,
	                    .colour = palette_dark(band) ? 0xffffff : 0x222222,
	                    .halo = band,
	                    .halo_px = 2.2,
	                    .anchor = ANCHOR_MIDDLE};
	const double(*xy)[2] = (const double(*)[2])lines->xy;
	char number[NUMBER_BYTES];
	double best = 0.9, where[2] = {0};

	number_text(level, number);
	double width = glyph_width(&font, number) + 6;
	for (int run = 0; run < lines->runs; run++)
		for (int i = lines->start[run]; i < path_end(lines, run); i++) {
			double degrees = 0, is;
			if (!is_free(set, frame, xy[i], width))
				continue;
			is = fit(xy, lines->start[run], path_end(lines, run), i, width, &degrees);
			is -= fabs(degrees) / 900; /* flat ones are read more easily */
			if (is > best) {
				best = is;
				font.degrees = degrees;
				where[0] = xy[i][0];
				where[1] = xy[i][1];
			}
		}
	if (best <= 0.9)
		return;
	double angle = font.degrees * M_PI / 180, drop = LABEL_PX * 0.35;
	figure_label(f, &font, where[0] + drop * sin(angle), where[1] + drop * cos(angle), number);
	set->xy[set->count][0] = where[0];
	set->xy[set->count++][1] = where[1];
}

/* ---- panels ---- */

static void draw_level(struct figure *f, const struct frame *frame, const struct grid *fine,
                       const struct scale *s, int i, struct path *lines)
{
	struct path area = {0};

	contour_area(fine, axis_part(&s->axis, s->level[i]), &area);
	contour_lines(fine, &area, lines);
	to_pixels(frame, &area);
	to_pixels(frame, lines);
	*figure_area(f, band_colour(s, i), 1) = area;
}

/* The figure's line gets a copy: its labels are set last, above all lines. */
static void draw_isoline(struct figure *f, const struct path *lines, colour band)
{
	*figure_line(f, palette_dark(band) ? 0xffffff : 0x222222, 0.55, 0.9, 0) = path_copy(lines);
}

/* A ring where the weights themselves are. */
static void mark_zero(struct figure *f, const struct frame *frame)
{
	static const struct {
		colour c;
		double line_px;
	} ring[] = {{0xffffff, 3.6}, {0x111111, 1.6}};

	for (int k = 0; k < 2; k++) {
		struct path *p = figure_line(f, ring[k].c, 1, ring[k].line_px, 0);
		for (int i = 0; i <= 24; i++)
			(i ? path_line : path_move)(p,
			                            axis_px(&frame->x, 0) + 4 * cos(i * M_PI / 12),
			                            axis_px(&frame->y, 0) + 4 * sin(i * M_PI / 12));
	}
}

static void draw_panel(struct figure *f, const struct frame *frame, const struct landscape *l,
                       const struct scale *s)
{
	struct grid fine = fine_grid(&l->grid, s);
	struct path lines[AXIS_TICKS] = {0};
	struct labels set = {.count = 0};

	if (axis_part(&frame->x, 0) > 0 && axis_part(&frame->y, 0) > 0)
		set = (struct labels){{{axis_px(&frame->x, 0), axis_px(&frame->y, 0)}}, 1};
	path_box(figure_area(f, band_colour(s, -1), 1), frame->x.low_px, frame->y.high_px,
	         frame->x.high_px, frame->y.low_px);
	for (int i = 0; i < s->levels; i++)
		draw_level(f, frame, &fine, s, i, &lines[i]);
	for (int i = 0; i < s->levels; i++)
		draw_isoline(f, &lines[i], band_colour(s, i));
	for (int i = 0; i < s->levels; i++) {
		label_lines(f, frame, &lines[i], s->level[i], band_colour(s, i), &set);
		path_release(&lines[i]);
	}
	if (set.count)
		mark_zero(f, frame);
	frame_draw(f, frame, false);
	grid_release(&fine);
}

/* The bar goes on: an arrow's head on its upper end. */
static void draw_tip(struct figure *f, colour c, double left, double top)
{
	struct path tip = {0};

	path_move(&tip, left, top);
	path_line(&tip, left + BAR_PX / 2.0, top - BAR_PX * 0.8);
	path_line(&tip, left + BAR_PX, top);
	*figure_area(f, c, 1) = tip;
	*figure_line(f, 0x666666, 1, 1, 0) = path_copy(&tip);
}

static void draw_bar(struct figure *f, const struct scale *s, double left, double top,
                     double bottom, const char *name)
{
	struct axis along = s->axis;
	struct font font = {.size_px = NUMBER_PX, .colour = 0x333333};
	char number[NUMBER_BYTES];
	double widest = 0;

	along.low_px = bottom;
	along.high_px = top;
	path_box(figure_area(f, band_colour(s, -1), 1), left, top, left + BAR_PX, bottom);
	for (int i = 0; i < s->levels; i++) {
		double y = axis_px(&along, s->level[i]);
		path_box(figure_area(f, band_colour(s, i), 1), left, top, left + BAR_PX, y);
		number_text(s->level[i], number);
		widest = fmax(widest, glyph_width(&font, number));
		figure_label(f, &font, left + BAR_PX + 7, y + NUMBER_PX * 0.36, number);
		struct path *tick = figure_line(f, 0x666666, 1, 1, 0);
		path_move(tick, left + BAR_PX, y);
		path_line(tick, left + BAR_PX + 4, y);
	}
	path_box(figure_line(f, 0x666666, 1, 1, 0), left, top, left + BAR_PX, bottom);
	if (s->more)
		draw_tip(f, band_colour(s, s->levels - 1), left, top);
	font = (struct font){
	        .size_px = NAME_PX, .colour = 0x333333, .anchor = ANCHOR_MIDDLE, .degrees = 90};
	figure_label(f, &font, left + BAR_PX + widest + 24, (top + bottom) / 2, name);
}

void planes_draw(struct figure *f, const struct landscape *list, int count, const char *x_name,
                 const char *y_name, const char *title)
{
	double side = count > 1 ? PANEL_PX : PANEL_ONE_PX, right = LEFT_PX - GAP_PX;
	double top = count > 1 ? TOP_PX + 8 : TOP_PX - 16;
	struct scale s = scale_over(list, count);
	struct font bold = {.size_px = TITLE_PX, .colour = 0x222222, .bold = true};

	figure_init(f,
	            LEFT_PX + count * (side + GAP_PX) - GAP_PX + BAR_GAP_PX + BAR_PX + BAR_RIGHT_PX,
	            top + side + BOTTOM_PX);
	bold = font_fitting(bold, title, f->width - LEFT_PX - 16);
	figure_label(f, &bold, LEFT_PX, 30, title);
	for (int i = 0; i < count; i++, right += side) {
		const struct grid *g = &list[i].grid;
		struct frame frame = {.x = {g->x[0], g->x[g->columns - 1]},
		                      .y = {g->y[0], g->y[g->rows - 1]},
		                      .x_ticks = 5,
		                      .y_ticks = 6,
		                      .x_name = x_name,
		                      .y_name = i ? NULL : y_name};
		right += GAP_PX;
		frame.x.low_px = right;
		frame.x.high_px = right + side;
		frame.y.high_px = top;
		frame.y.low_px = top + side;
		draw_panel(f, &frame, &list[i], &s);
		struct font font = font_fitting(frame_font, list[i].label, side);
		if (count > 1)
			figure_label(f, &font, right, top - 9, list[i].label);
	}
	draw_bar(f, &s, right + BAR_GAP_PX, top, top + side, list[0].metric);
}
