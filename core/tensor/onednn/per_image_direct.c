/* An image's weight gradient directly: a product over its pixels at each place of the window. */
#include "core/tensor/onednn/gemm.h"
#include "core/tensor/onednn/per_image_conv.h"
#include <string.h>

static int64_t panels(const struct gradient_plan *p)
{
	return gemm_whole(p->out) / GEMM_PANEL;
}

/* Both sides become rows of channels.  What was read gets its frame of zeros and is cut into
 * stride x stride phases, so that what a place of the window sees of a row lies side by side; the
 * adjoint, of one phase, gets rows as wide, with zeros at their ends, so that all its rows are as
 * one. */
struct frame {
	int64_t step, width, phase; /* floats of a pixel; pixels of a row; floats of a phase */
	int stride, pad;
};

static struct frame frame_of(const struct gradient_plan *p, int64_t step, int64_t height,
                             int stride, int pad)
{
	int64_t width = (p->x.width + 2 * p->pad + p->stride - 1) / p->stride;

	return (struct frame){step, width, height * width * step, stride, pad};
}

static struct frame frame_of_x(const struct gradient_plan *p)
{
	int64_t height = (p->x.height + 2 * p->pad + p->stride - 1) / p->stride;

	return frame_of(p, p->x.groups * p->x.block, height, p->stride, p->pad);
}

static struct frame frame_of_g(const struct gradient_plan *p)
{
	return frame_of(p, gemm_whole(p->out), p->g.height, 1, 0);
}

static int64_t frame_floats(const struct frame *f)
{
	return f->stride * f->stride * f->phase;
}

static bool fits(struct gradient_plan *p)
{
	struct frame x = frame_of_x(p), g = frame_of_g(p);

	p->x_floats = frame_floats(&x);
	p->g_floats = frame_floats(&g);
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

INLINE void frame_copy(const struct frame *f, const struct layout *l, const float *from, float *to,
                       const int block)
{
	for (int64_t k = 0; k < l->groups; k++)
		for (int64_t i = 0; i < l->height; i++, from += l->width * block) {
			int64_t y = i + f->pad;
			float *row = to + y % f->stride * f->stride * f->phase +
			             y / f->stride * f->width * f->step + k * block;
			for (int64_t j = 0; j < f->stride; j++) {
				int64_t x = j + f->pad;
				row_copy(row + x % f->stride * f->phase + x / f->stride * f->step,
				         f->step, from + j * block, f->stride,
				         (l->width - j + f->stride - 1) / f->stride, block);
			}
		}
}

CLONES static void frame_fill(const struct frame *f, const struct layout *l, const float *image,
                              float *to)
{
	memset(to, 0, (size_t)frame_floats(f) * sizeof *to);
	if (l->block == 8)
		frame_copy(f, l, image, to, 8);
	else
		frame_copy(f, l, image, to, LANES_MAX);
}

static void prepare_x(const struct gradient_plan *p, const float *image, float *to)
{
	struct frame f = frame_of_x(p);

	frame_fill(&f, &p->x, image, to);
}

static void prepare_g(const struct gradient_plan *p, const float *image, float *to)
{
	struct frame f = frame_of_g(p);

	frame_fill(&f, &p->g, image, to);
}

/* Piece: (channels read, 16 channels of the adjoint) at one place of the window. */
static void make(const struct gradient_plan *p, int64_t piece, const float *x, const float *g,
                 bool add, float *scratch, float *to)
{
	struct frame of_x = frame_of_x(p), of_g = frame_of_g(p);
	int64_t place = piece / panels(p), r = place / p->window[1], s = place % p->window[1];
	int64_t phase = r % p->stride * p->stride + s % p->stride;
	int64_t seen = r / p->stride * of_x.width + s / p->stride;

	gemm_run(&(struct gemm){.rows = p->in,
	                        .columns = GEMM_PANEL,
	                        .inner = (p->g.height - 1) * of_g.width + p->g.width,
	                        .a = x + phase * of_x.phase + seen * of_x.step,
	                        .a_row = 1,
	                        .a_step = of_x.step,
	                        .b = g + piece % panels(p) * GEMM_PANEL,
	                        .b_panel = GEMM_PANEL,
	                        .b_step = of_g.step,
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
