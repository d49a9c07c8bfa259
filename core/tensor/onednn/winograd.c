/* Winograd convolution: chunks of tiles go through transform, 36 matrix products, and transform. */
#include "core/tensor/onednn/winograd.h"
#include "core/tensor/onednn/column.h"
#include "core/tensor/onednn/gemm.h"
#include "core/tensor/onednn/vector.h"
#include "core/tensor/onednn/winograd_tile.h"
#include <omp.h>
#include <string.h>

enum {
	TILE = WINOGRAD_TILE,
	POINTS = WINOGRAD_POINTS,
	WINDOW = 9,
	CACHE_LINE = 16, /* floats */
	SKEW = 16,       /* floats that keep strides off powers of two: caches have few ways */
	CHUNK_BYTES = 320 << 10, /* transformed tiles of a chunk: a second-level cache, or … */
	CHUNK_LEAST = 48,        /* … so many, that what they meet is read seldom enough */
	CHUNK_MOST = 192,
};

const struct tile_transforms *winograd_transforms(int lanes)
{
	if (lanes == 16)
		return avx512_works() ? &tile_transforms_16 : NULL;
	return avx2_works() ? &tile_transforms_8 : NULL;
}

bool winograd_works(const struct conv_key *k)
{
	return winograd_transforms(onednn_block()) && k->groups == 1 && k->window[0] == 3 &&
	       k->window[1] == 3 && k->stride == 1 && k->pad <= 2 &&
	       k->channels_in % GEMM_PANEL == 0 && k->channels_out % GEMM_PANEL == 0;
}

/* ---- tiles ---- */
/* The tiles of the output of a convolution from `in` (images, from, …) to `out` (images, to, …). */
struct tiling {
	struct tile_plane in, out;
	int64_t from, to; /* channels */
	int64_t pad, down, across, total;
	int64_t chunk; /* tiles */
	int64_t lanes;
	const struct tile_transforms *transforms;
};

static int64_t at_most(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static struct tiling tiling_of(const struct conv_key *k, bool turned)
{
	struct tiling t = {.in = {k->in[0], k->in[1]},
	                   .out = {k->out[0], k->out[1]},
	                   .from = k->channels_in,
	                   .to = k->channels_out,
	                   .pad = k->pad};

	if (turned)
		t = (struct tiling){
		        .in = t.out, .out = t.in, .from = t.to, .to = t.from, .pad = 2 - k->pad};
	t.lanes = onednn_block();
	t.transforms = winograd_transforms(onednn_block());
	t.down = (t.out.height + TILE - 1) / TILE;
	t.across = (t.out.width + TILE - 1) / TILE;
	t.total = k->images * t.down * t.across;
	/* Weight gradients are read and written for every chunk. */
	int64_t bytes = POINTS * (t.from + t.to) * (int64_t)sizeof(float);
	int64_t weight = k->direction == CONV_GRAD_WEIGHT ? 2 : 1, least = weight * CHUNK_LEAST;
	t.chunk = at_most(weight * CHUNK_BYTES / bytes, CHUNK_MOST);
	t.chunk = t.chunk < least ? least : t.chunk; /* bits do not depend on it */
	return t;
}

/* A tile's first output pixel, and its image. */
struct tile {
	int64_t image, y, x;
};

static struct tile tile_of(const struct tiling *t, int64_t i)
{
	return (struct tile){i / (t->down * t->across), i / t->across % t->down * TILE,
	                     i % t->across * TILE};
}

/* Transformed tiles: (36, chunk, channels), rows and points skewed. */
struct points {
	struct storage *storage;
	float *data;
	int64_t row, step; /* from tile to tile, from point to point */
};

static struct points points_new(int64_t tiles, int64_t channels)
{
	struct points p = {.row = channels + SKEW};

	p.step = tiles * p.row + SKEW;
	p.storage = storage_new((size_t)(POINTS * p.step) * sizeof(float));
	p.data = p.storage->data;
	return p;
}

/* How many of the tiles from i on, at most `count`, lie side by side in a strip. */
static int64_t strip_of(const struct tiling *t, int64_t i, int64_t count)
{
	return at_most(at_most(count, TILE_STRIP), t->across - i % t->across);
}

static void transform_input(const struct tiling *t, const float *x, int64_t i, int64_t strip,
                            float *v, const struct points *p)
{
	struct tile at = tile_of(t, i);
	int64_t size = t->in.height * t->in.width * t->lanes, groups = t->from / t->lanes;

	for (int64_t g = 0; g < groups; g++)
		t->transforms->input_strip(v + g * t->lanes, p->step, p->row,
		                           x + (at.image * groups + g) * size, t->in, at.y - t->pad,
		                           at.x - t->pad, strip);
}

static void transform_output(const struct tiling *t, float *y, int64_t i, const float *m,
                             int64_t step)
{
	struct tile at = tile_of(t, i);
	int64_t size = t->out.height * t->out.width * t->lanes, groups = t->to / t->lanes;

	for (int64_t g = 0; g < groups; g++)
		t->transforms->output(y + (at.image * groups + g) * size, t->out, at.y, at.x,
		                      m + g * t->lanes, step);
}

static void transform_output_adjoint(const struct tiling *t, const float *dy, int64_t i, float *m,
                                     int64_t step)
{
	struct tile at = tile_of(t, i);
	int64_t size = t->out.height * t->out.width * t->lanes, groups = t->to / t->lanes;

	for (int64_t g = 0; g < groups; g++)
		t->transforms->output_adjoint(m + g * t->lanes, step,
		                              dy + (at.image * groups + g) * size, t->out, at.y,
		                              at.x);
}

/* ---- fetching the next chunk while this one is multiplied ---- */
/* The 4x4 pixels of tile i in all groups of lanes. */
static void fetch_tile(const struct tiling *t, const float *x, struct tile_plane s,
                       int64_t channels, int64_t i)
{
	struct tile at = tile_of(t, i);
	int64_t groups = channels / t->lanes, size = s.height * s.width * t->lanes;
	const float *from = x + at.image * groups * size + (at.y * s.width + at.x) * t->lanes;

	for (int64_t g = 0; g < groups; g++, from += size)
		for (int64_t row = 0; row < TILE && at.y + row < s.height; row++)
			for (int64_t p = 0; p < TILE * t->lanes; p += CACHE_LINE)
				__builtin_prefetch(from + row * s.width * t->lanes + p);
}

/* The share of the chunk from `first` on that goes with one of the 36 points. */
static void fetch_share(const struct tiling *t, const float *x, struct tile_plane s,
                        int64_t channels, int64_t first, int64_t point)
{
	int64_t count = at_most(t->chunk, t->total - first);

	for (int64_t i = count * point / POINTS; i < count * (point + 1) / POINTS; i++)
		fetch_tile(t, x, s, channels, first + i);
}

/* ---- weights: U (36, to / 16, from, 16) ---- */
/* The window from channel `from` to 16 channels from `to` on, as (9, 16). */
static void weight_gather(const struct conv_key *k, bool turned, const float *w, int64_t from,
                          int64_t to, float g[WINDOW][GEMM_PANEL])
{
	for (int64_t l = 0; l < GEMM_PANEL; l++) {
		int64_t o = turned ? from : to + l, c = turned ? to + l : from;
		const float *window = w + (o * k->channels_in + c) * WINDOW;
		for (int i = 0; i < WINDOW; i++)
			g[i][l] = window[turned ? WINDOW - 1 - i : i];
	}
}

static struct storage *weight_transform(const struct conv_key *k, const struct tiling *t,
                                        bool turned, const float *w)
{
	int64_t panels = t->to / GEMM_PANEL, step = t->from * t->to;
	struct storage *s = storage_new((size_t)(POINTS * step) * sizeof(float));
	float *u = s->data;

#pragma omp parallel for schedule(static) if (step * POINTS > SMALL)
	for (int64_t i = 0; i < panels * t->from; i++) {
		float g[WINDOW][GEMM_PANEL] __attribute__((aligned(64)));
		weight_gather(k, turned, w, i % t->from, i / t->from * GEMM_PANEL, g);
		for (int half = 0; half < GEMM_PANEL; half += (int)t->lanes)
			t->transforms->weight(u + i * GEMM_PANEL + half, step, &g[0][half],
			                      GEMM_PANEL);
	}
	return s;
}

/* ---- forward, and the input gradient, which is forward with turned weights ---- */
static void convolve_chunk(const struct tiling *t, const float *x, const float *u, float *y,
                           struct points v, struct points m, int64_t first)
{
	int64_t count = at_most(t->chunk, t->total - first);

	for (int64_t i = 0, strip; i < count; i += strip) {
		strip = strip_of(t, first + i, count - i);
		transform_input(t, x, first + i, strip, v.data + i * v.row, &v);
	}
	for (int64_t p = 0; p < POINTS; p++) {
		fetch_share(t, x, t->in, t->from, first + t->chunk, p);
		gemm_run(&(struct gemm){.rows = count,
		                        .columns = t->to,
		                        .inner = t->from,
		                        .a = v.data + p * v.step,
		                        .a_row = v.row,
		                        .a_step = 1,
		                        .b = u + p * t->from * t->to,
		                        .b_panel = t->from * GEMM_PANEL,
		                        .b_step = GEMM_PANEL,
		                        .c = m.data + p * m.step,
		                        .c_row = m.row});
	}
	for (int64_t i = 0; i < count; i++)
		transform_output(t, y, first + i, m.data + i * m.row, m.step);
}

static void convolve(const struct conv_key *k, bool turned, const float *x, const float *w,
                     float *y)
{
	struct tiling t = tiling_of(k, turned);
	int threads = omp_get_max_threads();
	struct storage *u = weight_transform(k, &t, turned, w);

	t.chunk = at_most(t.chunk, (t.total + threads - 1) / threads);
	int64_t chunks = (t.total + t.chunk - 1) / t.chunk;
	threads = (int)at_most(threads, chunks);
	/* One thread's share after the other's: only this thread may make storage. */
	struct points v = points_new(t.chunk * threads, t.from);
	struct points m = points_new(t.chunk * threads, t.to);
#pragma omp parallel for schedule(dynamic, 2) num_threads(threads)
	for (int64_t i = 0; i < chunks; i++) {
		int64_t own = omp_get_thread_num() * t.chunk;
		struct points tv = v, tm = m;
		tv.data += own * v.row;
		tm.data += own * m.row;
		convolve_chunk(&t, x, u->data, y, tv, tm, i * t.chunk);
	}
	storage_free(v.storage);
	storage_free(m.storage);
	storage_free(u);
}

/* ---- the weight gradient ----
 * Tiles are cut into parts, whose gradients are added in order at the end, so that bits do not
 * depend on the count of threads.  Threads take a part each; where gradients are too large for
 * several, all threads share one part, and wait for each other after each step. */
enum { PARTS_MOST = 8, PARTS_BYTES = 20 << 20 };

struct part {
	struct points v, m, u; /* inputs and adjoints of a chunk of tiles, the part's gradient */
};

struct weight {
	struct tiling t;
	const float *x, *dy;
	float *dw;
	struct part part[PARTS_MOST]; /* v and m: one for each thread that works alone */
	int parts, buffers;
};

/* A thread's share of `count` items: all of them when it works alone. */
struct team {
	int me, size;
};

static int64_t share_begin(struct team team, int64_t count)
{
	return count * team.me / team.size;
}

static int64_t share_end(struct team team, int64_t count)
{
	return count * (team.me + 1) / team.size;
}

static void weight_init(struct weight *w, const struct conv_key *k)
{
	const struct tiling *t = &w->t;
	int64_t bytes = POINTS * t->from * t->to * (int64_t)sizeof(float);

	w->parts = (int)at_most(at_most(PARTS_BYTES / bytes, t->total / CHUNK_LEAST), PARTS_MOST);
	if (w->parts < PARTS_MOST / 2)
		w->parts = 1;
	w->buffers = (int)at_most(w->parts, k->threads);
	for (int i = 0; i < w->parts; i++)
		w->part[i].u = points_new(t->from, t->to);
	for (int i = 0; i < w->buffers; i++) {
		w->part[i].v = points_new(t->chunk, t->from);
		w->part[i].m = points_new(t->chunk, t->to);
	}
}

static void weight_release(struct weight *w)
{
	for (int i = 0; i < w->parts; i++)
		storage_free(w->part[i].u.storage);
	for (int i = 0; i < w->buffers; i++) {
		storage_free(w->part[i].v.storage);
		storage_free(w->part[i].m.storage);
	}
}

static void weight_transform_tiles(const struct weight *w, const struct part *b, int64_t first,
                                   int64_t begin, int64_t end)
{
	for (int64_t i = begin, strip; i < end; i += strip) {
		strip = strip_of(&w->t, first + i, end - i);
		transform_input(&w->t, w->x, first + i, strip, b->v.data + i * b->v.row, &b->v);
		for (int64_t k = i; k < i + strip; k++)
			transform_output_adjoint(&w->t, w->dy, first + k, b->m.data + k * b->m.row,
			                         b->m.step);
	}
}

static void weight_multiply(const struct weight *w, const struct part *b, const struct points *u,
                            int64_t p, int64_t count, bool add)
{
	gemm_run(&(struct gemm){.rows = w->t.from,
	                        .columns = w->t.to,
	                        .inner = count,
	                        .a = b->v.data + p * b->v.step,
	                        .a_row = 1,
	                        .a_step = b->v.row,
	                        .b = b->m.data + p * b->m.step,
	                        .b_panel = GEMM_PANEL,
	                        .b_step = b->m.row,
	                        .c = u->data + p * u->step,
	                        .c_row = u->row,
	                        .add = add});
}

/* Tiles [begin, end) into u, by a team of threads with the buffers of b. */
static void weight_part(const struct weight *w, const struct part *b, const struct points *u,
                        int64_t begin, int64_t end, struct team team)
{
	const struct tiling *t = &w->t;

	for (int64_t first = begin; first < end; first += t->chunk) {
		int64_t count = at_most(t->chunk, end - first);
		weight_transform_tiles(w, b, first, share_begin(team, count),
		                       share_end(team, count));
		if (team.size > 1) {
#pragma omp barrier
		}
		for (int64_t p = share_begin(team, POINTS); p < share_end(team, POINTS); p++) {
			fetch_share(t, w->x, t->in, t->from, first + t->chunk, p);
			fetch_share(t, w->dy, t->out, t->to, first + t->chunk, p);
			weight_multiply(w, b, u, p, count, first > begin);
		}
		if (team.size > 1) {
#pragma omp barrier
		}
	}
}

CLONES static void add_to(float *restrict sum, const float *x, int64_t count)
{
	for (int64_t i = 0; i < count; i++)
		sum[i] += x[i];
}

/* Adds the other parts' gradients to the first's, in order, at one point. */
static void weight_sum(const struct weight *w, int64_t p)
{
	const struct points *u = &w->part[0].u;

	for (int i = 1; i < w->parts; i++)
		for (int64_t from = 0; from < w->t.from; from++) {
			int64_t at = p * u->step + from * u->row;
			add_to(u->data + at, w->part[i].u.data + at, w->t.to);
		}
}

/* dg = G' dU G of the windows from one channel to 8 others. */
static void weight_finish(const struct weight *w, int64_t from, int64_t to)
{
	const struct points *u = &w->part[0].u;
	int lanes = (int)w->t.lanes;
	float g[WINDOW][LANES_MAX] __attribute__((aligned(64)));

	w->t.transforms->weight_adjoint(&g[0][0], LANES_MAX, u->data + from * u->row + to, u->step);
	for (int l = 0; l < lanes; l++)
		for (int k = 0; k < WINDOW; k++)
			w->dw[((to + l) * w->t.from + from) * WINDOW + k] = g[k][l];
}

static void weight_gradient(const struct conv_key *k, const float *x, const float *dy, float *dw)
{
	struct weight w = {.t = tiling_of(k, false), .x = x, .dy = dy, .dw = dw};
	int64_t total = w.t.total, groups = w.t.to / w.t.lanes;

	weight_init(&w, k);
	int threads = w.parts == 1 ? (int)k->threads : w.buffers;
#pragma omp parallel num_threads(threads)
	{
		struct team all = {omp_get_thread_num(), omp_get_num_threads()};
		if (w.parts == 1)
			weight_part(&w, &w.part[0], &w.part[0].u, 0, total, all);
#pragma omp for schedule(dynamic)
		for (int i = 0; i < (w.parts == 1 ? 0 : w.parts); i++)
			weight_part(&w, &w.part[all.me], &w.part[i].u, total * i / w.parts,
			            total * (i + 1) / w.parts, (struct team){0, 1});
#pragma omp for schedule(static)
		for (int64_t p = 0; p < POINTS; p++)
			weight_sum(&w, p);
#pragma omp for schedule(static)
		for (int64_t i = 0; i < groups * w.t.from; i++)
			weight_finish(&w, i / groups, i % groups * w.t.lanes);
	}
	weight_release(&w);
}

void winograd_run(const struct conv_key *k, float *image, float *weight, float *result)
{
	if (k->direction == CONV_FORWARD)
		convolve(k, false, image, weight, result);
	else if (k->direction == CONV_GRAD_INPUT)
		convolve(k, true, result, weight, image);
	else
		weight_gradient(k, image, result, weight);
}
