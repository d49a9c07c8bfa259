/* The gradient of batch norm on the blocked form, ReLU's mask and the residual's adjoint included.
 *
 * With r = 1 / sqrt(variance + eps) and m values per channel, of g where y > 0:
 *     dx = gamma r (g - sum g / m - (x - mean) r^2 sum g (x - mean) / m),
 *     dgamma = r sum g (x - mean),  dbeta = sum g,  and the residual's adjoint is g. */
#include "core/tensor/onednn/norm_frame.h"
#include <math.h>
#include <string.h>

enum { SUM, DOT, SUMS };
enum { OF_G = FRAME_OWN, OF_X, CONSTANT, LANES };

/* sum g and sum g (x - mean) over a piece, of g that passes; which is kept where there is a dr */
struct dots {
	const float *g, *x, *y, *mean, *slope, *shift;
	float *sum, *dot, *dr;
	int64_t pixels;
};

INLINE void dots(const struct dots *d, bool kept, enum mask mask, int block)
{
	const float *g = d->g, *x = d->x, *y = d->y;
	float s[2][LANES_MAX] = {0}, q[2][LANES_MAX] = {0}, *restrict dr = d->dr;
	LANE(m, d->mean);
	LANE(a, d->slope);
	LANE(b, d->shift);

	for (int64_t p = 0; p + 2 <= d->pixels; p += 2)
		for (int k = 0; k < 2; k++)
			for (int l = 0; l < block; l++) {
				int64_t i = (p + k) * block + l;
				float v = passing(mask, g[i], x, y, i, m[l], a[l], b[l]);
				s[k][l] += v;
				q[k][l] += v * (x[i] - m[l]);
				if (kept)
					dr[i] = v;
			}
	for (int64_t p = d->pixels / 2 * 2; p < d->pixels; p++)
		for (int l = 0; l < block; l++) {
			int64_t i = p * block + l;
			float v = passing(mask, g[i], x, y, i, m[l], a[l], b[l]);
			s[0][l] += v;
			q[0][l] += v * (x[i] - m[l]);
			if (kept)
				dr[i] = v;
		}
	for (int l = 0; l < block; l++) {
		d->sum[l] = s[0][l] + s[1][l];
		d->dot[l] = q[0][l] + q[1][l];
	}
}

CLONES static void piece_dots(const struct dots *d, enum mask mask, int block)
{
	if (d->dr)
		BY_BLOCK(dots, d, true, MASK_OUTPUT);
	else
		BY_MASK(dots, d, false);
}

/* dx = a g + b (x - mean) + c, of g that passes */
struct slopes {
	const float *g, *x, *y, *mean, *slope, *shift, *a, *b, *c;
	float *dx;
	int64_t pixels;
};

INLINE void slopes(const struct slopes *s, enum mask mask, int block)
{
	const float *g = s->g, *x = s->x, *y = s->y;
	float *restrict dx = s->dx;
	LANE(m, s->mean);
	LANE(va, s->a);
	LANE(vb, s->b);
	LANE(vc, s->c);
	LANE(ma, s->slope);
	LANE(mb, s->shift);

	for (int64_t p = 0; p < s->pixels; p++)
		for (int l = 0; l < block; l++) {
			int64_t i = p * block + l;
			float v = passing(mask, g[i], x, y, i, m[l], ma[l], mb[l]);
			dx[i] = va[l] * v + (vb[l] * (x[i] - m[l]) + vc[l]);
		}
}

CLONES static void plane_slopes(const struct slopes *s, enum mask mask, int block)
{
	BY_MASK(slopes, s);
}

/* ---- the three steps ---- */
struct backward {
	struct frame f;
	enum mask mask;
	const float *g, *x, *y, *gamma, *variance; /* y null: no MASK_OUTPUT */
	float *dx, *dgamma, *dbeta, *dr;           /* null: not wanted */
	const float *of_gamma, *of_beta;           /* null: not known yet */
	double eps;
};

static void backward_sum(void *self, struct piece p)
{
	struct backward *w = self;
	float **lane = w->f.lane;
	struct dots d = {.g = w->g + p.at,
	                 .x = w->x + p.at,
	                 .y = w->y ? w->y + p.at : NULL,
	                 .mean = lane[FRAME_MEAN] + p.lane,
	                 .slope = lane[FRAME_SLOPE] + p.lane,
	                 .shift = lane[FRAME_SHIFT] + p.lane,
	                 .sum = w->f.sum[SUM] + p.to,
	                 .dot = w->f.sum[DOT] + p.to,
	                 .dr = w->dr ? w->dr + p.at : NULL,
	                 .pixels = p.pixels};

	piece_dots(&d, w->mask, w->f.l.block);
}

/* The sums count as they are stored, so that dx can be made again from them. */
static void backward_channel(void *self, int64_t c)
{
	struct backward *w = self;
	double m = (double)(w->f.l.images * w->f.l.pixels);
	double r = 1 / sqrt((double)w->variance[c] + w->eps), a = (double)w->gamma[c] * r;
	float of_gamma = w->of_gamma ? w->of_gamma[c] : (float)(r * frame_sum(&w->f, DOT, c));
	float of_beta = w->of_beta ? w->of_beta[c] : (float)frame_sum(&w->f, SUM, c);

	w->f.lane[OF_G][c] = (float)a;
	w->f.lane[OF_X][c] = (float)(-a * r * (double)of_gamma / m);
	w->f.lane[CONSTANT][c] = (float)(-a * (double)of_beta / m);
	if (w->dgamma)
		w->dgamma[c] = of_gamma;
	if (w->dbeta)
		w->dbeta[c] = of_beta;
}

/* What passed is read again from dr, if it is there. */
static void backward_write(void *self, struct piece p)
{
	struct backward *w = self;
	float **lane = w->f.lane;
	struct slopes s = {.g = (w->dr ? w->dr : w->g) + p.at,
	                   .x = w->x + p.at,
	                   .y = w->y ? w->y + p.at : NULL,
	                   .mean = lane[FRAME_MEAN] + p.lane,
	                   .slope = lane[FRAME_SLOPE] + p.lane,
	                   .shift = lane[FRAME_SHIFT] + p.lane,
	                   .a = lane[OF_G] + p.lane,
	                   .b = lane[OF_X] + p.lane,
	                   .c = lane[CONSTANT] + p.lane,
	                   .dx = w->dx + p.at,
	                   .pixels = p.pixels};

	plane_slopes(&s, w->dr ? MASK_NONE : w->mask, w->f.l.block);
}

static const float *known(struct tensor *t)
{
	return t && !tensor_is_clear(t) ? tensor_f32(t) : NULL;
}

bool onednn_batch_norm_grad(struct tape *t, struct node *n)
{
	struct tensor *x = n->in[1], *of_relu = n->in_count == 6 ? n->in[5] : NULL;
	enum mask mask = mask_of(of_relu);

	if (x->shape.n != 4 || !shape_count(x->shape) || (n->out[3] && mask != MASK_OUTPUT))
		return false;
	struct backward w = {.mask = mask,
	                     .g = blocked_input(n->in[0]),
	                     .x = blocked_input(x),
	                     .y = mask == MASK_OUTPUT ? blocked_input(of_relu) : NULL,
	                     .gamma = tensor_f32(n->in[2]),
	                     .variance = tensor_f32(n->in[4]),
	                     .of_gamma = known(n->out[1]),
	                     .of_beta = known(n->out[2]),
	                     .eps = n->attr.alpha};
	bool again = w.of_gamma && w.of_beta;
	struct frame_steps steps = {again ? NULL : backward_sum, backward_channel,
	                            n->out[0] ? backward_write : NULL};
	w.dx = frame_output(n->out[0], true);
	w.dgamma = frame_output(n->out[1], false);
	w.dbeta = frame_output(n->out[2], false);
	w.dr = frame_output(n->out[3], true);
	frame_init(&w.f, x->shape, again ? 0 : SUMS, LANES);
	frame_set_lines(&w.f, n->in[2], n->in[3], n->in[4], mask == MASK_SHIFT ? of_relu : NULL,
	                w.eps);
	frame_run(&w.f, &steps, &w);
	frame_release(&w.f);
	return true;
}
