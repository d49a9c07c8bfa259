/* What the gradient checks go through: every differentiable op, a row for each way it is used. */
#ifndef TESTS_GRADCHECK_ROWS_H
#define TESTS_GRADCHECK_ROWS_H
#include "core/tensor/op.h"
#include <math.h>

enum { INPUTS = 9, WEIGHTS = 1024 };
static const double KINK = 0.02;

typedef struct tensor T;
struct row {
	const char *name;
	enum op op; /* the op under test; must be among the nodes made */
	T *(*build)(struct tape *t, T **x);
	int count; /* inputs, all of them differentiated */
	struct shape in[INPUTS];
	bool positive; /* inputs from 0.3 up; else 0.3 to 1.3 of either sign */
	T *(*frozen)(struct tape *t, T **x); /* what differences see, if it is not build */
};

/* ---- constants of rows ---- */
static T *constant(struct tape *t, struct shape s, const double *values)
{
	T *x = tensor_from(F64, s, values);

	return tape_adopt(t, x);
}

static T *integers(struct tape *t, struct shape s, const int32_t *values)
{
	return tape_adopt(t, tensor_from(I32, s, values));
}

static T *away(T *x)
{
	for (int64_t i = 0; i < shape_count(x->shape); i++)
		if (fabs(tensor_at(x, i)) < KINK)
			fail_msg("element %d is at a kink: %g", (int)i, tensor_at(x, i));
	return x;
}

/* ---- what each row computes ---- */
#define BUILD(name, expression)               \
	static T *name(struct tape *t, T **x) \
	{                                     \
		return expression;            \
	}
BUILD(f_add, op_add(t, x[0], x[1]))
BUILD(f_sub, op_sub(t, x[0], x[1]))
BUILD(f_mul, op_mul(t, x[0], x[1]))
BUILD(f_square, op_mul(t, x[0], x[0]))
BUILD(f_scale, op_scale(t, x[0], -1.7))
BUILD(f_shift, op_shift(t, x[0], 0.6))
BUILD(f_recip, op_recip(t, x[0]))
BUILD(f_exp, op_exp(t, x[0]))
BUILD(f_log, op_log(t, x[0]))
BUILD(f_sqrt, op_sqrt(t, x[0]))
BUILD(f_relu, op_relu(t, away(x[0])))
BUILD(f_relu_grad, op_relu_grad(t, x[0], away(x[1])))
BUILD(f_expand, op_expand(t, x[0], SHAPE(2, 3, 4)))
BUILD(f_sum_rows, op_sum_to(t, x[0], SHAPE(3, 1)))
BUILD(f_sum_channel, op_sum_to(t, x[0], SHAPE(3, 1, 1)))
BUILD(f_sum_all, op_sum(t, x[0]))
BUILD(f_mean, op_mean(t, x[0]))
BUILD(f_square_sum, op_square_sum(t, x[0]))
BUILD(f_reshape, op_reshape(t, x[0], SHAPE(4, 6)))
BUILD(f_permute, op_permute(t, x[0], (int[]){2, 0, 1}))
BUILD(f_slice, op_slice(t, x[0], (int64_t[]){1, 3}, (int64_t[]){2, -1}, SHAPE(2, 3)))
BUILD(f_place, op_place(t, x[0], (int64_t[]){1, 0}, (int64_t[]){1, 2}, SHAPE(3, 5)))
BUILD(f_matmul, op_matmul(t, x[0], x[1], false, false))
BUILD(f_matmul_a, op_matmul(t, x[0], x[1], true, false))
BUILD(f_matmul_b, op_matmul(t, x[0], x[1], false, true))
BUILD(f_matmul_ab, op_matmul(t, x[0], x[1], true, true))
BUILD(f_conv, op_conv(t, x[0], x[1], 1, 1, 1))
BUILD(f_conv_stride, op_conv(t, x[0], x[1], 2, 1, 1))
BUILD(f_conv_groups, op_conv(t, x[0], x[1], 2, 0, 2))
BUILD(f_conv_input, op_conv_grad_input(t, x[0], x[1], SHAPE(2, 2, 4, 5), 1, 1, 1))
BUILD(f_conv_input_stride, op_conv_grad_input(t, x[0], x[1], SHAPE(1, 2, 6, 5), 2, 1, 1))
BUILD(f_conv_input_groups, op_conv_grad_input(t, x[0], x[1], SHAPE(1, 4, 4, 4), 1, 0, 2))
BUILD(f_conv_weight, op_conv_grad_weight(t, x[0], x[1], SHAPE(2, 2, 3, 2), 1, 1, 1))
BUILD(f_conv_weight_stride, op_conv_grad_weight(t, x[0], x[1], SHAPE(2, 2, 3, 3), 2, 1, 1))
BUILD(f_conv_weight_groups, op_conv_grad_weight(t, x[0], x[1], SHAPE(2, 2, 3, 3), 1, 0, 2))
BUILD(f_mean_pool, op_mean_pool(t, x[0]))
BUILD(f_mean_unpool, op_mean_unpool(t, x[0], 2, 3))
BUILD(f_max_pool, op_max_pool(t, x[0], 3, 2, 1))
BUILD(f_softmax, op_softmax(t, x[0]))
BUILD(f_softmax_grad, op_softmax_grad(t, x[0], x[1]))
BUILD(f_affine, op_channel_affine(t, x[0], x[1], x[2], NULL, false))

static T *f_add_relu(struct tape *t, T **x)
{
	away(op_add(t, x[0], x[1]));
	return op_add_relu(t, x[0], x[1]);
}

static T *f_affine_relu(struct tape *t, T **x)
{
	away(op_channel_affine(t, x[0], x[1], x[2], NULL, false));
	return op_channel_affine(t, x[0], x[1], x[2], NULL, true);
}

static T *f_affine_joined(struct tape *t, T **x)
{
	away(op_channel_affine(t, x[0], x[1], x[2], x[3], false));
	return op_channel_affine(t, x[0], x[1], x[2], x[3], true);
}

static const int32_t some_index[6] = {5, 0, 7, 5, 2, 11};

static T *f_gather(struct tape *t, T **x)
{
	return op_gather(t, x[0], integers(t, SHAPE(2, 3), some_index));
}

static T *f_scatter(struct tape *t, T **x)
{
	return op_scatter(t, x[0], integers(t, SHAPE(2, 3), some_index), SHAPE(3, 4));
}

static T *f_cross_entropy(struct tape *t, T **x)
{
	return op_cross_entropy(t, x[0], integers(t, SHAPE(3), (int32_t[]){3, 0, 2}));
}

/* ---- batch norm ---- */
static const double EPS = 0.05;

static T *f_norm(struct tape *t, T **x)
{
	return op_batch_norm(t, x[0], x[1], x[2], NULL, EPS, false, NULL, NULL);
}

static T *f_norm_relu(struct tape *t, T **x)
{
	away(f_norm(t, x));
	return op_batch_norm(t, x[0], x[1], x[2], NULL, EPS, true, NULL, NULL);
}

static T *f_norm_joined(struct tape *t, T **x)
{
	away(op_batch_norm(t, x[0], x[1], x[2], x[3], EPS, false, NULL, NULL));
	return op_batch_norm(t, x[0], x[1], x[2], x[3], EPS, true, NULL, NULL);
}

static T *f_norm_added(struct tape *t, T **x)
{
	return op_batch_norm(t, x[0], x[1], x[2], x[3], EPS, false, NULL, NULL);
}

static T *f_norm_mean(struct tape *t, T **x)
{
	T *mean;

	op_batch_norm(t, x[0], x[1], x[2], NULL, EPS, false, &mean, NULL);
	return mean;
}

static T *f_norm_variance(struct tape *t, T **x)
{
	T *variance;

	op_batch_norm(t, x[0], x[1], x[2], NULL, EPS, false, NULL, &variance);
	return variance;
}

/* a + 1.3 b + 1.6 c …, where what is per channel stretches; null is left out */
static T *combine(struct tape *t, T **d, int count)
{
	T *sum = NULL;

	for (int i = 0; i < count; i++) {
		if (!d[i])
			continue;
		T *part = d[i]->shape.n == 1 ? op_reshape(t, d[i], SHAPE(2, 1, 1)) : d[i];
		part = op_scale(t, part, 1 + 0.3 * i);
		sum = sum ? op_add(t, sum, part) : part;
	}
	return sum;
}

/* (x, gamma, beta, g[, residual]) -> dx, dgamma, dbeta and dr, the wanted ones combined into one */
static T *norm_grad(struct tape *t, T **x, bool relu, T *residual, unsigned wanted)
{
	T *mean, *variance, *d[4], *of_relu = !relu ? NULL : x[2];
	T *y = op_batch_norm(t, x[0], x[1], x[2], residual, EPS, relu, &mean, &variance);

	if (relu)
		away(op_batch_norm(t, x[0], x[1], x[2], residual, EPS, false, NULL, NULL));
	if (residual)
		of_relu = y;
	op_batch_norm_grad(t, x[3], x[0], x[1], mean, variance, of_relu, EPS, wanted, d);
	return combine(t, d, 4);
}
BUILD(f_norm_grad, norm_grad(t, x, false, NULL, 7))
BUILD(f_norm_grad_x, norm_grad(t, x, false, NULL, 1))
BUILD(f_norm_grad_gamma, norm_grad(t, x, false, NULL, 2))
BUILD(f_norm_grad_beta, norm_grad(t, x, false, NULL, 4))
BUILD(f_norm_grad_relu, norm_grad(t, x, true, NULL, 7))
BUILD(f_norm_grad_joined, norm_grad(t, x, true, x[4], 15))
BUILD(f_norm_grad_residual, norm_grad(t, x, true, x[4], 8))

/* (x, gamma, beta, g, a, b, c[, e, residual]) -> dg, dx, dgamma, combined into one */
static T *norm_second(struct tape *t, T **x, bool relu, T *e, T *residual)
{
	T *mean, *variance, *d[3], *of_relu = !relu ? NULL : x[2];
	T *y = op_batch_norm(t, x[0], x[1], x[2], residual, EPS, relu, &mean, &variance);

	if (relu)
		away(op_batch_norm(t, x[0], x[1], x[2], residual, EPS, false, NULL, NULL));
	if (residual)
		of_relu = y;
	op_batch_norm_grad_grad(t, x[4], x[3], x[0], x[1], mean, variance, x[5], x[6], of_relu, e,
	                        EPS, d);
	return combine(t, d, 3);
}
BUILD(f_norm_second, norm_second(t, x, false, NULL, NULL))
BUILD(f_norm_second_relu, norm_second(t, x, true, NULL, NULL))
BUILD(f_norm_second_joined, norm_second(t, x, true, x[7], op_scale(t, x[8], 1.2)))

#include "tests/gradcheck_quantize.h"

/* clang-format off */
#define S(...) {sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t), {__VA_ARGS__}}
#define NO_DIMENSIONS {0}
/* clang-format on */
#define IMAGE   S(3, 2, 2, 3)
#define CHANNEL S(2)
#define ROW(o, label, f, ...)                                         \
	.name = label, .op = OP_##o, .build = f, .in = {__VA_ARGS__}, \
	.count = sizeof((struct shape[]){__VA_ARGS__}) / sizeof(struct shape)
static const struct row rows[] = {
        {ROW(add, "add", f_add, S(3, 4), S(3, 4))},
        {ROW(add, "add (3,4)(3,1)", f_add, S(3, 4), S(3, 1))},
        {ROW(add, "add (2,3,4)(4)", f_add, S(2, 3, 4), S(4))},
        {ROW(add, "add ()(3)", f_add, NO_DIMENSIONS, S(3))},
        {ROW(sub, "sub", f_sub, S(3, 4), S(3, 4))},
        {ROW(sub, "sub (1,4)(3,1)", f_sub, S(1, 4), S(3, 1))},
        {ROW(mul, "mul", f_mul, S(3, 4), S(3, 4))},
        {ROW(mul, "mul (2,3,2,2)(3,1,1)", f_mul, S(2, 3, 2, 2), S(3, 1, 1))},
        {ROW(mul, "mul (3,1)(1,4)", f_mul, S(3, 1), S(1, 4))},
        {ROW(mul, "mul x x", f_square, S(5))},
        {ROW(scale, "scale", f_scale, S(3, 2))},
        {ROW(shift, "shift", f_shift, S(3, 2))},
        {ROW(recip, "recip", f_recip, S(3, 2))},
        {ROW(exp, "exp", f_exp, S(3, 2))},
        {ROW(log, "log", f_log, S(3, 2)), .positive = true},
        {ROW(sqrt, "sqrt", f_sqrt, S(3, 2)), .positive = true},
        {ROW(relu, "relu", f_relu, S(3, 4))},
        {ROW(relu_grad, "relu_grad", f_relu_grad, S(3, 4), S(3, 4))},
        {ROW(add_relu, "add_relu", f_add_relu, S(3, 4), S(3, 4))},
        {ROW(expand, "expand (3,1)", f_expand, S(3, 1))},
        {ROW(expand, "expand ()", f_expand, NO_DIMENSIONS)},
        {ROW(sum_to, "sum_to (3,1)", f_sum_rows, S(3, 4))},
        {ROW(sum_to, "sum_to (3,1,1)", f_sum_channel, S(2, 3, 2, 2))},
        {ROW(sum_to, "sum_to ()", f_sum_all, S(3, 4))},
        {ROW(sum_to, "mean", f_mean, S(3, 4))},
        {ROW(sum_to, "square_sum", f_square_sum, S(3, 4))},
        {ROW(reshape, "reshape", f_reshape, S(2, 3, 4))},
        {ROW(permute, "permute", f_permute, S(2, 3, 4))},
        {ROW(slice, "slice", f_slice, S(4, 5))},
        {ROW(place, "place", f_place, S(2, 3))},
        {ROW(gather, "gather", f_gather, S(3, 4))},
        {ROW(scatter, "scatter", f_scatter, S(2, 3))},
        {ROW(matmul, "matmul", f_matmul, S(3, 4), S(4, 2))},
        {ROW(matmul, "matmul a'", f_matmul_a, S(4, 3), S(4, 2))},
        {ROW(matmul, "matmul b'", f_matmul_b, S(3, 4), S(2, 4))},
        {ROW(matmul, "matmul a'b'", f_matmul_ab, S(4, 3), S(2, 4))},
        {ROW(conv, "conv", f_conv, S(2, 2, 4, 5), S(2, 2, 3, 2))},
        {ROW(conv, "conv stride 2", f_conv_stride, S(1, 2, 6, 5), S(2, 2, 3, 3))},
        {ROW(conv, "conv groups 2", f_conv_groups, S(1, 4, 5, 4), S(2, 2, 3, 1))},
        {ROW(conv_grad_input, "conv_grad_input", f_conv_input, S(2, 2, 4, 6), S(2, 2, 3, 2))},
        {ROW(conv_grad_input, "conv_grad_input stride 2", f_conv_input_stride, S(1, 2, 3, 3),
             S(2, 2, 3, 3))},
        {ROW(conv_grad_input, "conv_grad_input groups 2", f_conv_input_groups, S(1, 2, 2, 2),
             S(2, 2, 3, 3))},
        {ROW(conv_grad_weight, "conv_grad_weight", f_conv_weight, S(2, 2, 4, 5), S(2, 2, 4, 6))},
        {ROW(conv_grad_weight, "conv_grad_weight stride 2", f_conv_weight_stride, S(1, 2, 6, 5),
             S(1, 2, 3, 3))},
        {ROW(conv_grad_weight, "conv_grad_weight groups 2", f_conv_weight_groups, S(1, 4, 4, 4),
             S(1, 2, 2, 2))},
        {ROW(mean_pool, "mean_pool", f_mean_pool, S(2, 2, 2, 3))},
        {ROW(mean_unpool, "mean_unpool", f_mean_unpool, S(2, 2))},
        {ROW(gather, "max_pool", f_max_pool, S(1, 2, 5, 4))},
        {ROW(batch_norm, "batch_norm", f_norm, IMAGE, CHANNEL, CHANNEL)},
        {ROW(batch_norm, "batch_norm (5,2)", f_norm, S(5, 2), CHANNEL, CHANNEL)},
        {ROW(batch_norm, "batch_norm relu", f_norm_relu, IMAGE, CHANNEL, CHANNEL)},
        {ROW(batch_norm, "batch_norm + r", f_norm_added, IMAGE, CHANNEL, CHANNEL, IMAGE)},
        {ROW(batch_norm, "batch_norm + r relu", f_norm_joined, IMAGE, CHANNEL, CHANNEL, IMAGE)},
        {ROW(batch_norm, "batch_norm mean", f_norm_mean, IMAGE, CHANNEL, CHANNEL)},
        {ROW(batch_norm, "batch_norm variance", f_norm_variance, IMAGE, CHANNEL, CHANNEL)},
        {ROW(batch_norm_grad, "batch_norm_grad", f_norm_grad, IMAGE, CHANNEL, CHANNEL, IMAGE)},
        {ROW(batch_norm_grad, "batch_norm_grad dx", f_norm_grad_x, IMAGE, CHANNEL, CHANNEL, IMAGE)},
        {ROW(batch_norm_grad, "batch_norm_grad dgamma", f_norm_grad_gamma, IMAGE, CHANNEL, CHANNEL,
             IMAGE)},
        {ROW(batch_norm_grad, "batch_norm_grad dbeta", f_norm_grad_beta, IMAGE, CHANNEL, CHANNEL,
             IMAGE)},
        {ROW(batch_norm_grad, "batch_norm_grad relu", f_norm_grad_relu, IMAGE, CHANNEL, CHANNEL,
             IMAGE)},
        {ROW(batch_norm_grad, "batch_norm_grad + r relu", f_norm_grad_joined, IMAGE, CHANNEL,
             CHANNEL, IMAGE, IMAGE)},
        {ROW(batch_norm_grad, "batch_norm_grad dr", f_norm_grad_residual, IMAGE, CHANNEL, CHANNEL,
             IMAGE, IMAGE)},
        {ROW(batch_norm_grad_grad, "batch_norm_grad_grad", f_norm_second, IMAGE, CHANNEL, CHANNEL,
             IMAGE, IMAGE, CHANNEL, CHANNEL)},
        {ROW(batch_norm_grad_grad, "batch_norm_grad_grad relu", f_norm_second_relu, IMAGE, CHANNEL,
             CHANNEL, IMAGE, IMAGE, CHANNEL, CHANNEL)},
        {ROW(batch_norm_grad_grad, "batch_norm_grad_grad + r relu", f_norm_second_joined, IMAGE,
             CHANNEL, CHANNEL, IMAGE, IMAGE, CHANNEL, CHANNEL, IMAGE, IMAGE)},
        {ROW(channel_affine, "channel_affine", f_affine, IMAGE, CHANNEL, CHANNEL)},
        {ROW(channel_affine, "channel_affine relu", f_affine_relu, IMAGE, CHANNEL, CHANNEL)},
        {ROW(channel_affine, "channel_affine + r relu", f_affine_joined, IMAGE, CHANNEL, CHANNEL,
             IMAGE)},
        {ROW(softmax, "softmax", f_softmax, S(3, 4))},
        {ROW(softmax_grad, "softmax_grad", f_softmax_grad, S(3, 4), S(3, 4))},
        {ROW(cross_entropy, "cross_entropy", f_cross_entropy, S(3, 4))},
        {ROW(fake_quantize, "fake_quantize", f_quantize, S(3, 4)), .frozen = f_quantize_frozen},
        {ROW(fake_quantize, "fake_quantize channel", f_quantize_channel, S(3, 4)),
         .frozen = f_quantize_frozen},
        {ROW(fake_quantize, "learned_quantize", f_learned, S(3, 4), S(1)), .positive = true,
         .frozen = f_learned_frozen},
        {ROW(fake_quantize, "learned_quantize channel", f_learned_channel, S(3, 4), S(3)),
         .positive = true, .frozen = f_learned_frozen},
        {ROW(affine_quantize, "affine_quantize", f_affine_quantize, S(3, 4)),
         .frozen = f_quantize_frozen},
        {ROW(affine_quantize_grad, "affine_quantize_grad", f_affine_quantize_grad, S(3, 4),
             S(3, 4)),
         .frozen = f_affine_mask_frozen},
};
enum { ROWS = sizeof rows / sizeof *rows };
#endif
