/* Batch normalisation and its gradient on the blocked form, with ReLU fused into both.
 *
 * A thread takes whole groups of channels where there are enough: they stay in cache between the
 * pass that sums and the pass that writes.  Sums do not depend on who makes them: see planes.h. */
#include "core/base/text.h"
#include "core/tensor/onednn/planes.h"
#include <math.h>
#include <omp.h>
#include <string.h>

/* ---- pieces of planes: always of 8 or 16 lanes ---- */
#define BY_BLOCK(name, ...)                    \
	do {                                   \
		if (block == 8)                \
			name(__VA_ARGS__, 8);  \
		else                           \
			name(__VA_ARGS__, 16); \
	} while (0)

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

/* y = (x - mean) a + b, clipped at zero when `relu` */
INLINE void affine(float *restrict y, const float *x, const float *mean, const float *a,
                   const float *b, bool relu, int64_t pixels, int block)
{
	float m[LANES_MAX], va[LANES_MAX], vb[LANES_MAX];

	for (int l = 0; l < block; l++) {
		m[l] = mean[l];
		va[l] = a[l];
		vb[l] = b[l];
	}
	for (int64_t p = 0; p < pixels; p++)
		for (int l = 0; l < block; l++) {
			float v = (x[p * block + l] - m[l]) * va[l] + vb[l];
			y[p * block + l] = relu ? (v > 0 ? v : 0) : v;
		}
}

CLONES static void plane_affine(float *y, const float *x, const float *mean, const float *a,
                                const float *b, bool relu, int64_t pixels, int block)
{
	if (relu)
		BY_BLOCK(affine, y, x, mean, a, b, true, pixels);
	else
		BY_BLOCK(affine, y, x, mean, a, b, false, pixels);
}

/* sum g and sum g (x - mean), where y > 0 when there is a y */
INLINE void dots(float *restrict sum, float *restrict dot, const float *g, const float *x,
                 const float *y, const float *mean, bool masked, int64_t pixels, int block)
{
	float s[2][LANES_MAX] = {0}, q[2][LANES_MAX] = {0}, m[LANES_MAX];

	for (int l = 0; l < block; l++)
		m[l] = mean[l];
	for (int64_t p = 0; p + 2 <= pixels; p += 2)
		for (int k = 0; k < 2; k++)
			for (int l = 0; l < block; l++) {
				int64_t i = (p + k) * block + l;
				float v = g[i];
				v = !masked || y[i] > 0 ? v : 0;
				s[k][l] += v;
				q[k][l] += v * (x[i] - m[l]);
			}
	for (int64_t p = pixels / 2 * 2; p < pixels; p++)
		for (int l = 0; l < block; l++) {
			int64_t i = p * block + l;
			float v = g[i];
			v = !masked || y[i] > 0 ? v : 0;
			s[0][l] += v;
			q[0][l] += v * (x[i] - m[l]);
		}
	for (int l = 0; l < block; l++) {
		sum[l] = s[0][l] + s[1][l];
		dot[l] = q[0][l] + q[1][l];
	}
}

CLONES static void segment_dots(float *sum, float *dot, const float *g, const float *x,
                                const float *y, const float *mean, int64_t pixels, int block)
{
	if (y)
		BY_BLOCK(dots, sum, dot, g, x, y, mean, true, pixels);
	else
		BY_BLOCK(dots, sum, dot, g, x, y, mean, false, pixels);
}

/* dx = a g + b (x - mean) + c, where y > 0 when there is a y: else b (x - mean) + c */
INLINE void slopes(float *restrict dx, const float *g, const float *x, const float *y,
                   const float *mean, const float *a, const float *b, const float *c, bool masked,
                   int64_t pixels, int block)
{
	float m[LANES_MAX], va[LANES_MAX], vb[LANES_MAX], vc[LANES_MAX];

	for (int l = 0; l < block; l++) {
		m[l] = mean[l];
		va[l] = a[l];
		vb[l] = b[l];
		vc[l] = c[l];
	}
	for (int64_t p = 0; p < pixels; p++)
		for (int l = 0; l < block; l++) {
			int64_t i = p * block + l;
			float v = g[i];
			v = !masked || y[i] > 0 ? v : 0;
			dx[i] = va[l] * v + (vb[l] * (x[i] - m[l]) + vc[l]);
		}
}

CLONES static void plane_slopes(float *dx, const float *g, const float *x, const float *y,
                                const float *mean, const float *a, const float *b, const float *c,
                                int64_t pixels, int block)
{
	if (y)
		BY_BLOCK(slopes, dx, g, x, y, mean, a, b, c, true, pixels);
	else
		BY_BLOCK(slopes, dx, g, x, y, mean, a, b, c, false, pixels);
}

/* ---- sums per channel ---- */
/* Two numbers per lane of each segment of each plane. */
struct partial {
	struct storage *storage;
	float *first, *second;
};

static struct partial partial_new(const struct layout *l, struct segments s)
{
	size_t count = (size_t)(s.total * l->block);
	struct partial p = {.storage = storage_new(2 * count * sizeof(float))};

	p.first = p.storage->data;
	p.second = p.first + count;
	return p;
}

/* Where the numbers of channel c of image n, segment k, are. */
static int64_t partial_at(const struct layout *l, struct segments s, int64_t n, int64_t c,
                          int64_t k)
{
	return ((n * l->groups + c / l->block) * s.each + k) * l->block + c % l->block;
}

/* Mean and biased variance of channel c from its segments, as Chan, Golub and LeVeque (1979). */
static void channel_moments(const struct layout *l, struct segments s, const struct partial *p,
                            int64_t c, double *mean, double *variance)
{
	double sum = 0, square = 0, m = (double)(l->images * l->pixels);

	for (int64_t n = 0; n < l->images; n++)
		for (int64_t k = 0; k < s.each; k++)
			sum += (double)p->first[partial_at(l, s, n, c, k)];
	*mean = sum / m;
	for (int64_t n = 0; n < l->images; n++)
		for (int64_t k = 0; k < s.each; k++) {
			int64_t i = partial_at(l, s, n, c, k);
			double pixels = (double)segment_px(l, k);
			double d = (double)p->first[i] / pixels - *mean;
			square += (double)p->second[i] + pixels * d * d;
		}
	*variance = square / m;
}

static void channel_sums(const struct layout *l, struct segments s, const struct partial *p,
                         int64_t c, double *first, double *second)
{
	*first = *second = 0;
	for (int64_t n = 0; n < l->images; n++)
		for (int64_t k = 0; k < s.each; k++) {
			*first += (double)p->first[partial_at(l, s, n, c, k)];
			*second += (double)p->second[partial_at(l, s, n, c, k)];
		}
}

/* Per lane of all groups: zeros beyond the last channel. */
struct lanes {
	struct storage *storage;
	float *mean, *a, *b, *c;
};

static struct lanes lanes_new(const struct layout *l)
{
	int64_t count = l->groups * l->block;
	struct lanes v = {.storage = storage_new(4 * (size_t)count * sizeof(float))};

	v.mean = v.storage->data;
	v.a = v.mean + count;
	v.b = v.a + count;
	v.c = v.b + count;
	memset(v.mean, 0, 4 * (size_t)count * sizeof(float));
	return v;
}

/* Whether threads can take whole groups of channels, which stay in cache and need no waiting. */
static bool groups_suffice(const struct layout *l)
{
	int threads = omp_get_max_threads();

	return l->groups % threads == 0 || l->groups >= 4 * threads;
}

static int64_t channels_end(const struct layout *l, int64_t group)
{
	int64_t end = (group + 1) * l->block;

	return end < l->channels ? end : l->channels;
}

static float *plain_output(struct tensor *t)
{
	return t ? tensor_new_plain(t) : NULL;
}

/* ---- forward ---- */
struct forward {
	struct layout l;
	struct segments s;
	struct partial part;
	struct lanes v;
	const float *x, *gamma, *beta;
	float *y, *mean, *variance; /* mean, variance null: not wanted */
	double eps;
	bool relu;
};

static void forward_channel(struct forward *f, int64_t c)
{
	double mean, variance;

	channel_moments(&f->l, f->s, &f->part, c, &mean, &variance);
	f->v.mean[c] = (float)mean;
	f->v.a[c] = (float)((double)f->gamma[c] / sqrt(variance + f->eps));
	f->v.b[c] = f->beta[c];
	if (f->mean)
		f->mean[c] = (float)mean;
	if (f->variance)
		f->variance[c] = (float)variance;
}

static void forward_sum(struct forward *f, int64_t plane)
{
	int block = f->l.block;

	for (int64_t k = 0; k < f->s.each; k++) {
		int64_t to = (plane * f->s.each + k) * block;
		segment_moments(f->part.first + to, f->part.second + to,
		                f->x + segment_begin(&f->l, plane, k), segment_px(&f->l, k), block);
	}
}

static void forward_write(struct forward *f, int64_t plane)
{
	int64_t lane = plane % f->l.groups * f->l.block, at = plane * f->l.pixels * f->l.block;

	plane_affine(f->y + at, f->x + at, f->v.mean + lane, f->v.a + lane, f->v.b + lane, f->relu,
	             f->l.pixels, f->l.block);
}

static void forward_run(struct forward *f)
{
	const struct layout *l = &f->l;

	if (groups_suffice(l)) {
#pragma omp parallel for schedule(dynamic) if (l->count > SMALL)
		for (int64_t g = 0; g < l->groups; g++) {
			for (int64_t n = 0; n < l->images; n++)
				forward_sum(f, n * l->groups + g);
			for (int64_t c = g * l->block; c < channels_end(l, g); c++)
				forward_channel(f, c);
			for (int64_t n = l->images - 1; n >= 0; n--)
				forward_write(f, n * l->groups + g);
		}
		return;
	}
#pragma omp parallel if (l->count > SMALL)
	{
#pragma omp for schedule(static)
		for (int64_t i = 0; i < l->planes; i++)
			forward_sum(f, i);
#pragma omp for schedule(static)
		for (int64_t c = 0; c < l->channels; c++)
			forward_channel(f, c);
#pragma omp for schedule(static)
		for (int64_t i = l->planes - 1; i >= 0; i--)
			forward_write(f, i);
	}
}

bool onednn_batch_norm(struct tape *t, struct node *n)
{
	struct tensor *x = n->in[0];

	if (x->shape.n != 4 || !shape_count(x->shape) || !n->out[0])
		return false;
	struct forward f = {.l = layout_of(x->shape),
	                    .x = blocked_input(x),
	                    .gamma = tensor_f32(n->in[1]),
	                    .beta = tensor_f32(n->in[2]),
	                    .y = blocked_output(n->out[0]),
	                    .mean = plain_output(n->out[1]),
	                    .variance = plain_output(n->out[2]),
	                    .eps = n->attr.alpha,
	                    .relu = n->attr.flag[0]};
	f.s = segments_of(&f.l);
	f.part = partial_new(&f.l, f.s);
	f.v = lanes_new(&f.l);
	forward_run(&f);
	storage_free(f.part.storage);
	storage_free(f.v.storage);
	return true;
}

/* ---- gradient: with r = 1 / sqrt(variance + eps) and m values per channel,
 * dx = gamma r (g - sum g / m - (x - mean) r^2 sum g (x - mean) / m),
 * dgamma = r sum g (x - mean), dbeta = sum g ---- */
struct backward {
	struct layout l;
	struct segments s;
	struct partial part;
	struct lanes v;
	const float *g, *x, *y, *gamma, *variance;
	float *dx, *dgamma, *dbeta; /* null: not wanted */
	double eps;
};

static void backward_channel(struct backward *b, int64_t c)
{
	double sum, dot, m = (double)(b->l.images * b->l.pixels);
	double r = 1 / sqrt((double)b->variance[c] + b->eps), a = (double)b->gamma[c] * r;

	channel_sums(&b->l, b->s, &b->part, c, &sum, &dot);
	b->v.a[c] = (float)a;
	b->v.b[c] = (float)(-a * r * r * dot / m);
	b->v.c[c] = (float)(-a * sum / m);
	if (b->dgamma)
		b->dgamma[c] = (float)(r * dot);
	if (b->dbeta)
		b->dbeta[c] = (float)sum;
}

static void backward_sum(struct backward *b, int64_t plane)
{
	int block = b->l.block;

	for (int64_t k = 0; k < b->s.each; k++) {
		int64_t to = (plane * b->s.each + k) * block, at = segment_begin(&b->l, plane, k);
		segment_dots(b->part.first + to, b->part.second + to, b->g + at, b->x + at,
		             b->y ? b->y + at : NULL, b->v.mean + plane % b->l.groups * block,
		             segment_px(&b->l, k), block);
	}
}

static void backward_write(struct backward *b, int64_t plane)
{
	const struct lanes *v = &b->v;
	int64_t lane = plane % b->l.groups * b->l.block, at = plane * b->l.pixels * b->l.block;

	plane_slopes(b->dx + at, b->g + at, b->x + at, b->y ? b->y + at : NULL, v->mean + lane,
	             v->a + lane, v->b + lane, v->c + lane, b->l.pixels, b->l.block);
}

static void backward_run(struct backward *b)
{
	const struct layout *l = &b->l;

	if (groups_suffice(l)) {
#pragma omp parallel for schedule(dynamic) if (l->count > SMALL)
		for (int64_t g = 0; g < l->groups; g++) {
			for (int64_t n = 0; n < l->images; n++)
				backward_sum(b, n * l->groups + g);
			for (int64_t c = g * l->block; c < channels_end(l, g); c++)
				backward_channel(b, c);
			for (int64_t n = b->dx ? l->images - 1 : -1; n >= 0; n--)
				backward_write(b, n * l->groups + g);
		}
		return;
	}
#pragma omp parallel if (l->count > SMALL)
	{
#pragma omp for schedule(static)
		for (int64_t i = 0; i < l->planes; i++)
			backward_sum(b, i);
#pragma omp for schedule(static)
		for (int64_t c = 0; c < l->channels; c++)
			backward_channel(b, c);
#pragma omp for schedule(static)
		for (int64_t i = b->dx ? l->planes - 1 : -1; i >= 0; i--)
			backward_write(b, i);
	}
}

bool onednn_batch_norm_grad(struct tape *t, struct node *n)
{
	struct tensor *x = n->in[1];

	if (x->shape.n != 4 || !shape_count(x->shape))
		return false;
	struct backward b = {.l = layout_of(x->shape),
	                     .g = blocked_input(n->in[0]),
	                     .x = blocked_input(x),
	                     .y = n->in_count == 6 ? blocked_input(n->in[5]) : NULL,
	                     .gamma = tensor_f32(n->in[2]),
	                     .variance = tensor_f32(n->in[4]),
	                     .dx = n->out[0] ? blocked_output(n->out[0]) : NULL,
	                     .dgamma = plain_output(n->out[1]),
	                     .dbeta = plain_output(n->out[2]),
	                     .eps = n->attr.alpha};
	b.s = segments_of(&b.l);
	b.part = partial_new(&b.l, b.s);
	b.v = lanes_new(&b.l);
	memcpy(b.v.mean, tensor_f32(n->in[3]), (size_t)b.l.channels * sizeof(float));
	backward_run(&b);
	storage_free(b.part.storage);
	storage_free(b.v.storage);
	return true;
}

/* ---- frozen ---- */
bool onednn_channel_affine(struct tape *t, struct node *n)
{
	struct tensor *x = n->in[0];

	if (x->shape.n != 4 || !x->blocked)
		return false;
	struct layout l = layout_of(x->shape);
	struct storage *a = lanes_of(n->in[1], &l), *b = lanes_of(n->in[2], &l);
	const float *in = blocked_input(x), *pa = a->data, *pb = b->data;
	float *out = blocked_output(n->out[0]), zero[LANES_MAX] = {0};

#pragma omp parallel for schedule(static) if (l.count > SMALL)
	for (int64_t i = 0; i < l.planes; i++) {
		int64_t at = i * l.pixels * l.block, lane = i % l.groups * l.block;
		plane_affine(out + at, in + at, zero, pa + lane, pb + lane, n->attr.flag[0],
		             l.pixels, l.block);
	}
	storage_free(a);
	storage_free(b);
	return true;
}
