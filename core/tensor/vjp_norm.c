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

vjp_fn vjp_batch_norm, vjp_batch_norm_grad, vjp_batch_norm_grad_grad, vjp_channel_affine;

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

static struct tensor *or_zero(struct tape *t, struct tensor *g, struct tensor *like)
{
	return g ? g : op_fill(t, like->type, like->shape, 0);
}

void vjp_batch_norm_grad(struct tape *t, struct node *n, struct tensor *const g[OP_OUTPUTS],
                         const bool wanted[OP_INPUTS], struct tensor *d[OP_INPUTS])
{
	struct tensor *of_relu = n->in_count == 6 ? n->in[5] : NULL;

	op_batch_norm_grad_grad(t, or_zero(t, g[0], n->in[1]), n->in[0], n->in[1], n->in[2],
	                        n->in[3], n->in[4], or_zero(t, g[1], n->in[2]),
	                        or_zero(t, g[2], n->in[2]), of_relu, g[3], n->attr.alpha, d);
}

/* ---- third order, by plain ops ----
 * What batch_norm_grad_grad computes, in the letters above. */
struct second {
	struct tensor *a, *g, *x, *gamma, *mean, *variance, *b, *c; /* g after ReLU's mask */
	struct tensor *y, *e;                                       /* null: no ReLU, zero */
	struct tensor *r, *x_hat;                                   /* (C), like x */
	double m;
};

/* y, whose sign is ReLU's mask: what the gradient had instead may be beta. */
static struct tensor *output_of(struct tape *t, struct tensor *x, struct tensor *gamma,
                                struct tensor *of_relu, double eps)
{
	if (!of_relu || of_relu->shape.n > 1)
		return of_relu;
	return op_batch_norm(t, x, gamma, of_relu, NULL, eps, true, NULL, NULL);
}

/* in: as the op's, absent ones null */
static void second_init(struct second *s, struct tape *t, struct tensor *const in[], double eps)
{
	*s = (struct second){.a = in[0],
	                     .g = in[1],
	                     .x = in[2],
	                     .gamma = in[3],
	                     .mean = in[4],
	                     .variance = in[5],
	                     .b = in[6],
	                     .c = in[7],
	                     .y = output_of(t, in[2], in[3], in[8], eps),
	                     .e = in[9]};
	s->m = (double)(shape_count(s->x->shape) / s->x->shape.d[1]);
	s->g = s->y ? op_relu_grad(t, s->g, s->y) : s->g;
	s->r = op_recip(t, op_sqrt(t, op_shift(t, s->variance, eps)));
	struct tensor *shift = op_scale(t, op_mul(t, s->mean, s->r), -1);
	s->x_hat = op_channel_affine(t, s->x, s->r, shift, NULL, false);
}

/* Mean per channel, to broadcast. */
static struct tensor *mean_of(struct second *s, struct tape *t, struct tensor *x)
{
	return per_channel(t, op_scale(t, channel_sum(t, x), 1 / s->m), x);
}

static struct tensor *times(struct tape *t, struct tensor *x, struct tensor *c)
{
	return op_mul(t, x, per_channel(t, c, x));
}

/* P(g) */
static struct tensor *project(struct second *s, struct tape *t, struct tensor *g)
{
	struct tensor *slope = mean_of(s, t, op_mul(t, g, s->x_hat));

	return op_sub(t, op_sub(t, g, mean_of(s, t, g)), op_mul(t, s->x_hat, slope));
}

static struct tensor *second_g(struct second *s, struct tape *t)
{
	struct tensor *dg = times(t, project(s, t, s->a), op_mul(t, s->gamma, s->r));

	dg = op_add(t, dg, times(t, s->x_hat, s->b));
	dg = op_add(t, dg, per_channel(t, s->c, s->x));
	dg = s->e ? op_add(t, dg, s->e) : dg;
	return s->y ? op_relu_grad(t, dg, s->y) : dg;
}

static struct tensor *second_x(struct second *s, struct tape *t, struct tensor *q)
{
	struct tensor *k = op_scale(t, op_mul(t, s->gamma, s->r), -1 / s->m);
	struct tensor *sum_ax = channel_sum(t, op_mul(t, s->a, s->x_hat));
	struct tensor *sum_gx = channel_sum(t, op_mul(t, s->g, s->x_hat));
	struct tensor *h = times(t, s->g, op_add(t, s->b, op_mul(t, k, sum_ax)));
	struct tensor *weight = op_mul(t, op_mul(t, k, q), s->r); /* - gamma q r^2 / m */

	h = op_add(t, h, times(t, s->a, op_mul(t, k, sum_gx)));
	return op_add(t, times(t, project(s, t, h), s->r), times(t, s->x_hat, weight));
}

/* <outputs, g>, from inputs */
static struct tensor *second_product(struct tape *t, struct tensor *const in[],
                                     struct tensor *const g[OP_OUTPUTS], double eps)
{
	struct second s;

	second_init(&s, t, in, eps);
	struct tensor *q = channel_sum(t, op_mul(t, s.a, project(&s, t, s.g))), *sum = NULL;
	struct tensor *out[] = {second_g(&s, t), second_x(&s, t, q), op_mul(t, q, s.r)};
	for (int k = 0; k < 3; k++) {
		if (!g[k])
			continue;
		struct tensor *adjoint = tape_has(t, g[k]) ? g[k] : tape_leaf(t, g[k]);
		sum = add_to(t, sum, op_sum(t, op_mul(t, out[k], adjoint)));
	}
	return sum;
}

/* Differentiates the plain ops, which begin at copies of the inputs (the same values). */
void vjp_batch_norm_grad_grad(struct tape *t, struct node *n, struct tensor *const g[OP_OUTPUTS],
                              const bool wanted[OP_INPUTS], struct tensor *d[OP_INPUTS])
{
	bool recording = t->recording;
	struct tensor *in[OP_INPUTS] = {0}, *gradient[OP_INPUTS];

	t->recording = true;
	for (int k = 0; k < n->in_count; k++)
		in[k] = op_scale(t, n->in[k], 1);
	tape_grad(t, second_product(t, in, g, n->attr.alpha), in, n->in_count, gradient,
	          recording ? GRAD_RECORD : GRAD_KEEP);
	t->recording = recording;
	for (int k = 0; k < n->in_count; k++)
		d[k] = wanted[k] ? gradient[k] : NULL;
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
