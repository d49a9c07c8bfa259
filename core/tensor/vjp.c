/* Every vector-Jacobian product, written in the same ops, so that it can be differentiated again.
 */
#include "core/tensor/op.h"
#include <math.h>

#define VJP(name)                                                                                  \
	static void vjp_##name(struct tape *t, struct node *n, struct tensor *const g[OP_OUTPUTS], \
	                       const bool wanted[OP_INPUTS], struct tensor *d[OP_INPUTS])
#define G (g[0])
#define A (n->in[0])
#define B (n->in[1])
#define Y (n->out[0])

/* ---- elementwise ---- */
VJP(add)
{
	for (int k = 0; k < 2; k++)
		if (wanted[k])
			d[k] = op_sum_to(t, G, n->in[k]->shape);
}

VJP(sub)
{
	if (wanted[0])
		d[0] = op_sum_to(t, G, A->shape);
	if (wanted[1])
		d[1] = op_scale(t, op_sum_to(t, G, B->shape), -1);
}

VJP(mul)
{
	for (int k = 0; k < 2; k++)
		if (wanted[k])
			d[k] = op_sum_to(t, op_mul(t, G, n->in[1 - k]), n->in[k]->shape);
}

VJP(scale)
{
	d[0] = op_scale(t, G, n->attr.alpha);
}

VJP(shift)
{
	d[0] = G;
}

VJP(recip)
{
	d[0] = op_scale(t, op_mul(t, G, op_mul(t, Y, Y)), -1);
}

VJP(exp)
{
	d[0] = op_mul(t, G, Y);
}

VJP(log)
{
	d[0] = op_mul(t, G, op_recip(t, A));
}

VJP(sqrt)
{
	d[0] = op_scale(t, op_mul(t, G, op_recip(t, Y)), 0.5);
}

VJP(relu)
{
	d[0] = op_relu_grad(t, G, Y);
}

VJP(relu_grad)
{
	if (wanted[0])
		d[0] = op_relu_grad(t, G, B);
}

VJP(add_relu)
{
	if (wanted[0] || wanted[1])
		d[0] = d[1] = op_relu_grad(t, G, Y);
}

/* ---- shape ---- */
VJP(expand)
{
	d[0] = op_sum_to(t, G, A->shape);
}

VJP(sum_to)
{
	d[0] = op_expand(t, G, A->shape);
}

VJP(reshape)
{
	d[0] = op_reshape(t, G, A->shape);
}

VJP(permute)
{
	int inverse[TENSOR_DIMS] = {0};

	for (int i = 0; i < Y->shape.n; i++)
		inverse[n->attr.order[i]] = i;
	d[0] = op_permute(t, G, inverse);
}

VJP(slice)
{
	d[0] = op_place(t, G, n->attr.start, n->attr.step, A->shape);
}

VJP(place)
{
	d[0] = op_slice(t, G, n->attr.start, n->attr.step, A->shape);
}

VJP(gather)
{
	if (wanted[0])
		d[0] = op_scatter(t, G, B, A->shape);
}

VJP(scatter)
{
	if (wanted[0])
		d[0] = op_gather(t, G, B);
}

/* ---- contractions ---- */
VJP(matmul)
{
	bool ta = n->attr.flag[0], tb = n->attr.flag[1];

	if (wanted[0])
		d[0] = ta ? op_matmul(t, B, G, tb, true) : op_matmul(t, G, B, false, !tb);
	if (wanted[1])
		d[1] = tb ? op_matmul(t, G, A, true, ta) : op_matmul(t, A, G, !ta, false);
}

#define GEOMETRY n->attr.stride, n->attr.pad, n->attr.groups

VJP(conv)
{
	if (wanted[0])
		d[0] = op_conv_grad_input(t, G, B, A->shape, GEOMETRY);
	if (wanted[1])
		d[1] = op_conv_grad_weight(t, A, G, B->shape, GEOMETRY);
}

VJP(conv_grad_input)
{
	if (wanted[0])
		d[0] = op_conv(t, G, B, GEOMETRY);
	if (wanted[1])
		d[1] = op_conv_grad_weight(t, G, A, B->shape, GEOMETRY);
}

VJP(conv_grad_weight)
{
	if (wanted[0])
		d[0] = op_conv_grad_input(t, B, G, A->shape, GEOMETRY);
	if (wanted[1])
		d[1] = op_conv(t, A, G, GEOMETRY);
}

/* ---- pooling ---- */
VJP(mean_pool)
{
	d[0] = op_mean_unpool(t, G, A->shape.d[2], A->shape.d[3]);
}

VJP(mean_unpool)
{
	d[0] = op_mean_pool(t, G);
}

/* ---- classification ---- */
static struct shape rows_of(struct shape s)
{
	s.d[s.n - 1] = 1;
	return s;
}

VJP(softmax)
{
	d[0] = op_softmax_grad(t, G, Y);
}

/* y = p (g - sum g p), so dy/dg is itself and, for adjoint a,
 * d p = a (g - sum g p) - g sum a p. */
VJP(softmax_grad)
{
	struct shape rows = rows_of(A->shape);

	if (wanted[0])
		d[0] = op_softmax_grad(t, G, B);
	if (!wanted[1])
		return;
	struct tensor *gp = op_sum_to(t, op_mul(t, A, B), rows);
	struct tensor *ap = op_sum_to(t, op_mul(t, G, B), rows);
	d[1] = op_sub(t, op_mul(t, G, op_sub(t, A, gp)), op_mul(t, A, ap));
}

VJP(cross_entropy)
{
	struct shape s = A->shape;

	if (!wanted[0])
		return;
	struct tensor *hot = op_one_hot(t, B, s.d[1], A->type);
	struct tensor *p = op_softmax(t, A);
	d[0] = op_mul(t, op_sub(t, p, hot), op_reshape(t, G, SHAPE(s.d[0], 1)));
}

/* ---- quantization: straight-through within the range; the scale is constant or learned ---- */
static struct tensor *step_grad(struct tape *t, struct tensor *g, struct tensor *w,
                                struct tensor *s, int bits)
{
	int64_t steps = shape_count(s->shape), shared = shape_count(w->shape) / steps;
	double top = (1 << (bits - 1)) - 1;
	struct tensor *slope = op_mul(t, g, op_step_slope(t, w, s, bits));
	struct tensor *rows = op_reshape(t, slope, SHAPE(steps, shared));
	struct tensor *sum = op_reshape(t, op_sum_to(t, rows, SHAPE(steps, 1)), s->shape);

	return op_scale(t, sum, 1 / sqrt((double)shared * top));
}

VJP(fake_quantize)
{
	if (wanted[0])
		d[0] = op_mul(t, G, op_in_range(t, A, B, n->attr.bits));
	if (wanted[1] && n->attr.flag[0])
		d[1] = step_grad(t, G, A, B, n->attr.bits);
}

static struct affine affine_of(const struct node *n)
{
	return (struct affine){n->attr.alpha, n->attr.zero, n->attr.bits};
}

VJP(affine_quantize)
{
	if (wanted[0])
		d[0] = op_affine_quantize_grad(t, G, A, affine_of(n));
}

VJP(affine_quantize_grad)
{
	if (wanted[0])
		d[0] = op_affine_quantize_grad(t, G, B, affine_of(n));
}

#define NONE NULL
vjp_fn vjp_batch_norm, vjp_batch_norm_grad, vjp_batch_norm_grad_grad,
        vjp_channel_affine; /* vjp_norm.c */
vjp_fn *const op_vjp[OP_COUNT] = {
#define OP(name, inputs, outputs, vjp) [OP_##name] = vjp,
#include "core/tensor/ops.def"
#undef OP
};
