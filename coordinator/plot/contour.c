/* Level lines and areas of values on a grid, by marching squares.
 *
 * Around every cell, walked counter-clockwise, the outline of the area within alternates between
 * stretches of the cell's sides and segments across it.  Sides between two cells are walked both
 * ways and cancel, so only segments, and sides on the grid's border, are kept: as a map from each
 * point to the next.  A point is a corner, or the one crossing of the level on an edge between two
 * corners; it has at most one next.  The outlines are the cycles of the map. */
#include "coordinator/plot/contour.h"
#include "core/base/text.h"
#include <math.h>
#include <stdlib.h>

void grid_release(struct grid *g)
{
	free(g->x);
	free(g->y);
	free(g->value);
	*g = (struct grid){0};
}

/* ---- finer ---- */

/* Between b and c at t in [0, 1], with their outer neighbours a and d. */
static double spline(double a, double b, double c, double d, double t)
{
	return b + t / 2 * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)));
}

/* Outside the line it goes on straight. */
static double at(const double *v, int stride, int count, int i)
{
	if (i < 0)
		return count > 1 ? 2 * v[0] - v[stride] : v[0];
	if (i >= count)
		return count > 1 ? 2 * v[(count - 1) * stride] - v[(count - 2) * stride] : v[0];
	return v[i * stride];
}

static void refine_line(const double *from, int from_stride, int count, int factor, double *to,
                        int to_stride)
{
	for (int k = 0; k <= (count - 1) * factor; k++) {
		int i = k / factor;
		double v[4];
		for (int n = 0; n < 4; n++)
			v[n] = at(from, from_stride, count, i + n - 1);
		to[k * to_stride] = spline(v[0], v[1], v[2], v[3], (double)(k % factor) / factor);
	}
}

struct grid grid_refine(const struct grid *g, int factor)
{
	int columns = (g->columns - 1) * factor + 1, rows = (g->rows - 1) * factor + 1;
	struct grid fine = {columns, rows, xcalloc((size_t)columns, sizeof(double)),
	                    xcalloc((size_t)rows, sizeof(double)),
	                    xcalloc((size_t)columns * (size_t)rows, sizeof(double))};
	double *wide = xcalloc((size_t)columns * (size_t)g->rows, sizeof(double));

	refine_line(g->x, 1, g->columns, factor, fine.x, 1);
	refine_line(g->y, 1, g->rows, factor, fine.y, 1);
	for (int j = 0; j < g->rows; j++)
		refine_line(g->value + j * g->columns, 1, g->columns, factor, wide + j * columns,
		            1);
	for (int i = 0; i < columns; i++)
		refine_line(wide + i, columns, g->rows, factor, fine.value + i, columns);
	free(wide);
	return fine;
}

/* ---- outlines ---- */

struct march {
	const struct grid *g;
	double level;
	int *next; /* by number of the point; -1: none */
};

/* Points are numbered: corners, then crossings of edges to the right, then of edges upwards. */
static int corner(const struct march *m, int i, int j)
{
	return j * m->g->columns + i;
}

static int across(const struct march *m, int i, int j)
{
	return m->g->columns * m->g->rows + corner(m, i, j);
}

static int upward(const struct march *m, int i, int j)
{
	return 2 * m->g->columns * m->g->rows + corner(m, i, j);
}

static double share(const struct march *m, double a, double b)
{
	return a == b ? 0.5 : fmin(fmax((m->level - a) / (b - a), 0), 1);
}

static void position(const struct march *m, int point, double xy[2])
{
	const struct grid *g = m->g;
	int all = g->columns * g->rows, at_corner = point % all, kind = point / all;
	int i = at_corner % g->columns, j = at_corner / g->columns;
	const double *v = g->value + at_corner;

	xy[0] = g->x[i];
	xy[1] = g->y[j];
	if (kind == 1)
		xy[0] += share(m, v[0], v[1]) * (g->x[i + 1] - g->x[i]);
	if (kind == 2)
		xy[1] += share(m, v[0], v[g->columns]) * (g->y[j + 1] - g->y[j]);
}

/* One cell: its corners and sides counter-clockwise, from the lower left and the lower side. */
static void march_cell(struct march *m, int i, int j)
{
	const struct grid *g = m->g;
	const int corners[4] = {corner(m, i, j), corner(m, i + 1, j), corner(m, i + 1, j + 1),
	                        corner(m, i, j + 1)};
	const int sides[4] = {across(m, i, j), upward(m, i + 1, j), across(m, i, j + 1),
	                      upward(m, i, j)};
	const bool border[4] = {j == 0, i == g->columns - 2, j == g->rows - 2, i == 0};
	bool in[4];
	double mean = 0;

	for (int k = 0; k < 4; k++) {
		in[k] = g->value[corners[k]] >= m->level;
		mean += g->value[corners[k]] / 4;
	}
	bool saddle = in[0] == in[2] && in[1] == in[3] && in[0] != in[1];
	int turn = mean >= m->level ? 1 : 3; /* of saddles: joined around the next corner, or cut */
	for (int k = 0; k < 4; k++) {
		bool here = in[k], there = in[(k + 1) % 4];
		if (here && !there) { /* the area is left on side k: where is it entered again? */
			int to = (k + 1) % 4;
			while (in[to] || !in[(to + 1) % 4])
				to = (to + 1) % 4;
			if (saddle)
				to = (k + turn) % 4;
			m->next[sides[k]] = sides[to];
		}
		if (border[k] && here)
			m->next[corners[k]] = there ? corners[(k + 1) % 4] : sides[k];
		if (border[k] && !here && there)
			m->next[sides[k]] = corners[(k + 1) % 4];
	}
}

static void walk(struct march *m, int from, struct path *out)
{
	double xy[2];
	bool begins = true;

	for (int at_point = from, to; (to = m->next[at_point]) >= 0; at_point = to) {
		position(m, at_point, xy);
		(begins ? path_move : path_line)(out, xy[0], xy[1]);
		m->next[at_point] = -1;
		begins = false;
	}
	position(m, from, xy);
	path_line(out, xy[0], xy[1]);
}

void contour_area(const struct grid *g, double level, struct path *out)
{
	int points = 3 * g->columns * g->rows;
	struct march m = {g, level, xmalloc((size_t)points * sizeof(int))};

	for (int p = 0; p < points; p++)
		m.next[p] = -1;
	for (int j = 0; j + 1 < g->rows; j++)
		for (int i = 0; i + 1 < g->columns; i++)
			march_cell(&m, i, j);
	for (int p = 0; p < points; p++)
		if (m.next[p] >= 0)
			walk(&m, p, out);
	free(m.next);
}

/* Whether both ends lie on the same side of the grid. */
static bool along_border(const struct grid *g, const double a[2], const double b[2])
{
	return (a[0] == b[0] && (a[0] == g->x[0] || a[0] == g->x[g->columns - 1])) ||
	       (a[1] == b[1] && (a[1] == g->y[0] || a[1] == g->y[g->rows - 1]));
}

void contour_lines(const struct grid *g, const struct path *area, struct path *out)
{
	const double(*xy)[2] = (const double(*)[2])area->xy;

	for (int run = 0; run < area->runs; run++) {
		bool goes_on = false;
		for (int i = area->start[run]; i + 1 < path_end(area, run); i++) {
			bool line = !along_border(g, xy[i], xy[i + 1]);
			if (line && !goes_on)
				path_move(out, xy[i][0], xy[i][1]);
			if (line)
				path_line(out, xy[i + 1][0], xy[i + 1][1]);
			goes_on = line;
		}
	}
}
