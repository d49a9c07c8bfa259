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

/* ---- the three steps ---- */
struct backward {
	struct frame f;
	enum mask mask;
	const float *g, *x, *y, *gamma, *variance; /* y null: no MASK_OUTPUT */
	float *dx, *dgamma, *dbeta, *dr;           /* null: not wanted */
	const float *of_gamma, *of_beta;           /* null: not known yet */
	double eps;
};

/* sum g and sum g (x - mean), of g that passes; which is kept where there is a dr */
INLINE void sums(const struct backward *s, struct piece p, int block, int from, bool kept,
                 enum mask mask)
{
	const float *g = s->g + p.at + from;
	float *dr = kept ? s->dr + p.at + from : NULL;
	vec sum = {0}, dot = {0};
	READ_NORMALISED(from);

	for (int64_t i = 0; i < p.pixels * block; i += block) {
		vec z = VEC(x + i) - mean, v = PASSING(VEC(g + i));
		sum += v;
		dot += v * z;
		if (kept)
			*(vec *)(dr + i) = v;
	}
	*(vec *)(s->f.sum[SUM] + p.to + from) = sum;
	*(vec *)(s->f.sum[DOT] + p.to + from) = dot;
}

CLONES static void piece_sums(const struct backward *s, struct piece p, enum mask mask, int block)
{
	if (s->dr)
		EACH_EIGHT(sums, true, )
	else
		EACH_EIGHT(sums, false, )
}

static void backward_sum(void *self, struct piece p)
{
	const struct backward *s = self;

	piece_sums(s, p, s->mask, s->f.l.block);
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

/* dx = a g + b (x - mean) + c, of g that passes; read again from dr, if it is there */
INLINE void writes(const struct backward *s, struct piece p, int block, int from, enum mask mask)
{
	const float *g = (s->dr ? s->dr : s->g) + p.at + from;
	float *dx = s->dx + p.at + from;
	READ_NORMALISED(from);
	const vec of_g = VEC(s->f.lane[OF_G] + p.lane + from);
	const vec of_x = VEC(s->f.lane[OF_X] + p.lane + from);
	const vec constant = VEC(s->f.lane[CONSTANT] + p.lane + from);

	for (int64_t i = 0; i < p.pixels * block; i += block) {
		vec z = VEC(x + i) - mean, v = PASSING(VEC(g + i));
		*(vec *)(dx + i) = of_g * v + (of_x * z + constant);
	}
}

CLONES static void plane_writes(const struct backward *s, struct piece p, enum mask mask, int block)
{
	EACH_EIGHT(writes)
}

static void backward_write(void *self, struct piece p)
{
	const struct backward *s = self;

	plane_writes(s, p, s->dr ? MASK_NONE : s->mask, s->f.l.block);
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
