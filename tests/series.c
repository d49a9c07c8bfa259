/* Laws of metrics over steps: kept whole, or thinned by the rule of coordinator/series.h. */
#include "core/base/random.h"
#include "tests/turns.h"

enum { MOST = 16 };

static void begin(struct turns *t)
{
	turns_one(t);
	t->coordinator.options.metric_rows = MOST;
}

static void report(struct turns *t, int attempt, const char *name, int64_t step)
{
	turns_say(t, "a", WIRE_METRICS,
	          "{\"agent\":\"a\",\"trial\":1,\"attempt\":%d,\"batch\":1,\"rows\":[{\"name\":\"%"
	          "s\","
	          "\"step\":%ld,\"epoch\":%ld,\"value\":%ld}]}",
	          attempt, name, (long)step, (long)step, (long)step);
	assert_non_null(turns_reply(t, WIRE_METRICS_SAVED));
}

static char *steps_of(struct turns *t, const char *name)
{
	return sql_get_text(&t->store.db,
	                    "select coalesce(group_concat(step, ' '), '') from (select step from "
	                    "metric where trial = 1 and name = ? order by step)",
	                    name);
}

static void assert_kept(struct turns *t, const char *steps)
{
	char *kept = steps_of(t, "loss");

	assert_string_equal(kept, steps);
	free(kept);
}

/* Evenly spaced, from any step on, with or without factors of two. */
static void a_long_metric_keeps_between_half_and_all(void **state)
{
	static const int64_t first[] = {0, 1, 7, 1000}, spacing[] = {1, 2, 3, 64, 100};

	for (int i = 0; i < 4 * 5; i++) {
		struct turns t;
		begin(&t);
		for (int64_t k = 0; k < 300; k++) {
			int64_t step = first[i / 5] + k * spacing[i % 5];
			report(&t, 1, "loss", step);
			int64_t rows = turns_int(&t, "select count(*) from metric");
			assert_in_range(rows, k < MOST ? k + 1 : MOST / 2, MOST);
			assert_int_equal(turns_int(&t, "select min(step) from metric"),
			                 first[i / 5]);
			assert_int_equal(turns_int(&t, "select max(step) from metric"), step);
		}
		assert_int_equal(turns_int(&t, "select count(*) from metric where step <> value"),
		                 0);
		turns_release(&t);
	}
}

static void rows_at_powers_of_two_are_kept_and_the_last(void **state)
{
	struct turns t;

	begin(&t);
	for (int64_t step = 0; step <= 16; step++)
		report(&t, 1, "loss", step);
	assert_kept(&t, "0 2 4 6 8 10 12 14 16");
	report(&t, 1, "loss", 17);
	assert_kept(&t, "0 2 4 6 8 10 12 14 16 17");
	for (int64_t step = 18; step <= 35; step++)
		report(&t, 1, "loss", step);
	assert_kept(&t, "0 4 8 12 16 20 24 28 32 35");
	turns_release(&t);
}

static uint64_t draw(int64_t seed, uint64_t *element, uint64_t limit)
{
	struct random_stream stream = random_stream(seed, "series", 0, 0);

	return random_below(&stream, (*element)++, limit);
}

/* Attempts that go back to a checkpoint, batches that are said twice. */
static void repeats_leave_the_same_rows(void **state)
{
	for (int64_t seed = 1; seed <= 30; seed++) {
		struct turns whole, torn;
		uint64_t element = 0;
		int64_t end = 20 + (int64_t)draw(seed, &element, 200), spacing = 1 + seed % 3;
		begin(&whole);
		for (int64_t k = 0; k < end; k++)
			report(&whole, 1, "loss", k * spacing);
		begin(&torn);
		for (int64_t k = 0; k < end; k++) {
			report(&torn, 1, "loss", k * spacing);
			if (draw(seed, &element, 12) == 0)
				k -= (int64_t)draw(seed, &element, k < 9 ? (uint64_t)k + 2 : 10);
		}
		char *expected = steps_of(&whole, "loss"), *got = steps_of(&torn, "loss");
		if (strcmp(expected, got) != 0)
			fail_msg("seed %ld: %s\nnot %s", (long)seed, got, expected);
		assert_int_equal(turns_int(&torn, "select rows from series"),
		                 turns_int(&torn, "select count(*) from metric"));
		free(expected);
		free(got);
		turns_release(&whole);
		turns_release(&torn);
	}
}

static void it_is_said_once(void **state)
{
	struct turns t;

	begin(&t);
	for (int64_t step = 0; step < 200; step++)
		report(&t, 1, "loss", step);
	report(&t, 1, "accuracy", 200);
	assert_int_equal(turns_int(&t, "select count(*) from event where kind = 'metric_thinned' "
	                               "and trial = 1 and text like '\"loss\"%'"),
	                 1);
	assert_int_equal(turns_int(&t, "select count(*) from event"), 1);
	assert_int_equal(turns_int(&t, "select count(*) from series where stride > 1"), 1);
	turns_release(&t);
}

static void short_metrics_are_not_counted(void **state)
{
	struct turns t;

	begin(&t);
	for (int64_t step = 0; step < MOST; step++)
		report(&t, 1, "loss", step);
	assert_int_equal(turns_int(&t, "select count(*) from series"), 0);
	assert_int_equal(turns_int(&t, "select count(*) from metric"), MOST);
	turns_release(&t);
}

static void what_a_study_prunes_by_is_kept_whole(void **state)
{
	struct turns t;

	turns_init(&t);
	t.coordinator.options.metric_rows = MOST;
	turns_request(&t, "launch",
	              "{\"sweep\":{\"name\":\"pruned\",\"trial\":{\"data\":{\"name\":\"shapes\"},"
	              "\"model\":"
	              "{\"name\":\"resnet20\"},\"train\":{\"epochs\":1000}},\"prune\":{\"kind\":"
	              "\"median\"}}}");
	assert_string_equal(turns_refusal(&t), "");
	turns_say(&t, "", WIRE_ERROR, NULL);
	turns_hello(&t, "a");
	for (int64_t step = 1; step <= 100; step++) {
		report(&t, 1, "accuracy", step);
		report(&t, 1, "loss", step);
	}
	assert_int_equal(turns_int(&t, "select count(*) from metric where name = 'accuracy'"), 100);
	assert_in_range(turns_int(&t, "select count(*) from metric where name = 'loss'"), 8, MOST);
	turns_release(&t);
}

int main(void)
{
#define LAW(name) cmocka_unit_test(name)
	const struct CMUnitTest tests[] = {
	        LAW(a_long_metric_keeps_between_half_and_all),
	        LAW(rows_at_powers_of_two_are_kept_and_the_last),
	        LAW(repeats_leave_the_same_rows),
	        LAW(it_is_said_once),
	        LAW(short_metrics_are_not_counted),
	        LAW(what_a_study_prunes_by_is_kept_whole),
	};

	return cmocka_run_group_tests_name("series", tests, NULL, NULL);
}
