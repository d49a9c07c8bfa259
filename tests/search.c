/* Laws of adaptive studies: trials are made when there is room, from what the database knows. */
#include "tests/turns.h"

static void launch(struct turns *t, const char *name, const char *search)
{
	turns_say(t, "client", WIRE_REQUEST,
	          "{\"id\":7,\"verb\":\"launch\",\"args\":{\"sweep\":{\"name\":\"%s\",\"trial\":{"
	          "\"data\":{\"name\":\"shapes\"},\"model\":{\"name\":\"resnet20\"},"
	          "\"train\":{\"epochs\":2}},\"space\":{\"train.lr\":{\"min\":0.001,\"max\":1,"
	          "\"log\":true},\"quant.weight_bits\":{\"values\":[2,3,4,8]}},"
	          "\"search\":{%s}}}}",
	          name, search);
	if (*turns_refusal(t))
		fail_msg("%s", turns_refusal(t));
}

/* Turns until there is nothing to do; a search that never rests fails. */
static void settle(struct turns *t)
{
	int turns = 0;

	do
		turns_say(t, "", WIRE_ERROR, NULL);
	while (t->out.more && ++turns < 100);
	assert_false(t->out.more);
}

static int64_t made(struct turns *t)
{
	return turns_int(t, "select count(*) from study_trial where study = 1");
}

static int64_t running(struct turns *t)
{
	return turns_int(t, "select min(id) from trial where state = 'leased'");
}

/* Ends the first trial that runs, with an accuracy that hangs on what it was given. */
static void end_one(struct turns *t)
{
	int64_t id = running(t);
	double accuracy = 1e-3 * (double)(id * 37 % 101);

	assert_true(id > 0);
	turns_store(t, turns_sha);
	turns_done(t, "a", id, 1, accuracy);
	turns_state(t, id, "done");
	settle(t);
	turns_beat(t, "a", "[]");
}

/* The mean of log10 of the learning rate over ten trials, of thirty that measured just that. */
static double mean_rate(struct turns *t, const char *goal, int64_t first)
{
	double sum = 0;

	turns_init(t);
	turns_hello(t, "a");
	turns_say(
	        t, "client", WIRE_REQUEST,
	        "{\"id\":7,\"verb\":\"launch\",\"args\":{\"sweep\":{\"name\":\"goal\",\"trial\":{"
	        "\"data\":{\"name\":\"shapes\"},\"model\":{\"name\":\"resnet20\"}},\"space\":{"
	        "\"train.lr\":{\"min\":0.001,\"max\":1,\"log\":true}},\"search\":{\"kind\":\"tpe\","
	        "\"trials\":30,\"parallel\":1},\"objective\":[{\"metric\":\"accuracy\",\"goal\":"
	        "\"%s\"}]}}}",
	        goal);
	turns_store(t, turns_sha);
	for (int i = 0; i < 30; i++) {
		settle(t);
		turns_beat(t, "a", "[]");
		int64_t id = turns_int(t, "select id from trial where state = 'leased'");
		struct sql_rows *rows = sql_query(
		        &t->store.db,
		        "select log10(spec ->> '$.train.lr') from specification where trial = ?",
		        id);
		assert_true(sql_next(rows));
		double rate = sql_real(rows, 0);
		sql_end(rows);
		sum += i >= first && i < first + 10 ? rate : 0;
		turns_done(t, "a", id, 1, rate);
	}
	turns_release(t);
	return sum / 10;
}

static void a_search_goes_where_its_goal_says(void **state)
{
	struct turns t;

	assert_float_equal(mean_rate(&t, "max", 0), -1.5, 0.3); /* evenly at first */
	assert_true(mean_rate(&t, "max", 20) > -1.0);
	assert_true(mean_rate(&t, "min", 20) < -2.0);
}

static void as_many_are_made_as_there_is_room_for(void **state)
{
	struct turns t;

	turns_init(&t);
	launch(&t, "one", "\"kind\":\"tpe\",\"trials\":50");
	settle(&t);
	assert_int_equal(made(&t), 1); /* no agent yet */
	turns_hello(&t, "a");
	settle(&t);
	assert_int_equal(made(&t), 4);
	turns_hello(&t, "b");
	settle(&t);
	assert_int_equal(made(&t), 8);
	turns_release(&t);
}

static void each_end_brings_the_next_until_there_are_enough(void **state)
{
	struct turns t;

	turns_init(&t);
	turns_hello(&t, "a");
	launch(&t, "one", "\"kind\":\"tpe\",\"trials\":9,\"startup\":3,\"parallel\":2");
	settle(&t);
	for (int ended = 0; ended < 9; ended++) {
		assert_int_equal(made(&t), ended + 2 < 9 ? ended + 2 : 9);
		turns_beat(&t, "a", "[]");
		end_one(&t);
	}
	assert_int_equal(made(&t), 9);
	assert_int_equal(turns_int(&t, "select count(*) from trial where state = 'done'"), 9);
	assert_int_equal(turns_int(&t, "select max(number) from study_trial"), 8);
	turns_release(&t);
}

/* A study of eight trials: after some turns the coordinator is another process, or not. */
static char *assignments(const char *kind, bool restarted)
{
	struct turns t = {.now_ms = 1000000};
	char path[] = "/tmp/trawl-search-XXXXXX", *search, *all;

	close(mkstemp(path));
	unlink(path);
	turns_start(&t, path);
	turns_hello(&t, "a");
	search = xformat("\"kind\":\"%s\",\"trials\":12,\"startup\":3,\"population\":4,"
	                 "\"parallel\":2",
	                 kind);
	launch(&t, "one", search);
	settle(&t);
	for (int ended = 0; ended < 12; ended++) {
		if (restarted) {
			store_close(&t.store);
			turns_start(&t, path);
		}
		turns_beat(&t, "a", "[]");
		end_one(&t);
	}
	all = sql_get_text(&t.store.db,
	                   "select group_concat(number || assignment, ' ') from study_trial");
	turns_release(&t);
	unlink(path);
	free(search);
	return all;
}

static void a_restart_forgets_nothing(void **state)
{
	static const char *const kinds[] = {"tpe", "nsga2"};

	for (int k = 0; k < 2; k++) {
		char *one = assignments(kinds[k], false), *other = assignments(kinds[k], true);
		assert_string_equal(one, other);
		free(one);
		free(other);
	}
}

static void what_failed_makes_room_and_counts(void **state)
{
	struct turns t;

	turns_init(&t);
	turns_hello(&t, "a");
	launch(&t, "one", "\"kind\":\"tpe\",\"trials\":4,\"parallel\":1");
	settle(&t);
	for (int i = 0; i < 4; i++) {
		turns_beat(&t, "a", "[]");
		turns_ended(&t, "a", running(&t), 1, "out_of_memory");
		settle(&t);
	}
	assert_int_equal(made(&t), 4);
	assert_int_equal(turns_int(&t, "select count(*) from trial where state = 'infeasible'"), 4);
	turns_release(&t);
}

static void a_paused_study_makes_none_until_it_is_resumed(void **state)
{
	struct turns t;

	turns_init(&t);
	turns_hello(&t, "a");
	launch(&t, "one", "\"kind\":\"nsga2\",\"trials\":9,\"parallel\":1");
	settle(&t);
	turns_beat(&t, "a", "[]");
	int64_t id = running(&t);
	turns_request(&t, "pause", "{\"study\":\"one\"}");
	turns_ended(&t, "a", id, 1, "out_of_memory");
	turns_state(&t, id, "infeasible");
	settle(&t);
	assert_int_equal(made(&t), 1);
	turns_request(&t, "resume", "{\"study\":\"one\"}");
	settle(&t);
	assert_int_equal(made(&t), 2);
	turns_release(&t);
}

static void more_trials_go_on_where_it_ended(void **state)
{
	struct turns t;

	turns_init(&t);
	turns_hello(&t, "a");
	for (int trials = 2; trials <= 4; trials += 2) {
		char *search = xformat("\"kind\":\"tpe\",\"trials\":%d,\"parallel\":1", trials);
		launch(&t, "one", search);
		settle(&t);
		for (int i = 0; i < 2; i++) {
			turns_beat(&t, "a", "[]");
			end_one(&t);
		}
		assert_int_equal(made(&t), trials);
		free(search);
	}
	assert_int_equal(turns_int(&t, "select max(number) from study_trial"), 3);
	turns_release(&t);
}

/* Four combinations: the study ends with them, and says so. */
static void a_search_ends_when_all_was_tried(void **state)
{
	struct turns t;

	turns_init(&t);
	turns_hello(&t, "a");
	turns_request(&t, "launch",
	              "{\"sweep\":{\"name\":\"few\",\"trial\":{\"data\":{\"name\":\"shapes\"},"
	              "\"model\":{\"name\":\"resnet20\"}},\"space\":{\"quant.weight_bits\":"
	              "{\"values\":[2,3,4,8]}},\"search\":{\"kind\":\"tpe\",\"trials\":20}}}");
	assert_string_equal(turns_refusal(&t), "");
	settle(&t);
	assert_int_equal(made(&t), 4);
	turns_beat(&t, "a", "[]");
	end_one(&t);
	assert_int_equal(made(&t), 4);
	assert_int_equal(turns_int(&t, "select count(*) from event where kind = 'search_ended'"),
	                 1);
	assert_int_equal(turns_int(&t, "select total from study"), 4);
	turns_release(&t);
}

/* Done in the study before: taken, not trained, and no room is lost over them. */
static void what_another_study_has_is_learned_from_at_once(void **state)
{
	struct turns t;

	turns_init(&t);
	turns_hello(&t, "a");
	for (int study = 0; study < 2; study++) {
		char *name = xformat("s%d", study);
		launch(&t, name, "\"kind\":\"tpe\",\"trials\":3,\"parallel\":1");
		settle(&t);
		for (int i = 0; i < 3 && !study; i++) {
			turns_beat(&t, "a", "[]");
			end_one(&t);
		}
		free(name);
	}
	assert_int_equal(turns_int(&t, "select count(*) from study_trial"), 6);
	assert_int_equal(turns_int(&t, "select count(*) from trial"), 3);
	turns_release(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(as_many_are_made_as_there_is_room_for),
	        cmocka_unit_test(a_search_goes_where_its_goal_says),
	        cmocka_unit_test(each_end_brings_the_next_until_there_are_enough),
	        cmocka_unit_test(a_restart_forgets_nothing),
	        cmocka_unit_test(what_failed_makes_room_and_counts),
	        cmocka_unit_test(a_paused_study_makes_none_until_it_is_resumed),
	        cmocka_unit_test(more_trials_go_on_where_it_ended),
	        cmocka_unit_test(a_search_ends_when_all_was_tried),
	        cmocka_unit_test(what_another_study_has_is_learned_from_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
