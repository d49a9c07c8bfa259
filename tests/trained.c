/* The trained ResNet-20 and ResNet-56 reach their published accuracy on the real test images.
 *
 * 1.7 million million multiply-accumulates: most of a minute on two cores. */
#include "core/base/file.h"
#include "core/base/text.h"
#include "core/data/batch.h"
#include "core/data/bundle.h"
#include "core/eval/accuracy.h"
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

static int unpack(void *context, struct bundle_file *file, struct error *e)
{
	char *to = path_join(folder, bundle_base_name(file->name));
	size_t bytes;
	char *content = bundle_read(file, 1 << 26, &bytes, e);
	int result = content ? file_write(to, content, bytes, e) : -1;

	free(content);
	free(to);
	return result;
}

static struct dataset *cifar10_test(const char *source)
{
	struct dataset_request r = {
	        .name = "cifar10", .source = source, .split = SPLIT_TEST, .cache = folder};
	struct error e = {{0}};
	struct dataset *d = NULL;

	if (dataset_open(&r, &d, &e))
		fail_msg("%s", e.text);
	return d;
}

enum { BATCH = 250, CLASSES = 10 };

static void batch_evaluate(const struct model *m, const struct dataset *d, int64_t first,
                           double *logits, int32_t *label)
{
	static const struct augment a = {.mean = {.485f, .456f, .406f},
	                                 .std = {.229f, .224f, .225f}};
	struct tensor *images = tensor_new(F32, SHAPE(BATCH, 3, 32, 32));
	int64_t index[BATCH];
	struct tape t;
	struct forward f;

	for (int i = 0; i < BATCH; i++)
		index[i] = first + i;
	batch_fill(d, index, BATCH, &a, 0, tensor_write(images), label);
	tape_init(&t, &backend_onednn);
	t.recording = false;
	model_begin(&f, &t, m, FORWARD_EVALUATION, NULL);
	tensor_to_f64(model_forward(m, &f, tape_leaf(&t, images)), logits);
	forward_release(&f);
	tape_release(&t);
	tensor_free(images);
}

/* Largest difference to the given logits of the first images. */
static double logits_difference(const double *logits, const char *name)
{
	char *path = path_join(folder, name);
	size_t bytes;
	struct error e = {{0}};
	float *given = (float *)file_read(path, &bytes, &e);
	double most = 0;

	if (!given)
		fail_msg("%s", e.text);
	for (size_t i = 0; i < bytes / sizeof(*given); i++)
		most = fmax(most, fabs(logits[i] - (double)given[i]));
	free(given);
	free(path);
	return most;
}

static void check_trained(const char *name, const char *weights, const char *logits_name,
                          int published, const char *images)
{
	struct model_config c;
	struct model *m;
	char *path = path_join(folder, weights);
	struct error e = {{0}};
	struct dataset *d = cifar10_test(images);
	struct accuracy a;
	double *logits = xcalloc((size_t)d->count * CLASSES, sizeof(*logits));
	int32_t label[BATCH];

	assert_int_equal(model_config_named(&c, name, CLASSES, NULL, &e), 0);
	m = model_new(&c, F32);
	if (model_load(m, path, &e))
		fail_msg("%s", e.text);
	accuracy_init(&a, d->count, CLASSES);
	for (int64_t i = 0; i < d->count; i += BATCH) {
		batch_evaluate(m, d, i, logits + i * CLASSES, label);
		accuracy_add(&a, i, logits + i * CLASSES, label, BATCH);
	}
	int correct = (int)lround(accuracy_top1(&a) * (double)d->count);
	double difference = logits_difference(logits, logits_name);
	print_message("%s: %d of %d images right (published %d), logits within %.1e\n", name,
	              correct, (int)d->count, published, difference);
	assert_true(abs(correct - published) <= 2);
	assert_true(difference < 1e-3);
	accuracy_release(&a);
	free(logits);
	dataset_free(d);
	free(path);
	model_free(m);
}

static void trained_networks_reach_their_published_accuracy(void **state)
{
	char *weights = real_data(__func__, "resnet-cifar10-weights.tar");
	char *images = real_data(__func__, "cifar10-small.tar.xz");
	struct error e = {{0}};

	if (!weights || !images) {
		print_message("SKIPPED trained_networks_reach_their_published_accuracy: no data\n");
		free(weights);
		free(images);
		skip();
	}
	if (bundle_each(weights, unpack, NULL, &e))
		fail_msg("%s", e.text);
	check_trained("resnet20", "resnet20-12fca82f.safetensors",
	              "resnet20-12fca82f_test_logits_10000x10.f32", 9173, images);
	check_trained("resnet56", "resnet56-4bfd9763.safetensors",
	              "resnet56-4bfd9763_test_logits_1000x10.f32", 9339, images);
	free(weights);
	free(images);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(trained_networks_reach_their_published_accuracy),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
