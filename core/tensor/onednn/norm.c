/* Batch normalisation and the per-channel affine map on the blocked form, with what follows them in
 * residual networks: the residual's sum and ReLU. */
#include "core/tensor/onednn/norm_frame.h"

/* sum x, and sum (x - mean of this segment)^2 */
INLINE void moments(float *restrict sum, float *restrict square, const float *x, int64_t pixels,
                    int block)
{
	float s[4][LANES_MAX] = {0}, q[4][LANES_MAX] = {0}, mean[LANES_MAX];
	int64_t whole = pixels / 4 * 4;

	for (int64_t p = 0; p < whole; p += 4)
		for (int k = 0; k < 4; k++)
			for (int l = 0; l < block; l++)
				s[k][l] += x[(p + k) * block + l];
	for (int64_t p = whole; p < pixels; p++)
		for (int l = 0; l < block; l++)
			s[0][l] += x[p * block + l];
	for (int l = 0; l < block; l++) {
		sum[l] = (s[0][l] + s[1][l]) + (s[2][l] + s[3][l]);
		mean[l] = sum[l] / (float)pixels;
	}
	for (int64_t p = 0; p < whole; p += 4)
		for (int k = 0; k < 4; k++)
			for (int l = 0; l < block; l++) {
				float d = x[(p + k) * block + l] - mean[l];
				q[k][l] += d * d;
			}
	for (int64_t p = whole; p < pixels; p++)
		for (int l = 0; l < block; l++) {
			float d = x[p * block + l] - mean[l];
			q[0][l] += d * d;
		}
	for (int l = 0; l < block; l++)
		square[l] = (q[0][l] + q[1][l]) + (q[2][l] + q[3][l]);
}

CLONES static void segment_moments(float *sum, float *square, const float *x, int64_t pixels,
                                   int block)
{
	BY_BLOCK(moments, sum, square, x, pixels);
}

/* y = (x - mean) a + b (+ r), clipped at zero when `relu` */
INLINE void affine(float *restrict y, const float *x, const float *r, const float *mean,
                   const float *a, const float *b, bool joined, bool relu, int64_t pixels,
                   int block)
{
	float m[LANES_MAX], va[LANES_MAX], vb[LANES_MAX];

	for (int l = 0; l < block; l++) {
		m[l] = mean[l];
		va[l] = a[l];
		vb[l] = b[l];
	}
	for (int64_t p = 0; p < pixels; p++)
		for (int l = 0; l < block; l++) {
			int64_t i = p * block + l;
			float v = normalised(x[i], m[l], va[l], vb[l]);
			v = joined ? v + r[i] : v;
			y[i] = relu ? (v > 0 ? v : 0) : v;
		}
}

CLONES static void plane_affine(float *y, const float *x, const float *r, const float *mean,
                                const float *a, const float *b, bool relu, int64_t pixels,
                                int block)
{
	if (r && relu)
		BY_BLOCK(affine, y, x, r, mean, a, b, true, true, pixels);
	else if (r)
		BY_BLOCK(affine, y, x, r, mean, a, b, true, false, pixels);
	else if (relu)
		BY_BLOCK(affine, y, x, r, mean, a, b, false, true, pixels);
	else
		BY_BLOCK(affine, y, x, r, mean, a, b, false, false, pixels);
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

	plane_affine(w->y + p.at, w->x + p.at, w->residual ? w->residual + p.at : NULL,
	             lane[FRAME_MEAN] + p.lane, lane[FRAME_SLOPE] + p.lane,
	             lane[FRAME_SHIFT] + p.lane, w->relu, p.pixels, w->f.l.block);
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
	float *out = blocked_output(n->out[0]), zero[LANES_MAX] = {0};

#pragma omp parallel for schedule(static) if (l.count > SMALL)
	for (int64_t i = 0; i < l.planes; i++) {
		int64_t at = i * l.pixels * l.block, lane = i % l.groups * l.block;
		plane_affine(out + at, in + at, r ? r + at : NULL, zero, pa + lane, pb + lane,
		             n->attr.flag[0], l.pixels, l.block);
	}
	storage_free(a);
	storage_free(b);
	return true;
}
