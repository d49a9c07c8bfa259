/* The ops and shapes that the laws of a back end (backend.c) go through, and one run of an op. */
#ifndef TESTS_BACKEND_LAB_H
#define TESTS_BACKEND_LAB_H
#include "core/tensor/onednn/onednn.h"
#include "core/tensor/op.h"
#include <math.h>

/* ---- shapes: (N, C, H, W) -> O channels ---- */
struct config {
	int64_t n, c, h, w, o;
	int window, stride, pad, groups;
};
static const struct config configs[] = {
        {2, 3, 32, 32, 16, 3, 1, 1, 1}, /* ResNet-20 */
        {3, 16, 32, 32, 16, 3, 1, 1, 1},
        {2, 16, 32, 32, 32, 3, 2, 1, 1},
        {5, 32, 16, 16, 32, 3, 1, 1, 1},
        {4, 64, 8, 8, 64, 3, 1, 1, 1},
        {1, 64, 32, 32, 64, 3, 1, 1, 1}, /* ResNet-18 */
        {1, 64, 32, 32, 128, 1, 2, 0, 1},
        {1, 256, 8, 8, 512, 3, 2, 1, 1},
        {1, 512, 4, 4, 512, 3, 1, 1, 1},
        {2, 3, 40, 36, 24, 7, 2, 3, 1}, /* a large stem, not square */
        {1, 20, 9, 7, 30, 3, 1, 1, 1},  /* channels that fill no block */
        {3, 20, 9, 7, 30, 1, 1, 0, 1},
        {2, 13, 8, 11, 5, 3, 2, 1, 1},
        {2, 16, 10, 10, 32, 3, 1, 1, 2}, /* groups */
        {2, 12, 10, 10, 18, 3, 1, 1, 3},
        {2, 16, 6, 6, 16, 3, 1, 1, 16},
        {1, 1, 5, 5, 1, 5, 1, 2, 1},
        {2, 8, 40, 40, 8, 3, 1, 1, 1}, /* planes of more than one segment */
};
enum { CONFIGS = sizeof configs / sizeof configs[0], OUTPUTS = 4 };

/* ---- one run of an op on one back end ---- */
struct lab {
	struct tape tape;
	enum dtype type;
	bool blocked; /* give 4-dimensional inputs their blocked form */
	int next;     /* input number: its seed */
	struct tensor *out[OUTPUTS];
};

/* Values about as a normal distribution's, quickly: Philox would take most of the test's time. */
static double lab_value(uint64_t *state)
{
	double sum = 0;

	for (int i = 0; i < 3; i++) {
		*state = *state * 6364136223846793005u + 1442695040888963407u;
		sum += (double)(*state >> 40) / (double)(1 << 24) - 0.5;
	}
	return 2 * sum;
}

static struct tensor *lab_put(struct lab *lab, struct shape s, double (*f)(double))
{
	uint64_t state = (uint64_t)++lab->next * 7919;
	struct tensor *x = tensor_new(lab->type, s), *leaf;
	void *data = tensor_write(x);

	for (int64_t i = 0, n = shape_count(s); i < n; i++) {
		double v = (float)(f ? f(lab_value(&state)) : lab_value(&state));
		if (lab->type == F64)
			((double *)data)[i] = v;
		else
			((float *)data)[i] = (float)v;
	}
	if (lab->blocked && s.n == 4)
		tensor_blocked(x, onednn_block());
	leaf = tape_leaf(&lab->tape, x);
	tensor_free(x);
	return leaf;
}

static struct tensor *lab_input(struct lab *lab, struct shape s)
{
	return lab_put(lab, s, NULL);
}

static struct tensor *lab_positive(struct lab *lab, struct shape s)
{
	return lab_put(lab, s, exp);
}

static struct tensor *lab_weight(struct lab *lab, struct shape s)
{
	bool blocked = lab->blocked;
	lab->blocked = false;
	struct tensor *w = lab_input(lab, s);
	lab->blocked = blocked;
	return w;
}

/* ---- ops, each from a config ---- */
static struct shape x_shape(const struct config *c)
{
	return SHAPE(c->n, c->c, c->h, c->w);
}

static struct shape w_shape(const struct config *c)
{
	return SHAPE(c->o, c->c / c->groups, c->window, c->window);
}

static struct shape y_shape(const struct config *c)
{
	return SHAPE(c->n, c->o, (c->h + 2 * c->pad - c->window) / c->stride + 1,
	             (c->w + 2 * c->pad - c->window) / c->stride + 1);
}

#define RUN(name) static void run_##name(struct lab *lab, const struct config *c)
#define T         (&lab->tape)
#define X         lab_input(lab, x_shape(c))

RUN(conv)
{
	struct tensor *x = X, *w = lab_weight(lab, w_shape(c));
	lab->out[0] = op_conv(T, x, w, c->stride, c->pad, c->groups);
}
RUN(conv_grad_input)
{
	struct tensor *g = lab_input(lab, y_shape(c)), *w = lab_weight(lab, w_shape(c));
	lab->out[0] = op_conv_grad_input(T, g, w, x_shape(c), c->stride, c->pad, c->groups);
}
RUN(conv_grad_weight)
{
	struct tensor *x = X, *g = lab_input(lab, y_shape(c));
	lab->out[0] = op_conv_grad_weight(T, x, g, w_shape(c), c->stride, c->pad, c->groups);
}

static void norm(struct lab *lab, const struct config *c, bool joined, bool relu)
{
	struct tensor *x = X, *gamma = lab_input(lab, SHAPE(c->c)),
	              *beta = lab_input(lab, SHAPE(c->c)), *r = joined ? X : NULL;
	lab->out[0] = op_batch_norm(T, x, gamma, beta, r, 1e-5, relu, &lab->out[1], &lab->out[2]);
}
RUN(batch_norm)
{
	norm(lab, c, false, false);
}
RUN(batch_norm_relu)
{
	norm(lab, c, false, true);
}
RUN(batch_norm_added)
{
	norm(lab, c, true, false);
}
RUN(batch_norm_joined)
{
	norm(lab, c, true, true);
}

/* `of_relu`: none, beta or y, as its shape's dimensions */
static void norm_grad(struct lab *lab, const struct config *c, int of_relu)
{
	struct tensor *g = X, *x = X, *gamma = lab_input(lab, SHAPE(c->c));
	struct tensor *mean = lab_input(lab, SHAPE(c->c)), *v = lab_positive(lab, SHAPE(c->c));
	struct tensor *mask = of_relu == 4 ? X : of_relu == 1 ? lab_input(lab, SHAPE(c->c)) : NULL;
	op_batch_norm_grad(T, g, x, gamma, mean, v, mask, 1e-5, of_relu == 4 ? 15 : 7, lab->out);
}
RUN(batch_norm_grad)
{
	norm_grad(lab, c, 0);
}
RUN(batch_norm_grad_relu)
{
	norm_grad(lab, c, 1);
}
RUN(batch_norm_grad_joined)
{
	norm_grad(lab, c, 4);
}
static void norm_second(struct lab *lab, const struct config *c, int of_relu)
{
	struct tensor *a = X, *g = X, *x = X, *gamma = lab_input(lab, SHAPE(c->c));
	struct tensor *mean = lab_input(lab, SHAPE(c->c)), *v = lab_positive(lab, SHAPE(c->c));
	struct tensor *b = lab_input(lab, SHAPE(c->c)), *k = lab_input(lab, SHAPE(c->c));
	struct tensor *mask = of_relu == 4 ? X : of_relu == 1 ? lab_input(lab, SHAPE(c->c)) : NULL;
	struct tensor *e = of_relu == 4 ? X : NULL;
	op_batch_norm_grad_grad(T, a, g, x, gamma, mean, v, b, k, mask, e, 1e-5, lab->out);
}
RUN(batch_norm_grad_grad)
{
	norm_second(lab, c, 0);
}
RUN(batch_norm_grad_grad_relu)
{
	norm_second(lab, c, 1);
}
RUN(batch_norm_grad_grad_joined)
{
	norm_second(lab, c, 4);
}
RUN(channel_affine)
{
	struct tensor *x = X, *a = lab_input(lab, SHAPE(c->c)), *b = lab_input(lab, SHAPE(c->c));
	struct tensor *r = X;
	lab->out[0] = op_channel_affine(T, x, a, b, NULL, false);
	lab->out[1] = op_channel_affine(T, x, a, b, NULL, true);
	lab->out[2] = op_channel_affine(T, x, a, b, r, false);
	lab->out[3] = op_channel_affine(T, x, a, b, r, true);
}

RUN(relu)
{
	lab->out[0] = op_relu(T, X);
}
RUN(relu_grad)
{
	struct tensor *g = X, *y = X;
	lab->out[0] = op_relu_grad(T, g, y);
}
RUN(add_relu)
{
	struct tensor *a = X, *b = X;
	lab->out[0] = op_add_relu(T, a, b);
}

typedef struct tensor *binary_fn(struct tape *t, struct tensor *a, struct tensor *b);
/* equal shapes, one value per channel, one for all */
static void binary(struct lab *lab, const struct config *c, binary_fn *f)
{
	struct tensor *a = X, *b = X, *channel = lab_input(lab, SHAPE(c->c, 1, 1));
	struct tensor *scalar = lab_input(lab, SHAPE(1));

	lab->out[0] = f(T, a, b);
	lab->out[1] = f(T, a, channel);
	lab->out[2] = f(T, a, scalar);
}
RUN(add)
{
	binary(lab, c, op_add);
}
RUN(sub)
{
	binary(lab, c, op_sub);
}
RUN(mul)
{
	binary(lab, c, op_mul);
}
RUN(mul_swapped)
{
	struct tensor *channel = lab_input(lab, SHAPE(c->c, 1, 1)), *x = X;
	lab->out[0] = op_mul(T, channel, x);
}
RUN(scale)
{
	lab->out[0] = op_scale(T, X, -1.75);
}

RUN(expand)
{
	lab->out[0] = op_expand(T, lab_input(lab, SHAPE(c->c, 1, 1)), x_shape(c));
}
RUN(sum_to)
{
	struct tensor *x = lab_positive(lab, x_shape(c));
	lab->out[0] = op_sum_to(T, x, SHAPE(c->c, 1, 1));
	lab->out[1] = op_sum(T, x);
}
RUN(mean_pool)
{
	lab->out[0] = op_mean_pool(T, X);
}
RUN(mean_unpool)
{
	lab->out[0] = op_mean_unpool(T, lab_input(lab, SHAPE(c->n, c->c)), c->h, c->w);
}
/* of overlapping windows; of windows side by side; and the adjoint of the first */
RUN(max_pool)
{
	struct tensor *x = X, *y = op_max_pool(T, x, 3, 2, 1);
	struct tensor *g = lab_input(lab, y->shape);
	lab->out[0] = y;
	lab->out[1] = op_max_pool(T, x, 2, 2, 0);
	lab->out[2] = op_scatter(T, g, y->node->in[1], x->shape);
}
RUN(matmul)
{
	struct tensor *a = lab_input(lab, SHAPE(c->h, c->c)),
	              *b = lab_input(lab, SHAPE(c->c, c->o));
	struct tensor *bt = lab_input(lab, SHAPE(c->o, c->c));
	struct tensor *at = lab_input(lab, SHAPE(c->c, c->h));
	lab->out[0] = op_matmul(T, a, b, false, false);
	lab->out[1] = op_matmul(T, at, bt, true, true);
	lab->out[2] = op_matmul(T, a, bt, false, true);
}

/* every second pixel, as the shortcut of He's option A; and all of the other arguments */
RUN(slice)
{
	int64_t zero[4] = {0}, start[4] = {0, c->c / 3, 1, 0}, step[4] = {1, 1, 2, 2};
	struct tensor *x = X;
	lab->out[0] = op_slice(T, x, zero, step, SHAPE(c->n, c->c, (c->h + 1) / 2, (c->w + 1) / 2));
	lab->out[1] =
	        op_slice(T, x, start, step, SHAPE(c->n, c->c - c->c / 3, c->h / 2, (c->w + 1) / 2));
}
RUN(place)
{
	int64_t start[4] = {0, c->o / 2, 0, 0}, odd[4] = {1, 3, 1, 1};
	int64_t one[4] = {1, 1, 1, 1}, two[4] = {2, 1, 2, 3};
	struct tensor *x = X;
	lab->out[0] = op_place(T, x, start, one, SHAPE(c->n, c->c + c->o, c->h, c->w));
	lab->out[1] =
	        op_place(T, x, odd, two, SHAPE(2 * c->n + 1, c->c + 5, 2 * c->h + 1, 3 * c->w));
}

static void quantize(struct lab *lab, const struct config *c, bool per_channel)
{
	struct tensor *w = lab_weight(lab, w_shape(c));
	struct tensor *most = op_abs_max(T, w, per_channel), *s = op_scale(T, most, 1 / 3.9);
	lab->out[0] = most;
	lab->out[1] = op_fake_quantize(T, w, s, 3);
	lab->out[2] = op_in_range(T, w, s, 3);
	lab->out[3] = op_step_slope(T, w, s, 3);
}
/* blocked lanes beyond the channels are 0, which is none of the values */
RUN(affine)
{
	struct affine a = {0.3125, 3, 4}, wide = {0.046875, 0, 8};
	struct tensor *x = X, *g = X;
	lab->out[0] = op_affine_quantize(T, x, a);
	lab->out[1] = op_affine_quantize_grad(T, g, x, a);
	lab->out[2] = op_affine_quantize(T, x, wide);
	lab->out[3] = op_extremes(T, lab_positive(lab, x_shape(c)));
}
RUN(quantize_tensor)
{
	quantize(lab, c, false);
}
RUN(quantize_channel)
{
	quantize(lab, c, true);
}

/* `bound`: the largest difference from the reference in double, divided by its largest value; float
 * carries 6e-8.  `own`: our kernels, whose bits do not depend on the count of threads. */
static const struct op_row {
	const char *name;
	void (*run)(struct lab *lab, const struct config *c);
	enum op op;
	double bound;
	bool own;
} rows[] = {
        {"conv", run_conv, OP_conv, 6e-6, false},
        {"conv_grad_input", run_conv_grad_input, OP_conv_grad_input, 6e-6, false},
        {"conv_grad_weight", run_conv_grad_weight, OP_conv_grad_weight, 6e-6, false},
        {"batch_norm", run_batch_norm, OP_batch_norm, 2e-6, true},
        {"batch_norm_relu", run_batch_norm_relu, OP_batch_norm, 2e-6, true},
        {"batch_norm_added", run_batch_norm_added, OP_batch_norm, 2e-6, true},
        {"batch_norm_joined", run_batch_norm_joined, OP_batch_norm, 2e-6, true},
        {"batch_norm_grad", run_batch_norm_grad, OP_batch_norm_grad, 5e-6, true},
        {"batch_norm_grad_relu", run_batch_norm_grad_relu, OP_batch_norm_grad, 5e-6, true},
        {"batch_norm_grad_joined", run_batch_norm_grad_joined, OP_batch_norm_grad, 5e-6, true},
        {"batch_norm_grad_grad", run_batch_norm_grad_grad, OP_batch_norm_grad_grad, 1e-5, true},
        {"batch_norm_grad_grad_relu", run_batch_norm_grad_grad_relu, OP_batch_norm_grad_grad, 1e-5,
         true},
        {"batch_norm_grad_grad_joined", run_batch_norm_grad_grad_joined, OP_batch_norm_grad_grad,
         1e-5, true},
        {"channel_affine", run_channel_affine, OP_channel_affine, 2e-7, true},
        {"relu", run_relu, OP_relu, 0, true},
        {"relu_grad", run_relu_grad, OP_relu_grad, 0, true},
        {"add_relu", run_add_relu, OP_add_relu, 1e-7, true},
        {"add", run_add, OP_add, 1e-7, true},
        {"sub", run_sub, OP_sub, 1e-7, true},
        {"mul", run_mul, OP_mul, 1e-7, true},
        {"mul_swapped", run_mul_swapped, OP_mul, 1e-7, true},
        {"scale", run_scale, OP_scale, 1e-7, true},
        {"expand", run_expand, OP_expand, 0, true},
        {"sum_to", run_sum_to, OP_sum_to, 2e-6, true},
        {"mean_pool", run_mean_pool, OP_mean_pool, 2e-6, true},
        {"mean_unpool", run_mean_unpool, OP_mean_unpool, 1e-7, true},
        {"matmul", run_matmul, OP_matmul, 1e-6, false},
        {"max_pool_index", run_max_pool, OP_max_pool_index, 2e-7, true},
        {"max_pool gather", run_max_pool, OP_gather, 2e-7, true},
        {"max_pool scatter", run_max_pool, OP_scatter, 2e-7, true},
        {"slice", run_slice, OP_slice, 0, true},
        {"place", run_place, OP_place, 0, true},
        {"affine_quantize", run_affine, OP_affine_quantize, 0, true},
        {"affine_quantize_grad", run_affine, OP_affine_quantize_grad, 0, true},
        {"extremes", run_affine, OP_extremes, 0, true},
        {"quantize_tensor", run_quantize_tensor, OP_fake_quantize, 0, true},
        {"quantize_channel", run_quantize_channel, OP_fake_quantize, 0, true},
};
enum { ROWS = sizeof rows / sizeof rows[0] };

static void lab_run(struct lab *lab, const struct op_row *row, const struct config *c,
                    const struct backend *b, enum dtype type, bool blocked)
{
	*lab = (struct lab){.type = type, .blocked = blocked};
	tape_init(&lab->tape, b);
	row->run(lab, c);
}

static void lab_release(struct lab *lab)
{
	tape_release(&lab->tape);
}

#endif
