/* Laws of what people do to studies and trials while they run. */
#include "tests/turns.h"

static void request(struct turns *t, const char *verb, const char *args)
{
	turns_say(t, "client", WIRE_REQUEST, "{\"id\":9,\"verb\":\"%s\",\"args\":%s}", verb, args);
}

static bool granted(struct turns *t)
{
	return json_bool(turns_reply(t, WIRE_REPLY), "ok", false);
}

static void one_trial_can_be_cancelled_and_its_study_goes_on(void **state)
{
	struct turns t;

	turns_init(&t);
	turns_launch(&t, "bits", "[2, 4, 8]", false);
	turns_hello(&t, "a");
	turns_state(&t, 2, "leased");
	request(&t, "cancel", "{\"trial\":2}");
	assert_true(granted(&t));
	turns_state(&t, 1, "leased");
	turns_state(&t, 2, "cancelled");
	assert_int_equal(turns_int(&t, "select count(*) from study where state = 'active'"), 1);
	assert_int_equal(turns_int(&t, "select count(*) from attempt where trial = 2 and outcome "
	                               "= 'cancelled' and ended_ms is not null"),
	                 1);
	turns_beat(&t, "a", "[{\"trial\":2,\"attempt\":1,\"step\":0,\"phase\":\"train\"}]");
	assert_string_equal(json_text(turns_hold(&t, 2), "order", ""), "stop");
	turns_release(&t);
}

static void what_cannot_be_cancelled_is_said(void **state)
{
	struct turns t;

	turns_init(&t);
	turns_launch(&t, "bits", "[2]", false);
	request(&t, "cancel", "{\"trial\":1}");
	assert_true(granted(&t));
	request(&t, "cancel", "{\"trial\":1}");
	assert_false(granted(&t));
	assert_string_equal(json_text(turns_reply(&t, WIRE_REPLY), "text", ""),
	                    "trial 1 is cancelled: nothing to cancel");
	request(&t, "cancel", "{\"trial\":7}");
	assert_string_equal(json_text(turns_reply(&t, WIRE_REPLY), "text", ""),
	                    "there is no trial 7");
	turns_release(&t);
}

static void bytes_that_nothing_comes_to_name_are_deleted_after_a_day(void **state)
{
	struct turns t;

	turns_init(&t);
	turns_say(&t, "", WIRE_ERROR, NULL);
	turns_store(&t, turns_sha);
	t.now_ms += 23 * 3600 * 1000;
	turns_say(&t, "", WIRE_ERROR, NULL);
	assert_int_equal(t.out.deletion_count, 0);
	t.now_ms += 2 * 3600 * 1000;
	turns_say(&t, "", WIRE_ERROR, NULL);
	assert_int_equal(t.out.deletion_count, 1);
	assert_string_equal(t.out.deletions[0], turns_sha);
	turns_release(&t);
}

static void with_disk_left(struct turns *t, int64_t bytes)
{
	struct turn_input in = {.wall_ms = t->now_ms,
	                        .monotonic_ms = t->now_ms,
	                        .drained = true,
	                        .free_bytes = bytes};
	struct error e;

	turn_output_release(&t->out);
	assert_int_equal(turn_run(&t->coordinator, &in, &t->out, &e), 0);
	t->now_ms += 1000;
}

static void a_full_disk_is_noted_once(void **state)
{
	static const char count[] = "select count(*) from event where kind = 'disk_low'";
	struct turns t;

	turns_init(&t);
	with_disk_left(&t, (int64_t)1 << 40);
	assert_int_equal(turns_int(&t, count), 0);
	with_disk_left(&t, 1000);
	with_disk_left(&t, 1000);
	assert_int_equal(turns_int(&t, count), 1);
	assert_int_equal(turns_int(&t, "select disk_low from coordinator"), 1);
	with_disk_left(&t, (int64_t)1 << 40);
	assert_int_equal(turns_int(&t, "select disk_low from coordinator"), 0);
	with_disk_left(&t, 1000);
	assert_int_equal(turns_int(&t, count), 2);
	turns_release(&t);
}

static void a_log_is_kept_longer_than_its_end(void **state)
{
	struct turns t;

	turns_init(&t);
	turns_launch(&t, "bits", "[2]", false);
	turns_hello(&t, "a");
	for (int i = 0; i < 3; i++)
		turns_say(&t, "a", WIRE_LOG,
		          "{\"agent\":\"a\",\"trial\":1,\"attempt\":1,\"offset\":%d,"
		          "\"text\":\"line %d\\n\"}",
		          7 * i, i);
	turns_say(&t, "a", WIRE_ENDED,
	          "{\"agent\":\"a\",\"trial\":1,\"attempt\":1,\"outcome\":\"error\","
	          "\"text\":\"because\",\"log\":\"line 2\\n\"}");
	turns_say(&t, "a", WIRE_LOG,
	          "{\"agent\":\"a\",\"trial\":1,\"attempt\":1,\"offset\":21,\"text\":\"x\"}");
	char *log = sql_get_text(&t.store.db, "select log from attempt");
	assert_string_equal(log, "line 0\nline 1\nline 2\n");
	free(log);
	turns_release(&t);
}

static void a_cancelled_study_is_neither_paused_nor_resumed(void **state)
{
	struct turns t;

	turns_init(&t);
	turns_launch(&t, "bits", "[2]", false);
	request(&t, "cancel", "{\"study\":\"bits\"}");
	assert_true(granted(&t));
	request(&t, "pause", "{\"study\":\"bits\"}");
	assert_false(granted(&t));
	request(&t, "resume", "{\"study\":\"bits\"}");
	assert_false(granted(&t));
	assert_int_equal(turns_int(&t, "select count(*) from study where state = 'cancelled'"), 1);
	turns_release(&t);
}

/* The agent had no word of it: it finished, and its study is launched again before it says so. */
static void what_was_finished_while_cancelled_is_taken_when_wanted_again(void **state)
{
	struct turns t;

	turns_init(&t);
	turns_launch(&t, "one", "[4]", false);
	turns_hello(&t, "a");
	turns_state(&t, 1, "leased");
	turns_request(&t, "cancel", "{\"study\":\"one\"}");
	turns_state(&t, 1, "cancelled");
	sql_run(&t.store.db, "update worker set state = 'draining'"); /* it is given nothing new */
	turns_launch(&t, "one", "[4]", false);
	turns_state(&t, 1, "ready");
	turns_store(&t, turns_sha);
	turns_done(&t, "a", 1, 1, 0.7);
	assert_non_null(turns_reply(&t, WIRE_DONE_SAVED));
	turns_state(&t, 1, "done");
	assert_int_equal(turns_int(&t, "select value = 0.7 from result where metric = 'accuracy'"),
	                 1);
	turns_release(&t);
}

static void what_no_study_wants_is_not_retried(void **state)
{
	struct turns t;

	turns_init(&t);
	turns_launch(&t, "one", "[4]", false);
	turns_hello(&t, "a");
	turns_ended(&t, "a", 1, 1, "out_of_memory");
	turns_state(&t, 1, "infeasible");
	turns_request(&t, "cancel", "{\"study\":\"one\"}");
	turns_request(&t, "retry", "{\"trial\":1}");
	assert_non_null(strstr(turns_refusal(&t), "its study was cancelled"));
	turns_state(&t, 1, "infeasible");
	turns_launch(&t, "one", "[4]", false);
	turns_request(&t, "retry", "{\"trial\":1}");
	assert_string_equal(turns_refusal(&t), "");
	turns_state(&t, 1, "leased");
	turns_release(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(one_trial_can_be_cancelled_and_its_study_goes_on),
	        cmocka_unit_test(what_cannot_be_cancelled_is_said),
	        cmocka_unit_test(bytes_that_nothing_comes_to_name_are_deleted_after_a_day),
	        cmocka_unit_test(a_full_disk_is_noted_once),
	        cmocka_unit_test(a_cancelled_study_is_neither_paused_nor_resumed),
	        cmocka_unit_test(a_log_is_kept_longer_than_its_end),
	        cmocka_unit_test(what_was_finished_while_cancelled_is_taken_when_wanted_again),
	        cmocka_unit_test(what_no_study_wants_is_not_retried),
	};

	return cmocka_run_group_tests_name("control", tests, NULL, NULL);
}
