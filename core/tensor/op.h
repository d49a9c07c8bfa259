/* Building graphs: one constructor per op.  Each computes its value at once and puts it on the
 * tape.
 *
 * Tensors returned belong to the tape.  Inputs must be on the same tape (tape_leaf puts them
 * there). Wrong shapes are bugs and assert.  See ops.def for what each op computes. */
#ifndef TENSOR_OP_H
#define TENSOR_OP_H
#include "core/tensor/tape.h"

/* elementwise */
struct tensor *op_fill(struct tape *t, enum dtype type, struct shape s, double value);
struct tensor *op_add(struct tape *t, struct tensor *a, struct tensor *b);
struct tensor *op_sub(struct tape *t, struct tensor *a, struct tensor *b);
struct tensor *op_mul(struct tape *t, struct tensor *a, struct tensor *b);
struct tensor *op_scale(struct tape *t, struct tensor *x, double alpha);
struct tensor *op_shift(struct tape *t, struct tensor *x, double alpha);
struct tensor *op_recip(struct tape *t, struct tensor *x);
struct tensor *op_exp(struct tape *t, struct tensor *x);
struct tensor *op_log(struct tape *t, struct tensor *x);
struct tensor *op_sqrt(struct tape *t, struct tensor *x);
struct tensor *op_relu(struct tape *t, struct tensor *x);
struct tensor *op_relu_grad(struct tape *t, struct tensor *g, struct tensor *y);
struct tensor *op_add_relu(struct tape *t, struct tensor *a, struct tensor *b);

/* Aligned at the last dimension: (C,1,1) and SCALAR expand to (N,C,H,W), and that sums to them. */
struct tensor *op_expand(struct tape *t, struct tensor *x, struct shape s);
struct tensor *op_sum_to(struct tape *t, struct tensor *x, struct shape s);
struct tensor *op_sum(struct tape *t, struct tensor *x);        /* to a scalar */
struct tensor *op_mean(struct tape *t, struct tensor *x);       /* to a scalar */
struct tensor *op_square_sum(struct tape *t, struct tensor *x); /* sum x^2, a scalar */
struct tensor *op_reshape(struct tape *t, struct tensor *x, struct shape s);
struct tensor *op_permute(struct tape *t, struct tensor *x, const int order[]);

/* y[i] = x[start + i step] per dimension, y of shape `s`; place is the adjoint: zeros of shape `s`
 * with x at those positions. */
struct tensor *op_slice(struct tape *t, struct tensor *x, const int64_t start[],
                        const int64_t step[], struct shape s);
struct tensor *op_place(struct tape *t, struct tensor *x, const int64_t start[],
                        const int64_t step[], struct shape s);
struct tensor *op_gather(struct tape *t, struct tensor *x, struct tensor *index); /* index i32 */
struct tensor *op_scatter(struct tape *t, struct tensor *x, struct tensor *index, struct shape s);

/* op(a) op(b), op being the transpose where asked. */
struct tensor *op_matmul(struct tape *t, struct tensor *a, struct tensor *b, bool transpose_a,
                         bool transpose_b);
struct tensor *op_conv(struct tape *t, struct tensor *x, struct tensor *w, int stride, int pad,
                       int groups);
struct tensor *op_conv_grad_input(struct tape *t, struct tensor *g, struct tensor *w,
                                  struct shape x, int stride, int pad, int groups);
struct tensor *op_conv_grad_weight(struct tape *t, struct tensor *x, struct tensor *g,
                                   struct shape w, int stride, int pad, int groups);
struct tensor *op_mean_pool(struct tape *t, struct tensor *x);
struct tensor *op_mean_unpool(struct tape *t, struct tensor *x, int64_t height, int64_t width);
struct tensor *op_max_pool(struct tape *t, struct tensor *x, int window, int stride, int pad);

/* y = gamma (x - mean) / sqrt(variance + eps) + beta with the batch's statistics over all
 * dimensions but 1, plus `residual` of x's shape (null: none), then max(0, ·) when `relu`.  mean
 * and variance (biased) may be null when not wanted. */
struct tensor *op_batch_norm(struct tape *t, struct tensor *x, struct tensor *gamma,
                             struct tensor *beta, struct tensor *residual, double eps, bool relu,
                             struct tensor **mean, struct tensor **variance);
/* d[] = dx, dgamma, dbeta and the residual's dr of the above for the adjoint g of y; null where not
 * wanted (a bit each).  `of_relu` null: no ReLU, and dr, which is g, is not wanted; else g counts
 * only where y > 0: it is beta (C), from which and x the sign of y follows, or y itself where there
 * was a residual.  mean and variance must be batch_norm's of this x: they are functions of x to
 * every gradient, and the derivative through them is x's. */
void op_batch_norm_grad(struct tape *t, struct tensor *g, struct tensor *x, struct tensor *gamma,
                        struct tensor *mean, struct tensor *variance, struct tensor *of_relu,
                        double eps, unsigned wanted, struct tensor *d[4]);
/* d[] = dg, dx, dgamma: the gradient of batch_norm_grad for adjoints a of dx, b of dgamma, c of
 * dbeta and e of dr (null: none, as without a residual).  The rest as there. */
void op_batch_norm_grad_grad(struct tape *t, struct tensor *a, struct tensor *g, struct tensor *x,
                             struct tensor *gamma, struct tensor *mean, struct tensor *variance,
                             struct tensor *b, struct tensor *c, struct tensor *of_relu,
                             struct tensor *e, double eps, struct tensor *d[3]);
/* y = a x + b per channel (dimension 1), plus `residual` of x's shape (null: none), then max(0, ·)
 * when `relu`. */
struct tensor *op_channel_affine(struct tape *t, struct tensor *x, struct tensor *a,
                                 struct tensor *b, struct tensor *residual, bool relu);

/* classification; softmax over the last dimension */
struct tensor *op_softmax(struct tape *t, struct tensor *x);
struct tensor *op_softmax_grad(struct tape *t, struct tensor *g, struct tensor *p);
struct tensor *op_cross_entropy(struct tape *t, struct tensor *logits, struct tensor *label);
struct tensor *op_one_hot(struct tape *t, struct tensor *label, int64_t classes, enum dtype type);

/* Shape (1) or, per channel, (d0): max |x| over everything, or over each row of dimension 0. */
struct tensor *op_abs_max(struct tape *t, struct tensor *x, bool per_channel);
/* s clamp(round_half_even(w / s), ±(2^(bits-1) - 1)); s of shape (1) or (d0), held constant; rows
 * with s = 0 give 0.  Gradient: straight-through, zero where clipped. */
struct tensor *op_fake_quantize(struct tape *t, struct tensor *w, struct tensor *s, int bits);
struct tensor *op_in_range(struct tape *t, struct tensor *w, struct tensor *s, int bits);
/* The same value with a gradient to s too (Esser et al. 2020, LSQ): step_slope's elements, summed
 * over what shares a step, times 1 / sqrt(count of these (2^(bits-1) - 1)).  Rounding's residual
 * and the clipping are constants to every further gradient. */
struct tensor *op_learned_quantize(struct tape *t, struct tensor *w, struct tensor *s, int bits);
struct tensor *op_step_slope(struct tape *t, struct tensor *w, struct tensor *s, int bits);

/* s (clamp(round_half_even(x / s) + z, 0, 2^bits - 1) - z), s > 0 and 0 <= z < 2^bits: 0 gives 0.
 * Gradient: straight-through, zero where clamped. */
struct affine {
	double scale; /* a float's value */
	int zero, bits;
};
struct tensor *op_affine_quantize(struct tape *t, struct tensor *x, struct affine a);
struct tensor *op_affine_quantize_grad(struct tape *t, struct tensor *g, struct tensor *x,
                                       struct affine a);
struct tensor *op_extremes(struct tape *t, struct tensor *x); /* (2): least, largest */
#endif
