/* Laws of batches: what a sample looks like depends on nothing but seed, epoch and sample. */
#include "core/data/batch.h"
#include "core/base/random.h"
#include "tests/fixture.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { COUNT = 50, SIDE = 12, IMAGE = 3 * SIDE * SIDE, PAD = 3 };

/* A data set in memory whose bytes are all different from their neighbours and never 0. */
static struct dataset *small_set(void)
{
	static uint8_t pixels[COUNT * IMAGE];
	static int32_t label[COUNT];
	static struct dataset d = {.name = "cifar10",
	                           .count = COUNT,
	                           .channels = 3,
	                           .height = SIDE,
	                           .width = SIDE,
	                           .classes = 10,
	                           .pixels = pixels,
	                           .label = label};

	for (int i = 0; i < COUNT * IMAGE; i++)
		pixels[i] = (uint8_t)(1 + (i * 7 + i / IMAGE * 13) % 255);
	for (int i = 0; i < COUNT; i++)
		label[i] = i % 10;
	return &d;
}

static struct augment augmented(const struct dataset *d)
{
	struct augment a = augment_none(d);

	a.crop_padding_px = PAD;
	a.flip = true;
	a.seed = 7;
	return a;
}

static void plain_batch_is_normalised_pixels(void **state)
{
	struct dataset *d = small_set();
	struct augment a = augment_none(d);
	int64_t index[3] = {4, 0, 49};
	float out[3 * IMAGE];
	int32_t labels[3];

	batch_fill(d, index, 3, &a, 0, out, labels);
	assert_true(a.mean[0] == 0.4914f && a.std[2] == 0.2616f);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(labels[i], index[i] % 10);
		for (int k = 0; k < IMAGE; k++) {
			int c = k / (SIDE * SIDE);
			float x = (float)d->pixels[index[i] * IMAGE + k] / 255.0f;
			assert_true(out[i * IMAGE + k] == (x - a.mean[c]) / a.std[c]);
		}
	}
}

/* The slow, obvious form: pad with zeros, cut at (top, left), mirror, normalise. */
static void reference(const struct dataset *d, int64_t sample, const struct augment *a, int top,
                      int left, bool mirrored, float *out)
{
	for (int c = 0; c < 3; c++)
		for (int y = 0; y < SIDE; y++)
			for (int x = 0; x < SIDE; x++) {
				int row = y + top - a->crop_padding_px;
				int column =
				        (mirrored ? SIDE - 1 - x : x) + left - a->crop_padding_px;
				bool inside =
				        row >= 0 && row < SIDE && column >= 0 && column < SIDE;
				int at = (c * SIDE + row) * SIDE + column;
				float v = inside ? (float)d->pixels[sample * IMAGE + at] : 0.0f;
				out[(c * SIDE + y) * SIDE + x] =
				        (v / 255.0f - a->mean[c]) / a->std[c];
			}
}

static int matches(const struct dataset *d, int64_t sample, const struct augment *a,
                   const float *got)
{
	float want[IMAGE];

	for (int top = 0; top <= 2 * a->crop_padding_px; top++)
		for (int left = 0; left <= 2 * a->crop_padding_px; left++)
			for (int mirrored = 0; mirrored < 2; mirrored++) {
				reference(d, sample, a, top, left, mirrored, want);
				if (memcmp(want, got, sizeof want) == 0)
					return (top * 64 + left) * 2 + mirrored;
			}
	return -1;
}

static void augmented_sample_is_some_crop_and_mirror(void **state)
{
	struct dataset *d = small_set();
	struct augment a = augmented(d);
	bool seen[2 * 64 * 64] = {0};
	float out[IMAGE];

	for (int64_t epoch = 0; epoch < 20; epoch++)
		for (int64_t i = 0; i < COUNT; i++) {
			batch_fill(d, &i, 1, &a, epoch, out, NULL);
			int which = matches(d, i, &a, out);
			assert_true(which >= 0);
			seen[which] = true;
		}
	for (int top = 0; top <= 2 * PAD; top++) /* 98 cases in 1000 draws: each is there */
		for (int left = 0; left <= 2 * PAD; left++)
			for (int mirrored = 0; mirrored < 2; mirrored++)
				assert_true(seen[(top * 64 + left) * 2 + mirrored]);
}

static void padding_wider_than_the_image_gives_black(void **state)
{
	struct dataset *d = small_set();
	struct augment a = augmented(d);
	float out[IMAGE];

	a.crop_padding_px = 2 * SIDE;
	for (int64_t i = 0; i < COUNT; i++) {
		batch_fill(d, &i, 1, &a, 0, out, NULL);
		assert_true(matches(d, i, &a, out) >= 0);
	}
}

static void sample_does_not_depend_on_its_batch(void **state)
{
	struct dataset *d = small_set();
	struct augment a = augmented(d);
	int64_t index[COUNT];
	float *whole = xmalloc(sizeof *whole * COUNT * IMAGE), part[IMAGE * 7];

	epoch_order(3, 5, index, COUNT);
	batch_fill(d, index, COUNT, &a, 5, whole, NULL);
	for (int64_t first = 0; first < COUNT; first += 7) {
		int64_t n = COUNT - first < 7 ? COUNT - first : 7;
		batch_fill(d, index + first, n, &a, 5, part, NULL);
		assert_memory_equal(part, whole + first * IMAGE, (size_t)n * IMAGE * sizeof *part);
	}
	free(whole);
}

/* How many of the samples look different. */
static int differing(const struct augment *a, int64_t epoch_a, const struct augment *b,
                     int64_t epoch_b)
{
	struct dataset *d = small_set();
	float one[IMAGE], two[IMAGE];
	int count = 0;

	for (int64_t i = 0; i < COUNT; i++) {
		batch_fill(d, &i, 1, a, epoch_a, one, NULL);
		batch_fill(d, &i, 1, b, epoch_b, two, NULL);
		count += memcmp(one, two, sizeof one) != 0;
	}
	return count;
}

static void augmentation_follows_seed_and_epoch(void **state)
{
	struct augment a = augmented(small_set()), other = a;

	other.seed++;
	assert_int_equal(differing(&a, 0, &a, 0), 0);
	assert_true(differing(&a, 0, &a, 1) > COUNT * 9 / 10);
	assert_true(differing(&a, 0, &other, 0) > COUNT * 9 / 10);
}

static void flips_and_crops_are_switched_apart(void **state)
{
	struct dataset *d = small_set();
	struct augment flip = augmented(d), crop = flip, none = augment_none(d);

	flip.crop_padding_px = 0;
	crop.flip = false;
	int mirrored = differing(&flip, 0, &none, 0);
	assert_in_range(mirrored, COUNT / 4, 3 * COUNT / 4);
	assert_true(differing(&crop, 0, &none, 0) > COUNT * 8 / 10);
	assert_int_equal(differing(&none, 0, &none, 9), 0);
	int redrawn = differing(&flip, 0, &flip, 1); /* each follows the epoch on its own */
	assert_in_range(redrawn, COUNT / 4, 3 * COUNT / 4);
	assert_true(differing(&crop, 0, &crop, 1) > COUNT * 8 / 10);
	struct augment reseeded = flip;
	reseeded.seed++;
	assert_true(differing(&flip, 0, &reseeded, 0) > COUNT / 4);
}

static void order_holds_each_sample_once(void **state)
{
	enum { N = 1000 };
	int64_t a[N], b[N];
	bool seen[N] = {0};
	int moved = 0, same = 0;

	epoch_order(1, 0, a, N);
	epoch_order(1, 1, b, N);
	for (int i = 0; i < N; i++) {
		assert_false(seen[a[i]]);
		seen[a[i]] = true;
		moved += a[i] != i;
		same += a[i] == b[i];
	}
	assert_true(moved > N - 20);
	assert_true(same < 20);
	epoch_order(1, 0, b, N);
	assert_memory_equal(a, b, sizeof a);
	epoch_order(2, 0, b, N);
	assert_memory_not_equal(a, b, sizeof a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(plain_batch_is_normalised_pixels),
	        cmocka_unit_test(augmented_sample_is_some_crop_and_mirror),
	        cmocka_unit_test(padding_wider_than_the_image_gives_black),
	        cmocka_unit_test(sample_does_not_depend_on_its_batch),
	        cmocka_unit_test(augmentation_follows_seed_and_epoch),
	        cmocka_unit_test(flips_and_crops_are_switched_apart),
	        cmocka_unit_test(order_holds_each_sample_once),
	};

	return cmocka_run_group_tests_name("batch", tests, NULL, NULL);
}
