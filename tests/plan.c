/* Laws of the table of convolution algorithms, and of what `make tune` writes into it. */
#include "core/tensor/onednn/plan.h"
#include "core/base/random.h"
#include "tests/trial_run.h"

static const char source[] = "core/tensor/onednn/plan.def";

/* A table as tune finds it: rows of others, and one of a shape that it does not measure. */
#define HEAD  "/* Head. */\n"
#define OTHER "PLAN(16, ANY, 3, 1, 64, CONV_WINOGRAD)\nPLAN(8, ANY, 1, 1, 0, CONV_DIRECT)\n"
#define LAST  "PLAN(0, ANY, 0, 0, 0, CONV_DIRECT)\n"
#define OURS  "PLAN(8, ANY, 3, 1, 16, CONV_WINOGRAD)\n"

static void every_convolution_has_an_algorithm(void **state)
{
	struct random_stream r = random_stream(1, "plan", 0, 0);
	struct error e = {0};
	char *text = file_read(source, NULL, &e);

	assert_non_null(text);
	assert_non_null(strstr(text, "\n" LAST));
	assert_string_equal(strstr(text, LAST), LAST); /* the last line */
	free(text);
	for (uint64_t i = 0; i < 1000; i++) {
		struct conv_key k = {.direction = (int64_t)random_below(&r, 5 * i, 3),
		                     .groups = 1,
		                     .images = 1,
		                     .in = {8, 8},
		                     .out = {8, 8},
		                     .threads = 1};
		k.channels_in = (int64_t)random_below(&r, 5 * i + 1, 600) + 1;
		k.channels_out = (int64_t)random_below(&r, 5 * i + 2, 600) + 1;
		k.window[0] = k.window[1] = (int64_t)random_below(&r, 5 * i + 3, 7) + 1;
		k.stride = (int64_t)random_below(&r, 5 * i + 4, 2) + 1;
		if (k.window[0] != 3 || k.stride != 1) /* Winograd is for these alone */
			assert_int_equal(plan_algorithm(&k), CONV_DIRECT);
	}
}

/* What tune makes of the table when it has measured these times. */
static void assert_written(const char *times, const char *old, const char *expect)
{
	char self[PATH_MAX] = {0};
	struct error e = {0};

	assert_int_equal(file_write(below("times"), times, strlen(times), &e), 0);
	assert_int_equal(file_write(below("plan.def"), old, strlen(old), &e), 0);
	assert_true(readlink("/proc/self/exe", self, sizeof self - 1) > 0);
	char *line = xformat("%s/bench/tune --from %s %s >%s", dirname(self), below("times"),
	                     below("plan.def"), below("log"));
	for (int again = 0; again < 2; again++) { /* the second time changes nothing */
		assert_int_equal(system(line), 0);
		char *text = file_read(below("plan.def"), NULL, &e);
		assert_string_equal(text, expect);
		free(text);
	}
	free(line);
}

static void faster_algorithms_get_rows(void **state)
{
	assert_written("CONV_FORWARD 512 1.0 1.2\nCONV_GRAD_WEIGHT 16 1.0 2.0\n"
	               "CONV_GRAD_WEIGHT 32 1.0 2.0\n",
	               HEAD OURS OTHER LAST,
	               HEAD "PLAN(8, CONV_FORWARD, 3, 1, 512, CONV_DIRECT)\n"
	                    "PLAN(8, CONV_FORWARD, 3, 1, 16, CONV_WINOGRAD)\n"
	                    "PLAN(8, CONV_GRAD_INPUT, 3, 1, 16, CONV_WINOGRAD)\n"
	                    "PLAN(8, CONV_GRAD_WEIGHT, 3, 1, 64, CONV_WINOGRAD)\n" OTHER LAST);
	assert_written("CONV_FORWARD 16 1 2\nCONV_GRAD_INPUT 16 1 2\nCONV_GRAD_WEIGHT 16 1 2\n",
	               HEAD OURS OTHER LAST,
	               HEAD "PLAN(8, ANY, 3, 1, 32, CONV_WINOGRAD)\n" OTHER LAST);
}

static void rows_stay_within_the_noise_and_without_times(void **state)
{
	assert_written("CONV_FORWARD 64 1.00 1.04\nCONV_GRAD_INPUT 64 1.04 1.00\n",
	               HEAD OURS OTHER LAST, HEAD OURS OTHER LAST);
	assert_written("", HEAD OURS OTHER LAST, HEAD OURS OTHER LAST);
}

int main(void)
{
	const struct CMUnitTest laws[] = {
	        cmocka_unit_test(every_convolution_has_an_algorithm),
	        cmocka_unit_test(faster_algorithms_get_rows),
	        cmocka_unit_test(rows_stay_within_the_noise_and_without_times),
	};

	cmocka_set_test_filter(getenv("TRAWL_TEST_ONLY"));
	return cmocka_run_group_tests_name("plan", laws, scratch_make, scratch_remove);
}
