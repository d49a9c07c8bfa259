/* Laws of the oneDNN column: equal to the reference within stated bounds, padded lanes zero, the
 * same bits every time, blocked from convolution to convolution. */
#include "core/base/text.h"
#include "core/tensor/onednn/winograd.h"
#include "tests/backend_lab.h"
#include <math.h>
#include <omp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

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
			bool codes = strstr(rows[i].name, "quantize") != NULL;
			enum dtype type = codes ? F32 : F64;
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

static void what_is_made_again_has_the_same_bits(void **state)
{
	for (int i = 0; i < ROWS; i++)
		for (int k = 0; k < CONFIGS && op_repeats[rows[i].op]; k++) {
			struct lab lab;
			lab_run(&lab, &rows[i], &configs[k], &backend_onednn, F32, true);
			struct tensor *first = tensor_share(lab.out[0]);
			tape_drop(&lab.tape, lab.out[0]);
			tape_restore(&lab.tape, lab.out[0]);
			if (!same_bits(first, lab.out[0]))
				fail_msg("%s %s", rows[i].name, config_text(&configs[k]));
			tensor_free(first);
			lab_release(&lab);
		}
}

/* ---- ReLU's mask from beta and from y ---- */
/* beta such that of every channel some values of y are zero: x has few different values. */
static struct tensor *beta_at_kinks(struct lab *lab, struct tensor *x, struct tensor *gamma)
{
	struct tensor *zero = op_scale(T, gamma, 0), *beta = tensor_copy(zero);
	struct tensor *y = op_batch_norm(T, x, gamma, zero, NULL, 1e-5, false, NULL, NULL);

	for (int64_t c = 0, px = x->shape.d[2] * x->shape.d[3]; c < x->shape.d[1]; c++)
		((float *)tensor_write(beta))[c] = (float)-tensor_at(y, c * px);
	return tape_adopt(T, beta);
}

static void check_mask(const struct backend *b, const struct config *c, bool blocked)
{
	struct lab lab_, *lab = &lab_;
	struct tensor *mean, *variance, *of_beta[4], *of_y[4];

	*lab = (struct lab){.type = F32, .blocked = blocked};
	tape_init(T, b);
	struct tensor *few = op_fake_quantize(
	        T, X, tape_adopt(T, tensor_from(F32, SHAPE(1), &(float){0.7f})), 3);
	struct tensor *gamma = lab_input(lab, SHAPE(c->c)), *g = X;
	struct tensor *beta = beta_at_kinks(lab, few, gamma);
	struct tensor *y = op_batch_norm(T, few, gamma, beta, NULL, 1e-5, true, &mean, &variance);
	op_batch_norm_grad(T, g, few, gamma, mean, variance, beta, 1e-5, 7, of_beta);
	op_batch_norm_grad(T, g, few, gamma, mean, variance, y, 1e-5, 7, of_y);
	for (int k = 0; k < 3; k++)
		if (!same_bits(of_beta[k], of_y[k]))
			fail_msg("%s output %d %s", b->name, k, config_text(c));
	lab_release(lab);
}

static void what_passes_relu_follows_from_beta_as_from_the_output(void **state)
{
	for (int k = 0; k < CONFIGS; k++) {
		check_mask(&backend_ref, &configs[k], false);
		check_mask(&backend_onednn, &configs[k], true);
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
	if (!winograd_transforms(onednn_block()))
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

static struct tensor *block_forward(struct lab *lab, struct tensor **wrt, int64_t c, bool drop)
{
	struct tensor *image = lab_weight(lab, SHAPE(4, 3, 32, 32)), *x, *y, *z;

	wrt[0] = lab_weight(lab, SHAPE(c, 3, 3, 3));
	for (int i = 0; i < 2; i++) {
		wrt[1 + 3 * i] = lab_weight(lab, SHAPE(c, c, 3, 3));
		wrt[2 + 3 * i] = lab_positive(lab, SHAPE(c));
		wrt[3 + 3 * i] = lab_input(lab, SHAPE(c));
	}
	x = op_conv(T, image, wrt[0], 1, 1, 1);
	y = op_conv(T, x, wrt[1], 1, 1, 1);
	y = op_batch_norm(T, y, wrt[2], wrt[3], NULL, 1e-5, true, NULL, NULL);
	z = op_conv(T, y, wrt[4], 1, 1, 1);
	z = op_batch_norm(T, z, wrt[5], wrt[6], x, 1e-5, true, NULL, NULL);
	struct tensor *pooled = op_mean_pool(T, z);
	for (int i = 0; i < 2 && drop; i++)
		tape_drop(T, i ? y : z);
	return op_mean(T, op_mul(T, pooled, lab_input(lab, SHAPE(4, c))));
}

/* Gradients, or those of the squares of gradients (order 2). */
static void block_gradient(struct lab *lab, const struct backend *b, enum dtype type, int64_t c,
                           bool drop, int order, struct tensor **d)
{
	struct tensor *wrt[BLOCK_INPUTS];

	*lab = (struct lab){.type = type};
	tape_init(&lab->tape, b);
	struct tensor *y = block_forward(lab, wrt, c, drop), *sum = NULL;
	if (order == 2) {
		tape_grad(T, y, wrt, BLOCK_INPUTS, d, GRAD_RECORD);
		for (int i = 0; i < BLOCK_INPUTS; i++) {
			struct tensor *square = op_square_sum(T, d[i]);
			sum = sum ? op_add(T, sum, square) : square;
		}
		y = sum;
	}
	tape_grad(T, y, wrt, BLOCK_INPUTS, d, GRAD_CONSUME);
}

static void blocked_stays_blocked_through_a_residual_block(void **state)
{
	struct tensor *d[BLOCK_INPUTS];
	struct lab lab;
	int64_t before = tensor_reorders();

	for (int order = 1; order <= 2; order++) {
		block_gradient(&lab, &backend_onednn, F32, 16, true, order, d);
		assert_int_equal(tensor_reorders() - before, 0);
		lab_release(&lab);
	}
}

static void check_block(int64_t channels, int order)
{
	struct tensor *d[BLOCK_INPUTS], *exact[BLOCK_INPUTS];
	struct lab a, b;

	block_gradient(&a, &backend_onednn, F32, channels, false, order, d);
	block_gradient(&b, &backend_ref, F64, channels, false, order, exact);
	for (int k = 0; k < BLOCK_INPUTS; k++) {
		double off = difference(d[k], exact[k]);
		if (!(off < 1e-3)) /* ReLU's mask may differ at single pixels */
			fail_msg("input %d, %d channels, order %d: off by %.2e", k, (int)channels,
			         order, off);
	}
	lab_release(&a);
	lab_release(&b);
}

static void a_residual_block_has_the_gradients_of_the_reference(void **state)
{
	for (int order = 1; order <= 2; order++) {
		check_block(16, order);
		check_block(11, order);
	}
}

static void a_block_has_the_same_bits_when_values_are_made_again(void **state)
{
	struct tensor *d[BLOCK_INPUTS], *again[BLOCK_INPUTS];

	for (int i = 0; i < 4; i++) {
		struct lab a, b;
		int order = 1 + i % 2, channels = i < 2 ? 16 : 11;
		block_gradient(&a, &backend_onednn, F32, channels, false, order, d);
		block_gradient(&b, &backend_onednn, F32, channels, true, order, again);
		for (int k = 0; k < BLOCK_INPUTS; k++)
			if (!same_bits(d[k], again[k]))
				fail_msg("input %d, %d channels, order %d", k, channels, order);
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
	        cmocka_unit_test(what_is_made_again_has_the_same_bits),
	        cmocka_unit_test(what_passes_relu_follows_from_beta_as_from_the_output),
	        cmocka_unit_test(winograd_equals_the_reference_and_itself_on_any_count_of_threads),
	        cmocka_unit_test(blocked_stays_blocked_through_a_residual_block),
	        cmocka_unit_test(a_residual_block_has_the_gradients_of_the_reference),
	        cmocka_unit_test(a_block_has_the_same_bits_when_values_are_made_again),
	        cmocka_unit_test(the_cache_keeps_what_was_used_last),
	        cmocka_unit_test(the_numerics_class_names_threads_and_version),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
