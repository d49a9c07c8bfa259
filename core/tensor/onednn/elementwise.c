/* Elementwise kernels: flat over whichever form the inputs share, or with one value per channel. */
#include "core/tensor/onednn/column.h"

/* A piece of work: count elements, or count pixels when b holds one value per lane. */
typedef void flat_fn(float *restrict y, const float *a, const float *b, int64_t count, float alpha);
typedef void lane_fn(float *restrict y, const float *a, const float *b, int64_t pixels, int block);

/* Both are loaded, so that no branch is needed. */
INLINE float keep(float a, float b)
{
	return b > 0 ? a : 0;
}

#define FLAT(name, expression)                                                            \
	CLONES static void name##_flat(float *restrict y, const float *a, const float *b, \
	                               int64_t count, float alpha)                        \
	{                                                                                 \
		for (int64_t i = 0; i < count; i++)                                       \
			y[i] = expression;                                                \
	}
FLAT(add, a[i] + b[i])
FLAT(sub, a[i] - b[i])
FLAT(mul, a[i] * b[i])
FLAT(scale, alpha *a[i])
FLAT(relu, a[i] > 0 ? a[i] : 0)
FLAT(relu_grad, keep(a[i], b[i]))
FLAT(add_relu, a[i] + b[i] > 0 ? a[i] + b[i] : 0)
#undef FLAT

#define LANE(name, expression)                                                            \
	INLINE void name##_lanes(float *restrict y, const float *a, const float *b,       \
	                         int64_t pixels, int block)                               \
	{                                                                                 \
		for (int64_t p = 0; p < pixels; p++)                                      \
			for (int l = 0; l < block; l++)                                   \
				y[p * block + l] = expression;                            \
	}                                                                                 \
	CLONES static void name##_lane(float *restrict y, const float *a, const float *b, \
	                               int64_t pixels, int block)                         \
	{                                                                                 \
		if (block == 8)                                                           \
			name##_lanes(y, a, b, pixels, 8);                                 \
		else                                                                      \
			name##_lanes(y, a, b, pixels, 16);                                \
	}
LANE(add, a[p * block + l] + b[l])
LANE(sub, a[p * block + l] - b[l])
LANE(mul, a[p * block + l] * b[l])
#undef LANE

static void run_flat(flat_fn *f, float *y, const float *a, const float *b, int64_t count,
                     float alpha)
{
	int64_t chunks = (count + CHUNK - 1) / CHUNK;

#pragma omp parallel for schedule(static) if (count > SMALL)
	for (int64_t c = 0; c < chunks; c++) {
		int64_t begin = c * CHUNK, left = count - begin;
		f(y + begin, a + begin, b ? b + begin : NULL, left < CHUNK ? left : CHUNK, alpha);
	}
}

/* All inputs have the shape of the output: one loop over the form that they share. */
static bool flat(struct node *n, flat_fn *f)
{
	struct tensor *a = n->in[0], *b = n->in_count > 1 ? n->in[1] : NULL, *y = n->out[0];
	bool blocked = node_is_blocked(n, y->shape);

	if (!shape_equal(a->shape, y->shape) || (b && !shape_equal(b->shape, y->shape)) ||
	    y->type != F32)
		return false;
	const float *pa = blocked ? blocked_input(a) : tensor_f32(a);
	const float *pb = !b ? NULL : blocked ? blocked_input(b) : tensor_f32(b);
	int64_t count = blocked ? layout_of(y->shape).count : shape_count(y->shape);
	float *py = blocked ? blocked_output(y) : tensor_new_plain(y);
	run_flat(f, py, pa, pb, count, (float)n->attr.alpha);
	return true;
}

/* The first input is blocked and the second has one value per channel, or one for all. */
static bool per_channel(struct node *n, lane_fn *f)
{
	struct tensor *x = n->in[0], *b = n->in[1], *y = n->out[0];

	if (!shape_equal(x->shape, y->shape) || !x->blocked || !is_per_channel(b->shape, x->shape))
		return false;
	struct layout l = layout_of(x->shape);
	struct storage *lanes = lanes_of(b, &l);
	const float *px = blocked_input(x), *pb = lanes->data;
	float *py = blocked_output(y);
	int64_t size = l.pixels * l.block;

#pragma omp parallel for schedule(static) if (l.count > SMALL)
	for (int64_t i = 0; i < l.planes; i++)
		f(py + i * size, px + i * size, pb + i % l.groups * l.block, l.pixels, l.block);
	storage_free(lanes);
	return true;
}

/* a + b and a b: either input may be the one per channel. */
static bool commuting(struct node *n, flat_fn *f, lane_fn *lane)
{
	if (flat(n, f) || per_channel(n, lane))
		return true;
	struct node swapped = *n;
	swapped.in[0] = n->in[1];
	swapped.in[1] = n->in[0];
	return per_channel(&swapped, lane);
}

bool onednn_add(struct tape *t, struct node *n)
{
	return commuting(n, add_flat, add_lane);
}

bool onednn_mul(struct tape *t, struct node *n)
{
	return commuting(n, mul_flat, mul_lane);
}

bool onednn_sub(struct tape *t, struct node *n)
{
	return flat(n, sub_flat) || per_channel(n, sub_lane);
}

bool onednn_scale(struct tape *t, struct node *n)
{
	return flat(n, scale_flat);
}

bool onednn_relu(struct tape *t, struct node *n)
{
	return flat(n, relu_flat);
}

bool onednn_relu_grad(struct tape *t, struct node *n)
{
	return flat(n, relu_grad_flat);
}

bool onednn_add_relu(struct tape *t, struct node *n)
{
	return flat(n, add_relu_flat);
}
