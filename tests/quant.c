/* Laws of quantization: the grid, its gradient, which layers, the costs, and the export. */
#include "core/base/file.h"
#include "core/base/random.h"
#include "core/base/text.h"
#include "core/models/cost.h"
#include "core/models/weights.h"
#include "core/quant/quantizer.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fixture.h"
#include <cmocka.h>

static char *folder;
static const int64_t seed = 11;

static int setup(void **state)
{
	folder = scratch_new();
	return 0;
}

static int teardown(void **state)
{
	scratch_remove(folder);
	return 0;
}

static struct tensor *random_weight(enum dtype type, struct shape s)
{
	struct random_stream r = random_stream(seed, "weight", 0, 0);
	struct tensor *t = tensor_new(type, s);

	for (int64_t i = 0, n = shape_count(s); i < n; i++) {
		double v = random_normal(&r, (uint64_t)i);

		if (type == F64)
			((double *)tensor_write(t))[i] = v;
		else
			((float *)tensor_write(t))[i] = (float)v;
	}
	return t;
}

static struct scaling scaled(const char *quantizer, bool per_channel)
{
	return (struct scaling){quantizer_named(quantizer), per_channel, 99};
}

/* Q_b(w) outside the tape. */
static struct tensor *rounded(struct tensor *w, int bits, bool per_channel)
{
	struct scaling max = scaled("max", per_channel);
	struct tape t;
	struct tensor *q;

	tape_init(&t, &backend_ref);
	q = tensor_copy(quantizer_apply(&max, &t, tape_leaf(&t, w), bits));
	tape_release(&t);
	return q;
}

static double row_max(struct tensor *w, int64_t from, int64_t count)
{
	double most = 0;

	for (int64_t i = from; i < from + count; i++)
		most = fmax(most, fabs(tensor_at(w, i)));
	return most;
}

/* Against the definition, written out: every weight goes to its nearest multiple of s. */
static void weights_go_to_the_nearest_code(void **state)
{
	struct tensor *w = random_weight(F64, SHAPE(4, 3, 3, 3));

	for (int bits = QUANT_BITS_MIN; bits <= QUANT_BITS_MAX; bits++) {
		for (int channel = 0; channel < 2; channel++) {
			struct tensor *q = rounded(w, bits, channel);
			int64_t row = channel ? 27 : 108;

			for (int64_t i = 0; i < 108; i++) {
				double s = row_max(w, i / row * row, row) / ((1 << (bits - 1)) - 1);

				assert_true(tensor_at(q, i) == s * nearbyint(tensor_at(w, i) / s));
			}
			tensor_free(q);
		}
	}
	tensor_free(w);
}

static void halves_round_to_even(void **state)
{
	/* bits 3: s = 3 / 3 = 1 */
	struct tensor *w =
	        tensor_from(F32, SHAPE(1, 7), (float[]){3, .5f, 1.5f, 2.5f, -.5f, -1.5f, -2.5f});
	struct tensor *q = rounded(w, 3, false);
	const double expect[] = {3, 0, 2, 2, 0, -2, -2};

	for (int i = 0; i < 7; i++)
		assert_true(tensor_at(q, i) == expect[i]);
	tensor_free(q);
	tensor_free(w);
}

static void zeros_stay_zero_and_do_not_divide(void **state)
{
	struct tensor *w = tensor_from(F32, SHAPE(2, 2), (float[]){0, 0, 1, -0.2f});
	struct tensor *none = tensor_zeros(F32, SHAPE(2, 2));
	struct tensor *q = rounded(w, 4, true), *z = rounded(none, 4, false);
	struct scaling max = scaled("max", true);

	for (int i = 0; i < 4; i++)
		assert_true(tensor_at(z, i) == 0);
	assert_true(tensor_at(q, 0) == 0 && tensor_at(q, 1) == 0 && tensor_at(q, 2) == 1);
	assert_true(quantizer_perturbation(&max, none, 2) == 0);
	tensor_free(q);
	tensor_free(z);
	tensor_free(none);
	tensor_free(w);
}

static void the_gradient_goes_straight_through(void **state)
{
	struct tensor *w = random_weight(F64, SHAPE(3, 5)), *gradient;
	struct scaling max = scaled("max", true);
	struct tape t;

	tape_init(&t, &backend_ref);
	t.recording = true;
	struct tensor *leaf = tape_leaf(&t, w);
	struct tensor *q = quantizer_apply(&max, &t, leaf, 3);
	struct tensor *value = tensor_copy(q);
	tape_grad(&t, op_square_sum(&t, q), &leaf, 1, &gradient, GRAD_CONSUME);
	for (int64_t i = 0; i < 15; i++)
		assert_true(fabs(tensor_at(gradient, i) - 2 * tensor_at(value, i)) < 1e-15);
	tensor_free(value);
	tape_release(&t);
	tensor_free(w);
}

static void perturbation_is_the_squared_distance_and_falls_with_bits(void **state)
{
	struct tensor *w = random_weight(F32, SHAPE(8, 16));
	struct scaling max = scaled("max", false), by_channel = scaled("max", true);
	double before = INFINITY;

	for (int bits = QUANT_BITS_MIN; bits <= QUANT_BITS_MAX; bits++) {
		struct tensor *q = rounded(w, bits, false);
		double sum = 0, got = quantizer_perturbation(&max, w, bits);

		for (int64_t i = 0; i < 128; i++)
			sum += pow(tensor_at(q, i) - tensor_at(w, i), 2);
		assert_true(fabs(got - sum) <= 1e-12 * sum && got < before);
		assert_true(quantizer_perturbation(&by_channel, w, bits) < got);
		before = got;
		tensor_free(q);
	}
	tensor_free(w);
}

static void codes_times_scales_are_the_rounded_weights(void **state)
{
	struct tensor *w = random_weight(F32, SHAPE(8, 16));
	int8_t code[128];

	for (int bits = QUANT_BITS_MIN; bits <= QUANT_BITS_MAX; bits++) {
		for (int channel = 0; channel < 2; channel++) {
			struct scaling max = scaled("max", channel);
			struct tensor *q = rounded(w, bits, channel);
			struct tensor *s = quantizer_scale(&max, w, bits);
			const float *scale = tensor_f32(s);
			int most = 0;

			quantizer_codes(w, s, bits, code);
			for (int i = 0; i < 128; i++) {
				assert_true(scale[channel ? i / 16 : 0] * code[i] ==
				            tensor_f32(q)[i]);
				most = abs(code[i]) > most ? abs(code[i]) : most;
			}
			assert_int_equal(most, (1 << (bits - 1)) - 1);
			tensor_free(s);
			tensor_free(q);
		}
	}
	tensor_free(w);
}

static struct model *started(const char *name)
{
	struct model_config c;
	struct error e;
	struct model *m;

	assert_int_equal(model_config_named(&c, name, 10, NULL, &e), 0);
	m = model_new(&c, F32);
	parameter_start(&m->parameters, seed);
	return m;
}

static struct quantization quantized(const struct model *m, int bits, bool channel, bool keep)
{
	struct quantization_settings s = {.kind = "max",
	                                  .weight_bits = bits,
	                                  .per_channel = channel,
	                                  .keep_first = keep,
	                                  .keep_last = keep};
	struct quantization q;
	struct error e = {{0}};

	if (quantization_init(&q, m, &s, &e))
		fail_msg("%s", e.text);
	return q;
}

static void first_and_last_layer_are_kept_when_told(void **state)
{
	struct model *m = started("resnet20");
	struct quantization kept = quantized(m, 4, false, true),
	                    all = quantized(m, 4, false, false);
	int count_kept = 0, count_all = 0;

	for (int i = 0; i < m->parameters.count; i++) {
		const struct parameter *p = &m->parameters.item[i];
		bool edge = !strcmp(p->name, "conv1.weight") || !strcmp(p->name, "linear.weight");

		assert_int_equal(all.bits[i], p->value->shape.n >= 2 ? 4 : 0);
		assert_int_equal(kept.bits[i], edge ? 0 : all.bits[i]);
		count_kept += kept.bits[i] != 0;
		count_all += all.bits[i] != 0;
	}
	assert_int_equal(count_kept, 18);
	assert_int_equal(count_all, 20);
	quantization_release(&kept);
	quantization_release(&all);
	model_free(m);
}

static void impossible_quantizers_are_refused(void **state)
{
	struct model *m = started("resnet20");
	struct quantization q;
	struct error e;

	for (int bits = -1; bits < 40; bits++) {
		struct quantization_settings s = {.kind = "max", .weight_bits = bits};
		bool fine = bits == 0 || bits == 32 || (bits >= 2 && bits <= 8);

		assert_int_equal(quantization_init(&q, m, &s, &e), fine ? 0 : -1);
		quantization_release(&q);
	}
	struct quantization_settings unknown = {.kind = "cubic", .weight_bits = 4};
	assert_int_equal(quantization_init(&q, m, &unknown, &e), -1);
	assert_non_null(strstr(e.text, "cubic"));
	model_free(m);
}

/* ResNet-20: 268,336 weights (432 in the first, 640 in the last layer), 10 biases, 1,376 in batch
 * norms' affine parameters and as many running statistics; 672 output channels in between. */
static void bytes_and_bit_operations_are_counted_exactly(void **state)
{
	struct model *m = started("resnet20");
	struct quantization tensor = quantized(m, 3, false, true),
	                    all = quantized(m, 4, true, false);
	const int64_t inner = 268336 - 432 - 640, rest = 432 + 640 + 10 + 1376 + 1376;
	const int64_t macs = 40551040, edge_macs = 442368 + 640;

	assert_int_equal(model_bytes(m, NULL), 4 * (inner + rest));
	assert_int_equal(model_bytes(m, &tensor), inner * 3 / 8 + 4 * 18 + 4 * rest);
	assert_int_equal(model_bytes(m, &all),
	                 (inner + 432 + 640) / 2 + 4 * (16 + 672 + 10) + 4 * (10 + 1376 + 1376));
	assert_int_equal(model_bit_operations(m, NULL), macs * 32 * 32);
	assert_int_equal(model_bit_operations(m, &tensor),
	                 (macs - edge_macs) * 3 * 32 + edge_macs * 32 * 32);
	assert_int_equal(model_bit_operations(m, &all), macs * 4 * 32);
	quantization_release(&tensor);
	quantization_release(&all);
	model_free(m);
}

/* Codes of 3 bits in a tensor of 5 elements take 2 bytes, not 1. */
static void packed_codes_round_up_to_bytes(void **state)
{
	struct model_config c = {.name = "odd",
	                         .stages = 1,
	                         .blocks = {1},
	                         .width = 1,
	                         .shortcut_name = "shortcut",
	                         .linear_name = "linear",
	                         .channels = 1,
	                         .image_px = 4,
	                         .classes = 5};
	struct model *m = model_new(&c, F32);
	struct quantization q = quantized(m, 3, false, false);

	/* three convolutions of 9 codes: 4 bytes; a linear layer of 5: 2; 4 scales; 3 norms of
	 * 4 numbers; 5 biases */
	assert_int_equal(model_bytes(m, &q), 3 * 4 + 2 + 4 * 4 + 3 * 4 * 4 + 5 * 4);
	quantization_release(&q);
	model_free(m);
}

static void evaluate(const struct model *m, const struct quantization *q, float logits[20])
{
	struct tensor *images = random_weight(F32, SHAPE(2, 3, 32, 32));
	struct tape t;
	struct forward f;

	tape_init(&t, &backend_onednn);
	t.recording = false;
	model_begin(&f, &t, m, FORWARD_EVALUATION, q);
	memcpy(logits, tensor_f32(model_forward(m, &f, tape_leaf(&t, images))), 20 * sizeof(float));
	forward_release(&f);
	tape_release(&t);
	tensor_free(images);
}

static void an_export_reads_back_as_what_was_evaluated(void **state)
{
	struct model *m = started("resnet20"), *back = started("resnet20");
	char *path = path_join(folder, "export.safetensors");
	struct error e = {{0}};

	for (int bits = QUANT_BITS_MIN; bits <= QUANT_BITS_MAX; bits++) {
		struct quantization q = quantized(m, bits, bits % 2, bits < 5);
		float before[20], after[20];

		evaluate(m, &q, before);
		assert_int_equal(model_export(m, &q, path, &e), 0);
		if (model_load(back, path, &e))
			fail_msg("%s", e.text);
		evaluate(back, NULL, after);
		assert_memory_equal(before, after, sizeof(before));
		quantization_release(&q);
	}
	free(path);
	model_free(m);
	model_free(back);
}

static void an_export_holds_integer_codes_and_says_their_bits(void **state)
{
	struct model *m = started("resnet20");
	struct quantization q = quantized(m, 5, true, true);
	char *path = path_join(folder, "export.safetensors"), *size;
	struct error e = {{0}};
	struct safetensors *f;
	const struct safetensor *s;

	assert_int_equal(model_export(m, &q, path, &e), 0);
	f = safetensors_open(path, &e);
	assert_non_null(f);
	s = safetensors_find(f, "layer1.0.conv1.weight.codes");
	assert_true(s && !strcmp(s->type, "I8") && shape_equal(s->shape, SHAPE(16, 16, 3, 3)));
	s = safetensors_find(f, "layer1.0.conv1.weight.scale");
	assert_true(s && !strcmp(s->type, "F32") && s->count == 16);
	assert_null(safetensors_find(f, "layer1.0.conv1.weight"));
	assert_non_null(safetensors_find(f, "conv1.weight"));
	assert_non_null(safetensors_find(f, "bn1.running_var"));
	assert_non_null(strstr(safetensors_metadata(f, "bits"), "\"layer1.0.conv1.weight\":5"));
	assert_string_equal(safetensors_metadata(f, "granularity"), "channel");
	size = xformat("%lld", (long long)model_bytes(m, &q));
	assert_string_equal(safetensors_metadata(f, "model_bytes"), size);
	safetensors_close(f);
	free(size);
	free(path);
	quantization_release(&q);
	model_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(weights_go_to_the_nearest_code),
	        cmocka_unit_test(halves_round_to_even),
	        cmocka_unit_test(zeros_stay_zero_and_do_not_divide),
	        cmocka_unit_test(the_gradient_goes_straight_through),
	        cmocka_unit_test(perturbation_is_the_squared_distance_and_falls_with_bits),
	        cmocka_unit_test(codes_times_scales_are_the_rounded_weights),
	        cmocka_unit_test(first_and_last_layer_are_kept_when_told),
	        cmocka_unit_test(impossible_quantizers_are_refused),
	        cmocka_unit_test(bytes_and_bit_operations_are_counted_exactly),
	        cmocka_unit_test(packed_codes_round_up_to_bytes),
	        cmocka_unit_test(an_export_reads_back_as_what_was_evaluated),
	        cmocka_unit_test(an_export_holds_integer_codes_and_says_their_bits),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
