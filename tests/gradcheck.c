/* Every differentiable op: its gradient, and the gradient of its gradient, against differences.
 *
 * Order 1 differentiates S1 = <w, y + y^2> for y = f(x) and fixed weights w.  Order k + 1
 * differentiates S(k+1) = <w, d + d^2> summed over the gradients d of Sk.  Differences are central,
 * of four points, in double.  Inputs lie well away from kinks, which each row asserts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/tensor/op.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { INPUTS = 4, ORDERS = 3, WEIGHTS = 1024 };
static const double STEP = 2e-3, KINK = 0.02, TOLERANCE = 1e-6, FLOOR = 1e-3;

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
static T *weights; /* (WEIGHTS) */

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
BUILD(f_affine, op_channel_affine(t, x[0], x[1], x[2], false))

static T *f_add_relu(struct tape *t, T **x)
{
	away(op_add(t, x[0], x[1]));
	return op_add_relu(t, x[0], x[1]);
}

static T *f_affine_relu(struct tape *t, T **x)
{
	away(op_channel_affine(t, x[0], x[1], x[2], false));
	return op_channel_affine(t, x[0], x[1], x[2], true);
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
	return op_batch_norm(t, x[0], x[1], x[2], EPS, false, NULL, NULL);
}

static T *f_norm_relu(struct tape *t, T **x)
{
	away(f_norm(t, x));
	return op_batch_norm(t, x[0], x[1], x[2], EPS, true, NULL, NULL);
}

static T *f_norm_mean(struct tape *t, T **x)
{
	T *mean;

	op_batch_norm(t, x[0], x[1], x[2], EPS, false, &mean, NULL);
	return mean;
}

static T *f_norm_variance(struct tape *t, T **x)
{
	T *variance;

	op_batch_norm(t, x[0], x[1], x[2], EPS, false, NULL, &variance);
	return variance;
}

/* (x, gamma, beta, g) -> dx, dgamma and dbeta, the wanted ones combined into one */
static T *norm_grad(struct tape *t, T **x, bool relu, unsigned wanted)
{
	T *mean, *variance, *d[3], *sum = NULL;
	T *y = op_batch_norm(t, x[0], x[1], x[2], EPS, relu, &mean, &variance);

	if (relu)
		away(f_norm(t, x));
	op_batch_norm_grad(t, x[3], x[0], x[1], mean, variance, relu ? y : NULL, EPS, wanted, d);
	for (int i = 0; i < 3; i++) {
		if (!d[i])
			continue;
		T *part = i ? op_scale(t, op_reshape(t, d[i], SHAPE(2, 1, 1)), 1 + 0.3 * i) : d[i];
		sum = sum ? op_add(t, sum, part) : part;
	}
	return sum;
}
BUILD(f_norm_grad, norm_grad(t, x, false, 7))
BUILD(f_norm_grad_x, norm_grad(t, x, false, 1))
BUILD(f_norm_grad_gamma, norm_grad(t, x, false, 2))
BUILD(f_norm_grad_beta, norm_grad(t, x, false, 4))
BUILD(f_norm_grad_relu, norm_grad(t, x, true, 7))

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
        {ROW(channel_affine, "channel_affine", f_affine, IMAGE, CHANNEL, CHANNEL)},
        {ROW(channel_affine, "channel_affine relu", f_affine_relu, IMAGE, CHANNEL, CHANNEL)},
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
};
enum { ROWS = sizeof rows / sizeof *rows };

/* ---- the scalars and their differences ---- */
typedef T *build_fn(struct tape *t, T **x);

/* <w, y + y^2> */
static T *weigh(struct tape *t, T *y)
{
	int64_t n = shape_count(y->shape);
	T *w = op_slice(t, tape_leaf(t, weights), (int64_t[]){0}, (int64_t[]){1}, SHAPE(n));
	T *flat = op_reshape(t, y, SHAPE(n));

	assert_true(n <= WEIGHTS);
	return op_sum(t, op_mul(t, w, op_add(t, flat, op_mul(t, flat, flat))));
}

static T *scalar(struct tape *t, T **x, int count, build_fn *build, int order)
{
	T *d[INPUTS], *sum = NULL;

	if (order == 1)
		return weigh(t, build(t, x));
	tape_grad(t, scalar(t, x, count, build, order - 1), x, count, d, GRAD_RECORD);
	for (int i = 0; i < count; i++) {
		T *part = weigh(t, d[i]);
		sum = sum ? op_add(t, sum, part) : part;
	}
	return sum;
}

static double evaluate(T **value, int count, build_fn *build, int order)
{
	struct tape t;
	T *x[INPUTS];

	tape_init(&t, &backend_ref);
	for (int i = 0; i < count; i++)
		x[i] = tape_leaf(&t, value[i]);
	double result = tensor_at(scalar(&t, x, count, build, order), 0);
	tape_release(&t);
	return result;
}

static double difference(T **value, int i, int64_t j, const struct row *r, int order)
{
	static const double at[4] = {2, 1, -1, -2}, weight[4] = {-1, 8, -8, 1};
	build_fn *build = r->frozen ? r->frozen : r->build;
	double keep = tensor_at(value[i], j), sum = 0;

	for (int k = 0; k < 4; k++) {
		((double *)tensor_write(value[i]))[j] = keep + at[k] * STEP;
		sum += weight[k] * evaluate(value, r->count, build, order);
	}
	((double *)tensor_write(value[i]))[j] = keep;
	return sum / (12 * STEP);
}

/* Analytic gradients of the scalar of `order`, loose: the caller frees them. */
static void analytic(T **value, const struct row *r, int order, T **gradient)
{
	struct tape t;
	T *x[INPUTS], *d[INPUTS];
	bool met = false;

	tape_init(&t, &backend_ref);
	for (int i = 0; i < r->count; i++)
		x[i] = tape_leaf(&t, value[i]);
	T *s = scalar(&t, x, r->count, r->build, order);
	for (int i = 0; i < t.count; i++)
		met |= t.node[i]->op == r->op;
	assert_true(met);
	tape_grad(&t, s, x, r->count, d, GRAD_CONSUME);
	for (int i = 0; i < r->count; i++)
		gradient[i] = tensor_copy(d[i]);
	tape_release(&t);
}

static double largest(T **x, int count)
{
	double most = 0;

	for (int i = 0; i < count; i++)
		for (int64_t j = 0; j < shape_count(x[i]->shape); j++)
			most = fmax(most, fabs(tensor_at(x[i], j)));
	return most;
}

/* Worst error over all elements; those below FLOOR of the largest count as that. */
static double worst_error(T **value, const struct row *r, int order)
{
	T *gradient[INPUTS];
	double worst = 0;

	analytic(value, r, order, gradient);
	double floor = FLOOR * largest(gradient, r->count) + 1e-9;
	for (int i = 0; i < r->count; i++) {
		for (int64_t j = 0; j < shape_count(value[i]->shape); j++) {
			double got = tensor_at(gradient[i], j);
			double want = difference(value, i, j, r, order);
			worst = fmax(worst, fabs(got - want) / fmax(floor, fabs(want)));
		}
	}
	for (int i = 0; i < r->count; i++)
		tensor_free(gradient[i]);
	return worst;
}

/* ---- tests ---- */
static double uniform(uint64_t *state)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return (double)(*state >> 11) * 0x1p-53;
}

static T *input(const struct row *r, int i, uint64_t *state)
{
	T *x = tensor_new(F64, r->in[i]);
	double *values = tensor_write(x);

	for (int64_t j = 0; j < shape_count(r->in[i]); j++) {
		double size = 0.3 + uniform(state);
		values[j] = r->positive || uniform(state) < 0.6 ? size : -size;
	}
	return x;
}

static void gradients_match_differences(void **state)
{
	const struct row *r = *state;
	uint64_t seed = 7;
	T *value[INPUTS];
	double worst[ORDERS];

	for (int i = 0; i < r->count; i++)
		value[i] = input(r, i, &seed);
	printf("%-28s", r->name);
	for (int order = 1; order <= ORDERS; order++) {
		worst[order - 1] = worst_error(value, r, order);
		printf("  order %d %.1e", order, worst[order - 1]);
	}
	printf("\n");
	for (int i = 0; i < r->count; i++)
		tensor_free(value[i]);
	for (int order = 1; order <= ORDERS; order++)
		assert_true(worst[order - 1] < TOLERANCE);
}

static void every_differentiable_op_has_a_row(void **state)
{
	for (int op = 0; op < OP_COUNT; op++) {
		bool found = !op_vjp[op];
		for (int i = 0; i < ROWS; i++)
			found |= rows[i].op == (enum op)op;
		if (!found)
			fail_msg("no row for %s", op_name[op]);
	}
}

static void make_weights(void)
{
	uint64_t seed = 11;

	weights = tensor_new(F64, SHAPE(WEIGHTS));
	for (int i = 0; i < WEIGHTS; i++)
		((double *)tensor_write(weights))[i] = 0.3 + uniform(&seed);
}

int main(void)
{
	struct CMUnitTest test[ROWS + 1] = {cmocka_unit_test(every_differentiable_op_has_a_row)};

	make_weights();
	for (int i = 0; i < ROWS; i++)
		test[i + 1] = (struct CMUnitTest){.name = rows[i].name,
		                                  .test_func = gradients_match_differences,
		                                  .initial_state = (void *)&rows[i]};
	int failed = cmocka_run_group_tests(test, NULL, NULL);
	tensor_free(weights);
	return failed;
}
