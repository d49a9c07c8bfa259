/* Laws of the oneDNN column: equal to the reference within stated bounds, padded lanes zero, the
 * same bits every time, blocked from convolution to convolution. */
#include "core/base/text.h"
#include "core/tensor/onednn/conv.h"
#include "core/tensor/onednn/onednn.h"
#include "core/tensor/op.h"
#include <math.h>
#include <omp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

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
enum { CONFIGS = sizeof configs / sizeof configs[0], OUTPUTS = 3 };

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

static void norm(struct lab *lab, const struct config *c, bool relu)
{
	struct tensor *x = X, *gamma = lab_input(lab, SHAPE(c->c)),
	              *beta = lab_input(lab, SHAPE(c->c));
	lab->out[0] = op_batch_norm(T, x, gamma, beta, 1e-5, relu, &lab->out[1], &lab->out[2]);
}
RUN(batch_norm)
{
	norm(lab, c, false);
}
RUN(batch_norm_relu)
{
	norm(lab, c, true);
}

static void norm_grad(struct lab *lab, const struct config *c, bool relu)
{
	struct tensor *g = X, *x = X, *gamma = lab_input(lab, SHAPE(c->c));
	struct tensor *mean = lab_input(lab, SHAPE(c->c)), *v = lab_positive(lab, SHAPE(c->c));
	struct tensor *y = relu ? X : NULL;
	op_batch_norm_grad(T, g, x, gamma, mean, v, y, 1e-5, 7, lab->out);
}
RUN(batch_norm_grad)
{
	norm_grad(lab, c, false);
}
RUN(batch_norm_grad_relu)
{
	norm_grad(lab, c, true);
}
RUN(channel_affine)
{
	struct tensor *x = X, *a = lab_input(lab, SHAPE(c->c)), *b = lab_input(lab, SHAPE(c->c));
	lab->out[0] = op_channel_affine(T, x, a, b, false);
	lab->out[1] = op_channel_affine(T, x, a, b, true);
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
        {"batch_norm_grad", run_batch_norm_grad, OP_batch_norm_grad, 5e-6, true},
        {"batch_norm_grad_relu", run_batch_norm_grad_relu, OP_batch_norm_grad, 5e-6, true},
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
        {"slice", run_slice, OP_slice, 0, true},
        {"place", run_place, OP_place, 0, true},
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

/* ---- comparisons ---- */
static double *values(struct tensor *t)
{
	double *v = xcalloc((size_t)shape_count(t->shape) + 1, sizeof *v);

	tensor_to_f64(t, v);
	return v;
}

/* max |a - b| / max |b| */
static double difference(struct tensor *a, struct tensor *b)
{
	double *va = values(a), *vb = values(b), most = 0, size = 0;

	assert_true(shape_equal(a->shape, b->shape));
	for (int64_t i = 0, n = shape_count(a->shape); i < n; i++) {
		double d = fabs(va[i] - vb[i]);
		most = d > most || isnan(d) ? d : most;
		size = fabs(vb[i]) > size ? fabs(vb[i]) : size;
	}
	free(va);
	free(vb);
	return size > 0 ? most / size : most;
}

static bool same_bits(struct tensor *a, struct tensor *b)
{
	return !memcmp(tensor_plain(a), tensor_plain(b),
	               (size_t)shape_count(a->shape) * dtype_bytes(a->type));
}

static bool lanes_are_zero(const struct tensor *t)
{
	const float *x = t->blocked->data;
	int64_t b = t->block, groups = (t->shape.d[1] + b - 1) / b;
	int64_t pixels = t->shape.d[2] * t->shape.d[3], count = t->shape.d[0] * groups * pixels * b;

	for (int64_t i = 0; i < count; i++) {
		int64_t channel = i / (pixels * b) % groups * b + i % b;
		if (channel >= t->shape.d[1] && x[i] != 0)
			return false;
	}
	return true;
}

static const char *config_text(const struct config *c)
{
	static char text[120];

	snprintf(text, sizeof text, "(%d,%d,%d,%d) -> %d, window %d stride %d pad %d groups %d",
	         (int)c->n, (int)c->c, (int)c->h, (int)c->w, (int)c->o, c->window, c->stride,
	         c->pad, c->groups);
	return text;
}

/* ---- laws ---- */
static void check_equal(const struct op_row *row, const struct config *c, struct lab *exact,
                        bool blocked)
{
	struct lab fast;

	lab_run(&fast, row, c, &backend_onednn, F32, blocked);
	for (int k = 0; k < OUTPUTS; k++) {
		if (!fast.out[k])
			continue;
		double d = difference(fast.out[k], exact->out[k]);
		if (!(d <= row->bound))
			fail_msg("%s output %d %s%s: off by %.2e, bound %.0e", row->name, k,
			         config_text(c), blocked ? " blocked" : "", d, row->bound);
	}
	lab_release(&fast);
}

static void every_op_equals_the_reference(void **state)
{
	for (int i = 0; i < ROWS; i++)
		for (int k = 0; k < CONFIGS; k++) {
			/* Codes near a rounding's edge differ between float and double. */
			enum dtype type = rows[i].op == OP_fake_quantize ? F32 : F64;
			struct lab exact;
			lab_run(&exact, &rows[i], &configs[k], &backend_ref, type, false);
			check_equal(&rows[i], &configs[k], &exact, false);
			check_equal(&rows[i], &configs[k], &exact, true);
			lab_release(&exact);
		}
}

/* A column that declines everything would pass the law above. */
static void the_column_takes_what_residual_networks_need(void **state)
{
	for (int i = 0; i < ROWS; i++)
		for (int k = 0; k < 5; k++) {
			struct lab lab;
			int64_t before = onednn_ran[rows[i].op];
			lab_run(&lab, &rows[i], &configs[k], &backend_onednn, F32, true);
			if (onednn_ran[rows[i].op] == before)
				fail_msg("%s %s fell through", rows[i].name,
				         config_text(&configs[k]));
			lab_release(&lab);
		}
}

static void lanes_beyond_the_channels_are_zero(void **state)
{
	int checked = 0;

	for (int i = 0; i < ROWS; i++)
		for (int k = 8; k < CONFIGS; k++) { /* the odd shapes */
			struct lab lab;
			lab_run(&lab, &rows[i], &configs[k], &backend_onednn, F32, true);
			for (int o = 0; o < OUTPUTS; o++) {
				if (!lab.out[o] || !lab.out[o]->blocked)
					continue;
				checked++;
				if (!lanes_are_zero(lab.out[o]))
					fail_msg("%s %s", rows[i].name, config_text(&configs[k]));
			}
			lab_release(&lab);
		}
	assert_true(checked > 150);
}

static void check_bits(const struct op_row *row, const struct config *c, int threads)
{
	struct lab a, b;
	int most = omp_get_max_threads();

	omp_set_num_threads(1);
	lab_run(&a, row, c, &backend_onednn, F32, true);
	omp_set_num_threads(threads);
	lab_run(&b, row, c, &backend_onednn, F32, true);
	omp_set_num_threads(most);
	for (int k = 0; k < OUTPUTS; k++)
		if (a.out[k] && !same_bits(a.out[k], b.out[k]))
			fail_msg("%s output %d %s, %d threads", row->name, k, config_text(c),
			         threads);
	lab_release(&a);
	lab_release(&b);
}

static void same_input_same_bits(void **state)
{
	for (int i = 0; i < ROWS; i++)
		for (int k = 0; k < CONFIGS; k++)
			check_bits(&rows[i], &configs[k], 1);
}

static void own_kernels_give_the_same_bits_for_any_count_of_threads(void **state)
{
	static const struct config large = {9, 24, 33, 31, 16, 3, 1, 1, 1};

	for (int i = 0; i < ROWS; i++)
		for (int threads = 2; threads <= 5 && rows[i].own; threads++) {
			check_bits(&rows[i], &large, threads);
			check_bits(&rows[i], &configs[1], threads);
		}
}

/* ---- Winograd ---- */
/* Images that tiles of 4x4 do not fill, each padding, several chunks of tiles, several parts. */
static const struct config winograd_configs[] = {
        {3, 16, 1, 1, 16, 3, 1, 1, 1},    {2, 32, 5, 9, 16, 3, 1, 1, 1},
        {2, 16, 3, 7, 48, 3, 1, 0, 1},    {2, 16, 6, 70, 16, 3, 1, 2, 1},
        {40, 16, 18, 13, 32, 3, 1, 1, 1}, {7, 240, 8, 8, 256, 3, 1, 1, 1},
};
enum { WINOGRAD_CONFIGS = sizeof winograd_configs / sizeof winograd_configs[0] };

static void winograd_equals_the_reference_and_itself_on_any_count_of_threads(void **state)
{
	if (onednn_block() != 8)
		skip();
	for (int i = 0; i < ROWS; i++)
		for (int k = 0; k < WINOGRAD_CONFIGS && !strncmp(rows[i].name, "conv", 4); k++) {
			struct lab exact;
			lab_run(&exact, &rows[i], &winograd_configs[k], &backend_ref, F32, false);
			check_equal(&rows[i], &winograd_configs[k], &exact, true);
			lab_release(&exact);
			for (int threads = 2; threads <= 9; threads += threads == 3 ? 6 : 1)
				check_bits(&rows[i], &winograd_configs[k], threads);
		}
}

/* ---- a residual block ---- */
enum { BLOCK_INPUTS = 7 }; /* weights, gamma, beta of two convolutions, and the weight before */

static struct tensor *block_forward(struct lab *lab, struct tensor **wrt, int64_t c)
{
	struct tensor *image = lab_weight(lab, SHAPE(4, 3, 32, 32)), *x, *y;

	wrt[0] = lab_weight(lab, SHAPE(c, 3, 3, 3));
	for (int i = 0; i < 2; i++) {
		wrt[1 + 3 * i] = lab_weight(lab, SHAPE(c, c, 3, 3));
		wrt[2 + 3 * i] = lab_positive(lab, SHAPE(c));
		wrt[3 + 3 * i] = lab_input(lab, SHAPE(c));
	}
	x = op_conv(T, image, wrt[0], 1, 1, 1);
	y = op_conv(T, x, wrt[1], 1, 1, 1);
	y = op_batch_norm(T, y, wrt[2], wrt[3], 1e-5, true, NULL, NULL);
	y = op_conv(T, y, wrt[4], 1, 1, 1);
	y = op_batch_norm(T, y, wrt[5], wrt[6], 1e-5, false, NULL, NULL);
	return op_mean(
	        T, op_mul(T, op_mean_pool(T, op_add_relu(T, x, y)), lab_input(lab, SHAPE(4, c))));
}

static void block_gradient(struct lab *lab, const struct backend *b, enum dtype type, int64_t c,
                           struct tensor **d)
{
	struct tensor *wrt[BLOCK_INPUTS];

	*lab = (struct lab){.type = type};
	tape_init(&lab->tape, b);
	struct tensor *y = block_forward(lab, wrt, c);
	tape_grad(&lab->tape, y, wrt, BLOCK_INPUTS, d, GRAD_CONSUME);
}

static void blocked_stays_blocked_through_a_residual_block(void **state)
{
	struct tensor *d[BLOCK_INPUTS];
	struct lab lab;
	int64_t before = tensor_reorders();

	block_gradient(&lab, &backend_onednn, F32, 16, d);
	assert_int_equal(tensor_reorders() - before, 0);
	lab_release(&lab);
}

static void a_residual_block_has_the_gradient_of_the_reference(void **state)
{
	static const int64_t channels[] = {16, 11};

	for (int i = 0; i < 2; i++) {
		struct tensor *d[BLOCK_INPUTS], *exact[BLOCK_INPUTS];
		struct lab a, b;
		block_gradient(&a, &backend_onednn, F32, channels[i], d);
		block_gradient(&b, &backend_ref, F64, channels[i], exact);
		for (int k = 0; k < BLOCK_INPUTS; k++) {
			double off = difference(d[k], exact[k]);
			if (!(off < 1e-3)) /* ReLU's mask may differ at single pixels */
				fail_msg("input %d, %d channels: off by %.2e", k, (int)channels[i],
				         off);
		}
		lab_release(&a);
		lab_release(&b);
	}
}

/* ---- primitives, class ---- */
static void the_cache_keeps_what_was_used_last(void **state)
{
	struct conv_key k = {.direction = CONV_FORWARD,
	                     .images = 1,
	                     .channels_in = 16,
	                     .channels_out = 16,
	                     .groups = 1,
	                     .in = {4, 4},
	                     .out = {4, 4},
	                     .window = {1, 1},
	                     .stride = 1,
	                     .threads = 1};
	struct conv_key often = k;

	conv_primitive_clear();
	struct conv_primitive *kept = conv_primitive(&often);
	for (k.images = 2; k.images <= 520; k.images++) {
		conv_primitive(&k);
		assert_ptr_equal(conv_primitive(&often), kept);
	}
	assert_int_equal(conv_primitive_count(), 512);
	conv_primitive_clear();
	assert_int_equal(conv_primitive_count(), 0);
}

static void the_numerics_class_names_threads_and_version(void **state)
{
	char one[200];

	snprintf(one, sizeof one, "%s", onednn_numerics_class(1));
	assert_string_equal(one, onednn_numerics_class(1));
	assert_string_not_equal(one, onednn_numerics_class(2));
	assert_non_null(strstr(one, "onednn-2."));
	assert_non_null(strstr(one, "plan-"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(every_op_equals_the_reference),
	        cmocka_unit_test(the_column_takes_what_residual_networks_need),
	        cmocka_unit_test(lanes_beyond_the_channels_are_zero),
	        cmocka_unit_test(same_input_same_bits),
	        cmocka_unit_test(own_kernels_give_the_same_bits_for_any_count_of_threads),
	        cmocka_unit_test(winograd_equals_the_reference_and_itself_on_any_count_of_threads),
	        cmocka_unit_test(blocked_stays_blocked_through_a_residual_block),
	        cmocka_unit_test(a_residual_block_has_the_gradient_of_the_reference),
	        cmocka_unit_test(the_cache_keeps_what_was_used_last),
	        cmocka_unit_test(the_numerics_class_names_threads_and_version),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
