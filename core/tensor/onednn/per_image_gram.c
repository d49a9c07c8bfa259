/* Products of the weight gradients of single images in Gram form, for convolutions: the gradients
 * themselves are not made. */
#include "core/base/text.h"
#include "core/tensor/onednn/column.h"
#include "core/tensor/onednn/gemm.h"
#include "core/tensor/onednn/per_image_conv.h"
#include <stdlib.h>
#include <string.h>

bool per_image_by_gram(struct shape x, struct shape g, struct shape weight)
{
	int64_t in = x.d[2] * x.d[3], out = g.d[2] * g.d[3], most = in > out ? in : out;

	return 2 * most * most < shape_count(weight);
}

static float *floats_new(int64_t count)
{
	float *v = aligned_alloc(64, ((size_t)count * sizeof *v + 63) / 64 * 64);

	if (!v)
		memory_exhausted((size_t)count * sizeof *v);
	return v;
}

/* Products of all channels' vectors of one image's pixels with another's: (pixels of a, pixels of
 * b), rows in whole panels. */
struct gram {
	float *data, *padded; /* padded: (channels, row) of b */
	int64_t row;
};

static struct gram gram_new(struct shape a, struct shape b)
{
	struct gram g = {.row = gemm_whole(b.d[2] * b.d[3])};

	g.data = floats_new(a.d[2] * a.d[3] * g.row);
	g.padded = floats_new(b.d[1] * g.row);
	return g;
}

static void gram_free(struct gram *g)
{
	free(g->data);
	free(g->padded);
}

static const float *image_of(struct tensor *t, int64_t image)
{
	return tensor_f32(t) + image * (shape_count(t->shape) / t->shape.d[0]);
}

static void gram_fill(struct gram *g, struct tensor *a, struct tensor *b, int64_t image)
{
	int64_t channels = a->shape.d[1], rows = a->shape.d[2] * a->shape.d[3];
	int64_t pixels = b->shape.d[2] * b->shape.d[3];
	const float *from = image_of(b, image);

	for (int64_t c = 0; c < channels; c++) {
		memcpy(g->padded + c * g->row, from + c * pixels, (size_t)pixels * sizeof(float));
		memset(g->padded + c * g->row + pixels, 0,
		       (size_t)(g->row - pixels) * sizeof(float));
	}
	gemm_run(&(struct gemm){.rows = rows,
	                        .columns = g->row,
	                        .inner = channels,
	                        .a = image_of(a, image),
	                        .a_row = 1,
	                        .a_step = rows,
	                        .b = g->padded,
	                        .b_panel = GEMM_PANEL,
	                        .b_step = g->row,
	                        .c = g->data,
	                        .c_row = g->row});
}

/* The pixels of one row of g that see a pixel of x through column s of the window. */
struct run {
	int64_t first, end, x; /* of g's row; what `first` sees */
};

static struct run run_of(const struct per_image_use *u, int64_t s)
{
	int64_t in = u->x->shape.d[3], out = u->g[0]->shape.d[3], left = s - u->pad;
	int64_t first = left < 0 ? (-left + u->stride - 1) / u->stride : 0;
	int64_t end = in > left ? (in - left - 1) / u->stride + 1 : 0;

	return (struct run){first, end < out ? end : out, first * u->stride + left};
}

/* Row of x that row y of g sees through row r of the window; -1: none. */
static int64_t seen_row(const struct per_image_use *u, int64_t y, int64_t r)
{
	int64_t row = y * u->stride + r - u->pad;

	return row < u->x->shape.d[2] ? row : -1;
}

INLINE void add_strided(float *restrict to, const float *restrict from, int64_t n, int64_t stride)
{
	for (int64_t i = 0; i < n; i++)
		to[i] += from[i * stride];
}

CLONES static void row_add(float *to, const float *from, int64_t n, int64_t stride)
{
	if (stride == 1)
		add_strided(to, from, n, 1);
	else
		add_strided(to, from, n, stride);
}

/* k[p, q] += x_p . x_q, through one place of the window: p a pixel of a's g, q one of b's. */
static void window_add(const struct per_image_use *a, const struct per_image_use *b,
                       const struct gram *x, int64_t r, int64_t s, struct gram *k)
{
	int64_t width_a = a->g[0]->shape.d[3], width_b = b->g[0]->shape.d[3];
	struct run p = run_of(a, s), q = run_of(b, s);

	for (int64_t ya = 0; ya < a->g[0]->shape.d[2]; ya++) {
		int64_t row_a = seen_row(a, ya, r);
		for (int64_t i = p.first; row_a >= 0 && i < p.end; i++) {
			int64_t seen = row_a * a->x->shape.d[3] + p.x + (i - p.first) * a->stride;
			for (int64_t yb = 0; yb < b->g[0]->shape.d[2]; yb++) {
				int64_t row_b = seen_row(b, yb, r);
				if (row_b >= 0)
					row_add(k->data + (ya * width_a + i) * k->row +
					                yb * width_b + q.first,
					        x->data + seen * x->row + row_b * b->x->shape.d[3] +
					                q.x,
					        q.end - q.first, b->stride);
			}
		}
	}
}

/* The products of two uses' gradients of one image. */
static void pair_product(const struct per_image_use *a, const struct per_image_use *b,
                         struct shape weight, int64_t image, double *product)
{
	struct gram x = gram_new(a->x->shape, b->x->shape);
	struct gram g = gram_new(a->g[0]->shape, b->g[0]->shape);
	struct gram k = gram_new(a->g[0]->shape, b->g[0]->shape);
	int64_t count = a->g[0]->shape.d[2] * a->g[0]->shape.d[3] * k.row;

	gram_fill(&x, a->x, b->x, image);
	memset(k.data, 0, (size_t)count * sizeof(float));
	for (int64_t i = 0; i < weight.d[2] * weight.d[3]; i++)
		window_add(a, b, &x, i / weight.d[3], i % weight.d[3], &k);
	for (int i = 0; i < PER_IMAGE_PRODUCTS; i++) {
		if (!a->g[per_image_of[i][0]] || !b->g[per_image_of[i][1]])
			continue;
		gram_fill(&g, a->g[per_image_of[i][0]], b->g[per_image_of[i][1]], image);
		product[i] += per_image_dot(g.data, k.data, count);
	}
	gram_free(&x);
	gram_free(&g);
	gram_free(&k);
}

void per_image_conv_gram(const struct per_image_use *use, int uses, struct shape weight,
                         const struct per_image_sums *s)
{
	for (int u = 0; u < uses; u++) { /* made plain by one thread */
		tensor_plain(use[u].x);
		for (int k = 0; k < PER_IMAGE_LOSSES && use[u].g[k]; k++)
			tensor_plain(use[u].g[k]);
	}
#pragma omp parallel for schedule(static)
	for (int64_t i = 0; i < use->x->shape.d[0]; i++)
		for (int a = 0; a < uses; a++)
			for (int b = 0; b < uses; b++)
				pair_product(&use[a], &use[b], weight, i,
				             s->product + i * PER_IMAGE_PRODUCTS);
}
