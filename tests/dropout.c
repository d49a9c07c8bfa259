/* Laws of dropout: masks are functions of images and epochs, and what sampled passes mean. */
#include "core/nn/forward.h"
#include "tests/trial_run.h"
#include "tests/values.h"

enum { IMAGES = 40, CHANNELS = 50 };

static struct tensor *dropped(const int64_t *sample, int64_t images, int64_t round, int head)
{
	struct tensor *ones = tensor_zeros(F64, SHAPE(images, CHANNELS));
	struct forward f = {0};
	struct tape t;

	for (int64_t i = 0; i < images * CHANNELS; i++)
		tensor_set(ones, i, 1);
	tape_init(&t, &backend_ref);
	f.tape = &t;
	f.dropout = (struct dropout){0.25, 7, "dropout", round, sample};
	struct tensor *y = tensor_copy(forward_drop(&f, tape_leaf(&t, ones), head));
	tape_release(&t);
	tensor_free(ones);
	return y;
}

static bool same_row(struct tensor *a, int64_t i, struct tensor *b, int64_t k)
{
	for (int64_t c = 0; c < CHANNELS; c++)
		if (tensor_at(a, i * CHANNELS + c) != tensor_at(b, k * CHANNELS + c))
			return false;
	return true;
}

static void what_is_dropped_goes_by_image_epoch_and_head(void **state)
{
	int64_t order[IMAGES], turned[IMAGES];
	double sum = 0;

	for (int64_t i = 0; i < IMAGES; i++) {
		order[i] = i;
		turned[i] = IMAGES - 1 - i;
	}
	struct tensor *a = dropped(order, IMAGES, 0, 0), *b = dropped(turned, 10, 0, 0);
	struct tensor *later = dropped(order, IMAGES, 1, 0), *other = dropped(order, IMAGES, 0, 1);
	for (int64_t i = 0; i < 10; i++)
		assert_true(same_row(b, i, a, IMAGES - 1 - i));
	assert_false(same_row(a, 0, a, 1));
	assert_false(same_row(a, 0, later, 0));
	assert_false(same_row(a, 0, other, 0));
	for (int64_t i = 0; i < IMAGES * CHANNELS; i++) {
		double v = tensor_at(a, i);
		assert_true(v == 0 || fabs(v - 1 / 0.75) < 1e-12);
		sum += v;
	}
	assert_true(fabs(sum / (IMAGES * CHANNELS) - 1) < 0.05); /* the mean stays */
	tensor_free(a);
	tensor_free(b);
	tensor_free(later);
	tensor_free(other);
}

#define TRIAL(rate, samples, epochs, batch)                                                \
	"{\"data\": {\"name\": \"shapes\", \"limit\": 96, \"test_limit\": 40}, \"eval\": " \
	"{\"batch\": " batch ", \"dropout_samples\": " samples                             \
	"}, \"model\": {\"name\": \"resnet20\", \"width\": 4, "                            \
	"\"dropout\": " rate "}, \"train\": {\"batch\": 32, \"epochs\": " epochs           \
	", \"shards\": 2}}"

static void run(const char *json, const char *folder, int ranks, const char *option,
                const char *argument)
{
	struct trial_run r = {.trial = "trial.json", .folder = folder, .ranks = ranks};

	trial_write("trial.json", json);
	r.more[0] = option;
	r.more[1] = argument;
	assert_runs(&r);
}

static void ranks_and_interruptions_change_no_bit(void **state)
{
	static const char json[] = TRIAL("0.5", "0", "2", "16");

	run(json, "one", 0, NULL, NULL);
	run(json, "two", 2, NULL, NULL);
	assert_same_file("one", "two", "weights.safetensors");
	run(json, "cut", 0, "--stop-after", "4");
	run(json, "cut", 2, "--resume", below("cut/checkpoint-00000004.safetensors"));
	assert_same_file("one", "cut", "weights.safetensors");
	run(TRIAL("0", "0", "2", "16"), "none", 0, NULL, NULL);
	char a[SHA256_HEX], b[SHA256_HEX];
	hash_of("one", "weights.safetensors", a);
	hash_of("none", "weights.safetensors", b);
	assert_string_not_equal(a, b);
}

static void sampled_passes_go_by_image_not_by_batch(void **state)
{
	const char *weights = below("one/weights.safetensors");

	run(TRIAL("0.5", "7", "0", "16"), "mc", 0, "--input", weights);
	run(TRIAL("0.5", "7", "0", "8"), "mc8", 0, "--input", weights);
	run(TRIAL("0.5", "0", "0", "16"), "plain", 0, "--input", weights);
	assert_true(fabs(trial_loss("mc") - trial_loss("mc8")) < 1e-5);
	assert_true(fabs(trial_loss("mc") - trial_loss("plain")) > 1e-4);
	run(TRIAL("0.5", "2000", "0", "16"), "many", 0, "--input", weights);
	run(TRIAL("0.5", "2000", "0", "40"), "many2", 2, "--input", weights);
	assert_true(fabs(trial_loss("many") - trial_loss("many2")) < 1e-5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(what_is_dropped_goes_by_image_epoch_and_head),
	        cmocka_unit_test(ranks_and_interruptions_change_no_bit),
	        cmocka_unit_test(sampled_passes_go_by_image_not_by_batch),
	};

	return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
