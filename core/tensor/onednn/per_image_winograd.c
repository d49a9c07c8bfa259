/* An image's weight gradient by Winograd convolution, as winograd.h describes it for a batch. */
#include "core/tensor/onednn/gemm.h"
#include "core/tensor/onednn/per_image_conv.h"
#include "core/tensor/onednn/winograd.h"
#include "core/tensor/onednn/winograd_tile.h"

enum {
	POINTS = WINOGRAD_POINTS,
	TILE = WINOGRAD_TILE,
	WINDOW = 9,
	ROWS = 16,        /* channels read of a piece; it has as many of the adjoint */
	SKEW = 16,        /* floats that keep strides off powers of two: caches have few ways */
	TILES_LEAST = 16, /* fewer cost more in transforms of the gradient than products save */
};

static int64_t across(const struct gradient_plan *p)
{
	return (p->g.width + TILE - 1) / TILE;
}

static int64_t tiles(const struct gradient_plan *p)
{
	return (p->g.height + TILE - 1) / TILE * across(p);
}

/* Transformed tiles: (36, tiles, channels), rows and points skewed. */
static int64_t row_of(const struct layout *l)
{
	return l->channels + SKEW;
}

static int64_t step_of(const struct gradient_plan *p, const struct layout *l)
{
	return tiles(p) * row_of(l) + SKEW;
}

/* Points of a piece's gradient: (36, 16, 16). */
static const int64_t point_step = ROWS * GEMM_PANEL + SKEW;

static bool fits(struct gradient_plan *p)
{
	p->x_floats = POINTS * step_of(p, &p->x);
	p->g_floats = POINTS * step_of(p, &p->g);
	p->pieces = p->in / ROWS * (p->out / GEMM_PANEL);
	p->size = WINDOW * ROWS * GEMM_PANEL;
	p->scratch = POINTS * point_step;
	return winograd_transforms(p->x.block) && p->window[0] == 3 && p->window[1] == 3 &&
	       p->stride == 1 && p->pad <= 2 && p->in % ROWS == 0 && p->out % GEMM_PANEL == 0 &&
	       tiles(p) >= TILES_LEAST;
}

static void prepare_x(const struct gradient_plan *p, const float *image, float *to)
{
	const struct tile_transforms *transforms = winograd_transforms(p->x.block);
	struct tile_plane plane = {p->x.height, p->x.width};
	int64_t row = row_of(&p->x), step = step_of(p, &p->x), strip;

	for (int64_t t = 0; t < tiles(p); t += strip) {
		int64_t y = t / across(p) * TILE - p->pad, x = t % across(p) * TILE - p->pad;
		strip = across(p) - t % across(p);
		strip = strip < TILE_STRIP ? strip : TILE_STRIP;
		for (int64_t k = 0; k < p->x.groups; k++)
			transforms->input_strip(to + t * row + k * p->x.block, step, row,
			                        image + k * p->x.pixels * p->x.block, plane, y, x,
			                        strip);
	}
}

static void prepare_g(const struct gradient_plan *p, const float *image, float *to)
{
	const struct tile_transforms *transforms = winograd_transforms(p->g.block);
	struct tile_plane plane = {p->g.height, p->g.width};
	int64_t row = row_of(&p->g), step = step_of(p, &p->g);

	for (int64_t t = 0; t < tiles(p); t++)
		for (int64_t k = 0; k < p->g.groups; k++)
			transforms->output_adjoint(to + t * row + k * p->g.block, step,
			                           image + k * p->g.pixels * p->g.block, plane,
			                           t / across(p) * TILE, t % across(p) * TILE);
}

/* Piece: (9, 16 channels read, 16 channels of the adjoint). */
static void make(const struct gradient_plan *p, int64_t piece, const float *x, const float *g,
                 bool add, float *scratch, float *to)
{
	const struct tile_transforms *transforms = winograd_transforms(p->x.block);
	int64_t rows = p->in / ROWS, step = step_of(p, &p->x), step_g = step_of(p, &p->g);

	for (int64_t k = 0; k < POINTS; k++)
		gemm_run(&(struct gemm){.rows = ROWS,
		                        .columns = GEMM_PANEL,
		                        .inner = tiles(p),
		                        .a = x + k * step + piece % rows * ROWS,
		                        .a_row = 1,
		                        .a_step = row_of(&p->x),
		                        .b = g + k * step_g + piece / rows * GEMM_PANEL,
		                        .b_panel = GEMM_PANEL,
		                        .b_step = row_of(&p->g),
		                        .c = scratch + k * point_step,
		                        .c_row = GEMM_PANEL,
		                        .add = add});
	for (int64_t i = 0; i < ROWS * GEMM_PANEL; i += p->x.block)
		transforms->weight_adjoint(to + i, ROWS * GEMM_PANEL, scratch + i, point_step);
}

static int64_t element(const struct gradient_plan *p, int64_t piece, int64_t at)
{
	int64_t rows = p->in / ROWS, o = piece / rows * GEMM_PANEL;
	int64_t c = piece % rows * ROWS + at / GEMM_PANEL % ROWS;

	return (o * p->in + c) * WINDOW + at / (ROWS * GEMM_PANEL);
}

const struct gradient_way gradient_winograd = {fits, prepare_x, prepare_g, make, element};
