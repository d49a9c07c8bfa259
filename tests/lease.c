/* Laws of leases: who gets what, and what becomes of it. */
#include "coordinator/explain.h"
#include "tests/turns.h"

static void an_agent_that_dies_loses_its_lease_and_another_goes_on(void **state)
{
	struct turns t;

	turns_one(&t);
	turns_store(&t, turns_sha);
	turns_checkpoint(&t, "a", 1, 1, 3, turns_sha);
	assert_non_null(turns_reply(&t, WIRE_CHECKPOINT_SAVED));
	turns_wait(&t, 31000);
	turns_state(&t, 1, "ready");
	turns_hello(&t, "b");
	const cJSON *resume = json_at(turns_hold(&t, 1), "resume");
	assert_int_equal(json_int(resume, "step", 0), 3);
	assert_string_equal(json_text(resume, "sha256", ""), turns_sha);
	assert_int_equal(turns_int(&t, "select attempt from trial"), 2);
	assert_int_equal(turns_int(&t, "select losses from trial"), 0);
	turns_release(&t);
}

static void a_beat_renews_only_what_it_lists(void **state)
{
	struct turns t;

	turns_one(&t);
	for (int i = 0; i < 14; i++) {
		t.now_ms += 2500;
		turns_beat(&t, "a", "[]");
		if (turns_int(&t, "select attempt from trial") > 1)
			break;
		assert_non_null(json_at(turns_hold(&t, 1), "spec"));
	}
	assert_int_equal(turns_int(&t, "select count(*) from history where event = 'lose'"), 1);
	turns_beat(&t, "a", "[{\"trial\":1,\"attempt\":2,\"phase\":\"training\"}]");
	for (int i = 0; i < 30; i++) {
		t.now_ms += 2500;
		turns_beat(&t, "a", "[{\"trial\":1,\"attempt\":2,\"phase\":\"training\"}]");
		assert_null(json_at(turns_hold(&t, 1), "spec"));
	}
	assert_int_equal(turns_int(&t, "select count(*) from history where event = 'lose'"), 1);
	turns_release(&t);
}

static void losses_without_progress_end_a_trial(void **state)
{
	struct turns t;

	turns_init(&t);
	turns_launch(&t, "one", "[4]", false);
	for (int i = 1; i <= 5; i++) {
		char *agent = xformat("agent%d", i);
		turns_hello(&t, agent);
		turns_state(&t, 1, "leased");
		turns_wait(&t, 31000);
		free(agent);
	}
	turns_state(&t, 1, "failed");
	turns_request(&t, "retry", "{\"study\":\"one\"}");
	turns_state(&t, 1, "ready");
	turns_release(&t);
}

static void an_agent_that_comes_back_takes_its_trial_up_again(void **state)
{
	struct turns t;

	turns_one(&t);
	turns_wait(&t, 31000);
	turns_state(&t, 1, "ready");
	turns_beat(&t, "a", "[{\"trial\":1,\"attempt\":1,\"phase\":\"training\"}]");
	turns_state(&t, 1, "leased");
	assert_int_equal(turns_int(&t, "select attempt from trial"), 1);
	assert_string_equal(json_text(turns_hold(&t, 1), "order", ""), "run");
	turns_release(&t);
}

/* Attempt 1 of agent a is lost; b holds attempt 2; then a says that it finished. */
static void finish_late(struct turns *t, const char *numerics)
{
	turns_one(t);
	turns_wait(t, 31000);
	turns_hello(t, "b");
	turns_state(t, 1, "leased");
	char *sql = xformat("update worker set numerics = '%s'; update attempt set numerics = '%s' "
	                    "where attempt = 2",
	                    numerics, numerics);
	sql_script(&t->store.db, sql);
	free(sql);
	turns_beat(t, "a", "[{\"trial\":1,\"attempt\":1,\"phase\":\"training\"}]");
	assert_string_equal(json_text(turns_hold(t, 1), "order", ""), "stop");
	turns_store(t, turns_sha);
	turns_done(t, "a", 1, 1, 0.7);
	assert_non_null(turns_reply(t, WIRE_DONE_SAVED));
}

static void a_late_result_of_the_same_numerics_is_taken(void **state)
{
	struct turns t;

	finish_late(&t, "n");
	turns_state(&t, 1, "done");
	assert_int_equal(turns_int(&t, "select value = 0.7 from result where metric = 'accuracy'"),
	                 1);
	turns_beat(&t, "b", "[{\"trial\":1,\"attempt\":2,\"phase\":\"training\"}]");
	assert_string_equal(json_text(turns_hold(&t, 1), "order", ""), "stop");
	turns_release(&t);
}

static void a_late_result_of_other_numerics_changes_nothing(void **state)
{
	struct turns t;

	finish_late(&t, "other");
	turns_state(&t, 1, "leased");
	assert_int_equal(turns_int(&t, "select count(*) from result"), 0);
	assert_int_equal(turns_int(&t, "select attempt from trial"), 2);
	turns_release(&t);
}

static void an_older_attempt_overwrites_no_metric(void **state)
{
	struct turns t;

	turns_one(&t);
	turns_wait(&t, 31000);
	turns_hello(&t, "b");
	turns_say(&t, "b", WIRE_METRICS,
	          "{\"agent\":\"b\",\"trial\":1,\"attempt\":2,\"batch\":1,\"rows\":"
	          "[{\"name\":\"loss\",\"step\":1,\"value\":2}]}");
	assert_non_null(turns_reply(&t, WIRE_METRICS_SAVED));
	turns_say(&t, "a", WIRE_METRICS,
	          "{\"agent\":\"a\",\"trial\":1,\"attempt\":1,\"batch\":1,\"rows\":"
	          "[{\"name\":\"loss\",\"step\":1,\"value\":1}]}");
	assert_null(turns_reply(&t, WIRE_METRICS_SAVED));
	assert_int_equal(turns_int(&t, "select value from metric"), 2);
	turns_release(&t);
}

static void errors_back_off_and_end_at_the_limit(void **state)
{
	struct turns t;
	int64_t before = 0;

	turns_one(&t);
	for (int i = 1; i <= 2; i++) {
		turns_ended(&t, "a", 1, i, "error");
		turns_state(&t, 1, "ready");
		int64_t wait = turns_int(&t, "select not_before_ms from trial") - t.now_ms;
		assert_true(wait > before);
		before = wait;
		turns_keep_alive(&t, "a", wait - 2000);
		turns_state(&t, 1, "ready");
		turns_keep_alive(&t, "a", 4000);
		turns_state(&t, 1, "leased");
	}
	turns_ended(&t, "a", 1, 3, "error");
	turns_state(&t, 1, "failed");
	turns_ended(&t, "a", 1, 3, "error");
	assert_int_equal(turns_int(&t, "select errors from trial"), 3);
	turns_release(&t);
}

static void outcomes_lead_where_the_life_cycle_says(void **state)
{
	static const char *const cases[][2] = {
	        {"yield", "leased"},  {"stopped", "leased"},           {"diverged", "infeasible"},
	        {"killed", "leased"}, {"out_of_memory", "infeasible"}, {"refuse", "ready"},
	        {"hung", "ready"},    {"something new", "ready"},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct turns t;
		turns_one(&t);
		turns_ended(&t, "a", 1, 1, cases[i][0]);
		assert_non_null(turns_reply(&t, WIRE_ENDED_SAVED));
		turns_state(&t, 1, cases[i][1]);
		turns_release(&t);
	}
}

static void a_refused_trial_goes_to_another_agent(void **state)
{
	struct turns t;

	turns_one(&t);
	turns_ended(&t, "a", 1, 1, "refuse");
	turns_keep_alive(&t, "a", 10000);
	turns_state(&t, 1, "ready");
	turns_hello(&t, "b");
	turns_state(&t, 1, "leased");
	turns_release(&t);
}

/* What made the agent unfit may pass: a disk that was full for a moment on every host must not
 * leave a trial without one for ever.  Each wait is twice the one before. */
static void an_agent_that_refused_is_asked_again(void **state)
{
	struct turns t;

	turns_one(&t);
	turns_ended(&t, "a", 1, 1, "refuse");
	turns_keep_alive(&t, "a", 58000);
	turns_state(&t, 1, "ready");
	turns_keep_alive(&t, "a", 4000);
	turns_state(&t, 1, "leased");
	turns_ended(&t, "a", 1, 2, "refuse");
	turns_keep_alive(&t, "a", 110000);
	turns_state(&t, 1, "ready");
	turns_keep_alive(&t, "a", 12000);
	turns_state(&t, 1, "leased");
	turns_release(&t);
}

static void an_agent_that_fails_everything_is_quarantined(void **state)
{
	struct turns t;

	turns_init(&t);
	turns_launch(&t, "many", "[2, 3, 4]", false);
	turns_hello(&t, "a");
	turns_hello(&t, "b");
	for (int trial = 1; trial <= 3; trial++)
		turns_ended(&t, "a", trial, 1, "error");
	assert_int_equal(
	        turns_int(&t, "select state = 'quarantined' from worker where agent = 'a'"), 1);
	assert_int_equal(turns_int(&t, "select sum(errors) from trial"), 0);
	turns_request(&t, "undrain", "{\"worker\":\"a\"}");
	assert_int_equal(turns_int(&t, "select state = 'up' from worker where agent = 'a'"), 1);
	turns_release(&t);
}

static void a_gap_between_turns_extends_the_leases(void **state)
{
	struct turns t;

	turns_one(&t);
	t.now_ms += 3600000;
	turns_say(&t, "", WIRE_ERROR, NULL);
	turns_state(&t, 1, "leased");
	/* After a restart, only the wall clock tells. */
	t.coordinator.wall_ms = t.coordinator.monotonic_ms = 0;
	t.now_ms += 3600000;
	turns_say(&t, "", WIRE_ERROR, NULL);
	turns_state(&t, 1, "leased");
	/* A clock set back does not make leases last for ever. */
	t.coordinator.wall_ms = t.coordinator.monotonic_ms = 0;
	t.now_ms -= 7200000;
	turns_say(&t, "", WIRE_ERROR, NULL);
	turns_wait(&t, 31000);
	turns_state(&t, 1, "ready");
	turns_release(&t);
}

static void leases_end_only_when_the_sockets_are_drained(void **state)
{
	struct turns t;

	turns_one(&t);
	for (int i = 0; i < 40; i++) {
		struct turn_input in = {.wall_ms = t.now_ms += 1000,
		                        .monotonic_ms = t.now_ms,
		                        .drained = false,
		                        .free_bytes = -1};
		turn_output_release(&t.out);
		assert_int_equal(turn_run(&t.coordinator, &in, &t.out, NULL), 0);
	}
	turns_state(&t, 1, "leased");
	turns_wait(&t, 1000);
	turns_state(&t, 1, "ready");
	turns_release(&t);
}

static void a_drained_worker_hands_back_and_gets_nothing(void **state)
{
	struct turns t;

	turns_one(&t);
	turns_request(&t, "drain", "{\"worker\":\"a\"}");
	turns_beat(&t, "a", "[{\"trial\":1,\"attempt\":1,\"phase\":\"training\"}]");
	assert_string_equal(json_text(turns_hold(&t, 1), "order", ""), "yield");
	turns_ended(&t, "a", 1, 1, "yield");
	turns_keep_alive(&t, "a", 10000);
	turns_state(&t, 1, "ready");
	turns_request(&t, "undrain", "{\"worker\":\"a\"}");
	turns_state(&t, 1, "leased");
	turns_release(&t);
}

static void an_agent_that_leaves_hands_its_leases_back(void **state)
{
	struct turns t;

	turns_one(&t);
	turns_say(&t, "a", WIRE_LEAVE, "{\"agent\":\"a\"}");
	turns_state(&t, 1, "ready");
	assert_int_equal(turns_int(&t, "select state = 'left' from worker"), 1);
	assert_int_equal(turns_int(&t, "select losses from trial"), 0);
	turns_release(&t);
}

static void a_trial_goes_only_where_it_fits(void **state)
{
	struct turns t;

	turns_init(&t);
	turns_request(
	        &t, "launch",
	        "{\"sweep\":{\"name\":\"big\",\"trial\":{\"data\":{\"name\":\"cifar10\"},\"model\":"
	        "{\"name\":\"resnet20\"},\"train\":{\"threads\":2,\"shards\":2}},\"resources\":"
	        "{\"ranks\":2,\"memory_mb\":6000},\"space\":{\"train.seed\":{\"values\":[1,2]}}}}");
	assert_string_equal(turns_refusal(&t), "");
	turns_hello(&t, "a");
	assert_int_equal(turns_int(&t, "select count(*) from trial where state = 'leased'"), 0);
	char digest[SHA256_HEX];
	sha256_hex("cifar10", 7, digest);
	turns_say(
	        &t, "b", WIRE_HELLO,
	        "{\"agent\":\"b\",\"name\":\"b\",\"pid\":1,\"ranks\":8,\"threads\":1,\"memory_mb\":"
	        "8000,\"gpus\":0,\"labels\":[],\"data\":[{\"name\":\"cifar10\",\"digest\":\"%s\"}],"
	        "\"numerics\":\"n\",\"holds\":[],\"version\":\"trawl/1\"}",
	        digest);
	/* Two by ranks and threads (4 slots each), one by memory. */
	assert_int_equal(turns_int(&t, "select count(*) from trial where state = 'leased'"), 1);
	assert_int_equal(json_int(json_at(turns_hold(&t, 1), "limits"), "slots", 0), 4);
	turns_release(&t);
}

static void with_little_disk_nothing_is_leased(void **state)
{
	struct turns t;
	struct turn_input in = {.drained = true, .free_bytes = 1000};

	turns_one(&t);
	turns_ended(&t, "a", 1, 1, "refuse");
	turns_hello(&t, "b");
	turns_ended(&t, "b", 1, 2, "yield");
	sql_script(&t.store.db, "update trial set state = 'ready', worker = null");
	in.wall_ms = in.monotonic_ms = t.now_ms += 1000;
	turn_output_release(&t.out);
	assert_int_equal(turn_run(&t.coordinator, &in, &t.out, NULL), 0);
	turns_state(&t, 1, "ready");
	turns_release(&t);
}

/* One trial that asks for this of its agent. */
static void launch_asking(struct turns *t, const char *resources)
{
	turns_init(t);
	turns_say(t, "client", WIRE_REQUEST,
	          "{\"id\":7,\"verb\":\"launch\",\"args\":{\"sweep\":{\"name\":\"asks\",\"trial\":{"
	          "\"data\":{\"name\":\"shapes\"},\"model\":{\"name\":\"resnet20\"}},"
	          "\"resources\":{%s}}}}",
	          resources);
	assert_string_equal(turns_refusal(t), "");
	turns_say(t, "", WIRE_ERROR, NULL);
}

static void hello_with(struct turns *t, const char *agent, const char *labels, const char *more)
{
	turns_say(t, agent, WIRE_HELLO,
	          "{\"agent\":\"%s\",\"name\":\"%s\",\"pid\":1,\"ranks\":4,\"threads\":1,"
	          "\"memory_mb\":8000,\"gpus\":0,\"labels\":%s,\"data\":[],\"numerics\":\"n\","
	          "\"holds\":[],\"version\":\"trawl/1\"%s}",
	          agent, agent, labels, more);
}

static void assert_explained(struct turns *t, const char *words)
{
	struct text reason = {0};
	struct error e;

	assert_int_equal(explain_reason(&t->store.db, t->now_ms, 1, &reason, &e), 0);
	if (!strstr(reason.data, words))
		fail_msg("\"%s\" does not say \"%s\"", reason.data, words);
	text_release(&reason);
}

static void an_agent_has_all_labels_that_a_trial_asks_for(void **state)
{
	struct turns t;

	launch_asking(&t, "\"labels\":[\"big\",\"fast\"]");
	hello_with(&t, "a", "[]", "");
	hello_with(&t, "b", "[\"fast\",\"old\"]", "");
	turns_state(&t, 1, "ready");
	assert_explained(&t, "Agent b lacks the label big");
	hello_with(&t, "c", "[\"old\",\"fast\",\"big\"]", "");
	turns_state(&t, 1, "leased");
	assert_int_equal(
	        turns_int(&t, "select w.name = 'c' from trial join worker w on w.id = worker"), 1);
	turns_release(&t);
}

static void an_agent_has_the_time_that_a_trial_takes(void **state)
{
	struct turns t;

	launch_asking(&t, "\"minutes\":10");
	hello_with(&t, "a", "[]", ",\"seconds_left\":700");
	turns_state(&t, 1, "leased"); /* while there is time */
	turns_ended(&t, "a", 1, 1, "yield");
	turns_release(&t);
	launch_asking(&t, "\"minutes\":10");
	hello_with(&t, "a", "[]", ",\"seconds_left\":599");
	turns_state(&t, 1, "ready");
	assert_explained(&t, "Agent a has 9 minutes left, the trial takes up to 10");
	hello_with(&t, "b", "[]", ""); /* for ever */
	turns_state(&t, 1, "leased");
	turns_release(&t);
}

/* As time goes by an agent is given less. */
static void time_that_goes_by_counts(void **state)
{
	struct turns t;

	launch_asking(&t, "\"minutes\":10");
	turns_request(&t, "pause", "{\"study\":\"asks\"}");
	hello_with(&t, "a", "[]", ",\"seconds_left\":700");
	turns_keep_alive(&t, "a", 110000);
	turns_request(&t, "resume", "{\"study\":\"asks\"}");
	turns_beat(&t, "a", "[]");
	turns_state(&t, 1, "ready");
	turns_release(&t);
}

int main(void)
{
#define LAW(name) cmocka_unit_test(name)
	const struct CMUnitTest tests[] = {
	        LAW(an_agent_that_dies_loses_its_lease_and_another_goes_on),
	        LAW(a_beat_renews_only_what_it_lists),
	        LAW(losses_without_progress_end_a_trial),
	        LAW(an_agent_that_comes_back_takes_its_trial_up_again),
	        LAW(a_late_result_of_the_same_numerics_is_taken),
	        LAW(a_late_result_of_other_numerics_changes_nothing),
	        LAW(an_older_attempt_overwrites_no_metric),
	        LAW(errors_back_off_and_end_at_the_limit),
	        LAW(outcomes_lead_where_the_life_cycle_says),
	        LAW(a_refused_trial_goes_to_another_agent),
	        LAW(an_agent_that_refused_is_asked_again),
	        LAW(an_agent_that_fails_everything_is_quarantined),
	        LAW(a_gap_between_turns_extends_the_leases),
	        LAW(leases_end_only_when_the_sockets_are_drained),
	        LAW(a_drained_worker_hands_back_and_gets_nothing),
	        LAW(an_agent_has_all_labels_that_a_trial_asks_for),
	        LAW(an_agent_has_the_time_that_a_trial_takes),
	        LAW(time_that_goes_by_counts),
	        LAW(an_agent_that_leaves_hands_its_leases_back),
	        LAW(a_trial_goes_only_where_it_fits),
	        LAW(with_little_disk_nothing_is_leased),
	};

	return cmocka_run_group_tests_name("lease", tests, NULL, NULL);
}
