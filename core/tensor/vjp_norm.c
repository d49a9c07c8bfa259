/* Vector-Jacobian products of normalisation.
 *
 * Batch norm, per channel, over m values:  r = 1 / sqrt(variance + eps),  x^ = (x - mean) r,
 * y = gamma x^ + beta.  Its backward, with P(g) = g - mean(g) - x^ mean(g x^):
 *     dx = gamma r P(g),   dgamma = sum g x^,   dbeta = sum g.
 * P is its own adjoint.  For adjoints a, b, c of these three, S = <a,dx> + b dgamma + c dbeta has
 *     dS/dg     = gamma r P(a) + b x^ + c
 *     dS/dgamma = q r,                         q = <a, P(g)>
 *     dS/dx     = r P(h) - gamma q r^2 x^ / m, h = b g - (gamma r / m) (a sum g x^ + g sum a x^),
 * where x acts through x^ (the first term) and through r alone (the second). */
#include "core/tensor/op.h"

vjp_fn vjp_batch_norm, vjp_batch_norm_grad, vjp_channel_affine;

/* (C) as (C,1,1,…), which broadcasts against s. */
static struct shape channel_shape(struct shape s)
{
	struct shape c = {.n = s.n - 1};

	for (int i = 0; i < c.n; i++)
		c.d[i] = i ? 1 : s.d[1];
	return c;
}

static struct tensor *per_channel(struct tape *t, struct tensor *c, struct tensor *x)
{
	return op_reshape(t, c, channel_shape(x->shape));
}

/* sum of x per channel, as (C) */
static struct tensor *channel_sum(struct tape *t, struct tensor *x)
{
	struct tensor *s = op_sum_to(t, x, channel_shape(x->shape));

	return op_reshape(t, s, SHAPE(x->shape.d[1]));
}

static struct tensor *add_to(struct tape *t, struct tensor *sum, struct tensor *x)
{
	return sum ? op_add(t, sum, x) : x;
}

/* mean and variance as values of their own: dx = g_mean / m + 2 g_variance (x - mean) / m. */
static struct tensor *statistics_grad(struct tape *t, struct node *n, struct tensor *const g[])
{
	struct tensor *x = n->in[0], *dx = NULL;
	double m = (double)(shape_count(x->shape) / x->shape.d[1]);

	if (g[1])
		dx = op_expand(t, per_channel(t, op_scale(t, g[1], 1 / m), x), x->shape);
	if (g[2]) {
		struct tensor *centred = op_sub(t, x, per_channel(t, n->out[1], x));
		struct tensor *weight = per_channel(t, op_scale(t, g[2], 2 / m), x);
		dx = add_to(t, dx, op_mul(t, centred, weight));
	}
	return dx;
}

void vjp_batch_norm(struct tape *t, struct node *n, struct tensor *const g[OP_OUTPUTS],
                    const bool wanted[OP_INPUTS], struct tensor *d[OP_INPUTS])
{
	bool joined = n->in_count == 4, relu = n->attr.flag[0];
	struct tensor *of_relu = !relu ? NULL : joined ? n->out[0] : n->in[2];
	unsigned mask = wanted[0] | wanted[1] << 1 | wanted[2] << 2;

	if (relu && joined)
		mask |= wanted[3] << 3;
	if (g[0])
		op_batch_norm_grad(t, g[0], n->in[0], n->in[1], n->out[1], n->out[2], of_relu,
		                   n->attr.alpha, mask, d);
	if (joined && !relu)
		d[3] = g[0];
	if ((g[1] || g[2]) && wanted[0]) {
		struct tensor *dx = statistics_grad(t, n, g);
		d[0] = d[0] ? op_add(t, d[0], dx) : dx;
	}
}

/* What the second derivative is made of, in the letters above. */
struct second {
	struct tensor *g, *x, *gamma, *mean, *variance; /* g after ReLU's mask */
	struct tensor *r, *x_hat;                       /* (C), like x */
	struct tensor *y;                               /* null: no ReLU */
	struct tensor *a, *b, *c, *e;                   /* adjoints; null: zero */
	struct tensor *pa[4];                           /* gamma r P(a), sum a x^, sum a */
	struct tensor *sum_gx, *sum_g;
	double eps, m;
};

/* y, whose sign is ReLU's mask: what the gradient had instead may be beta. */
static struct tensor *output_of(struct tape *t, struct node *n)
{
	struct tensor *of_relu = n->in_count == 6 ? n->in[5] : NULL;

	if (!of_relu || of_relu->shape.n > 1)
		return of_relu;
	return op_batch_norm(t, n->in[1], n->in[2], of_relu, NULL, n->attr.alpha, true, NULL, NULL);
}

static void second_init(struct second *s, struct tape *t, struct node *n, struct tensor *const g[])
{
	*s = (struct second){.x = n->in[1],
	                     .gamma = n->in[2],
	                     .mean = n->in[3],
	                     .variance = n->in[4],
	                     .a = g[0],
	                     .b = g[1],
	                     .c = g[2],
	                     .e = g[3],
	                     .y = output_of(t, n),
	                     .eps = n->attr.alpha};
	s->m = (double)(shape_count(s->x->shape) / s->x->shape.d[1]);
	s->g = s->y ? op_relu_grad(t, n->in[0], s->y) : n->in[0];
	s->r = op_recip(t, op_sqrt(t, op_shift(t, s->variance, s->eps)));
	struct tensor *shift = op_scale(t, op_mul(t, s->mean, s->r), -1);
	s->x_hat = op_channel_affine(t, s->x, s->r, shift, NULL, false);
	if (!s->a)
		return;
	op_batch_norm_grad(t, s->a, s->x, s->gamma, s->mean, s->variance, NULL, s->eps, 7, s->pa);
	s->sum_gx = n->out[1] ? n->out[1] : channel_sum(t, op_mul(t, s->g, s->x_hat));
	s->sum_g = n->out[2] ? n->out[2] : channel_sum(t, s->g);
}

static struct tensor *second_g(struct second *s, struct tape *t)
{
	struct tensor *dg = s->pa[0];

	if (s->b)
		dg = add_to(t, dg, op_mul(t, s->x_hat, per_channel(t, s->b, s->x)));
	if (s->c && dg)
		dg = op_add(t, dg, per_channel(t, s->c, s->x));
	else if (s->c)
		dg = op_expand(t, per_channel(t, s->c, s->x), s->x->shape);
	if (s->e)
		dg = add_to(t, dg, s->e);
	return s->y ? op_relu_grad(t, dg, s->y) : dg;
}

/* q = <a, g> - (sum a sum g + sum a x^ sum g x^) / m, per channel */
static struct tensor *second_q(struct second *s, struct tape *t)
{
	struct tensor *ag = channel_sum(t, op_mul(t, s->a, s->g));
	struct tensor *mean = op_mul(t, s->pa[2], s->sum_g);
	struct tensor *slope = op_mul(t, s->pa[1], s->sum_gx);

	return op_sub(t, ag, op_scale(t, op_add(t, mean, slope), 1 / s->m));
}

static struct tensor *second_h(struct second *s, struct tape *t)
{
	struct tensor *of_g = s->b, *h = NULL;

	if (s->a) {
		struct tensor *k = op_scale(t, op_mul(t, s->gamma, s->r), -1 / s->m);
		struct tensor *slope = op_mul(t, k, s->pa[1]);
		h = op_mul(t, s->a, per_channel(t, op_mul(t, k, s->sum_gx), s->x));
		of_g = of_g ? op_add(t, of_g, slope) : slope;
	}
	return add_to(t, h, op_mul(t, s->g, per_channel(t, of_g, s->x)));
}

static struct tensor *second_x(struct second *s, struct tape *t, struct tensor *q)
{
	struct tensor *d[4], *one = op_fill(t, s->gamma->type, s->gamma->shape, 1);

	if (!s->a && !s->b)
		return NULL;
	op_batch_norm_grad(t, second_h(s, t), s->x, one, s->mean, s->variance, NULL, s->eps, 1, d);
	if (!q)
		return d[0];
	struct tensor *weight = op_mul(t, op_mul(t, s->gamma, q), op_mul(t, s->r, s->r));
	weight = op_scale(t, weight, 1 / s->m);
	return op_sub(t, d[0], op_mul(t, s->x_hat, per_channel(t, weight, s->x)));
}

void vjp_batch_norm_grad(struct tape *t, struct node *n, struct tensor *const g[OP_OUTPUTS],
                         const bool wanted[OP_INPUTS], struct tensor *d[OP_INPUTS])
{
	struct tensor *q = NULL;
	struct second s;

	second_init(&s, t, n, g);
	if (wanted[0])
		d[0] = second_g(&s, t);
	if (s.a && (wanted[1] || wanted[2]))
		q = second_q(&s, t);
	if (wanted[1])
		d[1] = second_x(&s, t, q);
	if (wanted[2] && q)
		d[2] = op_mul(t, q, s.r);
}

void vjp_channel_affine(struct tape *t, struct node *n, struct tensor *const g[OP_OUTPUTS],
                        const bool wanted[OP_INPUTS], struct tensor *d[OP_INPUTS])
{
	struct tensor *x = n->in[0];
	struct tensor *masked = n->attr.flag[0] ? op_relu_grad(t, g[0], n->out[0]) : g[0];

	if (wanted[0])
		d[0] = op_mul(t, masked, per_channel(t, n->in[1], x));
	if (wanted[1])
		d[1] = channel_sum(t, op_mul(t, masked, x));
	if (wanted[2])
		d[2] = channel_sum(t, masked);
	d[3] = masked;
}
