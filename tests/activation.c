/* Laws of quantized inputs: their codes, what calibration finds, and that nothing loses it. */
#include "core/models/cost.h"
#include "core/models/weights.h"
#include "tests/small_model.h"
#include "tests/trial_run.h"
#include <math.h>

static void zero_is_a_code_and_nothing_is_off_by_more_than_half_a_step(void **state)
{
	static const struct range ranges[] = {{-0.5, 1.5}, {0, 6}, {0.3, 2}, {-4, -1}, {0, 0}};

	for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
		for (int bits = 4; bits <= 8; bits += 2) {
			struct affine a = range_affine(ranges[i], bits);
			double low = fmin(ranges[i].low, 0), high = fmax(ranges[i].high, 0);
			struct tensor *x = tensor_new(F64, SHAPE(101));
			struct tape t;
			for (int k = 0; k <= 100; k++)
				tensor_set(x, k, low + (high - low) * k / 100);
			tensor_set(x, 50, 0);
			tape_init(&t, &backend_ref);
			struct tensor *y = op_affine_quantize(&t, tape_leaf(&t, x), a);
			assert_true(tensor_at(y, 50) == 0);
			for (int k = 0; k <= 100; k++) {
				double off = fabs(tensor_at(y, k) - tensor_at(x, k));
				assert_true(off <= a.scale * (k % 100 ? 0.500001 : 1.000001));
			}
			tape_release(&t);
			tensor_free(x);
		}
}

/* What torch.ao.quantization's observer says of these (quint8, affine). */
static void codes_are_pytorchs(void **state)
{
	struct range r = {-0.5, 1.5};
	struct affine a = range_affine(r, 8);

	assert_true(a.zero == 64 && a.scale == (double)(float)(2.0 / 255));
	range_move(&r, (struct range){-0.7, 1.0}, 0.01);
	assert_true(fabs(r.low + 0.502) < 1e-15 && fabs(r.high - 1.495) < 1e-15);
	a = range_affine((struct range){0, 0}, 8);
	assert_true(a.zero == 0 && a.scale == (double)(float)0x1p-23);
}

static void ranges_are_extremes_or_percentiles_of_the_values(void **state)
{
	float value[200];

	for (int i = 0; i < 200; i++)
		value[i] = (float)((i * 37) % 200 - 20); /* -20 … 179 */
	struct tensor *x = tensor_from(F32, SHAPE(2, 25, 2, 2), value);
	struct range all = range_of(x, 100), most = range_of(x, 99);
	assert_true(all.low == -20 && all.high == 179 && most.low == -18 && most.high == 177);
	tensor_free(x);
}

static void chosen_layers_compute_with_codes(void **state)
{
	struct model *m = small_model("resnet20", NULL, F32);
	struct quantization_settings s = {.kind = "max",
	                                  .keep_first = true,
	                                  .keep_last = true,
	                                  .activation_bits = 4,
	                                  .activation_percentile = 100};
	int inner = parameter_find(&m->parameters, "layer1.0.conv1.weight");
	int edges[] = {parameter_find(&m->parameters, "conv1.weight"),
	               parameter_find(&m->parameters, "linear.weight")};
	struct quantization q;
	struct forward f;
	struct tape t;
	struct error e;
	bool code[16] = {false};

	assert_int_equal(quantization_init(&q, m, &s, &e), 0);
	tensor_set(q.activations.ranges, 2 * inner, -1);
	tensor_set(q.activations.ranges, 2 * inner + 1, 2);
	tape_init(&t, &backend_onednn);
	model_begin(&f, &t, m, FORWARD_EVALUATION, &q);
	struct tensor *x = tensor_new(F32, SHAPE(1, 4, 8, 8));
	for (int i = 0; i < 256; i++)
		tensor_set(x, i, -1.5 + 4 * i / 255.0);
	struct tensor *leaf = tape_leaf(&t, x), *y = forward_input(&f, inner, leaf);
	for (int i = 0; i < 256; i++) {
		double place = tensor_at(y, i) * 5;
		assert_true(fabs(place - nearbyint(place)) < 1e-5 && place > -5.5 && place < 10.5);
		code[(int)nearbyint(place) + 5] = true;
	}
	for (int i = 0; i < 16; i++)
		assert_true(code[i]);
	for (int i = 0; i < 2; i++)
		assert_ptr_equal(forward_input(&f, edges[i], leaf), leaf);
	forward_release(&f);
	tape_release(&t);
	tensor_free(x);
	quantization_release(&q);
	model_free(m);
}

/* Bytes that a pass leaves for its gradient. */
static size_t pass_bytes(struct model *m, int bits)
{
	struct quantization_settings s = {
	        .kind = "max", .weight_bits = 4, .activation_bits = bits, .keep_first = true};
	struct tensor *images = tensor_zeros(F32, SHAPE(16, 3, 32, 32));
	struct quantization q;
	struct forward f;
	struct tape t;
	struct error e;

	assert_int_equal(quantization_init(&q, m, &s, &e), 0);
	size_t before = storage_bytes_in_use();
	tape_init(&t, &backend_onednn);
	model_begin(&f, &t, m, FORWARD_TRAINING, &q);
	model_forward(m, &f, tape_leaf(&t, images));
	size_t after = storage_bytes_in_use();
	forward_release(&f);
	tape_release(&t);
	quantization_release(&q);
	tensor_free(images);
	return after - before;
}

static void quantized_inputs_are_not_kept(void **state)
{
	struct model *m = small_model("resnet20", NULL, F32);

	assert_true((double)pass_bytes(m, 8) < 1.05 * (double)pass_bytes(m, 0));
	model_free(m);
}

static void bit_operations_count_the_bits_of_inputs(void **state)
{
	struct model *m = small_model("resnet20", NULL, F32);
	struct quantization_settings s = {.kind = "max", .weight_bits = 3, .activation_bits = 6};
	struct quantization q;
	struct error e;

	assert_int_equal(quantization_init(&q, m, &s, &e), 0);
	assert_int_equal(model_bit_operations(m, &q), model_macs(m) * 3 * 6);
	quantization_release(&q);
	s.activation_bits = 9;
	assert_int_equal(quantization_init(&q, m, &s, &e), -1);
	assert_non_null(strstr(e.text, "activations of 9 bits"));
	model_free(m);
}

/* ---- trials ---- */
#define INPUTS(range)                                                              \
	"\"weight_bits\": 4, \"activation_bits\": 6, \"calibration_batches\": 5, " \
	"\"activation_range\": \"" range "\""

/* (parameters, 2) of a trial's final weights; the caller's to free. */
static struct tensor *ranges_of(const char *folder)
{
	char *path = path_join(below(folder), "weights.safetensors");
	struct error e = {0};
	struct safetensors *f = safetensors_open(path, &e);
	const struct safetensor *s = f ? safetensors_find(f, "trawl.input_ranges") : NULL;

	if (!s)
		fail_msg("no ranges in %s: %s", path, e.text);
	struct tensor *t = tensor_new(F64, s->shape);
	assert_int_equal(safetensor_read(s, t, &e), 0);
	safetensors_close(f);
	free(path);
	return t;
}

static bool same_ranges(const char *a, const char *b)
{
	struct tensor *x = ranges_of(a), *y = ranges_of(b);
	bool same = !memcmp(tensor_f64(x), tensor_f64(y),
	                    (size_t)shape_count(x->shape) * sizeof(double));

	tensor_free(x);
	tensor_free(y);
	return same;
}

static void ranks_find_the_same_ranges(void **state)
{
	static const char *const kinds[] = {"average", "percentile"};

	trial_write("average.json", SMALL_TRIAL(INPUTS("average"), "\"epochs\": 0"));
	trial_write("percentile.json", SMALL_TRIAL(INPUTS("percentile"), "\"epochs\": 0"));
	for (int i = 0; i < 2; i++) {
		char *trial = xformat("%s.json", kinds[i]), *two = xformat("%s2", kinds[i]);
		trial_succeed(trial, kinds[i], 0, NULL);
		trial_succeed(trial, two, 2, NULL);
		assert_same_file(kinds[i], two, "quantized.safetensors");
		assert_true(same_ranges(kinds[i], two));
		free(trial);
		free(two);
	}
	assert_false(same_ranges("average", "percentile"));
}

/* 150 images in batches of 32: the last has 22 in four shards. */
static void averages_move_in_training_and_percentiles_stay(void **state)
{
	trial_write("moves.json", SMALL_TRIAL(INPUTS("average"), "\"epochs\": 2, \"shards\": 4"));
	trial_write("stays.json",
	            SMALL_TRIAL(INPUTS("percentile"), "\"epochs\": 1, \"shards\": 4"));
	trial_succeed("moves.json", "moves", 0, NULL);
	trial_succeed("stays.json", "stays", 0, NULL);
	assert_false(same_ranges("average", "moves"));
	assert_true(same_ranges("percentile", "stays"));
}

static void moving_ranges_go_on_after_a_stop_on_any_ranks(void **state)
{
	const char *const stop[] = {"--stop-after", "7", NULL};
	const char *const resume[] = {"--resume", below("parts/checkpoint-00000007.safetensors"),
	                              NULL};

	trial_succeed("moves.json", "parts", 2, stop);
	trial_succeed("moves.json", "parts", 4, resume);
	assert_same_file("moves", "parts", "weights.safetensors");
	assert_same_file("moves", "parts", "quantized.safetensors");
}

static void the_export_has_scales_and_zero_points(void **state)
{
	struct model *m = small_model("resnet20", NULL, F32);
	int i = parameter_find(&m->parameters, "layer2.0.conv1.weight");
	char *path = path_join(below("moves"), "quantized.safetensors");
	struct tensor *ranges = ranges_of("moves");
	struct range r = {tensor_at(ranges, 2 * i), tensor_at(ranges, 2 * i + 1)};
	struct affine a = range_affine(r, 6);
	struct error e = {0};
	struct safetensors *f = safetensors_open(path, &e);
	const struct safetensor *scale = safetensors_find(f, "layer2.0.conv1.input_scale");
	const struct safetensor *zero = safetensors_find(f, "layer2.0.conv1.input_zero_point");

	assert_true(scale && zero && r.high > 0);
	assert_true(safetensor_at(scale, 0) == a.scale && safetensor_at(zero, 0) == a.zero);
	assert_null(safetensors_find(f, "conv1.input_scale"));
	assert_string_equal(safetensors_metadata(f, "activation_bits"), "6");
	safetensors_close(f);
	if (model_load(m, path, &e))
		fail_msg("%s", e.text);
	tensor_free(ranges);
	free(path);
	model_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(zero_is_a_code_and_nothing_is_off_by_more_than_half_a_step),
	        cmocka_unit_test(codes_are_pytorchs),
	        cmocka_unit_test(ranges_are_extremes_or_percentiles_of_the_values),
	        cmocka_unit_test(chosen_layers_compute_with_codes),
	        cmocka_unit_test(quantized_inputs_are_not_kept),
	        cmocka_unit_test(bit_operations_count_the_bits_of_inputs),
	        cmocka_unit_test(ranks_find_the_same_ranges),
	        cmocka_unit_test(averages_move_in_training_and_percentiles_stay),
	        cmocka_unit_test(moving_ranges_go_on_after_a_stop_on_any_ranks),
	        cmocka_unit_test(the_export_has_scales_and_zero_points),
	};

	cmocka_set_test_filter(getenv("TRAWL_TEST_ONLY"));
	return cmocka_run_group_tests_name("activation", tests, scratch_make, scratch_remove);
}
