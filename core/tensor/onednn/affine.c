/* Fake quantization of activations, and what they range over: flat over whichever form they have.
 */
#include "core/tensor/onednn/column.h"
#include <math.h>

/* Codes relative to that of zero, so that zero lanes stay zero. */
struct grid {
	float scale, least, most;
};

static struct grid grid_of(const struct node *n)
{
	return (struct grid){(float)n->attr.alpha, (float)-n->attr.zero,
	                     (float)((1 << n->attr.bits) - 1 - n->attr.zero)};
}

typedef void grid_fn(float *restrict y, const float *x, const float *g, struct grid q,
                     int64_t count);

CLONES static void quantize(float *restrict y, const float *x, const float *g, struct grid q,
                            int64_t count)
{
	for (int64_t i = 0; i < count; i++) {
		float code = nearbyintf(x[i] / q.scale);
		code = code > q.most ? q.most : code;
		code = code < q.least ? q.least : code;
		y[i] = q.scale * code;
	}
}

CLONES static void quantize_grad(float *restrict y, const float *x, const float *g, struct grid q,
                                 int64_t count)
{
	for (int64_t i = 0; i < count; i++) {
		float code = nearbyintf(x[i] / q.scale), kept = code <= q.most ? g[i] : 0;
		y[i] = code >= q.least ? kept : 0;
	}
}

/* x and g have the shape of the output. */
static bool run_grid(struct node *n, struct tensor *x, struct tensor *g, grid_fn *f)
{
	struct tensor *y = n->out[0];
	bool blocked = node_is_blocked(n, y->shape);
	const float *px = blocked ? blocked_input(x) : tensor_f32(x);
	const float *pg = !g ? px : blocked ? blocked_input(g) : tensor_f32(g);
	int64_t count = blocked ? layout_of(y->shape).count : shape_count(y->shape);
	int64_t chunks = (count + CHUNK - 1) / CHUNK;
	float *py = blocked ? blocked_output(y) : tensor_new_plain(y);
	struct grid q = grid_of(n);

#pragma omp parallel for schedule(static) if (count > SMALL)
	for (int64_t c = 0; c < chunks; c++) {
		int64_t at = c * CHUNK, left = count - at;
		f(py + at, px + at, pg + at, q, left < CHUNK ? left : CHUNK);
	}
	return true;
}

bool onednn_affine_quantize(struct tape *t, struct node *n)
{
	return run_grid(n, n->in[0], NULL, quantize);
}

bool onednn_affine_quantize_grad(struct tape *t, struct node *n)
{
	return run_grid(n, n->in[1], n->in[0], quantize_grad);
}

struct span {
	float least, most;
};

static struct span span_join(struct span a, struct span b)
{
	return (struct span){a.least < b.least ? a.least : b.least,
	                     a.most > b.most ? a.most : b.most};
}

CLONES static struct span span_flat(const float *x, int64_t count)
{
	float least = x[0], most = x[0];

#pragma omp simd reduction(min : least) reduction(max : most)
	for (int64_t i = 0; i < count; i++) {
		least = x[i] < least ? x[i] : least;
		most = x[i] > most ? x[i] : most;
	}
	return (struct span){least, most};
}

/* A plane whose last lanes are no channels. */
static struct span span_lanes(const float *x, int64_t pixels, int block, int64_t lanes)
{
	struct span s = {x[0], x[0]};

	for (int64_t p = 0; p < pixels; p++)
		s = span_join(s, span_flat(x + p * block, lanes));
	return s;
}

static struct span span_blocked(struct tensor *x)
{
	struct layout l = layout_of(x->shape);
	const float *values = blocked_input(x);
	int64_t size = l.pixels * l.block;
	struct span all = {values[0], values[0]};

	for (int64_t i = 0; i < l.planes; i++) {
		int64_t lanes = l.channels - i % l.groups * l.block;
		const float *plane = values + i * size;
		all = span_join(all, lanes < l.block ? span_lanes(plane, l.pixels, l.block, lanes)
		                                     : span_flat(plane, size));
	}
	return all;
}

bool onednn_extremes(struct tape *t, struct node *n)
{
	struct tensor *x = n->in[0];
	struct span s =
	        x->blocked ? span_blocked(x) : span_flat(tensor_f32(x), shape_count(x->shape));
	float *y = tensor_new_plain(n->out[0]);

	y[0] = s.least;
	y[1] = s.most;
	return true;
}
