/* Laws of the artifact store's quota: what is freed, in which order, what stays, what waits. */
#include "coordinator/quota.h"
#include "coordinator/explain.h"
#include "core/base/file.h"
#include "tests/pruning.h"

enum { BYTES = 100 }; /* of every checkpoint and all weights */

static void name_bytes(int64_t trial, int64_t step, char hex[SHA256_HEX])
{
	int64_t name[2] = {trial, step};

	sha256_hex(name, sizeof name, hex);
}

static void store(struct turns *t, const char *hex)
{
	turns_say(t, "http", WIRE_STORED, "{\"sha256\":\"%s\",\"bytes\":%d}", hex, BYTES);
}

static int64_t attempt_of(struct turns *t, int64_t trial)
{
	return one_int(t, "select attempt from trial where id = ?", trial);
}

static void checkpoint(struct turns *t, int64_t trial, int64_t epoch)
{
	char hex[SHA256_HEX];

	name_bytes(trial, epoch, hex);
	store(t, hex);
	turns_say(t, "a", WIRE_CHECKPOINT,
	          "{\"agent\":\"a\",\"trial\":%ld,\"attempt\":%ld,\"step\":%ld,\"epoch\":%ld,"
	          "\"sha256\":\"%s\",\"bytes\":%d,\"numerics\":\"n\",\"batch\":%ld,\"rows\":["
	          "{\"name\":\"loss\",\"step\":%ld,\"epoch\":%ld,\"value\":1},"
	          "{\"name\":\"accuracy\",\"step\":%ld,\"epoch\":%ld,\"value\":%.6f}]}",
	          (long)trial, (long)attempt_of(t, trial), (long)(10 * epoch), (long)epoch, hex,
	          BYTES, (long)epoch, (long)(10 * epoch), (long)epoch, (long)(10 * epoch),
	          (long)epoch, accuracy(trial, epoch));
	assert_non_null(turns_reply(t, WIRE_CHECKPOINT_SAVED));
}

static void finish(struct turns *t, int64_t trial)
{
	char hex[SHA256_HEX];

	name_bytes(trial, 99, hex);
	store(t, hex);
	turns_say(t, "a", WIRE_DONE,
	          "{\"agent\":\"a\",\"trial\":%ld,\"attempt\":%ld,\"numerics\":\"n\",\"batch\":1,"
	          "\"rows\":[],\"result\":{\"accuracy\":%.6f},\"artifacts\":[{\"name\":\"weights\","
	          "\"sha256\":\"%s\",\"bytes\":%d}]}",
	          (long)trial, (long)attempt_of(t, trial), accuracy(trial, 9), hex, BYTES);
	turns_state(t, trial, "done");
}

/* One epoch with its checkpoint, from where the last one is. */
static void train_kept(struct turns *t, int64_t trial)
{
	int64_t epoch = 1 + one_int(t,
	                            "select coalesce(max(step), 0) / 10 from artifact where trial "
	                            "= ? and name = 'checkpoint' and state = 'present'",
	                            trial);

	checkpoint(t, trial, epoch);
	if (!is_leased(t, trial))
		return;
	if (epoch == 9)
		finish(t, trial);
	else if (epoch == prune_until(&t->store.db, trial))
		turns_ended(t, "a", trial, attempt_of(t, trial), "rung");
}

static void settle(struct turns *t)
{
	turns_say(t, "", WIRE_ERROR, NULL);
}

static void allow(struct turns *t, int64_t checkpoints)
{
	t->coordinator.options.quota_bytes = checkpoints * BYTES;
	settle(t);
}

static int64_t kept(struct turns *t, int64_t trial)
{
	return one_int(t,
	               "select count(*) from artifact where trial = ? and name = 'checkpoint' and "
	               "state = 'present'",
	               trial);
}

static int64_t stored(struct turns *t)
{
	int64_t counted = turns_int(t, "select stored_bytes from coordinator");

	assert_int_equal(counted, turns_int(t, "select coalesce(sum(bytes), 0) from upload"));
	return counted;
}

/* Seeds 1 … count at their first rung, of which the best `count / 3` have gone on. */
static void start_waiting(struct turns *t, int seeds)
{
	turns_init(t);
	launch(t, "s", seeds + 9, asha);
	turns_hello(t, "a");
	for (int64_t trial = 1; trial <= seeds; trial++) {
		assert_true(is_leased(t, trial));
		train_kept(t, trial);
		turns_beat(t, "a", "[]");
	}
}

static void what_is_stored_is_counted_as_it_comes_and_goes(void **state)
{
	struct turns t;
	char hex[SHA256_HEX];

	start_waiting(&t, 4);
	assert_int_equal(stored(&t), 4 * BYTES);
	name_bytes(2, 1, hex);
	store(&t, hex); /* again */
	assert_int_equal(stored(&t), 4 * BYTES);
	name_bytes(7, 7, hex);
	store(&t, hex); /* nothing names it */
	assert_int_equal(stored(&t), 5 * BYTES);
	turns_request(&t, "cancel", "{\"study\":\"s\"}");
	turns_keep_alive(&t, "a", 25 * 3600 * 1000);
	assert_int_equal(stored(&t), 4 * BYTES);
	turns_release(&t);
}

static void what_nothing_needs_goes_first(void **state)
{
	struct turns t;

	turns_one(&t);
	checkpoint(&t, 1, 1);
	finish(&t, 1);
	turns_launch(&t, "more", "[2,3,5,6]", false);
	turns_beat(&t, "a", "[]");
	checkpoint(&t, 2, 1);
	checkpoint(&t, 2, 2);
	turns_ended(&t, "a", 2, 1, "yield");
	checkpoint(&t, 3, 1);
	turns_ended(&t, "a", 3, 1, "diverged");
	checkpoint(&t, 4, 1);
	checkpoint(&t, 4, 2);
	sql_run(&t.store.db, "update worker set state = 'draining', drain = 1");
	turns_ended(&t, "a", 2, attempt_of(&t, 2), "yield");
	turns_state(&t, 2, "ready");
	assert_int_equal(stored(&t), 7 * BYTES);
	assert_int_equal(turns_int(&t, "select checkpoint_bytes from storage where study = 'more'"),
	                 5 * BYTES);
	assert_int_equal(turns_int(&t, "select final_bytes from storage where study = 'one'"),
	                 BYTES);
	allow(&t, 7);
	assert_int_equal(kept(&t, 1) + kept(&t, 2) + kept(&t, 3) + kept(&t, 4), 6);
	allow(&t, 6); /* to nine tenths of it: two go */
	assert_int_equal(kept(&t, 1), 0);
	assert_int_equal(kept(&t, 2), 1);
	assert_int_equal(kept(&t, 3), 1);
	assert_int_equal(kept(&t, 4), 2);
	allow(&t, 1);
	assert_int_equal(kept(&t, 2), 1); /* it goes on from there */
	assert_int_equal(kept(&t, 3), 0);
	assert_int_equal(kept(&t, 4), 2); /* it runs */
	assert_int_equal(one_int(&t,
	                         "select step from artifact where trial = ? and state = "
	                         "'present'",
	                         2),
	                 20);
	assert_int_equal(turns_int(&t, "select count(*) from artifact where final and state = "
	                               "'present'"),
	                 1);
	turns_release(&t);
}

/* Of eight the best two go on; what the others have goes from the last to the third. */
static void the_worst_at_their_rungs_lose_theirs_first(void **state)
{
	static const char standing[] = "select trial from rung where epoch = 1 and verdict is null "
	                               "order by score, trial desc limit 1 offset ?";
	struct turns t;

	start_waiting(&t, 8);
	int64_t waiting = count(&t, "paused");
	assert_in_range(waiting, 5, 6);
	for (int64_t left = 8; left > 8 - waiting; left--) {
		int64_t worst = one_int(&t, standing, 8 - left);
		assert_int_equal(kept(&t, worst), 1);
		t.coordinator.options.quota_bytes = left * BYTES - 1;
		settle(&t);
		assert_int_equal(kept(&t, worst), 0);
		turns_state(&t, worst, "paused");
		assert_int_equal(stored(&t), (left - 1) * BYTES);
	}
	assert_int_equal(turns_int(&t, "select count(*) from event where kind = 'quota'"), waiting);
	assert_int_equal(turns_int(&t, "select full_ms is null from coordinator"), 1);
	turns_release(&t);
}

/* Worst is who stands low among those that came, not who has the smallest number. */
static void rungs_are_compared_by_standing(void **state)
{
	struct turns t;

	start_waiting(&t, 4);
	launch(&t, "other", 2, "\"kind\":\"asha\",\"metric\":\"loss\",\"goal\":\"min\"");
	/* For the other study seeds 1 and 2 are the first and the last of two. */
	sql_run(&t.store.db, "delete from rung");
	sql_run(&t.store.db, "update trial set state = 'paused' where id <= 4");
	sql_run(&t.store.db,
	        "insert into rung(study, bracket, epoch, trial, value, score) values(1, 0, 1, 1, "
	        "1, 1), (1, 0, 1, 2, 2, 2), (1, 0, 1, 3, 3, 3), (1, 0, 1, 4, 4, 4), (2, 0, 1, 1, "
	        "1, 1), (2, 0, 1, 2, 0, 0)");
	t.coordinator.options.quota_bytes = 4 * BYTES - 1;
	settle(&t);
	/* Places: 1: min(4/4, 1/2); 2: min(3/4, 2/2); 3: 2/4; 4: 1/4. */
	assert_int_equal(kept(&t, 2), 0);
	assert_int_equal(kept(&t, 1) + kept(&t, 3) + kept(&t, 4), 3);
	t.coordinator.options.quota_bytes = 3 * BYTES - 1;
	settle(&t);
	assert_int_equal(kept(&t, 3), 0);
	assert_int_equal(kept(&t, 1) + kept(&t, 4), 2);
	turns_release(&t);
}

static void who_is_let_go_on_without_a_checkpoint_begins_anew(void **state)
{
	struct turns t;
	struct text reason = {0};
	struct error e;

	start_waiting(&t, 2);
	t.coordinator.options.quota_bytes = BYTES / 2;
	settle(&t);
	assert_int_equal(kept(&t, 1) + kept(&t, 2), 0);
	assert_int_equal(explain_reason(&t.store.db, t.now_ms, 1, &reason, &e), 0);
	assert_non_null(strstr(reason.data, "begins anew"));
	text_release(&reason);
	t.coordinator.options.quota_bytes = 0;
	settle(&t);
	turns_beat(&t, "a", "[]");
	train_kept(&t, 4); /* of these three, 1 is the best */
	turns_beat(&t, "a", "[]");
	assert_true(is_leased(&t, 1));
	assert_int_equal(
	        one_int(&t, "select from_step from attempt where attempt = 2 and trial = ?", 1), 0);
	train_kept(&t, 1);
	turns_state(&t, 1, "leased"); /* past its first rung, where it was judged before */
	train_kept(&t, 1);
	train_kept(&t, 1);
	assert_int_equal(one_int(&t, "select count(*) from rung where epoch = 3 and trial = ?", 1),
	                 1);
	turns_release(&t);
}

/* Final weights are more than the quota: what has begun ends, nothing begins, and it is said. */
static void a_full_store_leases_only_what_has_begun(void **state)
{
	struct turns t;
	struct text reason = {0};
	struct error e;

	turns_one(&t);
	t.coordinator.options.notifies = true;
	turns_launch(&t, "more", "[2,3]", false);
	finish(&t, 1);
	turns_state(&t, 2, "leased");
	checkpoint(&t, 2, 1);
	t.coordinator.options.quota_bytes = BYTES - 1;
	turns_ended(&t, "a", 3, 1, "yield");
	turns_ended(&t, "a", 2, 1, "yield"); /* both are ready now */
	for (int i = 0; i < 3; i++)
		turns_beat(&t, "a", "[]");
	turns_state(&t, 2, "leased");
	turns_state(&t, 3, "ready");
	assert_int_equal(turns_int(&t, "select count(*) from event where kind = 'quota_full'"), 1);
	assert_int_equal(turns_int(&t, "select count(*) from notice where kind = 'full'"), 1);
	assert_int_equal(explain_reason(&t.store.db, t.now_ms, 3, &reason, &e), 0);
	assert_non_null(strstr(reason.data, "artifact store is full"));
	finish(&t, 2);
	turns_beat(&t, "a", "[]");
	turns_state(&t, 3, "ready");
	t.coordinator.options.quota_bytes = 10 * BYTES;
	settle(&t); /* every agent hears at once */
	turns_state(&t, 3, "leased");
	assert_int_equal(turns_int(&t, "select full_ms is null from coordinator"), 1);
	text_release(&reason);
	turns_release(&t);
}

/* Counted, not timed: of what has nothing to give, nothing is asked again and again. */
static void a_full_store_is_not_searched_in_every_turn(void **state)
{
	struct turns t;

	turns_init(&t);
	launch(&t, "s", 40, "\"kind\":\"none\"");
	turns_store(&t, turns_sha);
	t.coordinator.options.quota_bytes = 5; /* what lies there, nobody can free */
	turns_hello(&t, "a");
	turns_beat(&t, "a", "[]");
	assert_int_equal(count(&t, "ready"), 40);
	turns_steps(&t);
	turns_beat(&t, "a", "[]");
	int64_t few = turns_steps(&t);
	sql_run(&t.store.db,
	        "insert into rung(study, bracket, epoch, trial, value, score) with recursive "
	        "n(epoch) as (select 1 union all select epoch + 1 from n where epoch < 2000) "
	        "select 1, 0, epoch, 1, 1, 1 from n");
	sql_run(&t.store.db, "update trial set state = 'paused' where id = 1");
	sql_run(&t.store.db, "update trial set study = id"); /* as many queues */
	turns_steps(&t);
	turns_beat(&t, "a", "[]");
	int64_t many = turns_steps(&t);
	if (many > few + few / 4)
		fail_msg("a beat costs %ld steps with many rungs and queues, %ld with none and one",
		         (long)many, (long)few);
	turns_release(&t);
}

static void bytes_that_others_name_stay(void **state)
{
	struct turns t;
	char hex[SHA256_HEX];

	start_waiting(&t, 2);
	name_bytes(1, 1, hex);
	sql_run(&t.store.db,
	        "insert into artifact(sha256, trial, attempt, name, bytes, final, state, "
	        "created_ms) values(?, 2, 1, 'weights', ?, 1, 'present', 0)",
	        (const char *)hex, BYTES);
	t.coordinator.options.quota_bytes = 1;
	settle(&t);
	assert_int_equal(kept(&t, 1), 0);
	assert_int_equal(stored(&t), BYTES);
	assert_int_equal(t.out.deletion_count, 1);
	assert_string_not_equal(t.out.deletions[0], hex);
	turns_release(&t);
}

/* All that happened, in order, of a study that passes its quota all the time. */
static char *story(int64_t quota, bool restarted, int64_t *done)
{
	struct turns t = {.now_ms = 1000000};
	char folder[] = "/tmp/trawl-quota-XXXXXX", *all;
	int64_t trial = 0;

	assert_non_null(mkdtemp(folder));
	char *path = path_join(folder, "study.db");
	turns_start(&t, path);
	launch(&t, "s", 14, asha);
	turns_hello(&t, "a");
	for (int steps = 0; steps < 1000; steps++) {
		if (restarted) {
			store_close(&t.store);
			turns_start(&t, path);
		}
		t.coordinator.options.quota_bytes = quota;
		turns_beat(&t, "a", "[]");
		trial = one_int(&t,
		                "select coalesce(min(iif(id > ?1, id, null)), min(id)) from trial "
		                "where state = 'leased'",
		                trial);
		if (trial <= 0)
			break;
		train_kept(&t, trial);
		stored(&t);
	}
	*done = count(&t, "done");
	assert_int_equal(*done + count(&t, "pruned"), 14);
	all = sql_get_text(&t.store.db,
	                   "select (select group_concat(trial || event || coalesce(why, ''), ' ') "
	                   "from history) || (select group_concat(trial || state) from artifact)");
	turns_release(&t);
	folder_remove(folder, NULL);
	free(path);
	return all;
}

static void a_restart_at_every_event_frees_the_same(void **state)
{
	int64_t done = 0;

	for (int64_t quota = 5; quota <= 12; quota += 7) {
		char *one = story(quota * BYTES, false, &done);
		char *other = story(quota * BYTES, true, &done);
		assert_string_equal(one, other);
		assert_in_range(done, 1, 5);
		free(one);
		free(other);
	}
}

static int64_t ticks;

static int tick(void *self)
{
	ticks++;
	return 0;
}

/* Tens of instructions of SQLite that one more beat takes, with so many trials that may not begin.
 */
static int64_t beat_cost(int trials)
{
	struct turns t;

	turns_init(&t);
	launch(&t, "s", trials, "\"kind\":\"none\"");
	for (int i = 0; i < trials / 1000; i++)
		settle(&t);
	char hex[SHA256_HEX];
	name_bytes(0, 0, hex);
	store(&t, hex);
	allow(&t, 0);
	t.coordinator.options.quota_bytes = 1;
	turns_hello(&t, "a");
	assert_int_equal(count(&t, "leased"), 0);
	assert_int_equal(count(&t, "ready"), trials);
	sqlite3_progress_handler(t.store.db.handle, 10, tick, NULL);
	ticks = 0;
	turns_beat(&t, "a", "[]");
	turns_release(&t);
	return ticks;
}

static void a_full_store_costs_no_more_with_more_trials(void **state)
{
	int64_t few = beat_cost(100), many = beat_cost(5000);

	if (many > few + few / 2)
		fail_msg("a beat takes %ld tens of steps with 100 trials, %ld with 5000", (long)few,
		         (long)many);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(what_is_stored_is_counted_as_it_comes_and_goes),
	        cmocka_unit_test(what_nothing_needs_goes_first),
	        cmocka_unit_test(the_worst_at_their_rungs_lose_theirs_first),
	        cmocka_unit_test(rungs_are_compared_by_standing),
	        cmocka_unit_test(who_is_let_go_on_without_a_checkpoint_begins_anew),
	        cmocka_unit_test(a_full_store_leases_only_what_has_begun),
	        cmocka_unit_test(a_full_store_is_not_searched_in_every_turn),
	        cmocka_unit_test(bytes_that_others_name_stay),
	        cmocka_unit_test(a_restart_at_every_event_frees_the_same),
	        cmocka_unit_test(a_full_store_costs_no_more_with_more_trials),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
