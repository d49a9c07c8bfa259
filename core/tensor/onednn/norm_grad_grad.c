/* The gradient of batch norm's gradient on the blocked form, in two passes over memory.
 *
 * In the letters of vjp_norm.c, with z = x - mean, G = g where y > 0, and sums over m values:
 *     dg     = gamma r a + (b r - gamma r^3 sum az / m) z + c - gamma r sum a / m  (+ e),
 *              where y > 0,
 *     dgamma = q r,  q = sum aG - (sum a sum G + r^2 sum az sum Gz) / m,
 *     dx     = r h - r sum h / m - (r^3 sum hz + gamma q r^3) z / m,
 * with h = (b - gamma r^2 sum az / m) G - (gamma r^2 sum Gz / m) a, whose sums follow from the
 * others. */
#include "core/tensor/onednn/norm_frame.h"
#include <math.h>

enum { A, AZ, AG, G, GZ, SUMS };
enum { DG_A = FRAME_OWN, DG_Z, DG_ONE, DX_A, DX_G, DX_Z, DX_ONE, LANES };

struct second {
	struct frame f;
	enum mask mask;
	const float *a, *g, *x, *y, *e; /* y null: no MASK_OUTPUT; e null: zero */
	const float *gamma, *variance, *b, *c;
	float *dg, *dx, *dgamma;
	double eps;
};

/* What a piece reads, from lane `from` of its block on. */
#define READ(from)                                                        \
	const float *a = s->a + p.at + (from), *g = s->g + p.at + (from); \
	READ_NORMALISED(from)

INLINE void sums(const struct second *s, struct piece p, int block, int from, enum mask mask)
{
	vec t[SUMS] = {0};
	READ(from);

	for (int64_t i = 0; i < p.pixels * block; i += block) {
		vec z = VEC(x + i) - mean, w = VEC(a + i), v = PASSING(VEC(g + i));
		t[A] += w;
		t[AZ] += w * z;
		t[AG] += w * v;
		t[G] += v;
		t[GZ] += v * z;
	}
	for (int k = 0; k < SUMS; k++)
		*(vec *)(s->f.sum[k] + p.to + from) = t[k];
}

CLONES static void piece_sums(const struct second *s, struct piece p, enum mask mask, int block)
{
	EACH_EIGHT(sums)
}

static void second_sum(void *self, struct piece p)
{
	const struct second *s = self;

	piece_sums(s, p, s->mask, s->f.l.block);
}

static void second_channel(void *self, int64_t c)
{
	struct second *s = self;
	double m = (double)(s->f.l.images * s->f.l.pixels), sum[SUMS];
	double r = 1 / sqrt((double)s->variance[c] + s->eps), gamma = (double)s->gamma[c];

	for (int k = 0; k < SUMS; k++)
		sum[k] = frame_sum(&s->f, k, c);
	double of_g = (double)s->b[c] - gamma * r * r * sum[AZ] / m;
	double of_a = -gamma * r * r * sum[GZ] / m;
	double h = of_g * sum[G] + of_a * sum[A], hz = of_g * sum[GZ] + of_a * sum[AZ];
	double q = sum[AG] - (sum[A] * sum[G] + r * r * sum[AZ] * sum[GZ]) / m;
	double lane[LANES] = {[DG_A] = gamma * r,
	                      [DG_Z] = (double)s->b[c] * r - gamma * r * r * r * sum[AZ] / m,
	                      [DG_ONE] = (double)s->c[c] - gamma * r * sum[A] / m,
	                      [DX_A] = r * of_a,
	                      [DX_G] = r * of_g,
	                      [DX_Z] = -r * r * r * (hz + gamma * q) / m,
	                      [DX_ONE] = -r * h / m};

	for (int k = FRAME_OWN; k < LANES; k++)
		s->f.lane[k][c] = (float)lane[k];
	s->dgamma[c] = (float)(q * r);
}

/* Both gradients; where y <= 0, dg is zero. */
INLINE void writes(const struct second *s, struct piece p, int block, int from, bool joined,
                   enum mask mask)
{
	const float *e = joined ? s->e + p.at + from : NULL;
	float *dg = s->dg + p.at + from, *dx = s->dx + p.at + from;
	vec of[LANES];
	READ(from);

	for (int k = FRAME_OWN; k < LANES; k++)
		of[k] = VEC(s->f.lane[k] + p.lane + from);
	for (int64_t i = 0; i < p.pixels * block; i += block) {
		vec z = VEC(x + i) - mean, w = VEC(a + i), v = PASSING(VEC(g + i));
		vec d = of[DG_A] * w + (of[DG_Z] * z + of[DG_ONE]);
		if (joined)
			d += VEC(e + i);
		*(vec *)(dx + i) = of[DX_A] * w + of[DX_G] * v + (of[DX_Z] * z + of[DX_ONE]);
		*(vec *)(dg + i) = PASSING(d);
	}
}

CLONES static void plane_writes(const struct second *s, struct piece p, enum mask mask, int block)
{
	if (s->e)
		EACH_EIGHT(writes, true, )
	else
		EACH_EIGHT(writes, false, )
}

static void second_write(void *self, struct piece p)
{
	const struct second *s = self;

	plane_writes(s, p, s->mask, s->f.l.block);
}

bool onednn_batch_norm_grad_grad(struct tape *t, struct node *n)
{
	static const struct frame_steps steps = {second_sum, second_channel, second_write};
	struct tensor *x = n->in[2], *of_relu = n->in_count > 8 ? n->in[8] : NULL;
	enum mask mask = mask_of(of_relu);

	if (x->shape.n != 4 || !shape_count(x->shape))
		return false;
	struct second s = {.mask = mask,
	                   .a = blocked_input(n->in[0]),
	                   .g = blocked_input(n->in[1]),
	                   .x = blocked_input(x),
	                   .y = mask == MASK_OUTPUT ? blocked_input(of_relu) : NULL,
	                   .e = n->in_count > 9 ? blocked_input(n->in[9]) : NULL,
	                   .gamma = tensor_f32(n->in[3]),
	                   .variance = tensor_f32(n->in[5]),
	                   .b = tensor_f32(n->in[6]),
	                   .c = tensor_f32(n->in[7]),
	                   .dg = blocked_output(n->out[0]),
	                   .dx = blocked_output(n->out[1]),
	                   .dgamma = tensor_new_plain(n->out[2]),
	                   .eps = n->attr.alpha};
	frame_init(&s.f, x->shape, SUMS, LANES);
	frame_set_lines(&s.f, n->in[3], n->in[4], n->in[5], mask == MASK_SHIFT ? of_relu : NULL,
	                s.eps);
	frame_run(&s.f, &steps, &s);
	frame_release(&s.f);
	return true;
}
