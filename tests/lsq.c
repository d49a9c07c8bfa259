/* Laws of learned steps: where they start, what moves them, and that nothing loses them. */
#include "core/fisher/regularizer.h"
#include "core/models/cost.h"
#include "core/models/quantized.h"
#include "core/models/weights.h"
#include "core/train/optimizer.h"
#include "tests/small_model.h"
#include "tests/trial_run.h"
#include <math.h>

static struct quantization learned(struct model *m, int bits, bool channel)
{
	struct quantization_settings s = {.kind = "lsq",
	                                  .weight_bits = bits,
	                                  .per_channel = channel,
	                                  .keep_first = true,
	                                  .keep_last = true};
	struct quantization q;
	struct error e = {{0}};

	if (quantization_init(&q, m, &s, &e))
		fail_msg("%s", e.text);
	quantized_learn(&q, m);
	quantized_start(&q, m);
	return q;
}

static struct tensor *named(const struct model *m, const char *name)
{
	int i = parameter_find(&m->parameters, name);

	assert_true(i >= 0);
	return m->parameters.item[i].value;
}

static void steps_start_at_twice_the_mean_size(void **state)
{
	struct model *m = small_model("resnet20", NULL, F64);
	struct quantization q = learned(m, 3, true);
	struct tensor *w = named(m, "layer2.1.conv1.weight");
	struct tensor *step = named(m, "layer2.1.conv1.weight_step");
	int64_t row = shape_count(w->shape) / 8;

	assert_true(shape_equal(step->shape, SHAPE(8)));
	for (int64_t o = 0; o < 8; o++) {
		double sum = 0;
		for (int64_t k = 0; k < row; k++)
			sum += fabs(tensor_at(w, o * row + k));
		double want = 2 * sum / (double)row / sqrt(3);
		assert_true(fabs(tensor_at(step, o) - want) < 1e-12);
	}
	assert_int_equal(parameter_find(&m->parameters, "conv1.weight_step"), -1);
	quantization_release(&q);
	model_free(m);
}

/* Loss and R of one pass, and the gradients to weights and steps. */
struct figures {
	double loss, r;
	struct tensor *weight, *step; /* of layer1.0.conv1; step null where there is none */
};

static struct figures figures_of(struct model *m, const struct quantization *q)
{
	int count = m->parameters.count,
	    weight = parameter_find(&m->parameters, "layer1.0.conv1.weight");
	int step = parameter_find(&m->parameters, "layer1.0.conv1.weight_step");
	struct tensor **g = xcalloc((size_t)count, sizeof *g);
	struct tensor *images = tensor_new(F64, SHAPE(4, 3, 32, 32));
	struct tensor *labels = tensor_from(I32, SHAPE(4), (int32_t[]){1, 0, 7, 3});
	struct figures f = {0};
	struct forward pass;
	struct tape t;

	for (int64_t i = 0; i < shape_count(images->shape); i++)
		tensor_set(images, i, sin((double)(i * i % 1009)));
	tape_init(&t, &backend_ref);
	model_begin(&pass, &t, m, FORWARD_TRAINING, q);
	struct tensor *logits = model_forward(m, &pass, tape_leaf(&t, images));
	struct tensor *loss = op_mean(&t, op_cross_entropy(&t, logits, tape_leaf(&t, labels)));
	f.loss = tensor_at(loss, 0);
	loss_gradient(&pass, (struct losses){loss, loss}, 0.01, g, &f.r);
	f.weight = tensor_copy(g[weight]);
	f.step = step >= 0 ? tensor_copy(g[step]) : NULL;
	forward_release(&pass);
	tape_release(&t);
	tensor_free(images);
	tensor_free(labels);
	free(g);
	return f;
}

static void figures_free(struct figures *f)
{
	tensor_free(f->weight);
	tensor_free(f->step);
}

/* Beside a model whose scales are the same numbers, held constant. */
static void steps_have_a_gradient_and_no_part_in_the_trace(void **state)
{
	struct model *m = small_model("resnet20", NULL, F64),
	             *fixed = small_model("resnet20", NULL, F64);
	struct quantization_settings s = {.kind = "lsq",
	                                  .weight_bits = 4,
	                                  .per_channel = false,
	                                  .keep_first = true,
	                                  .keep_last = true};
	struct quantization q = learned(m, 4, false), constant;
	struct error e;

	assert_int_equal(quantization_init(&constant, fixed, &s, &e), 0);
	struct figures a = figures_of(m, &q), b = figures_of(fixed, &constant);
	assert_true(a.loss == b.loss && fabs(a.r - b.r) < 1e-12 * b.r && b.r > 0);
	for (int64_t i = 0; i < shape_count(a.weight->shape); i++)
		assert_true(fabs(tensor_at(a.weight, i) - tensor_at(b.weight, i)) < 1e-12);
	assert_true(fabs(tensor_at(a.step, 0)) > 1e-6);
	figures_free(&a);
	figures_free(&b);
	quantization_release(&q);
	quantization_release(&constant);
	model_free(m);
	model_free(fixed);
}

static void steps_do_not_decay_and_stay_positive(void **state)
{
	struct optimizer_settings s = {.kind = "sgd", .weight_decay = 0.5};
	struct parameter_set p = {0};
	struct optimizer o;
	struct error e;

	parameter_add(&p, xstrdup("w"), PARAMETER_LINEAR, F32, SHAPE(2));
	parameter_add(&p, xstrdup("w_step"), PARAMETER_STEP, F32, SHAPE(2));
	for (int i = 0; i < 2; i++)
		for (int k = 0; k < 2; k++)
			tensor_set(p.item[i].value, k, 1);
	struct tensor *g[] = {tensor_from(F32, SHAPE(2), (float[]){0, 3}),
	                      tensor_from(F32, SHAPE(2), (float[]){0, 3})};
	assert_int_equal(optimizer_init(&o, &s, &p, &e), 0);
	optimizer_step(&o, g, 1);
	assert_true(tensor_at(p.item[0].value, 0) == 0.5 && tensor_at(p.item[0].value, 1) == -2.5);
	assert_true(tensor_at(p.item[1].value, 0) == 1);
	assert_true(tensor_at(p.item[1].value, 1) == (double)(float)STEP_LEAST);
	optimizer_release(&o);
	parameter_release(&p);
	tensor_free(g[0]);
	tensor_free(g[1]);
}

/* ---- trials ---- */
#define LEARNED "\"weight_bits\": 3, \"granularity\": \"channel\", \"scale\": \"lsq\""

/* The tensor of a file of weights, in float; the caller's to free. */
static struct tensor *stored(const char *folder, const char *file, const char *name)
{
	char *path = path_join(below(folder), file);
	struct error e = {0};
	struct safetensors *f = safetensors_open(path, &e);
	const struct safetensor *s = f ? safetensors_find(f, name) : NULL;

	if (!s)
		fail_msg("%s lacks %s: %s", path, name, e.text);
	struct tensor *t = tensor_new(F32, s->shape);
	assert_int_equal(safetensor_read(s, t, &e), 0);
	safetensors_close(f);
	free(path);
	return t;
}

static void assert_equal_tensors(struct tensor *a, struct tensor *b)
{
	assert_true(shape_equal(a->shape, b->shape));
	assert_memory_equal(tensor_f32(a), tensor_f32(b),
	                    (size_t)shape_count(a->shape) * sizeof(float));
	tensor_free(a);
	tensor_free(b);
}

static void training_moves_steps_and_the_export_has_them(void **state)
{
	trial_write("t.json", SMALL_TRIAL(LEARNED, "\"epochs\": 2, \"shards\": 2"));
	trial_succeed("t.json", "whole", 0, NULL);
	struct tensor *step = stored("whole", "weights.safetensors", "layer3.0.conv2.weight_step");
	struct tensor *scale =
	        stored("whole", "quantized.safetensors", "layer3.0.conv2.weight.scale");
	struct model *m = small_model("resnet20", NULL, F32);
	struct quantization q = learned(m, 3, true);
	struct error e = {{0}};

	if (model_load(m, path_join(below("whole"), "weights.safetensors"), &e))
		fail_msg("%s", e.text);
	struct tensor *start = quantizer_scale(&q.scaling, named(m, "layer3.0.conv2.weight"), 3);
	assert_memory_not_equal(tensor_f32(start), tensor_f32(step), 16 * sizeof(float));
	assert_equal_tensors(step, scale);
	tensor_free(start);
	quantization_release(&q);
	model_free(m);
}

static void steps_go_on_after_a_stop_with_the_same_bits(void **state)
{
	const char *const stop[] = {"--stop-after", "7", NULL};
	const char *const resume[] = {"--resume", below("parts/checkpoint-00000007.safetensors"),
	                              NULL};

	trial_succeed("t.json", "parts", 0, stop);
	trial_succeed("t.json", "parts", 0, resume);
	assert_same_file("whole", "parts", "weights.safetensors");
	assert_same_file("whole", "parts", "quantized.safetensors");
}

static void what_starts_from_it_has_its_steps_unless_the_bits_change(void **state)
{
	const char *const input[] = {"--input", below("whole/weights.safetensors"), NULL};
	const char *name = "layer3.0.conv2.weight_step", *file = "weights.safetensors";

	trial_write("same.json", SMALL_TRIAL(LEARNED, "\"epochs\": 0"));
	trial_write(
	        "other.json",
	        SMALL_TRIAL("\"weight_bits\": 2, \"granularity\": \"channel\", \"scale\": \"lsq\"",
	                    "\"epochs\": 0"));
	trial_write("max.json", SMALL_TRIAL("\"weight_bits\": 8", "\"epochs\": 0"));
	trial_succeed("same.json", "same", 0, input);
	trial_succeed("other.json", "other", 0, input);
	trial_succeed("max.json", "max", 0, input);
	assert_true(trial_loss("same") == trial_loss("whole"));
	assert_equal_tensors(stored("same", file, name), stored("whole", file, name));
	struct scaling start = {quantizer_named("lsq"), true, 0};
	struct tensor *w = stored("whole", file, "layer3.0.conv2.weight");
	assert_equal_tensors(stored("other", file, name), quantizer_scale(&start, w, 2));
	tensor_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(steps_start_at_twice_the_mean_size),
	        cmocka_unit_test(steps_have_a_gradient_and_no_part_in_the_trace),
	        cmocka_unit_test(steps_do_not_decay_and_stay_positive),
	        cmocka_unit_test(training_moves_steps_and_the_export_has_them),
	        cmocka_unit_test(steps_go_on_after_a_stop_with_the_same_bits),
	        cmocka_unit_test(what_starts_from_it_has_its_steps_unless_the_bits_change),
	};

	cmocka_set_test_filter(getenv("TRAWL_TEST_ONLY"));
	return cmocka_run_group_tests_name("lsq", tests, scratch_make, scratch_remove);
}
