/* Laws of early stopping: rungs, brackets, the median; decisions that survive any restart. */
#include "coordinator/prune.h"
#include "coordinator/explain.h"
#include "coordinator/pruner/pruner.h"
#include "tests/turns.h"
#include <math.h>

/* ---- the rules ---- */

static void rungs_are_reduction_times_apart_and_below_the_end(void **state)
{
	struct pruner p = {.kind = PRUNER_ASHA, .least = 2, .eta = 3};

	assert_int_equal(pruner_rung(&p, 0, 20, 0), 2);
	assert_int_equal(pruner_rung(&p, 0, 20, 2), 6);
	assert_int_equal(pruner_rung(&p, 0, 20, 6), 18);
	assert_int_equal(pruner_rung(&p, 0, 20, 18), 0);
	assert_int_equal(pruner_rung(&p, 0, 18, 6), 0); /* its end is no rung */
	assert_int_equal(pruner_rung(&p, 1, 20, 0), 6);
	assert_int_equal(pruner_rung(&p, 2, 18, 0), 0);
	p.kind = PRUNER_MEDIAN;
	assert_int_equal(pruner_rung(&p, 0, 20, 0), 0);
}

/* Li et al. 2018, table 1, for R = 81 and eta = 3, but for what they round down. */
static void brackets_take_turns_by_their_size(void **state)
{
	static const int expected[5] = {81, 34, 15, 8, 5};
	struct pruner p = {.kind = PRUNER_HYPERBAND, .least = 1, .eta = 3};
	int size[5] = {0};

	for (int number = 0; number < 2 * (81 + 34 + 15 + 8 + 5); number++) {
		int64_t bracket = pruner_bracket(&p, 81, number);
		assert_in_range(bracket, 0, 4);
		size[bracket]++;
	}
	for (int b = 0; b < 5; b++)
		assert_int_equal(size[b], 2 * expected[b]);
	assert_int_equal(pruner_rung(&p, 4, 81, 0), 0); /* trains to its end */
	assert_int_equal(pruner_rung(&p, 3, 81, 0), 27);
}

static void the_best_in_so_many_are_promoted(void **state)
{
	const struct pruner p = {.kind = PRUNER_ASHA, .eta = 3, .maximizes = true};
	struct pruner_entry e[] = {{1, 0.2, false}, {2, NAN, false}, {3, 0.9, false},
	                           {4, 0.9, true},  {5, 0.1, false}, {6, -INFINITY, false}};

	assert_int_equal(pruner_promote(&p, e, 2, false), 0);
	assert_int_equal(pruner_promote(&p, e, 2, true), 1);
	assert_int_equal(e[0].trial, 1);
	assert_int_equal(pruner_promote(&p, e, 6, false), 2);
	assert_int_equal(e[0].trial, 3); /* of equal ones the earlier */
	assert_int_equal(e[1].trial, 4);
	assert_int_equal(e[5].trial, 2); /* no number is the worst */
	assert_int_equal(pruner_promote(&p, e, 0, true), 0);
	const struct pruner least = {.kind = PRUNER_ASHA, .eta = 3};
	assert_int_equal(pruner_promote(&least, e, 6, true), 2);
	assert_int_equal(e[0].trial, 6);
	assert_float_equal(e[1].value, 0.1, 0);
	assert_int_equal(e[5].trial, 2);
}

static void the_median_needs_enough_that_ended(void **state)
{
	const struct pruner p = {.kind = PRUNER_MEDIAN, .least = 2, .startup = 3};
	double others[] = {0.1, 0.2, 0.4, 0.6};

	assert_false(pruner_median_stops(&p, 1, 9, others, 4));
	assert_false(pruner_median_stops(&p, 2, 9, others, 2));
	assert_true(pruner_median_stops(&p, 2, 0.31, others, 4)); /* their median is 0.3 */
	assert_false(pruner_median_stops(&p, 2, 0.3, others, 4));
	assert_true(pruner_median_stops(&p, 2, NAN, others, 4));
}

/* ---- studies ---- */

static const char asha[] = "\"kind\":\"asha\"";

/* So many seeds of nine epochs each. */
static void launch(struct turns *t, const char *name, int trials, const char *prune)
{
	turns_say(t, "client", WIRE_REQUEST,
	          "{\"id\":7,\"verb\":\"launch\",\"args\":{\"sweep\":{\"name\":\"%s\",\"trial\":{"
	          "\"data\":{\"name\":\"shapes\"},\"model\":{\"name\":\"resnet20\"},"
	          "\"train\":{\"epochs\":9}},\"space\":{\"train.seed\":{\"min\":1,\"max\":%d,"
	          "\"step\":1}},\"prune\":{%s}}}}",
	          name, trials, prune);
	if (*turns_refusal(t))
		fail_msg("%s", turns_refusal(t));
	turns_say(t, "", WIRE_ERROR, NULL);
}

/* What a trial has after so many epochs: the curves cross. */
static double accuracy(int64_t trial, int64_t epoch)
{
	return 0.01 * (double)(trial * 37 % 23) + 0.002 * (double)(epoch * (trial * 11 % 7));
}

static void report(struct turns *t, int64_t trial, int64_t attempt, int64_t epoch)
{
	turns_say(t, "a", WIRE_METRICS,
	          "{\"agent\":\"a\",\"trial\":%ld,\"attempt\":%ld,\"batch\":%ld,\"rows\":["
	          "{\"name\":\"loss\",\"step\":%ld,\"epoch\":%ld,\"value\":1},"
	          "{\"name\":\"accuracy\",\"step\":%ld,\"epoch\":%ld,\"value\":%.6f}]}",
	          (long)trial, (long)attempt, (long)epoch, (long)(10 * epoch), (long)epoch,
	          (long)(10 * epoch), (long)epoch, accuracy(trial, epoch));
}

static int64_t one_int(struct turns *t, const char *sql, int64_t argument)
{
	return sql_get_int(&t->store.db, -1, sql, argument);
}

static bool is_leased(struct turns *t, int64_t trial)
{
	return one_int(t, "select state = 'leased' from trial where id = ?", trial) == 1;
}

/* One epoch of a leased trial; at its rung or end, that too. */
static void train(struct turns *t, int64_t trial)
{
	int64_t attempt = one_int(t, "select attempt from trial where id = ?", trial);
	int64_t epoch = one_int(t,
	                        "select coalesce(max(epoch), 0) + 1 from metric where trial = ? "
	                        "and name = 'loss'",
	                        trial);
	int64_t until = prune_until(&t->store.db, trial);

	if (until && epoch > until) { /* let go on by none: it ends at once */
		turns_ended(t, "a", trial, attempt, "rung");
		return;
	}
	report(t, trial, attempt, epoch);
	if (!is_leased(t, trial))
		return;
	if (epoch == 9) {
		turns_store(t, turns_sha);
		turns_done(t, "a", trial, attempt, accuracy(trial, 9));
	} else if (epoch == until) {
		turns_ended(t, "a", trial, attempt, "rung");
	}
}

static int64_t count(struct turns *t, const char *state)
{
	char *sql = xformat("select count(*) from trial where state = '%s'", state);
	int64_t found = turns_int(t, sql);

	free(sql);
	return found;
}

/* The agent trains what it holds, an epoch each in turn, until nothing is left; the coordinator may
 * be another process before every message. */
static void train_all(struct turns *t, const char *restarted)
{
	int64_t trial = 0;

	turns_hello(t, "a");
	for (int steps = 0; steps < 2000; steps++) {
		if (restarted) {
			store_close(&t->store);
			turns_start(t, restarted);
		}
		do
			turns_say(t, "", WIRE_ERROR, NULL);
		while (t->out.more);
		turns_beat(t, "a", "[]");
		trial = one_int(t,
		                "select coalesce(min(iif(id > ?1, id, null)), min(id)) from trial "
		                "where state = 'leased'",
		                trial);
		if (trial <= 0)
			break;
		train(t, trial);
	}
	assert_int_equal(count(t, "leased") + count(t, "ready") + count(t, "paused"), 0);
}

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

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(rungs_are_reduction_times_apart_and_below_the_end),
	        cmocka_unit_test(brackets_take_turns_by_their_size),
	        cmocka_unit_test(the_best_in_so_many_are_promoted),
	        cmocka_unit_test(the_median_needs_enough_that_ended),
	        cmocka_unit_test(a_lease_says_how_far_to_train),
	        cmocka_unit_test(the_best_go_on_and_the_others_wait_then_end),
	        cmocka_unit_test(who_goes_on_comes_before_who_begins),
	        cmocka_unit_test(who_is_not_among_the_best_is_stopped_at_once),
	        cmocka_unit_test(who_is_below_the_median_is_stopped),
	        cmocka_unit_test(a_trial_trains_as_far_as_any_study_lets_it),
	        cmocka_unit_test(a_failure_holds_nobody_up),
	        cmocka_unit_test(a_restart_at_every_event_changes_no_decision),
	        cmocka_unit_test(a_search_that_learns_is_stopped_early_too),
	        cmocka_unit_test(explain_says_how_a_trial_stands),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
