/* Laws of studies: launched, extended, refused, paused, cancelled, retried. */
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

/* Of so many, every second is looked at, but not always with the same of the last field's two
 * values. */
static void a_mistake_in_every_second_of_many_combinations_is_found(void **state)
{
	struct turns t;

	turns_init(&t);
	turns_request(&t, "launch",
	              "{\"sweep\":{\"name\":\"many\",\"trial\":{\"data\":{\"name\":\"shapes\"},"
	              "\"model\":{\"name\":\"resnet20\"},\"train\":{\"epochs\":0},\"quant\":{"
	              "\"weight_bits\":4,\"fold_batch_norm\":true}},\"space\":{\"train.seed\":{"
	              "\"min\":1,\"max\":2000,\"step\":1},\"quant.scale\":{\"values\":[\"max\","
	              "\"lsq\"]}}}}");
	assert_non_null(strstr(turns_refusal(&t), "quant.fold_batch_norm"));
	assert_int_equal(turns_int(&t, "select count(*) from study"), 0);
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

/* A field that counts for some trials only makes no others, and the view has what they all have. */
static void a_field_with_a_when_makes_no_gaps(void **state)
{
	struct turns t;

	turns_init(&t);
	turns_request(
	        &t, "launch",
	        "{\"sweep\":{\"name\":\"when\",\"trial\":{\"data\":{\"name\":\"shapes\"},\"model\":"
	        "{\"name\":\"resnet20\"}},\"space\":{\"split.submodels\":{\"values\":[0,5]},"
	        "\"split.lambda\":{\"values\":[0.1,0.2],\"when\":{\"split.submodels\":[5]}},"
	        "\"train.seed\":{\"values\":[1,2]}}}}");
	assert_int_equal(json_at(turns_reply(&t, WIRE_REPLY), "result.trials")->valueint, 6);
	turns_say(&t, "", WIRE_ERROR, NULL);
	assert_int_equal(turns_int(&t, "select count(*) from study_trial"), 6);
	assert_int_equal(turns_int(&t, "select max(number) from study_trial"), 5);
	assert_int_equal(turns_int(&t, "select count(*) from event where kind = 'trial_not_made'"),
	                 0);
	assert_int_equal(turns_int(&t, "select count(*) from study_when where submodels = 0"), 2);
	assert_int_equal(turns_int(&t, "select count(*) from study_when where lambda = 0.2"), 2);
	turns_release(&t);
}

static void any_other_difference_is_listed(void **state)
{
	struct turns t;

	turns_init(&t);
	turns_launch(&t, "bits", "[2, 8]", true);
	turns_request(
	        &t, "launch",
	        "{\"sweep\":{\"name\":\"bits\",\"trial\":{\"data\":{\"name\":\"shapes\"},\"model\":"
	        "{\"name\":\"resnet20\"},\"train\":{\"epochs\":7}},\"space\":{\"quant.weight_"
	        "bits\":"
	        "{\"values\":[2]}}}}");
	const char *text = turns_refusal(&t);
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
	turns_request(
	        &t, "launch",
	        "{\"sweep\":{\"name\":\"bad\",\"trial\":{\"data\":{\"name\":\"shapes\"},\"modell\":"
	        "1,"
	        "\"model\":{\"name\":\"resnet20\"},\"train\":{\"epochs\":\"x\",\"batch\":-1}},"
	        "\"space\":"
	        "{\"quant.weight_bit\":{\"values\":[2]},\"train.seed\":{\"values\":[]}}}}");
	const char *text = turns_refusal(&t);
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
	turns_request(
	        &t, "launch",
	        "{\"sweep\":{\"name\":\"x\",\"trial\":{\"data\":{\"name\":\"folder\",\"path\":\"/"
	        "x\"},"
	        "\"model\":{\"name\":\"resnet20\"}}}}");
	assert_non_null(strstr(turns_refusal(&t), "no such folder"));
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
	turns_request(
	        &t, "launch",
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

	turns_one(&t);
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
	assert_string_equal(turns_refusal(&t), "");
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

static void a_cancelled_study_takes_only_what_nobody_else_wants(void **state)
{
	struct turns t;

	turns_init(&t);
	turns_launch(&t, "one", "[2, 4]", false);
	turns_launch(&t, "two", "[4, 8]", false);
	turns_hello(&t, "a");
	turns_request(&t, "cancel", "{\"study\":\"one\"}");
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
	turns_request(&t, "pause", "{\"study\":\"one\"}");
	turns_hello(&t, "a");
	turns_state(&t, 1, "ready");
	turns_request(&t, "resume", "{\"study\":\"one\"}");
	turns_state(&t, 1, "leased");
	turns_request(&t, "pause", "{\"study\":\"one\",\"now\":true}");
	turns_beat(&t, "a", "[{\"trial\":1,\"attempt\":1,\"phase\":\"training\"}]");
	assert_string_equal(json_text(turns_hold(&t, 1), "order", ""), "yield");
	turns_ended(&t, "a", 1, 1, "yield");
	turns_state(&t, 1, "ready");
	turns_request(&t, "pause", "{\"study\":\"none\"}");
	assert_non_null(strstr(turns_refusal(&t), "no study \"none\""));
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
	turns_request(
	        &t, "add",
	        "{\"study\":\"bits\",\"assignment\":{\"quant.weight_bits\":8,\"train.seed\":3}}");
	assert_string_equal(turns_refusal(&t), "");
	assert_int_equal(turns_int(&t, "select count(*) from study_bits where weight_bits = 8 and "
	                               "seed = 3"),
	                 1);
	turns_request(
	        &t, "add",
	        "{\"study\":\"bits\",\"assignment\":{\"quant.weight_bits\":8,\"train.seed\":3}}");
	assert_non_null(strstr(turns_refusal(&t), "already"));
	turns_request(&t, "lunch", "{}");
	assert_non_null(strstr(turns_refusal(&t), "\"launch\""));
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

int main(void)
{
#define LAW(name) cmocka_unit_test(name)
	const struct CMUnitTest tests[] = {
	        LAW(a_launch_makes_the_trials_and_their_shared_parent),
	        LAW(a_mistake_in_every_second_of_many_combinations_is_found),
	        LAW(a_repeated_launch_makes_nothing_new),
	        LAW(more_values_extend_a_study),
	        LAW(a_field_with_a_when_makes_no_gaps),
	        LAW(any_other_difference_is_listed),
	        LAW(a_bad_sweep_lists_every_problem),
	        LAW(missing_data_refuses_the_launch),
	        LAW(a_dry_run_counts_and_changes_nothing),
	        LAW(the_same_trial_is_never_trained_twice),
	        LAW(a_large_sweep_comes_in_chunks_across_a_restart),
	        LAW(a_cancelled_study_takes_only_what_nobody_else_wants),
	        LAW(a_paused_study_gets_no_leases_and_now_hands_back),
	        LAW(children_of_a_failed_trial_are_skipped_until_it_is_retried),
	        LAW(a_trial_is_added_to_a_study),
	        LAW(explain_says_why_a_trial_does_not_run),
	};

	return cmocka_run_group_tests_name("study", tests, NULL, NULL);
}
