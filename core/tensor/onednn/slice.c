/* Slices of blocked tensors, and their adjoint: subsampled pixels, moved channels. */
#include "core/tensor/onednn/column.h"
#include <string.h>

/* Copies between pixel i of the small tensor and pixel start + i step of the large one. */
struct move {
	struct layout large, small;
	const int64_t *start, *step;
};

static bool move_init(struct move *m, const struct attr *a, struct shape large, struct shape small)
{
	if (large.n != 4 || !shape_count(small) || a->step[1] != 1)
		return false;
	m->large = layout_of(large);
	m->small = layout_of(small);
	m->start = a->start;
	m->step = a->step;
	return true;
}

/* Where lane 0 of the group of channel c, image n, row y, is. */
static int64_t place_of(const struct layout *l, int64_t n, int64_t c, int64_t y)
{
	return (((n * l->groups + c / l->block) * l->height + y) * l->width) * l->block;
}

/* One row of one group of the small tensor.  Channels move by whole groups or by lanes. */
static void move_row(const struct move *m, int64_t plane, int64_t y, float *to, const float *from,
                     bool to_small)
{
	const struct layout *s = &m->small, *l = &m->large;
	int block = s->block;
	int64_t image = plane / s->groups, first = plane % s->groups * block;
	int64_t left = s->channels - first, lanes = left < block ? left : block;
	int64_t row = m->start[2] + y * m->step[2], n = m->start[0] + image * m->step[0];
	int64_t small = place_of(s, image, first, y);

	for (int64_t c = 0; c < lanes; c++) {
		int64_t channel = m->start[1] + first + c, lane = channel % block;
		int64_t large = place_of(l, n, channel, row) + m->start[3] * block + lane;
		int64_t width = lane + lanes - c < block ? lanes - c : block - lane;
		for (int64_t x = 0; x < s->width; x++) {
			int64_t a = small + x * block + c, b = large + x * m->step[3] * block;
			memcpy(to + (to_small ? a : b), from + (to_small ? b : a),
			       (size_t)width * sizeof(float));
		}
		c += width - 1;
	}
}

static void move_run(const struct move *m, float *to, const float *from, bool to_small)
{
	const struct layout *s = &m->small;

#pragma omp parallel for schedule(static) if (s->count > SMALL)
	for (int64_t i = 0; i < s->planes * s->height; i++)
		move_row(m, i / s->height, i % s->height, to, from, to_small);
}

static void clear(float *y, int64_t count)
{
#pragma omp parallel for schedule(static) if (count > SMALL)
	for (int64_t i = 0; i < count; i += CHUNK)
		memset(y + i, 0, (size_t)(count - i < CHUNK ? count - i : CHUNK) * sizeof(float));
}

bool onednn_slice(struct tape *t, struct node *n)
{
	struct tensor *x = n->in[0], *y = n->out[0];
	struct move m;

	if (!x->blocked || !move_init(&m, &n->attr, x->shape, y->shape))
		return false;
	const float *from = blocked_input(x);
	float *to = blocked_output(y);
	if (m.small.channels % m.small.block)
		clear(to, m.small.count);
	move_run(&m, to, from, true);
	return true;
}

bool onednn_place(struct tape *t, struct node *n)
{
	struct tensor *x = n->in[0], *y = n->out[0];
	struct move m;

	if (!x->blocked || !move_init(&m, &n->attr, y->shape, x->shape))
		return false;
	const float *from = blocked_input(x);
	float *to = blocked_output(y);
	clear(to, m.large.count);
	move_run(&m, to, from, false);
	return true;
}
