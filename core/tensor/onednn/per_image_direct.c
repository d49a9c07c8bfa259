/* An image's weight gradient directly: a product over its pixels at each place of the window. */
#include "core/tensor/onednn/gemm.h"
#include "core/tensor/onednn/per_image_conv.h"
#include <string.h>

/* Both sides become rows of channels.  What was read gets its frame of zeros and is cut into
 * stride x stride phases, so that what a place of the window sees of a row lies side by side; the
 * adjoint gets rows as wide, with zeros at their ends, so that all its rows are as one. */
static int64_t lanes(const struct layout *l)
{
	return l->groups * l->block;
}

static int64_t phase_size(int64_t size, const struct gradient_plan *p)
{
	return (size + 2 * p->pad + p->stride - 1) / p->stride;
}

static int64_t panels(const struct gradient_plan *p)
{
	return (p->out + GEMM_PANEL - 1) / GEMM_PANEL;
}

static int64_t phase_floats(const struct gradient_plan *p)
{
	return phase_size(p->x.height, p) * p->width * lanes(&p->x);
}

static bool fits(struct gradient_plan *p)
{
	p->width = phase_size(p->x.width, p);
	p->x_floats = p->stride * p->stride * phase_floats(p);
	p->g_floats = p->g.height * p->width * panels(p) * GEMM_PANEL;
	p->pieces = p->window[0] * p->window[1] * panels(p);
	p->size = p->in * GEMM_PANEL;
	return true;
}

/* Pixels of one group of lanes: every `stride`th of a row, to pixels `step` floats apart. */
INLINE void row_copy(float *to, int64_t step, const float *from, int64_t stride, int64_t n,
                     const int block)
{
	for (int64_t x = 0; x < n; x++)
		for (int l = 0; l < block; l++)
			to[x * step + l] = from[x * stride * block + l];
}

INLINE void x_copy(const struct gradient_plan *p, const float *from, float *to, const int block)
{
	int64_t step = lanes(&p->x), stride = p->stride, phase = phase_floats(p);

	for (int64_t k = 0; k < p->x.groups; k++)
		for (int64_t i = 0; i < p->x.height; i++, from += p->x.width * block) {
			int64_t y = i + p->pad;
			float *row = to + y % stride * stride * phase +
			             y / stride * p->width * step + k * block;
			for (int64_t j = 0; j < stride; j++) {
				int64_t x = j + p->pad;
				row_copy(row + x % stride * phase + x / stride * step, step,
				         from + j * block, stride,
				         (p->x.width - j + stride - 1) / stride, block);
			}
		}
}

CLONES static void prepare_x(const struct gradient_plan *p, const float *image, float *to)
{
	memset(to, 0, (size_t)p->x_floats * sizeof *to);
	if (p->x.block == 8)
		x_copy(p, image, to, 8);
	else
		x_copy(p, image, to, LANES_MAX);
}

INLINE void g_copy(const struct gradient_plan *p, const float *from, float *to, const int block)
{
	int64_t step = panels(p) * GEMM_PANEL;

	for (int64_t k = 0; k < p->g.groups; k++)
		for (int64_t y = 0; y < p->g.height; y++, from += p->g.width * block)
			row_copy(to + y * p->width * step + k * block, step, from, 1, p->g.width,
			         block);
}

CLONES static void prepare_g(const struct gradient_plan *p, const float *image, float *to)
{
	memset(to, 0, (size_t)p->g_floats * sizeof *to);
	if (p->g.block == 8)
		g_copy(p, image, to, 8);
	else
		g_copy(p, image, to, LANES_MAX);
}

/* Piece: (channels read, 16 channels of the adjoint) at one place of the window. */
static void make(const struct gradient_plan *p, int64_t piece, const float *x, const float *g,
                 bool add, float *scratch, float *to)
{
	int64_t place = piece / panels(p), r = place / p->window[1], s = place % p->window[1];
	int64_t step = lanes(&p->x), phase = r % p->stride * p->stride + s % p->stride;
	int64_t seen = r / p->stride * p->width + s / p->stride;

	gemm_run(&(struct gemm){.rows = p->in,
	                        .columns = GEMM_PANEL,
	                        .inner = (p->g.height - 1) * p->width + p->g.width,
	                        .a = x + phase * phase_floats(p) + seen * step,
	                        .a_row = 1,
	                        .a_step = step,
	                        .b = g + piece % panels(p) * GEMM_PANEL,
	                        .b_panel = GEMM_PANEL,
	                        .b_step = panels(p) * GEMM_PANEL,
	                        .c = to,
	                        .c_row = GEMM_PANEL,
	                        .add = add});
}

static int64_t element(const struct gradient_plan *p, int64_t piece, int64_t at)
{
	int64_t o = piece % panels(p) * GEMM_PANEL, c = at / GEMM_PANEL;

	return (o * p->in + c) * p->window[0] * p->window[1] + piece / panels(p);
}

const struct gradient_way gradient_direct = {fits, prepare_x, prepare_g, make, element};
