/* Max pooling on the blocked form: the place of each window's maximum, the values there, and the
 * adjoint of taking them.
 *
 * Places are plain, as the reference's: flat indices into (N, C, H, W), so either column reads what
 * the other made.  A gather or scatter is of this file when its index came from a pooling: then all
 * that one plane takes lies in one plane. */
#include "core/tensor/onednn/column.h"
#include <string.h>

/* One group of planes of the pooled image: where its channels and places are. */
struct window_map {
	struct layout in, out;
	int window, stride, pad;
};

/* The range of a window that lies inside the image: from, to (exclusive). */
static void window_range(int64_t at, int64_t size, const struct window_map *m, int64_t range[2])
{
	int64_t from = at * m->stride - m->pad, to = from + m->window;

	range[0] = from < 0 ? 0 : from;
	range[1] = to > size ? size : to;
}

/* The first of the largest in the window, lane by lane. */
INLINE void window_best(const float *x, int64_t width, const int64_t rows[2],
                        const int64_t columns[2], int block, int32_t *best)
{
	float most[LANES_MAX];
	int32_t first = (int32_t)(rows[0] * width + columns[0]);

	for (int l = 0; l < block; l++) {
		most[l] = x[first * block + l];
		best[l] = first;
	}
	for (int64_t i = rows[0]; i < rows[1]; i++)
		for (int64_t j = columns[0]; j < columns[1]; j++) {
			int32_t at = (int32_t)(i * width + j);
			for (int l = 0; l < block; l++) {
				float value = x[at * block + l];
				best[l] = value > most[l] ? at : best[l];
				most[l] = value > most[l] ? value : most[l];
			}
		}
}

INLINE void group_best(const struct window_map *m, const float *x, int32_t *to, int lanes,
                       int block)
{
	int64_t rows[2], columns[2];
	int32_t best[LANES_MAX] = {0};

	for (int64_t i = 0; i < m->out.height; i++) {
		window_range(i, m->in.height, m, rows);
		for (int64_t j = 0; j < m->out.width; j++) {
			window_range(j, m->in.width, m, columns);
			window_best(x, m->in.width, rows, columns, block, best);
			for (int l = 0; l < lanes; l++)
				to[l * m->out.pixels + i * m->out.width + j] =
				        best[l] + (int32_t)(l * m->in.pixels);
		}
	}
}

CLONES static void group_index(const struct window_map *m, const float *x, int32_t *to, int lanes)
{
	if (m->in.block == 8)
		group_best(m, x, to, lanes, 8);
	else
		group_best(m, x, to, lanes, 16);
}

/* Lanes of a group of planes that hold channels. */
static int lanes_in(const struct layout *l, int64_t group)
{
	int64_t left = l->channels - group * l->block;

	return (int)(left < l->block ? left : l->block);
}

/* The first channel of plane i of the blocked form, counted over all images. */
static int64_t channel_of(const struct layout *l, int64_t i)
{
	return i / l->groups * l->channels + i % l->groups * l->block;
}

bool onednn_max_pool_index(struct tape *t, struct node *n)
{
	struct tensor *x = n->in[0];

	if (!x->blocked)
		return false;
	struct window_map m = {layout_of(x->shape), layout_of(n->out[0]->shape), n->attr.window,
	                       n->attr.stride, n->attr.pad};
	const float *from = blocked_input(x);
	int32_t *to = tensor_new_plain(n->out[0]);

#pragma omp parallel for schedule(static) if (m.in.count > SMALL)
	for (int64_t i = 0; i < m.in.planes; i++) {
		int64_t channel = channel_of(&m.in, i), first = channel * m.in.pixels;
		int32_t *place = to + channel * m.out.pixels;
		int lanes = lanes_in(&m.in, i % m.in.groups);
		group_index(&m, from + i * m.in.pixels * m.in.block, place, lanes);
		for (int64_t k = 0; k < lanes * m.out.pixels; k++)
			place[k] += (int32_t)first;
	}
	return true;
}

/* A gather from, or scatter to, the image x of a pooling, both blocked. */
static bool is_pooling(const struct node *n, const struct tensor *image)
{
	const struct tensor *index = n->in[1];

	return index->node && index->node->op == OP_max_pool_index && image->shape.n == 4 &&
	       n->in[0]->blocked && image->shape.d[0] == index->shape.d[0] &&
	       image->shape.d[1] == index->shape.d[1];
}

/* Calls move for every channel of the pooled image: its values among those of `block` channels, in
 * the image and in what was pooled, and its places in the plane. */
typedef void move_fn(float *large, float *small, const int32_t *place, int64_t first, int64_t count,
                     int block);
static void each_channel(struct tensor *image, struct tensor *index, float *large, float *small,
                         move_fn *move)
{
	struct layout l = layout_of(image->shape), s = layout_of(index->shape);
	const int32_t *place = tensor_i32(index);

#pragma omp parallel for schedule(static) if (l.count > SMALL)
	for (int64_t i = 0; i < l.planes; i++)
		for (int k = 0; k < lanes_in(&l, i % l.groups); k++) {
			int64_t channel = channel_of(&l, i) + k;
			move(large + i * l.pixels * l.block + k, small + i * s.pixels * s.block + k,
			     place + channel * s.pixels, channel * l.pixels, s.pixels, l.block);
		}
}

static void take(float *large, float *small, const int32_t *place, int64_t first, int64_t count,
                 int block)
{
	for (int64_t p = 0; p < count; p++)
		small[p * block] = large[(place[p] - first) * block];
}

static void give_back(float *large, float *small, const int32_t *place, int64_t first,
                      int64_t count, int block)
{
	for (int64_t p = 0; p < count; p++)
		large[(place[p] - first) * block] += small[p * block];
}

static float *zeroed_output(struct tensor *y)
{
	float *out = blocked_output(y);

	return memset(out, 0, shape_blocked_count(y->shape, onednn_block()) * sizeof *out);
}

bool onednn_gather(struct tape *t, struct node *n)
{
	struct tensor *x = n->in[0];

	if (!is_pooling(n, x))
		return false;
	each_channel(x, n->in[1], (float *)blocked_input(x), zeroed_output(n->out[0]), take);
	return true;
}

bool onednn_scatter(struct tape *t, struct node *n)
{
	struct tensor *y = n->out[0];

	if (!is_pooling(n, y))
		return false;
	each_channel(y, n->in[1], zeroed_output(y), (float *)blocked_input(n->in[0]), give_back);
	return true;
}
