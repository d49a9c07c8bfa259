/* Laws of batch-norm folding: the same function, once and for all, in fewer numbers. */
#include "core/models/fold.h"
#include "core/base/random.h"
#include "core/models/cost.h"
#include "core/models/weights.h"
#include "tests/small_model.h"
#include "tests/trial_run.h"
#include <math.h>

enum { IMAGES = 2, CLASSES = 10, LOGITS = IMAGES * CLASSES };

/* Norms as after training: any scale, shift, mean, variance. */
static struct model *trained(const char *name, enum dtype type)
{
	struct model *m = small_model(name, "B", type);

	for (int i = 0; i < model_items(m); i++) {
		struct parameter *p = model_item(m, i);
		struct random_stream r = random_stream(6, "norm", random_name(p->name), 0);
		bool positive = p->role == PARAMETER_NORM_VARIANCE;
		if (p->role < PARAMETER_NORM_SCALE)
			continue;
		for (int64_t k = 0; k < shape_count(p->value->shape); k++) {
			double v = 0.5 * random_normal(&r, (uint64_t)k);
			tensor_set(p->value, k,
			           positive ? exp(v) : v + (p->role == PARAMETER_NORM_SCALE));
		}
	}
	return m;
}

static void evaluate(const struct model *m, const struct quantization *q, double logits[LOGITS])
{
	enum dtype type = m->parameters.item[0].value->type;
	struct random_stream r = random_stream(7, "images", 0, 0);
	struct tensor *images = tensor_new(type, SHAPE(IMAGES, 3, 32, 32));
	struct tape t;
	struct forward f;

	for (int64_t i = 0; i < shape_count(images->shape); i++)
		tensor_set(images, i, random_normal(&r, (uint64_t)i));
	tape_init(&t, &backend_onednn);
	t.recording = false;
	model_begin(&f, &t, m, FORWARD_EVALUATION, q);
	tensor_to_f64(model_forward(m, &f, tape_leaf(&t, images)), logits);
	forward_release(&f);
	tape_release(&t);
	tensor_free(images);
}

static double distance(const double *a, const double *b)
{
	double worst = 0, most = 0;

	for (int i = 0; i < LOGITS; i++) {
		worst = fmax(worst, fabs(a[i] - b[i]));
		most = fmax(most, fabs(a[i]));
	}
	return worst / most;
}

static void a_folded_model_computes_the_same(void **state)
{
	static const char *const names[] = {"resnet20", "resnet18"};

	for (int i = 0; i < 2; i++)
		for (int float32 = 0; float32 < 2; float32++) {
			struct model *m = trained(names[i], float32 ? F32 : F64);
			double before[LOGITS], after[LOGITS];
			evaluate(m, NULL, before);
			model_fold(m);
			evaluate(m, NULL, after);
			double d = distance(before, after);
			assert_true(d > 0 && d < (float32 ? 2e-5 : 1e-13));
			model_free(m);
		}
}

static bool equal_items(const struct model *a, const struct model *b)
{
	bool equal = true;

	for (int i = 0; i < model_items(a); i++) {
		struct tensor *x = model_item(a, i)->value, *y = model_item(b, i)->value;
		equal &= !memcmp(tensor_plain(x), tensor_plain(y),
		                 (size_t)shape_count(x->shape) * dtype_bytes(x->type));
	}
	return equal;
}

static void folding_again_changes_no_bit(void **state)
{
	for (int float32 = 0; float32 < 2; float32++) {
		struct model *once = trained("resnet20", float32 ? F32 : F64);
		struct model *twice = trained("resnet20", float32 ? F32 : F64);
		assert_true(equal_items(once, twice));
		model_fold(once);
		assert_false(equal_items(once, twice));
		model_fold(twice);
		model_fold(twice);
		assert_true(equal_items(once, twice));
		model_free(once);
		model_free(twice);
	}
}

static void an_export_has_biases_and_no_norms(void **state)
{
	struct model *m = trained("resnet20", F32), *back = trained("resnet20", F32);
	struct quantization_settings s = {
	        .kind = "mse", .weight_bits = 5, .keep_first = true, .per_channel = true};
	char *path = below("folded.safetensors"), *bytes;
	double before[LOGITS], after[LOGITS];
	struct quantization q;
	struct error e = {{0}};

	assert_int_equal(quantization_init(&q, m, &s, &e), 0);
	int64_t whole = model_bytes(m, &q), norms = parameter_elements(&m->buffers) / 2;
	model_fold(m);
	assert_int_equal(model_bytes(m, &q), whole - 3 * 4 * norms);
	evaluate(m, &q, before);
	assert_int_equal(model_export(m, &q, path, &e), 0);
	struct safetensors *f = safetensors_open(path, &e);
	assert_non_null(safetensors_find(f, "layer2.0.shortcut.0.bias"));
	assert_non_null(safetensors_find(f, "layer1.0.conv1.weight.codes"));
	assert_null(safetensors_find(f, "bn1.weight"));
	assert_null(safetensors_find(f, "bn1.bias"));
	assert_null(safetensors_find(f, "bn1.running_var"));
	bytes = xformat("%lld", (long long)model_bytes(m, &q));
	assert_string_equal(safetensors_metadata(f, "model_bytes"), bytes);
	safetensors_close(f);
	if (model_load(back, path, &e))
		fail_msg("%s", e.text);
	evaluate(back, NULL, after);
	assert_memory_equal(before, after, sizeof before);
	free(bytes);
	quantization_release(&q);
	model_free(m);
	model_free(back);
}

/* A trial trained, evaluated folded, and evaluated again from what that wrote. */
static void a_folded_trial_says_what_the_plain_one_says(void **state)
{
	trial_write("t.json", SMALL_TRIAL("", "\"epochs\": 2"));
	trial_write("plain.json", SMALL_TRIAL("", "\"epochs\": 0"));
	trial_write("folded.json", SMALL_TRIAL("\"fold_batch_norm\": true", "\"epochs\": 0"));
	trial_write("eight.json",
	            SMALL_TRIAL("\"fold_batch_norm\": true, \"weight_bits\": 8", "\"epochs\": 0"));
	trial_succeed("t.json", "parent", 0, NULL);
	trial_succeed("folded.json", "folded", 0,
	              (const char *const[]){"--input", below("parent/weights.safetensors"), NULL});
	trial_succeed("plain.json", "again", 0,
	              (const char *const[]){"--input", below("folded/weights.safetensors"), NULL});
	trial_succeed("eight.json", "eight", 0,
	              (const char *const[]){"--input", below("parent/weights.safetensors"), NULL});
	trial_succeed("plain.json", "codes", 0,
	              (const char *const[]){"--input", below("eight/quantized.safetensors"), NULL});
	double parent = trial_loss("parent"), folded = trial_loss("folded");
	assert_true(fabs(folded - parent) < 1e-4 * parent && folded != parent);
	assert_true(trial_loss("again") == folded);
	assert_true(trial_loss("codes") == trial_loss("eight"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_folded_model_computes_the_same),
	        cmocka_unit_test(folding_again_changes_no_bit),
	        cmocka_unit_test(an_export_has_biases_and_no_norms),
	        cmocka_unit_test(a_folded_trial_says_what_the_plain_one_says),
	};

	cmocka_set_test_filter(getenv("TRAWL_TEST_ONLY"));
	return cmocka_run_group_tests_name("fold", tests, scratch_make, scratch_remove);
}
