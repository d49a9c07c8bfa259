/* Anti-aliased areas and lines, drawn into a picture of pixels.
 *
 * A mark first says how much of each pixel it covers, then colour is laid on by that.  Areas: every
 * edge adds the area to its right, signed by whether it goes down or up, so that a running sum
 * along the row is the winding number, in parts at the border.  Lines: a pixel is covered by how
 * far it lies within half the width of the nearest segment. */
#include "coordinator/plot/raster.h"
#include "core/base/text.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Pixels that a mark may touch. */
struct box {
	int left, top, right, bottom; /* right and bottom are outside */
};

void raster_init(struct raster *r, double width, double height, double scale)
{
	*r = (struct raster){.width = (int)ceil(width * scale),
	                     .height = (int)ceil(height * scale),
	                     .scale = scale};
	size_t pixels = (size_t)r->width * (size_t)r->height;
	r->rgb = xmalloc(3 * pixels);
	memset(r->rgb, 255, 3 * pixels);
	r->cover = xcalloc(pixels + (size_t)r->height, sizeof *r->cover);
}

void raster_release(struct raster *r)
{
	free(r->rgb);
	free(r->cover);
	*r = (struct raster){0};
}

static int within(double v, int most)
{
	return v < 0 ? 0 : v > most ? most : (int)v;
}

static struct box box_of(const struct raster *r, const double (*xy)[2], int points, double margin)
{
	double low[2] = {INFINITY, INFINITY}, high[2] = {-INFINITY, -INFINITY};

	for (int i = 0; i < points; i++)
		for (int k = 0; k < 2; k++) {
			low[k] = fmin(low[k], xy[i][k] * r->scale);
			high[k] = fmax(high[k], xy[i][k] * r->scale);
		}
	return (struct box){within(floor(low[0] - margin), r->width),
	                    within(floor(low[1] - margin), r->height),
	                    within(ceil(high[0] + margin) + 1, r->width),
	                    within(ceil(high[1] + margin) + 1, r->height)};
}

static float *row_of(const struct raster *r, int y)
{
	return r->cover + (size_t)y * ((size_t)r->width + 1);
}

static void lay(uint8_t *pixel, colour c, double share)
{
	for (int k = 0; k < 3; k++) {
		double is = pixel[k], wanted = c >> (16 - 8 * k) & 255;
		pixel[k] = (uint8_t)lround(is + (wanted - is) * share);
	}
}

/* Lays the colour on, and leaves the cover zero.  sum: the cover is a row's differences. */
static void lay_box(struct raster *r, struct box b, colour c, double opacity, bool sum)
{
	for (int y = b.top; y < b.bottom; y++) {
		float *cover = row_of(r, y), total = 0;
		for (int x = b.left; x < b.right; x++) {
			total = sum ? total + cover[x] : cover[x];
			double share = fmin(fabs(total), 1) * opacity;
			if (share > 1e-3)
				lay(r->rgb + 3 * ((size_t)y * (size_t)r->width + (size_t)x), c,
				    share);
			cover[x] = 0;
		}
		cover[b.right] = 0;
	}
}

/* Part of an edge within one row, from (x0, y0) to (x1, y1); dy signed. */
static void add_in_row(float *row, double x0, double x1, double dy, int width)
{
	double left = fmin(fmax(fmin(x0, x1), 0), width), right = fmin(fmax(x0, x1), width);
	int first = (int)left, last = right > left ? (int)ceil(right) - 1 : first;

	right = fmax(right, left);
	last = last < first ? first : last;
	if (first >= width)
		return;
	double before = 0; /* what lies to the right of the edge, up to and with this pixel */
	for (int x = first; x <= last; x++) {
		double a = fmax(left, x), b = fmin(right, x + 1);
		double part = right > left ? (b - a) / (right - left) * dy : dy;
		double middle = (a + b) / 2 - x; /* of this part of the edge, in the pixel */
		row[x] += (float)(before + part * (1 - middle));
		before = part * middle;
	}
	row[last + 1] += (float)before;
}

static void add_edge(struct raster *r, const double a[2], const double b[2])
{
	double s = r->scale, sign = b[1] > a[1] ? 1 : -1;
	double top[2] = {s * a[0], s * a[1]}, bottom[2] = {s * b[0], s * b[1]};

	if (a[1] == b[1])
		return;
	if (sign < 0) {
		memcpy(top, (double[]){s * b[0], s * b[1]}, sizeof top);
		memcpy(bottom, (double[]){s * a[0], s * a[1]}, sizeof bottom);
	}
	double slope = (bottom[0] - top[0]) / (bottom[1] - top[1]);
	int last = within(ceil(bottom[1]), r->height);
	for (int y = within(floor(top[1]), r->height); y < last; y++) {
		double y0 = fmax(top[1], y), y1 = fmin(bottom[1], y + 1);
		if (y1 > y0)
			add_in_row(row_of(r, y), top[0] + (y0 - top[1]) * slope,
			           top[0] + (y1 - top[1]) * slope, sign * (y1 - y0), r->width);
	}
}

void raster_area(struct raster *r, const struct path *p, colour c, double opacity)
{
	const double(*xy)[2] = (const double(*)[2])p->xy;

	if (!p->points)
		return;
	for (int run = 0; run < p->runs; run++) {
		int from = p->start[run], to = path_end(p, run);
		for (int i = from; i < to; i++)
			add_edge(r, xy[i], xy[i + 1 < to ? i + 1 : from]);
	}
	lay_box(r, box_of(r, xy, p->points, 1), c, opacity, true);
}

/* Covers what lies within half the width of the segment. */
static void add_segment(struct raster *r, const double a[2], const double b[2], double half)
{
	double s = r->scale, ends[2][2] = {{a[0], a[1]}, {b[0], b[1]}};
	double dx = s * (b[0] - a[0]), dy = s * (b[1] - a[1]), square = dx * dx + dy * dy;
	struct box box = box_of(r, (const double(*)[2])ends, 2, half + 1);

	for (int y = box.top; y < box.bottom; y++) {
		float *row = row_of(r, y);
		for (int x = box.left; x < box.right; x++) {
			double px = x + 0.5 - s * a[0], py = y + 0.5 - s * a[1];
			double t = square > 0 ? (px * dx + py * dy) / square : 0;
			t = t < 0 ? 0 : t > 1 ? 1 : t;
			double cover = half + 0.5 - hypot(px - t * dx, py - t * dy);
			row[x] = fmaxf(row[x], (float)fmin(cover, 1));
		}
	}
}

/* Covers the segment's dashes; *walked is how far along the line it begins, and then ends. */
static void add_dashes(struct raster *r, const double a[2], const double b[2], double half,
                       double dash, double *walked)
{
	double length = hypot(b[0] - a[0], b[1] - a[1]);

	for (double at = 0; at < length;) {
		double phase = fmod(*walked + at, 2 * dash);
		double step = fmin((phase < dash ? dash : 2 * dash) - phase + 1e-9, length - at);
		double from = at / length, to = (at + step) / length;
		if (phase < dash)
			add_segment(
			        r,
			        (double[]){a[0] + from * (b[0] - a[0]),
			                   a[1] + from * (b[1] - a[1])},
			        (double[]){a[0] + to * (b[0] - a[0]), a[1] + to * (b[1] - a[1])},
			        half);
		at += step;
	}
	*walked += length;
}

void raster_line(struct raster *r, const struct path *p, colour c, double opacity, double line_px,
                 double dash_px)
{
	const double(*xy)[2] = (const double(*)[2])p->xy;
	double half = line_px * r->scale / 2;

	if (!p->points)
		return;
	for (int run = 0; run < p->runs; run++) {
		double walked = 0;
		int from = p->start[run], to = path_end(p, run);
		for (int i = from; i + 1 < to; i++)
			if (dash_px > 0)
				add_dashes(r, xy[i], xy[i + 1], half, dash_px, &walked);
			else
				add_segment(r, xy[i], xy[i + 1], half);
	}
	lay_box(r, box_of(r, xy, p->points, half + 1), c, opacity, false);
}
