/* Laws of images from outside: noise, fits, scores, and how trials tell them apart. */
#include "core/data/outside.h"
#include "core/eval/score.h"
#include "schemas/ood_set.h"
#include "schemas/trial_spec.h"
#include "tests/dataset_lab.h"
#include <math.h>

/* ---- scores ---- */
static void scores_are_those_written_out(void **state)
{
	const float logits[] = {logf(0.7f), logf(0.2f), logf(0.1f), 1000, 0, -1000};
	const float raw[] = {3, 1, 2, -5, -5, -5};
	double s[2 * SCORES];

	score_logits(logits, raw, 2, 3, s);
	assert_true(fabs(s[SCORE_MAX_SOFTMAX] - 0.7) < 1e-6);
	assert_true(s[SCORE_MAX_LOGIT] == 3);
	assert_true(fabs(s[SCORE_ENERGY] - log(exp(3) + exp(1) + exp(2))) < 1e-12);
	assert_true(isnan(s[SCORE_SUBTASK]) && isnan(s[SCORE_SUBTASK_MAX]));
	assert_true(s[SCORES + SCORE_MAX_SOFTMAX] == 1);
	assert_true(fabs(s[SCORES + SCORE_ENERGY] - (-5 + log(3))) < 1e-12);
}

/* ---- noise ---- */
static struct dataset *open_outside(struct outside_request r)
{
	struct error e = {{0}};
	struct dataset *d;

	if (outside_open(&r, &d, &e))
		fail_msg("%s", e.text);
	return d;
}

static void noise_is_a_function_of_seed_kind_and_image(void **state)
{
	struct outside_request r = {.kind = "gaussian", .size_px = 8, .limit = 20, .seed = 3};
	struct dataset *a = open_outside(r);
	r.limit = 7;
	struct dataset *b = open_outside(r);
	r.seed = 4;
	struct dataset *c = open_outside(r);
	size_t bytes = 7 * 3 * 8 * 8;

	assert_int_equal(b->count, 7);
	assert_memory_equal(a->pixels, b->pixels, bytes);
	assert_memory_not_equal(a->pixels, c->pixels, bytes);
	assert_memory_not_equal(a->pixels, a->pixels + 3 * 8 * 8, 3 * 8 * 8);
	dataset_free(a);
	dataset_free(b);
	dataset_free(c);
}

static void assert_moments(const char *kind, double mean, double deviation, int most_extreme)
{
	struct dataset *d = open_outside((struct outside_request){.kind = kind, .size_px = 16});
	int64_t n = d->count * 3 * 16 * 16, extreme = 0;
	double sum = 0, square = 0;

	assert_int_equal(d->count, NOISE_IMAGES);
	for (int64_t i = 0; i < n; i++) {
		sum += d->pixels[i];
		square += (double)d->pixels[i] * d->pixels[i];
		extreme += d->pixels[i] == 0 || d->pixels[i] == 255;
	}
	assert_true(fabs(sum / (double)n - mean) < 0.1);
	assert_true(fabs(sqrt(square / (double)n - pow(sum / (double)n, 2)) - deviation) < 0.2);
	assert_true((double)extreme / (double)n < most_extreme / 1000.0);
	dataset_free(d);
}

static void noise_has_the_moments_it_says(void **state)
{
	assert_moments("uniform", 127.5, 73.9, 9);
	assert_moments("gaussian", 127.5, 61.2, 60); /* 2.3 % are clamped on either side */
}

/* ---- fits ---- */
static void a_set_of_that_size_is_taken_as_it_is(void **state)
{
	struct place p = place_new();
	struct dataset *own = open_split("shapes", NULL, p.cache, SPLIT_TEST);
	struct dataset *d = open_outside((struct outside_request){
	        .kind = "shapes", .cache = p.cache, .size_px = own->height, .limit = 5});

	assert_int_equal(d->count, 5);
	assert_int_equal(d->classes, 1);
	assert_memory_equal(d->pixels, own->pixels, 5 * 3 * 32 * 32);
	for (int i = 0; i < 5; i++)
		assert_int_equal(d->label[i], 0);
	dataset_free(d);
	dataset_free(own);
	place_remove(&p);
}

static void a_crop_is_the_middle_and_a_resize_is_all_of_it(void **state)
{
	struct place p = place_new();
	struct dataset *own = open_split("shapes", NULL, p.cache, SPLIT_TEST);
	struct outside_request r = {.kind = "shapes", .cache = p.cache, .size_px = 16, .limit = 2};
	struct dataset *resized = open_outside(r);
	r.fit = FIT_CROP;
	struct dataset *cropped = open_outside(r);

	for (int y = 0; y < 16; y++)
		assert_memory_equal(cropped->pixels + 3 * 256 + y * 16,
		                    own->pixels + 3 * 1024 + (y + 8) * 32 + 8, 16);
	double all = 0, small = 0;
	for (int i = 0; i < 1024; i++)
		all += own->pixels[i] / 1024.0;
	for (int i = 0; i < 256; i++)
		small += resized->pixels[i] / 256.0;
	assert_true(fabs(all - small) < 2);
	dataset_free(resized);
	dataset_free(cropped);
	dataset_free(own);
	place_remove(&p);
}

static void small_grey_digits_are_brought_to_colour_and_size(void **state)
{
	char *path = real_data_or_skip(__func__, "digits-ood.tar");
	struct place p = place_new();
	char *unpack = xformat("mkdir -p %s && tar xf %s -C %s", p.source, path, p.source);
	assert_int_equal(system(unpack), 0);
	char *mnist = xformat("%s/digits-ood/mnist", p.source);
	struct dataset *d = open_outside((struct outside_request){
	        .kind = "idx", .source = mnist, .cache = p.cache, .size_px = 32, .limit = 50});

	assert_int_equal(d->count, 50);
	assert_int_equal(d->height, 32);
	assert_memory_equal(d->pixels, d->pixels + 1024, 1024); /* grey: red is green */
	dataset_free(d);
	free(mnist);
	free(unpack);
	place_remove(&p);
	free(path);
}

/* ---- fields ---- */
static void assert_set_refused(const char *sets, const char *message)
{
	struct error e = {{0}};
	cJSON *list = cJSON_Parse(sets);

	assert_non_null(list);
	assert_true(ood_sets_check(list, "ood.sets", &e) > 0);
	if (!strstr(e.text, message))
		fail_msg("%s: no \"%s\" in \"%s\"", sets, message, e.text);
	cJSON_Delete(list);
}

static void mistakes_in_sets_are_said_with_their_place(void **state)
{
	struct error e = {{0}};
	cJSON *good = cJSON_Parse("[\"uniform\", {\"data\": \"idx\", \"path\": \"x\", \"name\": "
	                          "\"mnist\", \"fit\": \"crop\"}]");

	assert_int_equal(ood_sets_check(good, "ood.sets", &e), 0);
	cJSON_Delete(good);
	assert_set_refused("[\"uniform\", \"cifar1000\"]",
	                   "ood.sets[1]: data set \"cifar1000\" is not known; did you mean "
	                   "\"cifar100\"?");
	assert_set_refused("[{\"data\": \"cifar10\", \"fitt\": \"crop\"}]",
	                   "did you mean \"fit\"?");
	assert_set_refused("[{\"data\": \"cifar10\", \"fit\": \"pad\"}]", "resize or crop");
	assert_set_refused("[\"uniform\", \"uniform\"]", "two of the name \"uniform\"");
	assert_set_refused("[{\"name\": \"x\"}]", "\"data\" is missing");
	assert_set_refused("[7]", "a name or an object");
}

static void a_set_that_lies_anywhere_needs_its_path(void **state)
{
	assert_set_refused("[{\"data\": \"folder\"}]", "ood.sets[0]: data set folder needs a path");
	assert_set_refused("[\"uniform\", \"idx\"]", "ood.sets[1]: data set idx needs a path");
	assert_set_refused("[{\"data\": \"idx\", \"path\": \"\"}]", "needs a path");
}

static void a_set_is_reported_by_one_plain_word(void **state)
{
#define NAMED(name) "[{\"data\": \"shapes\", \"name\": \"" name "\"}]"
#define OF_64       "0123456789012345678901234567890123456789012345678901234567890_.+"
	static const char *const bad[] = {NAMED(""),       NAMED("a\\nb"),    NAMED("a/b"),
	                                  NAMED("a b"),    NAMED("\xc3\xa4"), NAMED("a\\\"b"),
	                                  NAMED(OF_64 "x")};
	struct error e = {{0}};
	cJSON *good = cJSON_Parse("[{\"data\": \"shapes\", \"name\": \"" OF_64 "\"}]");

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_set_refused(bad[i],
		                   "ood.sets[0]: name: 1 to 64 of a-z A-Z 0-9 _ . + - are allowed");
	assert_int_equal(ood_sets_check(good, "ood.sets", &e), 0);
	cJSON_Delete(good);
}

static void identity_of(const char *sets, char hex[SHA256_HEX])
{
	char *text = xformat("{\"data\": {\"name\": \"shapes\"}, \"model\": {\"name\": "
	                     "\"resnet20\"}, \"ood\": {\"sets\": %s}}",
	                     sets);
	cJSON *trial = cJSON_Parse(text);

	assert_non_null(trial);
	trial_identity(trial, hex);
	cJSON_Delete(trial);
	free(text);
}

static void bytes_of_a_set_make_the_identity_not_where_they_lie(void **state)
{
	char a[SHA256_HEX], b[SHA256_HEX], c[SHA256_HEX];

	identity_of("[{\"data\": \"idx\", \"path\": \"here\", \"digest\": \"ab\"}]", a);
	identity_of("[{\"data\": \"idx\", \"path\": \"there\", \"digest\": \"ab\"}]", b);
	identity_of("[{\"data\": \"idx\", \"path\": \"here\", \"digest\": \"cd\"}]", c);
	assert_string_equal(a, b);
	assert_string_not_equal(a, c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(scores_are_those_written_out),
	        cmocka_unit_test(noise_is_a_function_of_seed_kind_and_image),
	        cmocka_unit_test(noise_has_the_moments_it_says),
	        cmocka_unit_test(a_set_of_that_size_is_taken_as_it_is),
	        cmocka_unit_test(a_crop_is_the_middle_and_a_resize_is_all_of_it),
	        cmocka_unit_test(small_grey_digits_are_brought_to_colour_and_size),
	        cmocka_unit_test(mistakes_in_sets_are_said_with_their_place),
	        cmocka_unit_test(a_set_that_lies_anywhere_needs_its_path),
	        cmocka_unit_test(a_set_is_reported_by_one_plain_word),
	        cmocka_unit_test(bytes_of_a_set_make_the_identity_not_where_they_lie),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
