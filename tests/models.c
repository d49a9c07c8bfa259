/* Laws of models: names and sizes, starting values, forward, loading, statistics. */
#include "core/base/file.h"
#include "core/base/text.h"
#include "core/models/cost.h"
#include "core/models/model.h"
#include "core/models/weights.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fixture.h"
#include <cmocka.h>

static char *folder;

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

static struct model *named(const char *name, int classes, const char *shortcut, enum dtype type)
{
	struct model_config c;
	struct error e = {{0}};

	if (model_config_named(&c, name, classes, shortcut, &e))
		fail_msg("%s", e.text);
	return model_new(&c, type);
}

/* Parameters (He et al.; public PyTorch models), multiply-accumulates for one image. */
static void models_have_their_published_sizes(void **state)
{
	static const struct {
		const char *name;
		const char *shortcut;
		int64_t elements, macs;
	} published[] = {
	        {"resnet20", NULL, 269722, 40551040},     {"resnet32", NULL, 464154, 68862592},
	        {"resnet44", NULL, 658586, 97174144},     {"resnet56", NULL, 853018, 125485696},
	        {"resnet20", "B", 272474, 40813184},      {"resnet18", NULL, 11173962, 555422720},
	        {"resnet34", NULL, 21282122, 1159402496},
	};

	for (size_t i = 0; i < sizeof(published) / sizeof(*published); i++) {
		struct model *m = named(published[i].name, 10, published[i].shortcut, F32);

		assert_int_equal(parameter_elements(&m->parameters), published[i].elements);
		assert_int_equal(model_macs(m), published[i].macs);
		model_free(m);
	}
}

/* torchvision's resnet18, resnet34, resnet50 (version 1.5: the 3x3 strides) at 224 pixels. */
static void large_stems_have_torchvisions_sizes(void **state)
{
	static const struct {
		const char *name;
		int64_t elements, macs;
	} published[] = {
	        {"resnet18", 11689512, 1814073344},
	        {"resnet34", 21797672, 3663761408},
	        {"resnet50", 25557032, 4089184256},
	};

	for (size_t i = 0; i < sizeof(published) / sizeof(*published); i++) {
		struct model_config c;
		struct error e = {{0}};

		assert_int_equal(model_config_named(&c, published[i].name, 1000, NULL, &e), 0);
		assert_int_equal(model_config_images(&c, 224, "auto", &e), 0);
		struct model *m = model_new(&c, F32);
		assert_int_equal(parameter_elements(&m->parameters), published[i].elements);
		assert_int_equal(model_macs(m), published[i].macs);
		model_free(m);
	}
}

static enum model_stem stem_of(const char *model, int image_px, const char *stem)
{
	struct model_config c;
	struct error e = {{0}};

	assert_int_equal(model_config_named(&c, model, 10, NULL, &e), 0);
	assert_int_equal(model_config_images(&c, image_px, stem, &e), 0);
	assert_int_equal(c.image_px, image_px);
	return c.stem;
}

static void stems_go_by_name_or_by_the_size_of_images(void **state)
{
	struct model_config c = {.name = "resnet18"};
	struct error e = {{0}};

	assert_int_equal(stem_of("resnet18", 32, "auto"), STEM_CIFAR);
	assert_int_equal(stem_of("resnet34", 64, "auto"), STEM_SMALL64);
	assert_int_equal(stem_of("resnet50", 224, "auto"), STEM_IMAGENET);
	assert_int_equal(stem_of("resnet20", 224, "auto"), STEM_CIFAR);
	assert_int_equal(stem_of("resnet20", 64, "small64"), STEM_SMALL64);
	assert_int_equal(stem_of("resnet50", 224, "cifar"), STEM_CIFAR);
	assert_int_equal(model_config_images(&c, 32, "large", &e), -1);
	assert_non_null(strstr(e.text, "cifar, small64, imagenet, auto"));
}

static void names_are_those_of_public_checkpoints(void **state)
{
	struct model *a = named("resnet20", 10, NULL, F32), *b = named("resnet20", 10, "B", F32);
	struct model *c = named("resnet18", 100, NULL, F32), *d = named("resnet50", 10, NULL, F32);

	assert_int_equal(parameter_find(&a->parameters, "conv1.weight"), 0);
	assert_true(parameter_find(&a->parameters, "layer3.2.bn2.bias") > 0);
	assert_true(parameter_find(&a->parameters, "linear.weight") > 0);
	assert_int_equal(parameter_find(&a->parameters, "layer2.0.shortcut.0.weight"), -1);
	assert_true(parameter_find(&b->parameters, "layer2.0.shortcut.0.weight") > 0);
	assert_true(parameter_find(&b->buffers, "layer2.0.shortcut.1.running_var") > 0);
	assert_int_equal(parameter_find(&b->parameters, "layer1.0.shortcut.0.weight"), -1);
	assert_true(parameter_find(&c->parameters, "layer4.0.downsample.0.weight") > 0);
	assert_true(parameter_find(&c->parameters, "fc.bias") == c->parameters.count - 1);
	model_free(a);
	model_free(b);
	assert_true(parameter_find(&d->parameters, "layer1.0.downsample.1.weight") > 0);
	assert_true(parameter_find(&d->parameters, "layer4.2.conv3.weight") > 0);
	model_free(c);
	model_free(d);
}

static void unknown_names_are_told_with_what_is_known(void **state)
{
	struct model_config c;
	struct error e = {{0}};

	assert_int_equal(model_config_named(&c, "resnet21", 10, NULL, &e), -1);
	assert_non_null(strstr(e.text, "resnet21"));
	assert_non_null(strstr(e.text, "resnet20"));
	assert_int_equal(model_config_named(&c, "resnet20", 10, "C", &e), -1);
}

/* Sum, and mean of squares, of a parameter. */
static double mean_square(struct tensor *t)
{
	double sum = 0;

	for (int64_t i = 0, n = shape_count(t->shape); i < n; i++)
		sum += tensor_at(t, i) * tensor_at(t, i) / (double)n;
	return sum;
}

static void starting_values_depend_on_seed_and_name_alone(void **state)
{
	struct model *a = named("resnet20", 10, NULL, F32), *b = named("resnet20", 100, "B", F32);
	int i, k;

	parameter_start(&a->parameters, 5);
	parameter_start(&b->parameters, 5);
	i = parameter_find(&a->parameters, "layer3.1.conv1.weight");
	k = parameter_find(&b->parameters, "layer3.1.conv1.weight");
	assert_memory_equal(tensor_plain(a->parameters.item[i].value),
	                    tensor_plain(b->parameters.item[k].value), 64 * 64 * 9 * 4);
	assert_true(fabs(mean_square(a->parameters.item[i].value) * 64 * 9 / 2 - 1) < 0.03);
	k = parameter_find(&a->parameters, "layer3.1.conv2.weight");
	assert_memory_not_equal(tensor_plain(a->parameters.item[i].value),
	                        tensor_plain(a->parameters.item[k].value), 64 * 64 * 9 * 4);
	k = parameter_find(&b->parameters, "layer3.1.conv1.weight");
	parameter_start(&b->parameters, 6);
	assert_memory_not_equal(tensor_plain(a->parameters.item[i].value),
	                        tensor_plain(b->parameters.item[k].value), 64 * 64 * 9 * 4);
	i = parameter_find(&a->parameters, "linear.weight");
	assert_true(fabs(mean_square(a->parameters.item[i].value) * 64 * 3 - 1) < 0.15);
	assert_true(tensor_at(a->parameters.item[1].value, 3) == 1);
	assert_true(tensor_at(a->parameters.item[2].value, 3) == 0);
	model_free(a);
	model_free(b);
}

/* A small network in double, with values of its own everywhere. */
static struct model *small_model(enum model_shortcut shortcut)
{
	struct model_config c = {.name = "small",
	                         .stages = 2,
	                         .blocks = {1, 1},
	                         .width = 4,
	                         .shortcut = shortcut,
	                         .shortcut_name = "shortcut",
	                         .linear_name = "linear",
	                         .channels = 3,
	                         .image_px = 9,
	                         .classes = 3,
	                         .norm_eps = 1e-5,
	                         .norm_momentum = 0.1};
	struct model *m = model_new(&c, F64);

	parameter_start(&m->parameters, 3);
	for (int i = 0; i < m->buffers.count; i++)
		for (int64_t k = 0, n = shape_count(m->buffers.item[i].value->shape); k < n; k++)
			((double *)tensor_write(m->buffers.item[i].value))[k] += 0.01 * (double)k;
	return m;
}

static struct tensor *small_images(int64_t n)
{
	struct tensor *t = tensor_new(F64, SHAPE(n, 3, 9, 9));

	for (int64_t i = 0; i < shape_count(t->shape); i++)
		((double *)tensor_write(t))[i] = sin(0.37 * (double)i);
	return t;
}

static void evaluate(const struct model *m, struct tensor *images, bool recording, double *logits)
{
	struct tape t;
	struct forward f;

	tape_init(&t, &backend_ref);
	t.recording = recording;
	model_begin(&f, &t, m, FORWARD_EVALUATION, NULL);
	tensor_to_f64(model_forward(m, &f, tape_leaf(&t, images)), logits);
	forward_release(&f);
	tape_release(&t);
}

static void recording_and_batching_do_not_change_logits(void **state)
{
	double whole[5 * 3], unrecorded[5 * 3], one[3];
	struct tensor *five = small_images(5), *first = small_images(1);

	for (int shortcut = 0; shortcut < 2; shortcut++) {
		struct model *m = small_model(shortcut ? SHORTCUT_PROJECTION : SHORTCUT_PAD);

		evaluate(m, five, true, whole);
		evaluate(m, five, false, unrecorded);
		evaluate(m, first, false, one);
		assert_memory_equal(whole, unrecorded, sizeof(whole));
		for (int i = 0; i < 3; i++)
			assert_true(fabs(one[i] - whole[i]) < 1e-14);
		model_free(m);
	}
	tensor_free(five);
	tensor_free(first);
}

/* Option A by hand: channels 2 to 5 of 8 are every second pixel, the others zero.  A block whose
 * own branch is silenced (gamma = beta = 0) gives exactly that. */
static void option_a_subsamples_and_pads_on_both_sides(void **state)
{
	struct model *a = small_model(SHORTCUT_PAD);
	double with[3], without[3];
	struct tensor *images = small_images(1);
	int linear = parameter_find(&a->parameters, "linear.weight");
	double *w = tensor_write(a->parameters.item[linear].value); // (3, 8)

	for (int i = 0; i < a->parameters.count; i++)
		if (strstr(a->parameters.item[i].name, "layer2.0.bn2"))
			memset(tensor_write(a->parameters.item[i].value), 0, 8 * sizeof(double));
	evaluate(a, images, false, with);
	for (int i = 0; i < 3; i++)
		for (int k = 0; k < 8; k++)
			w[i * 8 + k] = k < 2 || k > 5 ? 1e6 : w[i * 8 + k];
	evaluate(a, images, false, without);
	assert_memory_equal(with, without, sizeof(with));
	w[2] += 1; /* a channel that counts */
	evaluate(a, images, false, without);
	assert_memory_not_equal(with, without, sizeof(with));
	tensor_free(images);
	model_free(a);
}

static void running_statistics_take_one_unbiased_step(void **state)
{
	struct model *m = small_model(SHORTCUT_PAD);
	struct tensor *images = small_images(2);
	struct tape t;
	struct forward f;
	double mean = 0, square = 0, old_mean = tensor_at(m->buffers.item[0].value, 1);
	double old_variance = tensor_at(m->buffers.item[1].value, 1);
	const int64_t n = 2 * 9 * 9;

	tape_init(&t, &backend_ref);
	model_begin(&f, &t, m, FORWARD_TRAINING, NULL);
	model_forward(m, &f, tape_leaf(&t, images));
	struct tensor *x = op_conv(&t, tape_leaf(&t, images), f.raw[0], 1, 1, 1);
	for (int64_t i = 0; i < 2; i++)
		for (int64_t p = 0; p < 81; p++)
			mean += tensor_at(x, (i * 4 + 1) * 81 + p) / (double)n;
	for (int64_t i = 0; i < 2; i++)
		for (int64_t p = 0; p < 81; p++)
			square += pow(tensor_at(x, (i * 4 + 1) * 81 + p) - mean, 2);
	model_update_statistics(m, f.statistics);
	assert_true(fabs(tensor_at(m->buffers.item[0].value, 1) - 0.9 * old_mean - 0.1 * mean) <
	            1e-14);
	assert_true(fabs(tensor_at(m->buffers.item[1].value, 1) - 0.9 * old_variance -
	                 0.1 * square / (double)(n - 1)) < 1e-14);
	forward_release(&f);
	tape_release(&t);
	tensor_free(images);
	model_free(m);
}

static char *saved(const struct model *m, const char *name)
{
	char *path = path_join(folder, name);
	struct safetensors_writer *w = safetensors_writer_new();
	struct error e = {{0}};

	model_save(m, w);
	if (safetensors_write(w, path, &e))
		fail_msg("%s", e.text);
	safetensors_writer_free(w);
	return path;
}

static void a_saved_model_loads_with_the_same_bits(void **state)
{
	struct model *a = small_model(SHORTCUT_PROJECTION);
	struct model *b = model_new(&a->config, F64);
	char *path = saved(a, "a.safetensors");
	struct error e = {{0}};

	assert_int_equal(model_load(b, path, &e), 0);
	for (int i = 0; i < a->parameters.count; i++)
		assert_memory_equal(tensor_plain(a->parameters.item[i].value),
		                    tensor_plain(b->parameters.item[i].value),
		                    (size_t)shape_count(a->parameters.item[i].value->shape) * 8);
	for (int i = 0; i < a->buffers.count; i++)
		assert_memory_equal(tensor_plain(a->buffers.item[i].value),
		                    tensor_plain(b->buffers.item[i].value),
		                    (size_t)shape_count(a->buffers.item[i].value->shape) * 8);
	free(path);
	model_free(a);
	model_free(b);
}

/* As DataParallel and Lightning save: every name wrapped, halves, counters without a model's name.
 */
static void wrapped_names_and_halves_are_read(void **state)
{
	struct model *a = small_model(SHORTCUT_PROJECTION), *b = model_new(&a->config, F64);
	struct safetensors_writer *w = safetensors_writer_new();
	char *path = path_join(folder, "wrapped.safetensors");
	uint16_t one[8 * 8 * 9]; /* 1 in half precision */
	struct error e = {{0}};

	for (int i = 0; i < 8 * 8 * 9; i++)
		one[i] = 0x3c00;
	for (int i = 0; i < a->parameters.count + a->buffers.count; i++) {
		bool buffer = i >= a->parameters.count;
		struct parameter *p =
		        buffer ? &a->buffers.item[i - a->parameters.count] : &a->parameters.item[i];
		char *name = xformat("module.model.%s", p->name);
		safetensors_put(w, name, "F16", p->value->shape, one);
		free(name);
	}
	safetensors_put(w, "module.model.bn1.num_batches_tracked", "I64", SCALAR, (int64_t[]){7});
	assert_int_equal(safetensors_write(w, path, &e), 0);
	if (model_load(b, path, &e))
		fail_msg("%s", e.text);
	assert_true(tensor_at(b->parameters.item[0].value, 5) == 1);
	safetensors_put(w, "unwrapped", "F16", SHAPE(1), one);
	assert_int_equal(safetensors_write(w, path, &e), 0);
	assert_int_equal(model_load(b, path, &e), -1); /* then the prefix is part of the names */
	assert_non_null(strstr(e.text, "missing: conv1.weight"));
	safetensors_writer_free(w);
	free(path);
	model_free(a);
	model_free(b);
}

static void a_mismatch_lists_all_and_changes_nothing(void **state)
{
	struct model *small = small_model(SHORTCUT_PROJECTION);
	struct model_config c = small->config;
	char *path = saved(small, "small.safetensors");
	struct error e = {{0}};
	struct model *other;

	c.classes = 4;
	c.blocks[0] = 2;
	c.shortcut = SHORTCUT_PAD;
	other = model_new(&c, F64);
	assert_int_equal(model_load(other, path, &e), -1);
	assert_non_null(strstr(e.text, "10 missing: layer1.1.conv1.weight"));
	assert_non_null(strstr(e.text, "and 2 more"));
	assert_non_null(strstr(e.text, "5 extra: layer2.0.shortcut"));
	assert_non_null(strstr(e.text, "2 misshapen: linear.weight (3,8) instead of (4,8), "
	                               "linear.bias (3) instead of (4)"));
	assert_null(strchr(e.text, '\n'));
	assert_true(mean_square(other->parameters.item[0].value) == 0);
	free(path);
	model_free(other);
	model_free(small);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(models_have_their_published_sizes),
	        cmocka_unit_test(large_stems_have_torchvisions_sizes),
	        cmocka_unit_test(stems_go_by_name_or_by_the_size_of_images),
	        cmocka_unit_test(names_are_those_of_public_checkpoints),
	        cmocka_unit_test(unknown_names_are_told_with_what_is_known),
	        cmocka_unit_test(starting_values_depend_on_seed_and_name_alone),
	        cmocka_unit_test(recording_and_batching_do_not_change_logits),
	        cmocka_unit_test(option_a_subsamples_and_pads_on_both_sides),
	        cmocka_unit_test(running_statistics_take_one_unbiased_step),
	        cmocka_unit_test(a_saved_model_loads_with_the_same_bits),
	        cmocka_unit_test(wrapped_names_and_halves_are_read),
	        cmocka_unit_test(a_mismatch_lists_all_and_changes_nothing),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
