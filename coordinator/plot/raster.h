/* Anti-aliased areas and lines, drawn into a picture of pixels. */
#ifndef COORDINATOR_PLOT_RASTER_H
#define COORDINATOR_PLOT_RASTER_H
#include "coordinator/plot/figure.h"

struct raster {
	int width, height; /* pixels */
	double scale;      /* of these per pixel of the figure */
	uint8_t *rgb;      /* (height, width, 3) */
	float *cover;      /* (height, width + 1): of the mark at hand; zero between marks */
};

/* White. */
void raster_init(struct raster *r, double width, double height, double scale);
void raster_release(struct raster *r);

/* Fills the area inside the runs (winding not zero), by the exact share of each pixel covered. */
void raster_area(struct raster *r, const struct path *p, colour c, double opacity);

/* Draws lines with round ends and corners; dash_px 0: solid. */
void raster_line(struct raster *r, const struct path *p, colour c, double opacity, double line_px,
                 double dash_px);
#endif
