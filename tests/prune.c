/* Laws of early stopping in studies: who waits, goes on, ends; decisions that survive any restart.
 */
#include "coordinator/explain.h"
#include "tests/pruning.h"

static void a_lease_says_how_far_to_train(void **state)
{
	struct turns t;

	turns_init(&t);
	launch(&t, "s", 1, asha);
	turns_hello(&t, "a");
	const cJSON *hold = turns_hold(&t, 1);
	assert_int_equal(json_int(json_at(hold, "limits"), "until_epoch", 0), 1);
	turns_release(&t);
}

/* Nine seeds, rungs after 1 and 3 epochs: three go on, one is trained to its end. */
static void the_best_go_on_and_the_others_wait_then_end(void **state)
{
	struct turns t;

	turns_init(&t);
	launch(&t, "s", 9, asha);
	turns_hello(&t, "a");
	for (int64_t trial = 1; trial <= 2; trial++)
		train(&t, trial);
	assert_int_equal(count(&t, "paused"), 2); /* of two none is one in three */
	train(&t, 3);
	assert_int_equal(turns_int(&t, "select count(*) from rung where verdict = 'promoted'"), 1);
	train_all(&t, NULL);
	assert_int_equal(count(&t, "done"), 1);
	assert_int_equal(count(&t, "pruned"), 8);
	assert_int_equal(turns_int(&t, "select count(*) from rung where epoch = 1"), 9);
	assert_in_range(turns_int(&t, "select count(*) from rung where epoch = 3"), 3, 5);
	assert_int_equal(turns_int(&t, "select count(*) from rung where verdict is null"), 0);
	assert_int_equal(turns_int(&t, "select count(*) from study_trial where verdict = 'pruned' "
	                               "and not wanted"),
	                 8);
	turns_release(&t);
}

/* A trial that was let go on is farther than those that have not begun. */
static void who_goes_on_comes_before_who_begins(void **state)
{
	struct turns t;

	turns_init(&t);
	launch(&t, "s", 12, asha);
	turns_hello(&t, "a"); /* four ranks */
	for (int64_t trial = 1; trial <= 3; trial++)
		train(&t, trial);
	turns_beat(&t, "a", "[]");
	int64_t promoted = turns_int(&t, "select trial from rung where verdict = 'promoted'");
	assert_true(is_leased(&t, promoted));
	turns_release(&t);
}

static void who_is_not_among_the_best_is_stopped_at_once(void **state)
{
	struct turns t;

	turns_init(&t);
	launch(&t, "s", 9, "\"kind\":\"asha\",\"mode\":\"stop\"");
	turns_hello(&t, "a");
	assert_null(json_at(turns_hold(&t, 1), "limits.until_epoch"));
	int64_t best = accuracy(1, 1) > accuracy(2, 1) ? 1 : 2;
	train(&t, best);
	train(&t, 3 - best);
	turns_state(&t, 3 - best, "pruned");
	turns_beat(&t, "a",
	           "[{\"trial\":1,\"attempt\":1,\"step\":1},{\"trial\":2,\"attempt\":1,"
	           "\"step\":1}]");
	assert_string_equal(json_text(turns_hold(&t, 3 - best), "order", ""), "stop");
	train_all(&t, NULL);
	assert_in_range(count(&t, "done"), 1, 4);
	assert_int_equal(count(&t, "done") + count(&t, "pruned"), 9);
	turns_release(&t);
}

static void who_is_below_the_median_is_stopped(void **state)
{
	struct turns t;

	turns_init(&t);
	launch(&t, "s", 12, "\"kind\":\"median\",\"startup\":4,\"least\":2");
	train_all(&t, NULL);
	assert_in_range(count(&t, "pruned"), 2, 8);
	assert_int_equal(turns_int(&t, "select min(e) from (select max(epoch) e from metric "
	                               "group by trial)"),
	                 2);
	assert_int_equal(turns_int(&t, "select count(*) from trial where state = 'pruned' and why "
	                               "like '%worse than the median%'"),
	                 count(&t, "pruned"));
	turns_release(&t);
}

/* Another study wants all of some: they are trained to their end, whatever the first says. */
static void a_trial_trains_as_far_as_any_study_lets_it(void **state)
{
	struct turns t;

	turns_init(&t);
	launch(&t, "s", 9, asha);
	turns_hello(&t, "a");
	for (int64_t trial = 1; trial <= 2; trial++)
		train(&t, trial);
	turns_state(&t, 2, "paused");
	launch(&t, "whole", 2, "\"kind\":\"none\"");
	assert_int_equal(prune_until(&t.store.db, 2), 0);
	train_all(&t, NULL);
	turns_state(&t, 1, "done");
	turns_state(&t, 2, "done");
	assert_int_equal(turns_int(&t, "select count(*) from study_trial st join study s on s.id = "
	                               "st.study where s.name = 'whole' and st.wanted"),
	                 2);
	turns_release(&t);
}

/* One that fails leaves no rung waiting for it. */
static void a_failure_holds_nobody_up(void **state)
{
	struct turns t;

	turns_init(&t);
	launch(&t, "s", 4, asha);
	turns_hello(&t, "a");
	turns_ended(&t, "a", 2, 1, "out_of_memory");
	train_all(&t, NULL);
	assert_int_equal(count(&t, "infeasible"), 1);
	assert_int_equal(count(&t, "done"), 1);
	assert_int_equal(count(&t, "pruned"), 2);
	turns_release(&t);
}

/* All decisions of a study, in order. */
static char *decisions(const char *prune, bool restarted)
{
	struct turns t = {.now_ms = 1000000};
	char path[] = "/tmp/trawl-prune-XXXXXX", *all;

	close(mkstemp(path));
	unlink(path);
	turns_start(&t, path);
	launch(&t, "s", 26, prune);
	train_all(&t, restarted ? path : NULL);
	all = sql_get_text(&t.store.db,
	                   "select group_concat(trial || event || coalesce(why, ''), ' ') from "
	                   "history");
	turns_release(&t);
	unlink(path);
	return all;
}

static void a_restart_at_every_event_changes_no_decision(void **state)
{
	static const char *const prunes[] = {
	        "\"kind\":\"hyperband\"", "\"kind\":\"hyperband\",\"mode\":\"stop\"",
	        "\"kind\":\"asha\",\"reduction\":2", "\"kind\":\"median\",\"startup\":3"};

	for (int i = 0; i < 4; i++) {
		char *one = decisions(prunes[i], false), *other = decisions(prunes[i], true);
		assert_non_null(strstr(one, i % 2 ? "prune" : "promote"));
		assert_string_equal(one, other);
		free(one);
		free(other);
	}
}

/* A search goes on over trials that wait, which take none of its room. */
static void a_search_that_learns_is_stopped_early_too(void **state)
{
	struct turns t;

	turns_init(&t);
	turns_request(
	        &t, "launch",
	        "{\"sweep\":{\"name\":\"both\",\"trial\":{\"data\":{\"name\":\"shapes\"},"
	        "\"model\":{\"name\":\"resnet20\"},\"train\":{\"epochs\":9}},\"space\":"
	        "{\"train.lr\":{\"min\":0.01,\"max\":1}},\"search\":{\"kind\":\"tpe\","
	        "\"trials\":18,\"startup\":5,\"parallel\":2},\"prune\":{\"kind\":\"asha\"}}}");
	assert_string_equal(turns_refusal(&t), "");
	train_all(&t, NULL);
	assert_int_equal(turns_int(&t, "select count(*) from study_trial"), 18);
	assert_in_range(count(&t, "done"), 1, 6);
	assert_int_equal(count(&t, "done") + count(&t, "pruned"), 18);
	turns_release(&t);
}

static void explain_says_how_a_trial_stands(void **state)
{
	struct turns t;
	struct text reason = {0};
	struct error e;

	turns_init(&t);
	launch(&t, "s", 9, asha);
	turns_hello(&t, "a");
	train(&t, 1);
	assert_int_equal(explain_reason(&t.store.db, t.now_ms, 1, &reason, &e), 0);
	assert_non_null(strstr(reason.data, "is paused: waits at a rung, after 1 epochs"));
	assert_non_null(strstr(reason.data, "one of 1 there, of which one in 3 goes on: waits"));
	text_release(&reason);
	turns_release(&t);
}

/* What nobody reports keeps nobody waiting: one goes on, and the reason is said. */
static void a_metric_that_is_never_reported_holds_nobody_up(void **state)
{
	static const char *const modes[] = {"promote", "stop"};

	for (int i = 0; i < 2; i++) {
		struct turns t;
		char *prune = xformat("\"kind\":\"asha\",\"mode\":\"%s\",\"metric\":\"acuracy\","
		                      "\"goal\":\"max\"",
		                      modes[i]);
		turns_init(&t);
		launch(&t, "s", 4, prune);
		train_all(&t, NULL);
		assert_in_range(count(&t, "done"), 1, 2);
		assert_int_equal(turns_int(&t, "select count(*) from event where kind = "
		                               "'metric_missing' and text like '%acuracy%'"),
		                 1);
		turns_release(&t);
		free(prune);
	}
}

/* Seeds 2 and 3 start from seed 1, which is a trial of the study too. */
static void what_others_start_from_is_trained_to_its_end(void **state)
{
	static const char *const prunes[] = {"\"kind\":\"asha\"",
	                                     "\"kind\":\"asha\",\"mode\":\"stop\"",
	                                     "\"kind\":\"median\",\"startup\":1"};

	for (int i = 0; i < 3; i++) {
		struct turns t;
		turns_init(&t);
		turns_say(&t, "client", WIRE_REQUEST,
		          "{\"id\":7,\"verb\":\"launch\",\"args\":{\"sweep\":{\"name\":\"s\","
		          "\"trial\":{\"data\":{\"name\":\"shapes\"},\"model\":{\"name\":"
		          "\"resnet20\"},\"train\":{\"epochs\":9}},\"space\":{\"train.seed\":{"
		          "\"values\":[11,12,13,14,1,3,2]},\"start_from.change\":{\"values\":[{"
		          "\"start_from\":"
		          "null,\"train\":{\"seed\":1}}],\"when\":{\"train.seed\":[2,3]}}},"
		          "\"prune\":{%s}}}}",
		          prunes[i]);
		assert_string_equal(turns_refusal(&t), "");
		train_all(&t, NULL);
		assert_int_equal(turns_int(&t, "select count(*) from trial"), 7);
		assert_int_equal(turns_int(&t, "select count(*) from trial join specification "
		                               "on trial = id where state = 'done' and "
		                               "spec ->> '$.train.seed' = 1"),
		                 1);
		assert_in_range(count(&t, "done"), 2, 6);
		assert_int_equal(count(&t, "skipped") + count(&t, "waiting"), 0);
		turns_release(&t);
	}
}

static void studies_with_other_rungs_share_their_trials(void **state)
{
	struct turns t;

	turns_init(&t);
	launch(&t, "aa", 9, asha);
	launch(&t, "bb", 6, "\"kind\":\"asha\",\"least\":2,\"reduction\":2");
	launch(&t, "cc", 3, "\"kind\":\"asha\",\"least\":3");
	train_all(&t, NULL);
	assert_in_range(count(&t, "done"), 1, 5);
	assert_int_equal(turns_int(&t, "select count(*) from rung where verdict is null"), 0);
	turns_release(&t);
}

/* For one study it has trained to epoch 3 already when another lets it go on from epoch 1. */
static void who_goes_on_may_have_been_at_the_next_rung(void **state)
{
	struct turns t;

	turns_init(&t);
	launch(&t, "bb", 2, "\"kind\":\"asha\",\"least\":3");
	launch(&t, "aa", 6, asha);
	turns_hello(&t, "a");
	for (int epoch = 0; epoch < 3; epoch++)
		train(&t, 1);
	turns_state(&t, 1, "paused");
	turns_beat(&t, "a", "[]");
	train(&t, 4);
	turns_beat(&t, "a", "[]");
	train(&t, 5); /* neither is better */
	assert_int_equal(turns_int(&t, "select count(*) from rung g join study s on s.id = g.study "
	                               "where s.name = 'aa' and g.trial = 1 and g.epoch = 3"),
	                 1);
	train_all(&t, NULL);
	turns_release(&t);
}

static void what_was_stopped_and_is_drawn_again_stays_stopped(void **state)
{
	struct turns t;

	turns_init(&t);
	for (int trials = 6; trials <= 30; trials += 24) {
		turns_say(&t, "client", WIRE_REQUEST,
		          "{\"id\":7,\"verb\":\"launch\",\"args\":{\"sweep\":{\"name\":\"s\","
		          "\"trial\":{\"data\":{\"name\":\"shapes\"},\"model\":{\"name\":"
		          "\"resnet20\"},\"train\":{\"epochs\":9}},\"space\":{\"train.seed\":{"
		          "\"values\":[1,2,3,4,5,6,7,8]}},\"search\":{\"kind\":\"random\","
		          "\"trials\":%d},\"prune\":{\"kind\":\"asha\"}}}}",
		          trials);
		assert_string_equal(turns_refusal(&t), "");
		train_all(&t, NULL);
	}
	assert_int_equal(turns_int(&t, "select count(*) from study_trial"), 30);
	assert_in_range(count(&t, "done"), 1, 4);
	assert_int_equal(turns_int(&t, "select count(distinct verdict) from study_trial s where "
	                               "trial in (select trial from study_trial where verdict = "
	                               "'pruned') and verdict is null"),
	                 0);
	turns_release(&t);
}

/* Wanted whole by a study that was cancelled meanwhile, and is launched again. */
static void a_trial_that_waits_goes_on_when_another_study_comes_back(void **state)
{
	struct turns t;

	turns_init(&t);
	launch(&t, "aa", 1, "\"kind\":\"none\"");
	launch(&t, "bb", 4, asha);
	turns_request(&t, "cancel", "{\"study\":\"aa\"}");
	turns_hello(&t, "a");
	train(&t, 1);
	turns_state(&t, 1, "paused");
	launch(&t, "aa", 1, "\"kind\":\"none\"");
	assert_true(one_int(&t, "select state in ('ready', 'leased') from trial where id = ?", 1) ==
	            1);
	train_all(&t, NULL);
	turns_state(&t, 1, "done");
	turns_release(&t);
}

/* Stopped by one study, wanted by another that stops them by what they measured then. */
static void nothing_is_trained_that_nobody_wants(void **state)
{
	static const char *const prunes[] = {"\"kind\":\"asha\",\"mode\":\"stop\"",
	                                     "\"kind\":\"median\",\"startup\":1"};

	for (int i = 0; i < 2; i++) {
		struct turns t;
		turns_init(&t);
		launch(&t, "first", 9, prunes[i]);
		train_all(&t, NULL);
		launch(&t, "second", 9, prunes[i]);
		train_all(&t, NULL);
		assert_int_equal(
		        turns_int(&t,
		                  "select count(*) from history h where h.event = 'lease' and not "
		                  "exists (select 1 from study_trial s where s.trial = h.trial and "
		                  "s.wanted) and h.trial in (select id from trial where state = "
		                  "'done')"),
		        0);
		turns_release(&t);
	}
}

static void who_fails_at_a_rung_takes_nobody_s_place(void **state)
{
	struct turns t;

	turns_init(&t);
	launch(&t, "s", 2, asha);
	turns_hello(&t, "a");
	int64_t best = accuracy(1, 1) > accuracy(2, 1) ? 1 : 2;
	report(&t, best, 1, 1);
	turns_ended(&t, "a", best, 1, "diverged");
	train_all(&t, NULL);
	turns_state(&t, 3 - best, "done");
	turns_release(&t);
}

/* A study of before there was early stopping says nothing about it. */
static void an_older_study_prunes_nothing(void **state)
{
	struct turns t;

	turns_init(&t);
	launch(&t, "old", 2, "\"kind\":\"none\"");
	launch(&t, "s", 3, asha);
	sql_run(&t.store.db, "update study set sweep = json_remove(sweep, '$.prune') where name = "
	                     "'old'");
	turns_hello(&t, "a");
	train(&t, 3);
	turns_state(&t, 3, "paused");
	turns_request(&t, "add", "{\"study\":\"old\",\"assignment\":{\"train.seed\":3}}");
	assert_string_equal(turns_refusal(&t), "");
	turns_say(&t, "", WIRE_ERROR, NULL);
	assert_int_equal(prune_until(&t.store.db, 3), 0);
	train_all(&t, NULL);
	turns_state(&t, 3, "done");
	turns_release(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_lease_says_how_far_to_train),
	        cmocka_unit_test(the_best_go_on_and_the_others_wait_then_end),
	        cmocka_unit_test(who_goes_on_comes_before_who_begins),
	        cmocka_unit_test(who_is_not_among_the_best_is_stopped_at_once),
	        cmocka_unit_test(who_is_below_the_median_is_stopped),
	        cmocka_unit_test(a_trial_trains_as_far_as_any_study_lets_it),
	        cmocka_unit_test(a_failure_holds_nobody_up),
	        cmocka_unit_test(a_restart_at_every_event_changes_no_decision),
	        cmocka_unit_test(a_search_that_learns_is_stopped_early_too),
	        cmocka_unit_test(a_metric_that_is_never_reported_holds_nobody_up),
	        cmocka_unit_test(what_others_start_from_is_trained_to_its_end),
	        cmocka_unit_test(studies_with_other_rungs_share_their_trials),
	        cmocka_unit_test(who_goes_on_may_have_been_at_the_next_rung),
	        cmocka_unit_test(what_was_stopped_and_is_drawn_again_stays_stopped),
	        cmocka_unit_test(a_trial_that_waits_goes_on_when_another_study_comes_back),
	        cmocka_unit_test(nothing_is_trained_that_nobody_wants),
	        cmocka_unit_test(who_fails_at_a_rung_takes_nobody_s_place),
	        cmocka_unit_test(an_older_study_prunes_nothing),
	        cmocka_unit_test(explain_says_how_a_trial_stands),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
