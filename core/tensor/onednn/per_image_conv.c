/* Products of the weight gradients of single images, for convolutions. */
#include "core/base/text.h"
#include "core/tensor/onednn/avx2.h"
#include "core/tensor/onednn/column.h"
#include "core/tensor/onednn/gemm.h"
#include "core/tensor/onednn/per_image.h"
#include <omp.h>
#include <stdlib.h>
#include <string.h>

bool per_image_by_gram(struct shape x, struct shape g, struct shape weight)
{
	int64_t in = x.d[2] * x.d[3], out = g.d[2] * g.d[3], most = in > out ? in : out;

	return 2 * most * most < shape_count(weight);
}

static int64_t round_up(int64_t n)
{
	return (n + GEMM_PANEL - 1) / GEMM_PANEL * GEMM_PANEL;
}

static float *floats_new(int64_t count)
{
	float *v = aligned_alloc(64, ((size_t)count * sizeof *v + 63) / 64 * 64);

	if (!v)
		memory_exhausted((size_t)count * sizeof *v);
	return v;
}

/* c = a b (added when so told), as gemm_run does it where the processor has what that needs. */
static void multiply(const struct gemm *g)
{
	if (avx2_works()) {
		gemm_run(g);
		return;
	}
	for (int64_t i = 0; i < g->rows; i++)
		for (int64_t j = 0; j < g->columns; j++) {
			const float *b = g->b + j / GEMM_PANEL * g->b_panel + j % GEMM_PANEL;
			float *c = g->c + i * g->c_row + j, sum = g->add ? *c : 0;
			for (int64_t k = 0; k < g->inner; k++)
				sum += g->a[i * g->a_row + k * g->a_step] * b[k * g->b_step];
			*c = sum;
		}
}

/* ---- the gradient of each image ---- */
/* Pixels in rows of channels: (images, height, width, channels), in a frame of zeros `pad` wide,
 * and wider at the right where `width` says so; channels in whole panels. */
struct pixels {
	float *data;
	int64_t width, channels, image; /* with the frame; floats of an image */
};

static void pixels_fill(const struct pixels *p, const struct layout *l, const float *from,
                        int64_t image, int pad)
{
	float *to = p->data + image * p->image;
	size_t bytes = (size_t)l->block * sizeof *to;

	memset(to, 0, (size_t)p->image * sizeof *to);
	for (int64_t k = 0; k < l->groups; k++)
		for (int64_t y = 0; y < l->height; y++) {
			const float *in =
			        from +
			        ((image * l->groups + k) * l->pixels + y * l->width) * l->block;
			float *out = to + ((y + pad) * p->width + pad) * p->channels + k * l->block;
			for (int64_t x = 0; x < l->width; x++)
				memcpy(out + x * p->channels, in + x * l->block, bytes);
		}
}

static struct pixels pixels_of(struct tensor *t, int pad, int64_t width)
{
	struct layout l = layout_of(t->shape);
	const float *from = blocked_input(t);
	struct pixels p = {.width = width, .channels = round_up(l.groups * l.block)};

	p.image = (l.height + 2 * pad) * p.width * p.channels;
	p.data = floats_new(l.images * p.image);
#pragma omp parallel for schedule(static)
	for (int64_t i = 0; i < l.images; i++)
		pixels_fill(&p, &l, from, i, pad);
	return p;
}

struct use_pixels {
	struct pixels x, g[PER_IMAGE_LOSSES];
	int64_t height, width; /* of g */
	int stride;
};

struct gradients {
	const struct per_image_use *use;
	struct use_pixels *pixels;
	int uses, losses;
	int64_t images, out, in, window[2]; /* out, in: channels, in whole panels */
	int64_t tasks;                      /* window * in / panel: a panel of the gradient each */
	double *product;                    /* (tasks, images, 3) */
	float *diagonal;                    /* (tasks, 3, out, panel); null: not wanted */
};

/* The adjoint, times what it saw; row by row, or at stride 1 all rows as one: g has as wide a frame
 * as x then, and between its rows are zeros. */
static void use_multiply(const struct use_pixels *u, const struct gradients *d, int64_t task,
                         int64_t image, int loss, bool add, float *c)
{
	int64_t place = task / (d->in / GEMM_PANEL), panel = task % (d->in / GEMM_PANEL);
	int64_t r = place / d->window[1], s = place % d->window[1];
	int64_t rows = u->stride == 1 ? 1 : u->height;
	const struct pixels *x = &u->x, *g = &u->g[loss];
	const float *seen =
	        x->data + image * x->image + (r * x->width + s) * x->channels + panel * GEMM_PANEL;

	for (int64_t y = 0; y < rows; y++)
		multiply(&(struct gemm){
		        .rows = d->out,
		        .columns = GEMM_PANEL,
		        .inner = (u->height / rows - 1) * g->width + u->width,
		        .a = g->data + image * g->image + y * g->width * g->channels,
		        .a_row = 1,
		        .a_step = g->channels,
		        .b = seen + y * u->stride * x->width * x->channels,
		        .b_step = u->stride * x->channels,
		        .c = c,
		        .c_row = GEMM_PANEL,
		        .add = add || y > 0,
		});
}

INLINE double dot(const float *restrict a, const float *restrict b, int64_t n)
{
	float sum[LANES_MAX] = {0};
	double total = 0;

	for (int64_t i = 0; i < n; i += LANES_MAX)
		for (int l = 0; l < LANES_MAX; l++)
			sum[l] += a[i + l] * b[i + l];
	for (int l = 0; l < LANES_MAX; l++)
		total += (double)sum[l];
	return total;
}

CLONES static double panel_dot(const float *a, const float *b, int64_t n)
{
	return dot(a, b, n);
}

CLONES static void panel_add(float *restrict to, const float *restrict a, const float *restrict b,
                             int64_t n)
{
	for (int64_t i = 0; i < n; i++)
		to[i] += a[i] * b[i];
}

/* One panel of one image's gradients: their products. */
static void task_run(const struct gradients *d, int64_t task, int64_t image, float *const c[])
{
	int64_t n = d->out * GEMM_PANEL;

	for (int loss = 0; loss < d->losses; loss++)
		for (int u = 0; u < d->uses; u++)
			use_multiply(&d->pixels[u], d, task, image, loss, u > 0, c[loss]);
	for (int k = 0; k < PER_IMAGE_PRODUCTS; k++) {
		if (per_image_of[k][1] >= d->losses || per_image_of[k][0] >= d->losses)
			continue;
		const float *a = c[per_image_of[k][0]], *b = c[per_image_of[k][1]];
		d->product[(task * d->images + image) * PER_IMAGE_PRODUCTS + k] =
		        panel_dot(a, b, n);
		if (d->diagonal)
			panel_add(d->diagonal + (task * PER_IMAGE_PRODUCTS + k) * n, a, b, n);
	}
}

/* A thread has some of the panels, of all images.  Whatever is larger, an image or the panels, is
 * passed over once. */
static void gradients_run(const struct gradients *d)
{
	bool images_first = d->pixels[0].x.image > d->tasks * d->out * GEMM_PANEL;

#pragma omp parallel
	{
		int64_t threads = omp_get_num_threads(), thread = omp_get_thread_num();
		int64_t first = d->tasks * thread / threads;
		int64_t count = d->tasks * (thread + 1) / threads - first;
		float *c[PER_IMAGE_LOSSES] = {floats_new(d->out * GEMM_PANEL),
		                              floats_new(d->out * GEMM_PANEL)};
		for (int64_t i = 0; i < count * d->images; i++) {
			int64_t task = images_first ? i % count : i / d->images;
			task_run(d, first + task, images_first ? i / count : i % d->images, c);
		}
		free(c[0]);
		free(c[1]);
	}
}

/* Panels, summed in their order; elements go to their places in (O, C, R, S). */
static void gradients_collect(const struct gradients *d, struct shape weight,
                              const struct per_image_sums *s)
{
	int64_t panels = d->in / GEMM_PANEL, window = d->window[0] * d->window[1];

	for (int64_t t = 0; t < d->tasks; t++)
		for (int64_t i = 0; i < d->images * PER_IMAGE_PRODUCTS; i++)
			s->product[i] += d->product[t * d->images * PER_IMAGE_PRODUCTS + i];
	for (int k = 0; d->diagonal && k < PER_IMAGE_PRODUCTS; k++)
		for (int64_t i = 0; s->diagonal[k] && i < shape_count(weight); i++) {
			int64_t o = i / (weight.d[1] * window), c = i / window % weight.d[1];
			int64_t t = i % window * panels + c / GEMM_PANEL;
			const float *panel =
			        d->diagonal + (t * PER_IMAGE_PRODUCTS + k) * d->out * GEMM_PANEL;
			s->diagonal[k][i] += (double)panel[o * GEMM_PANEL + c % GEMM_PANEL];
		}
}

static void use_pixels_init(struct use_pixels *u, const struct per_image_use *use, int losses)
{
	int64_t width = use->x->shape.d[3] + 2 * use->pad;

	*u = (struct use_pixels){.x = pixels_of(use->x, use->pad, width),
	                         .height = use->g[0]->shape.d[2],
	                         .width = use->g[0]->shape.d[3],
	                         .stride = use->stride};
	for (int k = 0; k < losses; k++)
		u->g[k] = pixels_of(use->g[k], 0, use->stride == 1 ? width : u->width);
}

static void by_gradients(const struct per_image_use *use, int uses, struct shape weight,
                         const struct per_image_sums *s)
{
	struct gradients d = {.use = use,
	                      .uses = uses,
	                      .losses = use->g[1] ? 2 : 1,
	                      .images = use->x->shape.d[0],
	                      .window = {weight.d[2], weight.d[3]}};

	d.pixels = xcalloc((size_t)uses, sizeof *d.pixels);
	for (int u = 0; u < uses; u++)
		use_pixels_init(&d.pixels[u], &use[u], d.losses);
	d.in = d.pixels[0].x.channels;
	d.out = d.pixels[0].g[0].channels;
	d.tasks = weight.d[2] * weight.d[3] * d.in / GEMM_PANEL;
	d.product = xcalloc((size_t)(d.tasks * d.images * PER_IMAGE_PRODUCTS), sizeof(double));
	if (s->diagonal[PRODUCT_AA])
		d.diagonal = xcalloc((size_t)(d.tasks * PER_IMAGE_PRODUCTS * d.out * GEMM_PANEL),
		                     sizeof(float));
	gradients_run(&d);
	gradients_collect(&d, weight, s);
	for (int u = 0; u < uses; u++) {
		free(d.pixels[u].x.data);
		for (int k = 0; k < d.losses; k++)
			free(d.pixels[u].g[k].data);
	}
	free(d.pixels);
	free(d.product);
	free(d.diagonal);
}

/* ---- Gram form ---- */
/* Products of all channels' vectors of one image's pixels with another's: (pixels of a, pixels of
 * b), rows in whole panels. */
struct gram {
	float *data, *padded; /* padded: (channels, row) of b */
	int64_t row;
};

static struct gram gram_new(struct shape a, struct shape b)
{
	struct gram g = {.row = round_up(b.d[2] * b.d[3])};

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
	multiply(&(struct gemm){.rows = rows,
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
		product[i] += panel_dot(g.data, k.data, count);
	}
	gram_free(&x);
	gram_free(&g);
	gram_free(&k);
}

static void by_gram(const struct per_image_use *use, int uses, struct shape weight,
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

void per_image_conv(const struct per_image_use *use, int uses, struct shape weight,
                    const struct per_image_sums *s)
{
	bool gram = !s->diagonal[PRODUCT_AA];

	for (int u = 0; u < uses; u++)
		gram = gram && per_image_by_gram(use[u].x->shape, use[u].g[0]->shape, weight);
	if (gram)
		by_gram(use, uses, weight, s);
	else
		by_gradients(use, uses, weight, s);
}
