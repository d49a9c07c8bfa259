/* Laws of the coordinator's turn, one message at a time. */
#include "coordinator/explain.h"
#include "tests/turns.h"

static void a_launch_makes_the_trials_and_their_shared_parent(void **state)
{
	struct turns t;

	turns_init(&t);
	turns_launch(&t, "bits", "[2, 4, 8]", true);
	assert_int_equal(turns_int(&t, "select count(*) from trial"), 4);
	assert_int_equal(turns_int(&t, "select count(*) from study_trial where role = 'parent'"),
	                 1);
	assert_int_equal(turns_int(&t, "select count(*) from trial where state = 'ready'"), 1);
	assert_int_equal(turns_int(&t, "select count(*) from trial where state = 'waiting'"), 3);
	turns_release(&t);
}

static void trials_flow_from_launch_to_done(void **state)
{
	struct turns t;

	turns_init(&t);
	turns_launch(&t, "bits", "[2, 4]", true);
	turns_hello(&t, "a");
	assert_non_null(turns_reply(&t, WIRE_WELCOME));
	int64_t parent = turns_int(&t, "select trial from study_trial where role = 'parent'");
	const cJSON *hold = turns_hold(&t, parent);
	assert_non_null(hold);
	assert_string_equal(json_text(hold, "order", ""), "run");
	assert_non_null(json_at(hold, "spec.model.name"));
	assert_int_equal(strlen(json_text(hold, "token", "")), 64);
	turns_done(&t, "a", parent, 1, 0.9);
	assert_non_null(turns_reply(&t, WIRE_NEED));
	turns_state(&t, parent, "leased");
	turns_store(&t, turns_sha);
	turns_done(&t, "a", parent, 1, 0.9);
	assert_non_null(turns_reply(&t, WIRE_DONE_SAVED));
	turns_state(&t, parent, "done");
	int64_t child = turns_int(&t, "select trial from study_trial where number = 0");
	hold = turns_hold(&t, child);
	assert_non_null(hold);
	const cJSON *input = cJSON_GetArrayItem(json_at(hold, "inputs"), 0);
	assert_string_equal(json_text(input, "sha256", ""), turns_sha);
	assert_string_equal(json_text(input, "role", ""), "start_from");
	turns_done(&t, "a", child, 1, 0.8);
	assert_int_equal(turns_int(&t, "select count(*) from study_bits where accuracy = 0.8 and "
	                               "weight_bits = 2 and state = 'done'"),
	                 1);
	turns_release(&t);
}

static const char other_sha[] = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
static const char third_sha[] = "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc";

/* One trial that agent "a" holds as attempt 1. */
static void start_one(struct turns *t)
{
	turns_init(t);
	turns_launch(t, "one", "[4]", false);
	turns_hello(t, "a");
	turns_state(t, 1, "leased");
}

static void keep_alive(struct turns *t, const char *agent, int64_t ms)
{
	for (; ms > 0; ms -= 2000) {
		t->now_ms += 2000;
		turns_beat(t, agent, "[]");
	}
}

static void request(struct turns *t, const char *verb, const char *args)
{
	turns_say(t, "client", WIRE_REQUEST, "{\"id\":9,\"verb\":\"%s\",\"args\":%s}", verb, args);
}

static const char *refusal(struct turns *t)
{
	const cJSON *reply = turns_reply(t, WIRE_REPLY);

	assert_non_null(reply);
	return json_bool(reply, "ok", true) ? "" : json_text(reply, "text", "?");
}

static void an_unknown_agent_is_asked_to_say_hello_again(void **state)
{
	struct turns t;

	turns_init(&t);
	turns_beat(&t, "stranger", "[]");
	assert_non_null(turns_reply(&t, WIRE_AGAIN));
	assert_null(turns_reply(&t, WIRE_ORDERS));
	turns_release(&t);
}

static void an_agent_speaks_for_itself_only(void **state)
{
	struct turns t;

	start_one(&t);
	turns_say(
	        &t, "mallory", WIRE_ENDED,
	        "{\"agent\":\"a\",\"trial\":1,\"attempt\":1,\"outcome\":\"error\",\"text\":\"\"}");
	assert_non_null(strstr(json_text(turns_reply(&t, WIRE_ERROR), "text", ""), "routing id"));
	turns_state(&t, 1, "leased");
	turns_say(&t, "a", WIRE_DONE_SAVED, "{\"trial\":1,\"attempt\":1}");
	assert_non_null(strstr(json_text(turns_reply(&t, WIRE_ERROR), "text", ""),
	                       "not for a coordinator"));
	turns_release(&t);
}

static void a_message_that_is_refused_leaves_no_trace(void **state)
{
	struct turns t;

	start_one(&t);
	int64_t rows = turns_int(&t, "select count(*) from metric");
	turns_say(
	        &t, "a", WIRE_DONE,
	        "{\"agent\":\"a\",\"trial\":1,\"attempt\":1,\"numerics\":\"n\",\"batch\":1,"
	        "\"rows\":"
	        "[{\"name\":\"x\",\"step\":1}],\"result\":{},\"artifacts\":[{\"name\":\"weights\","
	        "\"sha256\":\"../../etc/passwd\",\"bytes\":1}]}");
	assert_non_null(
	        strstr(json_text(turns_reply(&t, WIRE_ERROR), "text", ""), "64 hex digits"));
	turns_state(&t, 1, "leased");
	assert_int_equal(turns_int(&t, "select count(*) from metric"), rows);
	turns_release(&t);
}

static void a_repeated_launch_makes_nothing_new(void **state)
{
	struct turns t;

	turns_init(&t);
	for (int i = 0; i < 3; i++)
		turns_launch(&t, "bits", "[2, 4, 8]", true);
	assert_int_equal(turns_int(&t, "select count(*) from trial"), 4);
	assert_int_equal(turns_int(&t, "select count(*) from study_trial"), 4);
	turns_release(&t);
}

static void more_values_extend_a_study(void **state)
{
	struct turns t;

	turns_init(&t);
	turns_launch(&t, "bits", "[2, 8]", true);
	turns_launch(&t, "bits", "[2, 3, 4, 8]", true);
	assert_int_equal(turns_int(&t, "select count(*) from study_trial where role = 'trial'"), 4);
	assert_int_equal(turns_int(&t, "select count(distinct number) from study_trial where "
	                               "number between 0 and 3"),
	                 4);
	turns_release(&t);
}

static void any_other_difference_is_listed(void **state)
{
	struct turns t;

	turns_init(&t);
	turns_launch(&t, "bits", "[2, 8]", true);
	request(&t, "launch",
	        "{\"sweep\":{\"name\":\"bits\",\"trial\":{\"data\":{\"name\":\"shapes\"},\"model\":"
	        "{\"name\":\"resnet20\"},\"train\":{\"epochs\":7}},\"space\":{\"quant.weight_"
	        "bits\":"
	        "{\"values\":[2]}}}}");
	const char *text = refusal(&t);
	assert_non_null(strstr(text, "another name"));
	assert_non_null(strstr(text, "trial.train.epochs: was 2, is 7"));
	assert_non_null(strstr(text, "trial.start_from: was"));
	assert_non_null(strstr(text, "space.quant.weight_bits.values: was [2,8], is [2]"));
	assert_int_equal(turns_int(&t, "select count(*) from trial"), 3);
	turns_release(&t);
}

static void a_bad_sweep_lists_every_problem(void **state)
{
	struct turns t;

	turns_init(&t);
	request(&t, "launch",
	        "{\"sweep\":{\"name\":\"bad\",\"trial\":{\"data\":{\"name\":\"shapes\"},\"modell\":"
	        "1,"
	        "\"model\":{\"name\":\"resnet20\"},\"train\":{\"epochs\":\"x\",\"batch\":-1}},"
	        "\"space\":"
	        "{\"quant.weight_bit\":{\"values\":[2]},\"train.seed\":{\"values\":[]}}}}");
	const char *text = refusal(&t);
	assert_non_null(strstr(text, "modell"));
	assert_non_null(strstr(text, "train.epochs"));
	assert_non_null(strstr(text, "train.batch"));
	assert_non_null(strstr(text, "quant.weight_bit"));
	assert_non_null(strstr(text, "train.seed"));
	assert_int_equal(turns_int(&t, "select count(*) from study"), 0);
	turns_release(&t);
}

static void missing_data_refuses_the_launch(void **state)
{
	struct turns t;

	turns_init(&t);
	request(&t, "launch",
	        "{\"sweep\":{\"name\":\"x\",\"trial\":{\"data\":{\"name\":\"folder\",\"path\":\"/"
	        "x\"},"
	        "\"model\":{\"name\":\"resnet20\"}}}}");
	assert_non_null(strstr(refusal(&t), "no such folder"));
	assert_int_equal(turns_int(&t, "select count(*) from study"), 0);
	turns_release(&t);
}

static void a_dry_run_counts_and_changes_nothing(void **state)
{
	struct turns t;

	turns_init(&t);
	turns_launch(&t, "first", "[2]", true);
	turns_hello(&t, "a");
	turns_store(&t, turns_sha);
	turns_done(&t, "a", turns_int(&t, "select trial from study_trial where role = 'parent'"), 1,
	           1);
	request(&t, "launch",
	        "{\"dry_run\":true,\"sweep\":{\"name\":\"second\",\"trial\":{\"data\":{\"name\":"
	        "\"shapes\"},\"model\":{\"name\":\"resnet20\"},\"start_from\":{\"change\":{"
	        "\"quant\":"
	        "null}},\"train\":{\"epochs\":2}},\"space\":{\"quant.weight_bits\":{\"values\":"
	        "[2,4,8]}}}}");
	const cJSON *result = json_at(turns_reply(&t, WIRE_REPLY), "result");
	assert_int_equal(json_int(result, "trials", -1), 3);
	assert_int_equal(json_int(result, "parents", -1), 0);
	assert_int_equal(json_int(result, "reused", -1), 1);
	assert_int_equal(json_int(result, "to_train", -1), 3);
	assert_int_equal(json_int(result, "epochs", -1), 6);
	assert_int_equal(turns_int(&t, "select count(*) from study"), 1);
	turns_release(&t);
}

static void the_same_trial_is_never_trained_twice(void **state)
{
	struct turns t;

	start_one(&t);
	turns_store(&t, turns_sha);
	turns_done(&t, "a", 1, 1, 0.5);
	turns_launch(&t, "two", "[4]", false);
	assert_int_equal(turns_int(&t, "select count(*) from trial"), 1);
	assert_int_equal(turns_int(&t, "select count(*) from study_two where accuracy = 0.5 and "
	                               "state = 'done'"),
	                 1);
	turns_release(&t);
}

static void a_large_sweep_comes_in_chunks_across_a_restart(void **state)
{
	struct turns t;
	struct text values = {0};

	turns_init(&t);
	for (int i = 0; i < 2500; i++)
		text_add(&values, "%s%d", i ? "," : "", i);
	turns_say(&t, "client", WIRE_REQUEST,
	          "{\"id\":7,\"verb\":\"launch\",\"args\":{\"sweep\":{\"name\":\"many\",\"trial\":"
	          "{\"data\":{\"name\":\"shapes\"},\"model\":{\"name\":\"resnet20\"}},\"space\":"
	          "{\"train.seed\":{\"values\":[%s]}}}}}",
	          values.data);
	assert_string_equal(refusal(&t), "");
	assert_int_equal(turns_int(&t, "select count(*) from trial"), 1000);
	assert_true(t.out.more);
	t.coordinator.wall_ms = t.coordinator.monotonic_ms = 0; /* another process */
	turns_say(&t, "", WIRE_ERROR, NULL);
	turns_say(&t, "", WIRE_ERROR, NULL);
	assert_false(t.out.more);
	assert_int_equal(turns_int(&t, "select count(*) from trial"), 2500);
	assert_int_equal(turns_int(&t, "select count(distinct number) from study_trial"), 2500);
	text_release(&values);
	turns_release(&t);
}

static void an_agent_that_dies_loses_its_lease_and_another_goes_on(void **state)
{
	struct turns t;

	start_one(&t);
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

	start_one(&t);
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
	request(&t, "retry", "{\"study\":\"one\"}");
	turns_state(&t, 1, "ready");
	turns_release(&t);
}

static void an_agent_that_comes_back_takes_its_trial_up_again(void **state)
{
	struct turns t;

	start_one(&t);
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
	start_one(t);
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

	start_one(&t);
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

static void repeats_of_done_change_nothing_and_are_answered(void **state)
{
	struct turns t;

	start_one(&t);
	turns_store(&t, turns_sha);
	for (int i = 0; i < 3; i++) {
		turns_done(&t, "a", 1, 1, i ? 0.1 : 0.9);
		assert_non_null(turns_reply(&t, WIRE_DONE_SAVED));
	}
	assert_int_equal(turns_int(&t, "select value = 0.9 from result"), 1);
	assert_int_equal(turns_int(&t, "select count(*) from history where event = 'finish'"), 1);
	turns_release(&t);
}

static void errors_back_off_and_end_at_the_limit(void **state)
{
	struct turns t;
	int64_t before = 0;

	start_one(&t);
	for (int i = 1; i <= 2; i++) {
		turns_ended(&t, "a", 1, i, "error");
		turns_state(&t, 1, "ready");
		int64_t wait = turns_int(&t, "select not_before_ms from trial") - t.now_ms;
		assert_true(wait > before);
		before = wait;
		keep_alive(&t, "a", wait - 2000);
		turns_state(&t, 1, "ready");
		keep_alive(&t, "a", 4000);
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
		start_one(&t);
		turns_ended(&t, "a", 1, 1, cases[i][0]);
		assert_non_null(turns_reply(&t, WIRE_ENDED_SAVED));
		turns_state(&t, 1, cases[i][1]);
		turns_release(&t);
	}
}

static void a_refused_trial_goes_to_another_agent(void **state)
{
	struct turns t;

	start_one(&t);
	turns_ended(&t, "a", 1, 1, "refuse");
	keep_alive(&t, "a", 10000);
	turns_state(&t, 1, "ready");
	turns_hello(&t, "b");
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
	request(&t, "undrain", "{\"worker\":\"a\"}");
	assert_int_equal(turns_int(&t, "select state = 'up' from worker where agent = 'a'"), 1);
	turns_release(&t);
}

static void a_gap_between_turns_extends_the_leases(void **state)
{
	struct turns t;

	start_one(&t);
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

	start_one(&t);
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

static void a_cancelled_study_takes_only_what_nobody_else_wants(void **state)
{
	struct turns t;

	turns_init(&t);
	turns_launch(&t, "one", "[2, 4]", false);
	turns_launch(&t, "two", "[4, 8]", false);
	turns_hello(&t, "a");
	request(&t, "cancel", "{\"study\":\"one\"}");
	turns_state(&t, 1, "cancelled");
	turns_state(&t, 2, "leased");
	turns_state(&t, 3, "leased");
	turns_beat(&t, "a", "[{\"trial\":1,\"attempt\":1,\"phase\":\"training\"}]");
	assert_string_equal(json_text(turns_hold(&t, 1), "order", ""), "stop");
	turns_launch(&t, "one", "[2, 4]", false);
	assert_int_equal(
	        turns_int(&t, "select state in ('ready', 'leased') from trial where id = 1"), 1);
	turns_release(&t);
}

static void a_paused_study_gets_no_leases_and_now_hands_back(void **state)
{
	struct turns t;

	turns_init(&t);
	turns_launch(&t, "one", "[2]", false);
	request(&t, "pause", "{\"study\":\"one\"}");
	turns_hello(&t, "a");
	turns_state(&t, 1, "ready");
	request(&t, "resume", "{\"study\":\"one\"}");
	turns_state(&t, 1, "leased");
	request(&t, "pause", "{\"study\":\"one\",\"now\":true}");
	turns_beat(&t, "a", "[{\"trial\":1,\"attempt\":1,\"phase\":\"training\"}]");
	assert_string_equal(json_text(turns_hold(&t, 1), "order", ""), "yield");
	turns_ended(&t, "a", 1, 1, "yield");
	turns_state(&t, 1, "ready");
	request(&t, "pause", "{\"study\":\"none\"}");
	assert_non_null(strstr(refusal(&t), "no study \"none\""));
	turns_release(&t);
}

static void a_drained_worker_hands_back_and_gets_nothing(void **state)
{
	struct turns t;

	start_one(&t);
	request(&t, "drain", "{\"worker\":\"a\"}");
	turns_beat(&t, "a", "[{\"trial\":1,\"attempt\":1,\"phase\":\"training\"}]");
	assert_string_equal(json_text(turns_hold(&t, 1), "order", ""), "yield");
	turns_ended(&t, "a", 1, 1, "yield");
	keep_alive(&t, "a", 10000);
	turns_state(&t, 1, "ready");
	request(&t, "undrain", "{\"worker\":\"a\"}");
	turns_state(&t, 1, "leased");
	turns_release(&t);
}

static void an_agent_that_leaves_hands_its_leases_back(void **state)
{
	struct turns t;

	start_one(&t);
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
	request(&t, "launch",
	        "{\"sweep\":{\"name\":\"big\",\"trial\":{\"data\":{\"name\":\"cifar10\"},\"model\":"
	        "{\"name\":\"resnet20\"},\"train\":{\"threads\":2,\"shards\":2}},\"resources\":"
	        "{\"ranks\":2,\"memory_mb\":6000},\"space\":{\"train.seed\":{\"values\":[1,2]}}}}");
	assert_string_equal(refusal(&t), "");
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

static void old_checkpoints_go_but_the_newest_and_the_best_stay(void **state)
{
	static const char *const hex = "0123456789";
	struct turns t;

	start_one(&t);
	for (int step = 1; step <= 6; step++) {
		char sha256[SHA256_HEX];
		memset(sha256, hex[step], 64);
		sha256[64] = 0;
		turns_store(&t, sha256);
		turns_say(&t, "a", WIRE_CHECKPOINT,
		          "{\"agent\":\"a\",\"trial\":1,\"attempt\":1,\"step\":%d,\"epoch\":1,"
		          "\"sha256\":"
		          "\"%s\",\"bytes\":10,\"numerics\":\"n\",\"batch\":%d,\"rows\":[{\"name\":"
		          "\"accuracy\",\"step\":%d,\"value\":%g}]}",
		          step, sha256, step, step, step == 2 ? 0.9 : 0.5);
		assert_non_null(turns_reply(&t, WIRE_CHECKPOINT_SAVED));
	}
	assert_int_equal(turns_int(&t, "select count(*) from artifact where state = 'present' and "
	                               "step in (2, 5, 6)"),
	                 3);
	assert_int_equal(turns_int(&t, "select count(*) from artifact where state = 'present'"), 3);
	assert_int_equal(turns_int(&t, "select count(*) from upload"), 3);
	assert_int_equal(turns_int(&t, "select count(*) from doomed"), 3);
	assert_int_equal(t.out.deletion_count, 3);
	turns_release(&t);
}

static void a_bad_checkpoint_is_passed_over(void **state)
{
	struct turns t;

	start_one(&t);
	turns_store(&t, other_sha);
	turns_checkpoint(&t, "a", 1, 1, 2, other_sha);
	turns_store(&t, third_sha);
	turns_checkpoint(&t, "a", 1, 1, 4, third_sha);
	turns_ended(&t, "a", 1, 1, "yield");
	assert_string_equal(json_text(json_at(turns_hold(&t, 1), "resume"), "sha256", ""),
	                    third_sha);
	turns_ended(&t, "a", 1, 2, "checkpoint_bad");
	assert_int_equal(turns_int(&t, "select count(*) from artifact where state = 'bad'"), 1);
	assert_string_equal(json_text(json_at(turns_hold(&t, 1), "resume"), "sha256", ""),
	                    other_sha);
	turns_release(&t);
}

static void an_input_that_is_lost_is_made_again(void **state)
{
	struct turns t;

	turns_init(&t);
	turns_launch(&t, "bits", "[2, 4]", true);
	turns_hello(&t, "a");
	int64_t parent = turns_int(&t, "select trial from study_trial where role = 'parent'");
	turns_store(&t, turns_sha);
	turns_done(&t, "a", parent, 1, 0.9);
	int64_t child = turns_int(&t, "select trial from study_trial where number = 0");
	turns_say(
	        &t, "a", WIRE_ENDED,
	        "{\"agent\":\"a\",\"trial\":%ld,\"attempt\":1,\"outcome\":\"input_lost\",\"text\":"
	        "\"its SHA-256 differs\",\"sha256\":\"%s\"}",
	        (long)child, turns_sha);
	turns_state(&t, child, "waiting");
	turns_state(&t, parent, "leased");
	assert_int_equal(turns_int(&t, "select count(*) from result"), 1);
	turns_store(&t, turns_sha);
	turns_done(&t, "a", parent, 2, 0.9);
	turns_state(&t, child, "leased");
	turns_release(&t);
}

static void children_of_a_failed_trial_are_skipped_until_it_is_retried(void **state)
{
	struct turns t;

	turns_init(&t);
	turns_launch(&t, "bits", "[2]", true);
	turns_hello(&t, "a");
	int64_t parent = turns_int(&t, "select trial from study_trial where role = 'parent'");
	int64_t child = turns_int(&t, "select trial from study_trial where number = 0");
	turns_ended(&t, "a", parent, 1, "diverged");
	turns_state(&t, parent, "infeasible");
	turns_state(&t, child, "skipped");
	turns_say(&t, "client", WIRE_REQUEST,
	          "{\"id\":1,\"verb\":\"retry\",\"args\":{\"trial\":%ld}}", (long)parent);
	turns_state(&t, child, "waiting");
	turns_state(&t, parent, "leased");
	turns_release(&t);
}

static void a_trial_is_added_to_a_study(void **state)
{
	struct turns t;

	turns_init(&t);
	turns_launch(&t, "bits", "[2]", false);
	request(&t, "add",
	        "{\"study\":\"bits\",\"assignment\":{\"quant.weight_bits\":8,\"train.seed\":3}}");
	assert_string_equal(refusal(&t), "");
	assert_int_equal(turns_int(&t, "select count(*) from study_bits where weight_bits = 8 and "
	                               "seed = 3"),
	                 1);
	request(&t, "add",
	        "{\"study\":\"bits\",\"assignment\":{\"quant.weight_bits\":8,\"train.seed\":3}}");
	assert_non_null(strstr(refusal(&t), "already"));
	request(&t, "lunch", "{}");
	assert_non_null(strstr(refusal(&t), "\"launch\""));
	turns_release(&t);
}

static void explain_says_why_a_trial_does_not_run(void **state)
{
	struct turns t;
	struct text reason = {0};

	turns_init(&t);
	turns_launch(&t, "bits", "[2]", true);
	explain_reason(&t.store.db, t.now_ms, 1, &reason, NULL);
	explain_reason(&t.store.db, t.now_ms, 2, &reason, NULL);
	assert_non_null(strstr(reason.data, "No agent is connected"));
	assert_non_null(strstr(reason.data, "starts from trial"));
	turns_hello(&t, "a");
	text_clear(&reason);
	explain_reason(&t.store.db, t.now_ms, 1, &reason, NULL);
	explain_history(&t.store.db, 1, &reason);
	assert_non_null(strstr(reason.data, "Agent a has run it"));
	assert_non_null(strstr(reason.data, "ready -> leased"));
	text_release(&reason);
	turns_release(&t);
}

static void with_little_disk_nothing_is_leased(void **state)
{
	struct turns t;
	struct turn_input in = {.drained = true, .free_bytes = 1000};

	start_one(&t);
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

int main(void)
{
#define LAW(name) cmocka_unit_test(name)
	const struct CMUnitTest tests[] = {
	        LAW(a_launch_makes_the_trials_and_their_shared_parent),
	        LAW(trials_flow_from_launch_to_done),
	        LAW(an_unknown_agent_is_asked_to_say_hello_again),
	        LAW(an_agent_speaks_for_itself_only),
	        LAW(a_message_that_is_refused_leaves_no_trace),
	        LAW(a_repeated_launch_makes_nothing_new),
	        LAW(more_values_extend_a_study),
	        LAW(any_other_difference_is_listed),
	        LAW(a_bad_sweep_lists_every_problem),
	        LAW(missing_data_refuses_the_launch),
	        LAW(a_dry_run_counts_and_changes_nothing),
	        LAW(the_same_trial_is_never_trained_twice),
	        LAW(a_large_sweep_comes_in_chunks_across_a_restart),
	        LAW(an_agent_that_dies_loses_its_lease_and_another_goes_on),
	        LAW(a_beat_renews_only_what_it_lists),
	        LAW(losses_without_progress_end_a_trial),
	        LAW(an_agent_that_comes_back_takes_its_trial_up_again),
	        LAW(a_late_result_of_the_same_numerics_is_taken),
	        LAW(a_late_result_of_other_numerics_changes_nothing),
	        LAW(an_older_attempt_overwrites_no_metric),
	        LAW(repeats_of_done_change_nothing_and_are_answered),
	        LAW(errors_back_off_and_end_at_the_limit),
	        LAW(outcomes_lead_where_the_life_cycle_says),
	        LAW(a_refused_trial_goes_to_another_agent),
	        LAW(an_agent_that_fails_everything_is_quarantined),
	        LAW(a_gap_between_turns_extends_the_leases),
	        LAW(leases_end_only_when_the_sockets_are_drained),
	        LAW(a_cancelled_study_takes_only_what_nobody_else_wants),
	        LAW(a_paused_study_gets_no_leases_and_now_hands_back),
	        LAW(a_drained_worker_hands_back_and_gets_nothing),
	        LAW(an_agent_that_leaves_hands_its_leases_back),
	        LAW(a_trial_goes_only_where_it_fits),
	        LAW(old_checkpoints_go_but_the_newest_and_the_best_stay),
	        LAW(a_bad_checkpoint_is_passed_over),
	        LAW(an_input_that_is_lost_is_made_again),
	        LAW(children_of_a_failed_trial_are_skipped_until_it_is_retried),
	        LAW(a_trial_is_added_to_a_study),
	        LAW(explain_says_why_a_trial_does_not_run),
	        LAW(with_little_disk_nothing_is_leased),
	};

	return cmocka_run_group_tests_name("coordinator", tests, NULL, NULL);
}
