/* What users of other systems complain about, each with a law of its name. */
#include "coordinator/explain.h"
#include "tests/pruning.h"

static char path[] = "/tmp/trawl-complaints-XXXXXX";

static int name_database(void **state)
{
	close(mkstemp(path));
	return unlink(path);
}

static int remove_database(void **state)
{
	static const char *const suffix[] = {"", "-wal", "-shm", ".lock"};

	for (size_t i = 0; i < sizeof suffix / sizeof *suffix; i++) {
		char *file = xformat("%s%s", path, suffix[i]);
		unlink(file);
		free(file);
	}
	return 0;
}

static void begin(struct turns *t)
{
	remove_database(NULL);
	*t = (struct turns){.now_ms = 1000000};
	turns_start(t, path);
}

/* The process dies, and another goes on with its file. */
static void crash(struct turns *t)
{
	turn_output_release(&t->out);
	store_close(&t->store);
	turns_start(t, path);
}

static void trials_do_not_stay_running_for_ever_after_a_crash(void **state)
{
	struct turns t;

	begin(&t);
	turns_launch(&t, "one", "[4]", false);
	turns_hello(&t, "a");
	turns_state(&t, 1, "leased");
	crash(&t); /* and the agent is gone too */
	turns_wait(&t, 40000);
	turns_state(&t, 1, "ready");
	turns_hello(&t, "b");
	turns_state(&t, 1, "leased");
	turns_release(&t);
}

/* Its beats wait in a queue that the turn has not come to the end of. */
static void a_live_trial_is_not_declared_dead_because_somebody_was_busy(void **state)
{
	struct turns t;
	struct turn_output out;
	struct error e = {{0}};

	begin(&t);
	turns_launch(&t, "one", "[4]", false);
	turns_hello(&t, "a");
	for (int i = 0; i < 60; i++) {
		struct turn_input in = {.wall_ms = t.now_ms += 1000,
		                        .monotonic_ms = t.now_ms,
		                        .free_bytes = -1}; /* not drained */
		assert_int_equal(turn_run(&t.coordinator, &in, &out, &e), 0);
		turn_output_release(&out);
	}
	turns_state(&t, 1, "leased");
	turns_beat(&t, "a", "[{\"trial\":1,\"attempt\":1,\"step\":1}]");
	turns_state(&t, 1, "leased");
	assert_int_equal(turns_int(&t, "select attempt from trial"), 1);
	turns_release(&t);
}

static void a_late_result_is_not_rejected(void **state)
{
	struct turns t;

	begin(&t);
	turns_launch(&t, "one", "[4]", false);
	turns_hello(&t, "a");
	turns_store(&t, turns_sha);
	turns_wait(&t, 31000);
	turns_hello(&t, "b");
	assert_int_equal(turns_int(&t, "select attempt from trial"), 2);
	turns_done(&t, "a", 1, 1, 0.75);
	turns_state(&t, 1, "done");
	assert_int_equal(turns_int(&t, "select value = 0.75 from result"), 1);
	turns_release(&t);
}

static void a_late_result_is_not_rejected_for_what_is_gone_since(void **state)
{
	struct turns t;

	begin(&t);
	turns_launch(&t, "one", "[4]", true);
	turns_hello(&t, "a");
	turns_store(&t, turns_sha);
	turns_done(&t, "a", 1, 1, 0.5);
	turns_state(&t, 2, "leased");
	turns_wait(&t, 31000);
	turns_state(&t, 2, "ready");
	sql_run(&t.store.db, "delete from upload");
	sql_run(&t.store.db, "update trial set unsettled = 1 where id = 2");
	turns_wait(&t, 1000);
	turns_state(&t, 2, "waiting");
	turns_store(&t, turns_sha);
	turns_done(&t, "a", 2, 1, 0.75);
	turns_state(&t, 2, "done");
	assert_int_equal(turns_int(&t, "select value = 0.75 from result where trial = 2"), 1);
	turns_release(&t);
}

static void what_does_not_fit_into_memory_is_not_tried_for_ever(void **state)
{
	struct turns t;
	static const char more[] =
	        "{\"sweep\":{\"name\":\"more\",\"trial\":{\"data\":{\"name\":\"shapes\"},\"model\":"
	        "{"
	        "\"name\":\"resnet20\"},\"train\":{\"epochs\":2},\"quant\":{\"weight_bits\":4}},"
	        "\"resources\":{\"memory_mb\":4000}}}";

	begin(&t);
	turns_launch(&t, "one", "[4]", false);
	turns_hello(&t, "a");
	turns_ended(&t, "a", 1, 1, "out_of_memory");
	turns_launch(&t, "two", "[4]", false);
	turns_keep_alive(&t, "a", 600000);
	turns_state(&t, 1, "infeasible");
	assert_int_equal(turns_int(&t, "select attempt from trial"), 1);
	turns_request(&t, "launch", more); /* what failed is tried with more */
	assert_string_equal(turns_refusal(&t), "");
	turns_beat(&t, "a", "[]");
	turns_state(&t, 1, "leased");
	turns_release(&t);
}

/* A search that learns and stops trials early, cut anywhere: what runs, rungs, what comes next. */
static char *story(bool crashes)
{
	struct turns t;

	begin(&t);
	turns_request(
	        &t, "launch",
	        "{\"sweep\":{\"name\":\"both\",\"trial\":{\"data\":{\"name\":\"shapes\"},"
	        "\"model\":{\"name\":\"resnet20\"},\"train\":{\"epochs\":9}},\"space\":{"
	        "\"train.lr\":{\"min\":0.01,\"max\":1}},\"search\":{\"kind\":\"tpe\","
	        "\"trials\":12,\"startup\":3,\"parallel\":2},\"prune\":{\"kind\":\"asha\"}}}");
	train_all(&t, crashes ? path : NULL);
	char *all = sql_get_text(
	        &t.store.db,
	        "select (select group_concat(number || assignment) from study_trial) || (select "
	        "group_concat(epoch || ' ' || trial || verdict) from rung) || (select "
	        "group_concat(trial || event) from history)");
	turns_release(&t);
	return all;
}

static void a_resumed_study_forgets_no_pending_trial_rung_or_sampler(void **state)
{
	char *whole = story(false), *cut = story(true);

	assert_string_equal(whole, cut);
	free(whole);
	free(cut);
}

static void a_grid_has_no_duplicates_and_no_gaps(void **state)
{
	struct turns t;

	begin(&t);
	turns_launch(&t, "grid", "[2, 8]", false);
	turns_launch(&t, "grid", "[2, 3, 8]", false);
	crash(&t);
	turns_launch(&t, "grid", "[2, 3, 4, 8]", false);
	turns_launch(&t, "grid", "[2, 3, 4, 8]", false);
	assert_int_equal(turns_int(&t, "select count(*) from study_trial"), 4);
	assert_int_equal(turns_int(&t, "select count(distinct assignment) from study_trial"), 4);
	assert_int_equal(turns_int(&t, "select max(number) from study_trial"), 3);
	turns_release(&t);
}

/* A notebook holds a cursor open for as long as it likes. */
static void the_database_is_not_locked(void **state)
{
	struct turns t;
	sqlite3 *reader;
	sqlite3_stmt *cursor;

	begin(&t);
	turns_launch(&t, "one", "[2, 4]", false);
	assert_int_equal(sqlite3_open_v2(path, &reader, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
	sqlite3_prepare_v2(reader, "select id from trial", -1, &cursor, NULL);
	assert_int_equal(sqlite3_step(cursor), SQLITE_ROW);
	turns_store(&t, turns_sha);
	turns_hello(&t, "a");
	for (int trial = 1; trial <= 2; trial++) {
		turns_done(&t, "a", trial, 1, 0.5);
		turns_state(&t, trial, "done");
	}
	assert_int_equal(sqlite3_step(cursor), SQLITE_ROW); /* and it reads on */
	sqlite3_finalize(cursor);
	sqlite3_close(reader);
	turns_release(&t);
}

/* What a trial of b's costs, each kind of turn for itself. */
struct cost {
	int64_t beat, metrics, done;
};

static void beat(struct turns *t, int64_t trial, int i)
{
	turns_say(t, "b", WIRE_BEAT,
	          "{\"agent\":\"b\",\"seq\":%d,\"free_ranks\":3,\"free_memory_mb\":6000,\"holds\":["
	          "{\"trial\":%ld,\"attempt\":1,\"step\":1}]}",
	          i + 1, (long)trial);
}

static void metrics(struct turns *t, int64_t trial, int i)
{
	turns_say(t, "b", WIRE_METRICS,
	          "{\"agent\":\"b\",\"trial\":%ld,\"attempt\":1,\"batch\":1,\"rows\":["
	          "{\"name\":\"loss\",\"step\":%d,\"epoch\":1,\"value\":1},"
	          "{\"name\":\"long\",\"step\":20000,\"epoch\":1,\"value\":1}]}",
	          (long)trial, i);
	assert_non_null(turns_reply(t, WIRE_METRICS_SAVED));
}

static void done(struct turns *t, int64_t trial, int i)
{
	turns_done(t, "b", trial, 1, 0.5);
	assert_non_null(turns_reply(t, WIRE_DONE_SAVED));
}

/* Counted, not timed: what the last of so many trials cost, with `studies` that wait beside. */
static struct cost cost_of_a_trial(int trials, int studies)
{
	enum { COUNTED = 20 };
	struct turns t;
	struct cost cost = {0};
	const struct {
		void (*say)(struct turns *t, int64_t trial, int i);
		int64_t *steps;
	} kinds[] = {{beat, &cost.beat}, {metrics, &cost.metrics}, {done, &cost.done}};

	turns_init(&t);
	for (int i = 0; i < studies; i++) {
		char *args =
		        xformat("{\"sweep\":{\"name\":\"many%d\",\"trial\":{\"data\":{\"name\":"
		                "\"shapes\"},\"model\":{\"name\":\"resnet20\"}},\"space\":{"
		                "\"train.seed\":{\"min\":%d,\"max\":%d,\"step\":1}}}}",
		                i, i * (trials / studies) + 1, (i + 1) * (trials / studies));
		turns_request(&t, "launch", args);
		free(args);
		assert_string_equal(turns_refusal(&t), "");
	}
	do
		turns_say(&t, "", WIRE_ERROR, NULL);
	while (t.out.more);
	turns_store(&t, turns_sha);
	turns_hello(&t, "a");
	sql_run(&t.store.db,
	        "update trial set state = 'done', ended_ms = 1 where id % 2 and state = 'ready'");
	turns_hello(&t, "b");
	for (int i = 0; i < COUNTED; i++) {
		int64_t trial =
		        turns_int(&t, "select t.id from trial t indexed by trial_lease join "
		                      "worker w on w.id = t.worker where t.state = 'leased' "
		                      "and w.agent = 'b' limit 1");
		for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
			turns_steps(&t);
			kinds[k].say(&t, trial, i);
			*kinds[k].steps += turns_steps(&t) / COUNTED;
		}
	}
	turns_release(&t);
	return cost;
}

static void assert_no_more(const char *what, int64_t few, int64_t many)
{
	if (many > few + few / 4)
		fail_msg("a turn of %s: %ld steps instead of %ld", what, (long)many, (long)few);
}

static void it_does_not_become_slow_after_a_thousand_trials(void **state)
{
	static const int studies[] = {1, 50};

	for (size_t i = 0; i < sizeof studies / sizeof *studies; i++) {
		struct cost few = cost_of_a_trial(200, studies[i]);
		struct cost many = cost_of_a_trial(3000, studies[i]);
		assert_no_more("a beat among 3,000 trials", few.beat, many.beat);
		assert_no_more("metrics among 3,000 trials", few.metrics, many.metrics);
		assert_no_more("a result among 3,000 trials", few.done, many.done);
	}
}

/* Who is to be given work looks at the head of every queue; nothing else looks at every study. */
static void it_does_not_become_slow_after_fifty_studies(void **state)
{
	struct cost one = cost_of_a_trial(200, 1), fifty = cost_of_a_trial(200, 50);

	assert_no_more("a beat among 50 studies", one.beat, fifty.beat);
	assert_no_more("metrics among 50 studies", one.metrics, fifty.metrics);
	if (fifty.done > one.done + 50 * 80)
		fail_msg("a result among 50 studies: %ld steps, alone %ld", (long)fifty.done,
		         (long)one.done);
}

/* The coordinator's host is away for an hour; agents trained on. */
static void no_job_is_lost_when_the_login_node_dies(void **state)
{
	struct turns t;

	begin(&t);
	turns_launch(&t, "one", "[2, 4]", false);
	turns_hello(&t, "a");
	turns_store(&t, turns_sha);
	t.now_ms += 3600 * 1000;
	crash(&t);
	turns_done(&t, "a", 1, 1, 0.5);
	turns_state(&t, 1, "done");
	turns_beat(&t, "a", "[{\"trial\":2,\"attempt\":1,\"step\":1}]");
	turns_state(&t, 2, "leased");
	assert_int_equal(turns_int(&t, "select max(attempt) from trial"), 1);
	turns_release(&t);
}

static void assert_why(struct turns *t, int64_t trial, const char *words)
{
	struct text reason = {0};
	struct error e;

	assert_int_equal(explain_reason(&t->store.db, t->now_ms, trial, &reason, &e), 0);
	if (!strstr(reason.data, words))
		fail_msg("\"%s\" does not say \"%s\"", reason.data, words);
	text_release(&reason);
}

static void one_can_say_why_a_trial_does_not_run(void **state)
{
	struct turns t;

	begin(&t);
	turns_launch(&t, "bits", "[2, 4]", true);
	int64_t parent = turns_int(&t, "select trial from study_trial where role = 'parent'");
	int64_t child = turns_int(&t, "select trial from study_trial where number = 0");
	char *starts = xformat("It starts from trial %ld, which is ready", (long)parent);
	assert_why(&t, child, starts);
	assert_why(&t, parent, "No agent is connected");
	sql_run(&t.store.db, "update ask set ranks = 8");
	turns_hello(&t, "a");
	assert_why(&t, parent, "Agent a has 4 ranks, the trial takes 8");
	sql_run(&t.store.db, "update ask set ranks = 1, memory_mb = 9000");
	assert_why(&t, parent, "Agent a has 8000 MB of memory, the trial asks for 9000");
	sql_run(&t.store.db, "update ask set memory_mb = 1000");
	turns_request(&t, "pause", "{\"study\":\"bits\"}");
	assert_why(&t, parent, "Every study that wants it is paused");
	turns_request(&t, "resume", "{\"study\":\"bits\"}");
	turns_beat(&t, "a", "[]");
	turns_ended(&t, "a", parent, 1, "error");
	assert_why(&t, parent, "It failed 1 times and is tried again in");
	turns_request(&t, "cancel", "{\"study\":\"bits\"}");
	assert_why(&t, parent, "No study wants it any more");
	turns_release(&t);
	free(starts);
}

/* A result without weights, as that of an ensemble. */
static void done_without_weights(struct turns *t, int64_t trial, int64_t attempt)
{
	turns_say(t, "a", WIRE_DONE,
	          "{\"agent\":\"a\",\"trial\":%ld,\"attempt\":%ld,\"numerics\":\"n\",\"batch\":1,"
	          "\"rows\":[],\"result\":{\"accuracy\":1},\"artifacts\":[]}",
	          (long)trial, (long)attempt);
}

/* What trial 2 starts from, trial 1, is done in vain: its bytes are gone, or proved to be wrong. */
static void lose_the_bytes(struct turns *t, bool wrong)
{
	turns_wait(t, 31000); /* whoever held trial 2 is gone */
	if (wrong)
		sql_run(&t->store.db, "update artifact set state = 'bad'");
	sql_run(&t->store.db, "delete from upload");
	sql_run(&t->store.db, "update trial set unsettled = 1 where id = 2");
	turns_wait(t, 1000);
	turns_state(t, 1, "ready");
	turns_state(t, 2, "waiting");
	turns_hello(t, "a");
	turns_state(t, 1, "leased");
}

static void assert_given_up(struct turns *t, int64_t attempts)
{
	turns_state(t, 1, "done");
	turns_keep_alive(t, "a", 60000);
	turns_state(t, 1, "done");
	turns_state(t, 2, "skipped");
	assert_int_equal(turns_int(t, "select attempt from trial where id = 1"), attempts);
	assert_why(t, 2, "Trial 2 is skipped: trial 1, which it starts from, left no weights.\n");
}

static void a_trial_is_not_made_again_for_what_it_never_leaves(void **state)
{
	struct turns t;

	begin(&t);
	turns_launch(&t, "one", "[4]", true);
	turns_hello(&t, "a");
	done_without_weights(&t, 1, 1);
	assert_given_up(&t, 1);
	turns_release(&t);
}

static void a_trial_is_made_again_once_for_what_it_leaves_no_more(void **state)
{
	struct turns t;

	for (int wrong = 0; wrong < 2; wrong++) {
		begin(&t);
		turns_launch(&t, "one", "[4]", true);
		turns_hello(&t, "a");
		turns_store(&t, turns_sha);
		turns_done(&t, "a", 1, 1, 0.5);
		turns_state(&t, 2, "leased");
		lose_the_bytes(&t, wrong);
		if (wrong) /* somebody else brings such bytes */
			turns_store(&t, turns_sha);
		done_without_weights(&t, 1, 2);
		assert_given_up(&t, 2);
		turns_release(&t);
	}
}

static void a_trial_is_made_again_whenever_its_bytes_are_gone(void **state)
{
	struct turns t;

	begin(&t);
	turns_launch(&t, "one", "[4]", true);
	turns_hello(&t, "a");
	for (int attempt = 1; attempt <= 4; attempt++) {
		turns_store(&t, turns_sha);
		turns_done(&t, "a", 1, attempt, 0.5);
		turns_state(&t, 2, "leased");
		lose_the_bytes(&t, attempt % 2);
	}
	turns_release(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(trials_do_not_stay_running_for_ever_after_a_crash),
	        cmocka_unit_test(a_live_trial_is_not_declared_dead_because_somebody_was_busy),
	        cmocka_unit_test(a_late_result_is_not_rejected),
	        cmocka_unit_test(a_late_result_is_not_rejected_for_what_is_gone_since),
	        cmocka_unit_test(what_does_not_fit_into_memory_is_not_tried_for_ever),
	        cmocka_unit_test(a_resumed_study_forgets_no_pending_trial_rung_or_sampler),
	        cmocka_unit_test(a_grid_has_no_duplicates_and_no_gaps),
	        cmocka_unit_test(the_database_is_not_locked),
	        cmocka_unit_test(it_does_not_become_slow_after_a_thousand_trials),
	        cmocka_unit_test(it_does_not_become_slow_after_fifty_studies),
	        cmocka_unit_test(no_job_is_lost_when_the_login_node_dies),
	        cmocka_unit_test(one_can_say_why_a_trial_does_not_run),
	        cmocka_unit_test(a_trial_is_not_made_again_for_what_it_never_leaves),
	        cmocka_unit_test(a_trial_is_made_again_once_for_what_it_leaves_no_more),
	        cmocka_unit_test(a_trial_is_made_again_whenever_its_bytes_are_gone),
	};

	return cmocka_run_group_tests(tests, name_database, remove_database);
}
