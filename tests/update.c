/* Laws of updates: of several batches, by AdamW, with a moving average of what they make. */
#include "tests/trial_run.h"

#include "core/tensor/safetensors.h"
#include "core/train/average.h"
#include <math.h>

/* 5 batches an epoch: an update of three, and one of the two that are left. */
#define TRIAL                                                                                 \
	SMALL_TRIAL("\"weight_bits\": 4", "\"epochs\": 2, \"shards\": 2, \"accumulate\": 3,"  \
	                                  " \"optimizer\": \"adamw\", \"weight_decay\": 0.1," \
	                                  " \"label_smoothing\": 0.1, \"ema_decay\": 0.75")
enum { STEPS = 10 };

static char *checkpoint_of(const char *folder, int step)
{
	char *name = xformat("checkpoint-%08d.safetensors", step);
	char *path = path_join(below(folder), name);

	free(name);
	return path;
}

/* Goes on to `stop` steps in all, or to the end; leaves a checkpoint there. */
static void part(const char *folder, int ranks, int from, int stop)
{
	struct trial_run r = {.ranks = ranks, .trial = "t.json", .folder = folder};
	int n = 0;

	if (stop) {
		r.more[n++] = "--stop-after";
		r.more[n++] = xformat("%d", stop - from);
	}
	if (from) {
		r.more[n++] = "--resume";
		r.more[n++] = checkpoint_of(folder, from);
	}
	if (trial_wait(&r))
		fail_msg("steps %d to %d:\n%s", from, stop, trial_log());
}

/* Every step but one is amid an update: the gradients so far are in the checkpoint. */
static void stopping_amid_an_update_changes_no_bit(void **state)
{
	static const int stop[] = {1, 2, 4, 5, 7, 0}, ranks[] = {1, 2, 0, 2, 1, 2};

	part("whole", 0, 0, 0);
	for (int i = 0; i < 6; i++)
		part("parts", ranks[i], i ? stop[i - 1] : 0, stop[i]);
	assert_same_file("whole", "parts", "weights.safetensors");
	assert_same_file("whole", "parts", "quantized.safetensors");
}

static struct safetensors *opened(const char *path)
{
	struct error e = {0};
	struct safetensors *f = safetensors_open(path, &e);

	if (!f)
		fail_msg("%s", e.text);
	return f;
}

static const struct safetensor *found(const struct safetensors *f, const char *prefix,
                                      const char *name)
{
	char *full = xformat("%s%s", prefix, name);
	const struct safetensor *s = safetensors_find(f, full);

	if (!s)
		fail_msg("no %s", full);
	free(full);
	return s;
}

static void run_to_the_end(const char *folder, const char *json)
{
	struct trial_run r = {.trial = "u.json", .folder = folder};

	trial_write("u.json", json);
	if (trial_wait(&r))
		fail_msg("%s", trial_log());
}

/* All weights of two trials, and their running statistics where these are to be equal too. */
static void assert_same_weights(const char *folder, const char *other, bool running)
{
	char *paths[2] = {xformat("%s/weights.safetensors", folder),
	                  xformat("%s/weights.safetensors", other)};
	struct safetensors *a = opened(below(paths[0])), *b = opened(below(paths[1]));

	for (int i = 0; i < safetensors_count(a); i++) {
		const struct safetensor *x = safetensors_item(a, i), *y = found(b, "", x->name);
		if (!running && (strstr(x->name, "running_") || !strncmp(x->name, "trawl.", 6)))
			continue;
		for (int64_t k = 0; k < x->count; k++)
			if (safetensor_at(x, k) != safetensor_at(y, k))
				fail_msg("%s differs", x->name);
	}
	for (int i = 0; i < 2; i++)
		free(paths[i]);
	safetensors_close(a);
	safetensors_close(b);
}

#define SHORT_TRIAL(limit, train)                                                      \
	"{\"data\": {\"name\": \"shapes\", \"limit\": " limit ", \"test_limit\": 20}," \
	" \"model\": {\"name\": \"resnet20\", \"width\": 4},"                          \
	" \"train\": {\"epochs\": 2, \"lr\": 0.05, " train "}}"

/* Batch norm sees 32 images in either case: a batch of two shards, or two batches. */
static void two_batches_make_the_update_of_one_of_both(void **state)
{
	run_to_the_end("one", SHORT_TRIAL("128", "\"batch\": 64, \"shards\": 2"));
	run_to_the_end("two", SHORT_TRIAL("128", "\"batch\": 32, \"accumulate\": 2"));
	assert_same_weights("one", "two", false);
}

/* 5 batches are an update, whether one of 5 or what is left of 7. */
static void what_is_left_at_the_end_counts_as_a_whole(void **state)
{
	run_to_the_end("five", SHORT_TRIAL("150", "\"batch\": 32, \"accumulate\": 5"));
	run_to_the_end("seven", SHORT_TRIAL("150", "\"batch\": 32, \"accumulate\": 7"));
	assert_same_weights("five", "seven", true);
}

static const char *const watched[] = {"conv1.weight", "bn1.running_var", "linear.bias"};

/* average = 0.75 average + 0.25 weights at each update, else both keep still. */
static void assert_average_follows(int step, bool updated)
{
	struct safetensors *before = opened(checkpoint_of("followed", step - 1));
	struct safetensors *after = opened(checkpoint_of("followed", step));

	for (int i = 0; i < 3; i++) {
		const struct safetensor *old = found(before, "trawl.average.", watched[i]);
		const struct safetensor *new = found(after, "trawl.average.", watched[i]);
		const struct safetensor *latest = found(after, "", watched[i]);
		for (int64_t k = 0; k < old->count; k++) {
			double was = safetensor_at(old, k), is = safetensor_at(latest, k);
			double want = updated ? 0.75 * was + 0.25 * is : was;
			assert_true(safetensor_at(new, k) == (double)(float)want);
		}
	}
	safetensors_close(before);
	safetensors_close(after);
}

static void assert_average_is_kept(void)
{
	struct safetensors *last = opened(checkpoint_of("followed", STEPS));
	struct safetensors *kept = opened(below("followed/weights.safetensors"));

	for (int i = 0; i < 3; i++) {
		const struct safetensor *average = found(last, "trawl.average.", watched[i]);
		const struct safetensor *weights = found(kept, "", watched[i]);
		const struct safetensor *raw = found(last, "", watched[i]);
		double moved = 0;
		for (int64_t k = 0; k < weights->count; k++) {
			assert_true(safetensor_at(weights, k) == safetensor_at(average, k));
			moved += fabs(safetensor_at(raw, k) - safetensor_at(average, k));
		}
		assert_true(moved > 0);
	}
	for (int i = 0; i < safetensors_count(kept); i++)
		assert_null(strstr(safetensors_item(kept, i)->name, "trawl.average"));
	safetensors_close(last);
	safetensors_close(kept);
}

static void the_average_follows_the_weights_and_is_kept(void **state)
{
	part("followed", 0, 0, 1);
	for (int step = 2; step <= 6; step++)
		part("followed", 0, step - 1, step);
	for (int step = 5; step <= 6; step++) /* older checkpoints are gone */
		assert_average_follows(step, step == 5);
	part("followed", 0, 6, 7);
	part("followed", 0, 7, 8);
	assert_average_follows(8, true);
	part("followed", 0, 8, 0);
	assert_average_is_kept();
}

static int write_trial(void **state)
{
	if (scratch_make(state))
		return -1;
	trial_write("t.json", TRIAL);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(stopping_amid_an_update_changes_no_bit),
	        cmocka_unit_test(two_batches_make_the_update_of_one_of_both),
	        cmocka_unit_test(what_is_left_at_the_end_counts_as_a_whole),
	        cmocka_unit_test(the_average_follows_the_weights_and_is_kept),
	};

	return cmocka_run_group_tests_name("update", tests, write_trial, scratch_remove);
}
