/* Laws of the training input: a thread changes when shards are filled, never what is in them. */
#include "core/train/input.h"
#include "core/base/random.h"
#include "tests/fixture.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { COUNT = 40, SIDE = 16, IMAGE = 3 * SIDE * SIDE, MOST = 9 };

static struct {
	struct dataset data;
	struct augment augment;
	uint8_t pixels[COUNT * IMAGE];
	int32_t label[COUNT];
	int64_t order[COUNT];
} lab = {.data = {.name = "cifar10",
                  .count = COUNT,
                  .channels = 3,
                  .height = SIDE,
                  .width = SIDE,
                  .classes = 10,
                  .pixels = lab.pixels,
                  .label = lab.label}};

static int lab_init(void **state)
{
	for (int i = 0; i < COUNT * IMAGE; i++)
		lab.pixels[i] = (uint8_t)(i * 7 + i / IMAGE * 13);
	for (int i = 0; i < COUNT; i++)
		lab.label[i] = i % 10;
	lab.augment = augment_none(&lab.data);
	lab.augment.crop_padding_px = 4;
	lab.augment.flip = true;
	epoch_order(3, 0, lab.order, COUNT);
	return 0;
}

/* Takes a shard, and asserts that it holds what batch_fill alone would give. */
static void take(struct input *in, int64_t first, int64_t n, int64_t epoch)
{
	static float expect[MOST * IMAGE];
	static int32_t label[MOST];
	struct tensor *images, *labels;

	input_take(in, lab.order + first, n, epoch, &images, &labels);
	batch_fill(&lab.data, lab.order + first, n, &lab.augment, epoch, expect, label);
	assert_int_equal(images->shape.d[0], n);
	assert_memory_equal(tensor_plain(images), expect, (size_t)(n * IMAGE) * sizeof(float));
	assert_memory_equal(tensor_plain(labels), label, (size_t)n * sizeof(int32_t));
	tensor_free(images);
	tensor_free(labels);
}

/* Random shards: ordered before they are taken, not ordered at all, or something else ordered. */
static void take_many(bool threaded, uint64_t seed)
{
	struct random_stream r = random_stream(seed, "input", 0, 0);
	struct input in;

	input_init(&in, &lab.data, &lab.augment);
	if (!threaded) { /* as where the system has none left */
		input_release(&in);
		in = (struct input){.data = &lab.data, .augment = &lab.augment};
		pthread_mutex_init(&in.lock, NULL);
		pthread_cond_init(&in.changed, NULL);
	}
	for (uint64_t i = 0; i < 200; i++) {
		int64_t n = 1 + (int64_t)random_below(&r, 4 * i, MOST);
		int64_t first = (int64_t)random_below(&r, 4 * i + 1, (uint64_t)(COUNT - n + 1));
		int64_t epoch = (int64_t)random_below(&r, 4 * i + 2, 3);
		uint64_t what = random_below(&r, 4 * i + 3, 4);
		if (what < 2)
			input_order(&in, lab.order + first, n, epoch);
		else if (what == 2)
			input_order(&in, lab.order + first, n, epoch + 1);
		take(&in, first, n, epoch);
	}
	input_release(&in);
}

static void shards_are_what_batch_fill_gives(void **state)
{
	take_many(true, 1);
	take_many(false, 2);
}

static void release_leaves_nothing_when_a_shard_is_on_order(void **state)
{
	storage_trim();
	size_t before = storage_bytes_in_use();

	for (int i = 0; i < 50; i++) {
		struct input in;
		input_init(&in, &lab.data, &lab.augment);
		input_order(&in, lab.order, MOST, i);
		if (i % 2)
			input_order(&in, lab.order + 1, MOST, i);
		input_release(&in);
		input_release(&in); /* a second time is fine: as of a trainer that had none */
	}
	assert_int_equal(storage_bytes_in_use(), before);
}

static void waiting_is_counted(void **state)
{
	struct input in;

	input_init(&in, &lab.data, &lab.augment);
	assert_true(in.wait_seconds == 0);
	take(&in, 0, MOST, 0); /* not ordered: all of it is waiting */
	assert_true(in.wait_seconds > 0);
	input_release(&in);
}

int main(void)
{
	const struct CMUnitTest laws[] = {
	        cmocka_unit_test(shards_are_what_batch_fill_gives),
	        cmocka_unit_test(release_leaves_nothing_when_a_shard_is_on_order),
	        cmocka_unit_test(waiting_is_counted),
	};

	cmocka_set_test_filter(getenv("TRAWL_TEST_ONLY"));
	return cmocka_run_group_tests_name("input", laws, lab_init, NULL);
}
