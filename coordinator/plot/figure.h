/* A drawing as a list of marks, in pixels from the upper left: what svg.c and png.c both write. */
#ifndef COORDINATOR_PLOT_FIGURE_H
#define COORDINATOR_PLOT_FIGURE_H
#include <stdbool.h>
#include <stdint.h>

typedef uint32_t colour; /* 0xRRGGBB */

/* Runs of points: each run is a line, or the outline of an area. */
struct path {
	double *xy; /* (points, 2) */
	int points, points_capacity;
	int *start; /* (runs): where each begins */
	int runs, runs_capacity;
};

enum mark_kind { MARK_AREA, MARK_LINE, MARK_LABEL };
enum anchor { ANCHOR_START, ANCHOR_MIDDLE, ANCHOR_END };

/* How a label is set. */
struct font {
	double size_px;
	colour colour, halo; /* halo: drawn around the letters where halo_px > 0 */
	double halo_px;
	enum anchor anchor;
	double degrees; /* counter-clockwise about (x, y) */
	bool bold;
};

struct mark {
	enum mark_kind kind;
	colour colour;
	double opacity;          /* of areas and lines */
	double line_px, dash_px; /* of lines; dash 0: solid */
	struct path path;        /* of areas (winding rule: not zero) and lines */
	struct font font;        /* of labels, as the two below */
	double x, y;             /* on the baseline */
	char *text;              /* UTF-8 */
};

struct figure {
	double width, height;
	struct mark *mark; /* later ones lie above */
	int marks, capacity;
};

void figure_init(struct figure *f, double width, double height);
void figure_release(struct figure *f);

/* Each adds a mark, and returns its path to be filled, valid until the next mark. */
struct path *figure_area(struct figure *f, colour c, double opacity);
struct path *figure_line(struct figure *f, colour c, double opacity, double line_px,
                         double dash_px);

/* Adds a label whose baseline is at (x, y). */
void figure_label(struct figure *f, const struct font *font, double x, double y, const char *text);

/* Begins a run at a point, or goes on to a point. */
void path_move(struct path *p, double x, double y);
void path_line(struct path *p, double x, double y);
int path_end(const struct path *p, int run); /* index of the point behind the run's last */

/* A rectangle's outline, closed. */
void path_box(struct path *p, double left, double top, double right, double bottom);
struct path path_copy(const struct path *p);
void path_release(struct path *p);
#endif
