/* Batch normalisation and the per-channel affine map on the blocked form, with what follows them in
 * residual networks: the residual's sum and ReLU. */
#include "core/tensor/onednn/norm_frame.h"

/* sum x, and sum (x - mean of this segment)^2, four pixels at a time */
INLINE void moments(float *sum, float *square, const float *x, int64_t pixels, int block)
{
	int64_t end = pixels * block, whole = pixels / 4 * 4 * block, i;
	vec s[4] = {0}, q[4] = {0};

	for (i = 0; i < whole; i += 4 * block)
		for (int k = 0; k < 4; k++)
			s[k] += VEC(x + i + k * block);
	for (; i < end; i += block)
		s[0] += VEC(x + i);
	const vec all = (s[0] + s[1]) + (s[2] + s[3]), mean = all / (float)pixels;
	for (i = 0; i < whole; i += 4 * block)
		for (int k = 0; k < 4; k++) {
			vec d = VEC(x + i + k * block) - mean;
			q[k] += d * d;
		}
	for (; i < end; i += block) {
		vec d = VEC(x + i) - mean;
		q[0] += d * d;
	}
	*(vec *)sum = all;
	*(vec *)square = (q[0] + q[1]) + (q[2] + q[3]);
}

CLONES static void segment_moments(float *sum, float *square, const float *x, int64_t pixels,
                                   int block)
{
	for (int from = 0; from < block; from += EIGHT)
		moments(sum + from, square + from, x + from, pixels, block);
}

/* What a plane is mapped with: y = (x - mean) a + b (+ r), clipped at zero when `relu`. */
struct map {
	const float *mean, *a, *b; /* (block) */
	bool relu;
};

INLINE void affine(float *y, const float *x, const float *r, const struct map *m, bool joined,
                   bool relu, int64_t count, int block, int from)
{
	const vec mean = VEC(m->mean + from), slope = VEC(m->a + from), shift = VEC(m->b + from);

	for (int64_t i = from; i < count; i += block) {
		vec v = (VEC(x + i) - mean) * slope + shift;
		if (joined)
			v += VEC(r + i);
		if (relu)
			v = (vec)((vec_mask)v & (v > 0));
		*(vec *)(y + i) = v;
	}
}

CLONES static void plane_affine(float *y, const float *x, const float *r, const struct map *m,
                                int64_t count, int block)
{
	for (int from = 0; from < block; from += EIGHT) {
		if (r && m->relu)
			affine(y, x, r, m, true, true, count, block, from);
		else if (r)
			affine(y, x, r, m, true, false, count, block, from);
		else if (m->relu)
			affine(y, x, r, m, false, true, count, block, from);
		else
			affine(y, x, r, m, false, false, count, block, from);
	}
}

/* ---- by the batch's statistics ---- */
enum { SUM, SQUARE, FORWARD_SUMS };
struct forward {
	struct frame f;
	const float *x, *gamma, *beta, *residual; /* residual null: none */
	float *y, *mean, *variance;               /* null: not wanted */
	double eps;
	bool relu;
};

static void forward_sum(void *self, struct piece p)
{
	struct forward *w = self;

	segment_moments(w->f.sum[SUM] + p.to, w->f.sum[SQUARE] + p.to, w->x + p.at, p.pixels,
	                w->f.l.block);
}

/* Mean and biased variance of channel c from its segments, as Chan, Golub and LeVeque (1979). */
static void channel_moments(const struct frame *f, int64_t c, double *mean, double *variance)
{
	const struct layout *l = &f->l;
	double m = (double)(l->images * l->pixels), square = 0;

	*mean = frame_sum(f, SUM, c) / m;
	for (int64_t n = 0; n < l->images; n++)
		for (int64_t k = 0; k < f->s.each; k++) {
			int64_t segment = (n * l->groups + c / l->block) * f->s.each + k;
			int64_t i = segment * l->block + c % l->block;
			double pixels = (double)segment_px(l, k);
			double d = (double)f->sum[SUM][i] / pixels - *mean;
			square += (double)f->sum[SQUARE][i] + pixels * d * d;
		}
	*variance = square / m;
}

static void forward_channel(void *self, int64_t c)
{
	struct forward *w = self;
	double mean, variance;

	channel_moments(&w->f, c, &mean, &variance);
	w->f.lane[FRAME_MEAN][c] = (float)mean;
	w->f.lane[FRAME_SLOPE][c] = (float)norm_slope(w->gamma[c], (float)variance, w->eps);
	w->f.lane[FRAME_SHIFT][c] = w->beta[c];
	if (w->mean)
		w->mean[c] = (float)mean;
	if (w->variance)
		w->variance[c] = (float)variance;
}

static void forward_write(void *self, struct piece p)
{
	struct forward *w = self;
	float **lane = w->f.lane;
	struct map m = {lane[FRAME_MEAN] + p.lane, lane[FRAME_SLOPE] + p.lane,
	                lane[FRAME_SHIFT] + p.lane, w->relu};

	plane_affine(w->y + p.at, w->x + p.at, w->residual ? w->residual + p.at : NULL, &m,
	             p.pixels * w->f.l.block, w->f.l.block);
}

bool onednn_batch_norm(struct tape *t, struct node *n)
{
	struct frame_steps steps = {forward_sum, forward_channel, forward_write};
	struct tensor *x = n->in[0], *mean = n->out[1], *variance = n->out[2];
	bool again = mean && variance && !tensor_is_clear(mean) && !tensor_is_clear(variance);

	if (x->shape.n != 4 || !shape_count(x->shape) || !n->out[0])
		return false;
	struct forward w = {.x = blocked_input(x),
	                    .gamma = tensor_f32(n->in[1]),
	                    .beta = tensor_f32(n->in[2]),
	                    .residual = n->in_count == 4 ? blocked_input(n->in[3]) : NULL,
	                    .y = frame_output(n->out[0], true),
	                    .mean = frame_output(mean, false),
	                    .variance = frame_output(variance, false),
	                    .eps = n->attr.alpha,
	                    .relu = n->attr.flag[0]};
	frame_init(&w.f, x->shape, again ? 0 : FORWARD_SUMS, FRAME_OWN);
	if (again) {
		frame_set_lines(&w.f, n->in[1], mean, variance, n->in[2], w.eps);
		steps = (struct frame_steps){.write = forward_write};
	}
	frame_run(&w.f, &steps, &w);
	frame_release(&w.f);
	return true;
}

/* ---- by numbers that are given ---- */
bool onednn_channel_affine(struct tape *t, struct node *n)
{
	struct tensor *x = n->in[0];

	if (x->shape.n != 4 || !x->blocked)
		return false;
	struct layout l = layout_of(x->shape);
	struct storage *a = lanes_of(n->in[1], &l), *b = lanes_of(n->in[2], &l);
	const float *in = blocked_input(x), *pa = a->data, *pb = b->data;
	const float *r = n->in_count == 4 ? blocked_input(n->in[3]) : NULL;
	float *out = blocked_output(n->out[0]);
	const float zero[LANES_MAX] __attribute__((aligned(64))) = {0};

#pragma omp parallel for schedule(static) if (l.count > SMALL)
	for (int64_t i = 0; i < l.planes; i++) {
		int64_t count = l.pixels * l.block, at = i * count, lane = i % l.groups * l.block;
		struct map m = {zero, pa + lane, pb + lane, n->attr.flag[0]};
		plane_affine(out + at, in + at, r ? r + at : NULL, &m, count, l.block);
	}
	storage_free(a);
	storage_free(b);
	return true;
}
