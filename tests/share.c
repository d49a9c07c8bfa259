/* Laws of fair share: which study's trial an agent is given next. */
#include "coordinator/explain.h"
#include "core/base/random.h"
#include "tests/turns.h"

enum { AGENTS = 10, STUDIES = 5, TRIALS = 20 };

static void launch(struct turns *t, const char *name, int trials, int share, int priority)
{
	static int seed = 0;
	char *args = xformat(
	        "{\"sweep\":{\"name\":\"%s\",\"share\":%d,\"trial\":{\"priority\":%d,\"data\":{"
	        "\"name\":\"shapes\"},\"model\":{\"name\":\"resnet20\"}},\"space\":{\"train.seed\":"
	        "{\"min\":%d,\"max\":%d,\"step\":1}}}}",
	        name, share, priority, seed + 1, seed + trials);

	seed += trials;
	turns_request(t, "launch", args);
	assert_string_equal(turns_refusal(t), "");
	do
		turns_say(t, "", WIRE_ERROR, NULL);
	while (t->out.more);
	free(args);
}

/* "a7"; lives until the next. */
static const char *name_of(int agent)
{
	static char name[16];

	snprintf(name, sizeof name, "a%d", agent);
	return name;
}

static void hello_with(struct turns *t, int agent, int64_t ranks, int64_t memory_mb, bool draining)
{
	turns_say(t, name_of(agent), WIRE_HELLO,
	          "{\"agent\":\"a%d\",\"name\":\"a%d\",\"pid\":1,\"ranks\":%ld,\"threads\":1,"
	          "\"memory_mb\":%ld,\"gpus\":0,\"labels\":[],\"data\":[],\"numerics\":\"n\","
	          "\"holds\":[],\"version\":\"trawl/1\",\"draining\":%s}",
	          agent, agent, (long)ranks, (long)memory_mb, draining ? "true" : "false");
}

static void hello(struct turns *t, int agent, int ranks)
{
	hello_with(t, agent, ranks, 1000000, false);
}

static int64_t held(struct turns *t, const char *study)
{
	return sql_get_int(&t->store.db, -1,
	                   "select count(*) from trial t join study s on s.id = t.study where "
	                   "t.state = 'leased' and s.name = ?",
	                   study);
}

/* The agent's trial ends, and it is given the next. */
static void finish_one(struct turns *t, int agent)
{
	int64_t trial = sql_get_int(&t->store.db, 0,
	                            "select t.id from trial t join worker w on w.id = t.worker "
	                            "where t.state = 'leased' and w.name = ? limit 1",
	                            name_of(agent));

	turns_done(t, name_of(agent), trial, 1, 0.5);
}

static void begin(struct turns *t)
{
	turns_init(t);
	turns_store(t, turns_sha);
}

static void equal_studies_hold_equally_much(void **state)
{
	struct turns t;

	begin(&t);
	launch(&t, "first", 40, 1, 0);
	launch(&t, "second", 40, 1, 0);
	for (int i = 0; i < AGENTS; i++) {
		hello(&t, i, 1);
		assert_in_range(held(&t, "first") - held(&t, "second") + 1, 0, 2);
	}
	assert_int_equal(held(&t, "first") + held(&t, "second"), AGENTS);
	for (int i = 0; i < 40; i++) {
		finish_one(&t, i * 7 % AGENTS);
		assert_int_equal(held(&t, "first") + held(&t, "second"), AGENTS);
		assert_in_range(held(&t, "first") - held(&t, "second") + 1, 0, 2);
	}
	turns_release(&t);
}

static void a_turn_that_leases_many_shares_them_too(void **state)
{
	struct turns t;

	begin(&t);
	launch(&t, "first", 40, 1, 0);
	launch(&t, "second", 40, 1, 0);
	hello(&t, 0, AGENTS);
	assert_int_equal(held(&t, "first"), AGENTS / 2);
	assert_int_equal(held(&t, "second"), AGENTS / 2);
	turns_release(&t);
}

static void a_double_share_gives_twice_as_much(void **state)
{
	struct turns t;

	begin(&t);
	launch(&t, "single", 40, 1, 0);
	launch(&t, "double", 40, 2, 0);
	for (int i = 0; i < 9; i++)
		hello(&t, i, 1);
	for (int i = 0; i < 30; i++) {
		assert_int_equal(held(&t, "single"), 3);
		assert_int_equal(held(&t, "double"), 6);
		finish_one(&t, i % 9);
	}
	turns_release(&t);
}

static void cores_are_shared_not_leases(void **state)
{
	struct turns t;

	begin(&t);
	launch(&t, "narrow", 40, 1, 0);
	turns_request(
	        &t, "launch",
	        "{\"sweep\":{\"name\":\"wide\",\"trial\":{\"data\":{\"name\":\"shapes\"},\"model\":"
	        "{\"name\":\"resnet20\"},\"train\":{\"shards\":4}},\"resources\":{\"ranks\":4},"
	        "\"space\":{\"train.seed\":{\"min\":1000,\"max\":1040,\"step\":1}}}}");
	assert_string_equal(turns_refusal(&t), "");
	turns_say(&t, "", WIRE_ERROR, NULL);
	hello(&t, 0, 16);
	assert_int_equal(held(&t, "narrow"), 8);
	assert_int_equal(held(&t, "wide"), 2);
	turns_release(&t);
}

static void priority_comes_before_shares(void **state)
{
	struct turns t;

	begin(&t);
	launch(&t, "low", 40, 1000, 0);
	launch(&t, "high", 12, 1, 1);
	for (int i = 0; i < AGENTS; i++)
		hello(&t, i, 1);
	assert_int_equal(held(&t, "high"), AGENTS);
	for (int i = 0; i < AGENTS; i++)
		finish_one(&t, i);
	assert_int_equal(held(&t, "high"), 2);
	assert_int_equal(held(&t, "low"), AGENTS - 2);
	turns_release(&t);
}

static void what_others_cannot_use_goes_to_an_only_study(void **state)
{
	struct turns t;

	begin(&t);
	launch(&t, "small", 3, 100, 0);
	launch(&t, "large", 40, 1, 0);
	for (int i = 0; i < AGENTS; i++)
		hello(&t, i, 1);
	assert_int_equal(held(&t, "small"), 3);
	assert_int_equal(held(&t, "large"), AGENTS - 3);
	turns_release(&t);
}

static void a_trial_of_two_studies_counts_for_the_oldest_that_is_active(void **state)
{
	struct turns t;

	begin(&t);
	turns_launch(&t, "one", "[2, 3]", false);
	turns_launch(&t, "two", "[2, 3, 4]", false);
	assert_int_equal(turns_int(&t, "select count(*) from trial where study = 1"), 2);
	turns_request(&t, "pause", "{\"study\":\"one\"}");
	assert_int_equal(turns_int(&t, "select count(*) from trial where study = 2"), 3);
	turns_request(&t, "resume", "{\"study\":\"one\"}");
	assert_int_equal(turns_int(&t, "select count(*) from trial where study = 1"), 2);
	turns_request(&t, "cancel", "{\"study\":\"one\"}");
	assert_int_equal(turns_int(&t, "select count(*) from trial where study = 2"), 3);
	turns_release(&t);
}

static void launched_again_a_study_may_have_another_share(void **state)
{
	static const char sweep[] =
	        "{\"sweep\":{\"name\":\"one\",\"share\":%d,\"trial\":{\"data\":{\"name\":"
	        "\"shapes\"},\"model\":{\"name\":\"resnet20\"}}}}";
	struct turns t;

	begin(&t);
	for (int share = 1; share < 4; share += 2) {
		char *args = xformat(sweep, share);
		turns_request(&t, "launch", args);
		assert_string_equal(turns_refusal(&t), "");
		assert_int_equal(turns_int(&t, "select share from study"), share);
		free(args);
	}
	turns_release(&t);
}

static void one_can_say_whose_turn_it_is(void **state)
{
	struct turns t;
	struct text reason = {0};
	struct error e;

	begin(&t);
	launch(&t, "greedy", 40, 1, 0);
	for (int i = 0; i < AGENTS; i++)
		hello(&t, i, 1);
	launch(&t, "late", 40, 1, 0);
	assert_int_equal(explain_reason(&t.store.db, t.now_ms, 15, &reason, &e), 0);
	if (!strstr(reason.data, "4 trials of its study come before it.") ||
	    !strstr(reason.data, "Its study greedy holds 10 cores for a share of 1; studies that "
	                         "hold less for theirs go first: late (0 for 1)."))
		fail_msg("%s", reason.data);
	text_release(&reason);
	turns_release(&t);
}

/* The reference: all ready trials that the agent's room has place for, in one order. */
static int64_t first_of_all(struct turns *t, int64_t slots, int64_t memory_mb)
{
	return sql_get_int(
	        &t->store.db, 0,
	        "with held as (select s.id, s.share, (select coalesce(sum(a.ranks * a.threads), 0) "
	        "from trial l join ask a on a.id = l.ask where l.state = 'leased' and l.study = "
	        "s.id) as cores from study s) select t.id from trial t join ask a on a.id = t.ask "
	        "join held h on h.id = t.study where t.state = 'ready' and not t.held and "
	        "t.not_before_ms <= ?1 and a.ranks * a.threads <= ?2 and a.memory_mb <= ?3 and not "
	        "exists (select 1 from refusal r where r.trial = t.id and r.worker = (select "
	        "max(id) from worker)) order by t.priority desc, "
	        "h.cores * 1.0 / h.share, t.study, t.reached desc, t.id limit 1",
	        t->now_ms, slots, memory_mb);
}

static uint64_t draw(int64_t seed, uint64_t limit)
{
	static uint64_t element;
	static int64_t drawn_from;
	struct random_stream stream = random_stream(seed, "share", 0, 0);

	element = seed == drawn_from ? element + 1 : 0;
	drawn_from = seed;
	return random_below(&stream, element, limit);
}

/* Studies whose trials ask for many things, some at rungs, some after an error. */
static void mix(struct turns *t, int64_t seed)
{
	char name[16];

	begin(t);
	for (int i = 0; i < STUDIES; i++) {
		snprintf(name, sizeof name, "s%d", i);
		launch(t, name, TRIALS, 1 + (int)draw(seed, 3), 0);
	}
	for (int i = 0; i < 4; i++)
		sql_run(&t->store.db,
		        "insert or ignore into ask(ranks, threads, gpus, memory_mb, data_digest) "
		        "values(?, 1, 0, ?, '')",
		        1 + draw(seed, 4), 1000 + 1000 * draw(seed, 3));
	for (int i = 1; i <= STUDIES * TRIALS; i++)
		sql_run(&t->store.db,
		        "update trial set ask = (select id from ask order by id limit 1 offset ? % "
		        "(select count(*) from ask)), priority = ?, reached = ?, not_before_ms = ? "
		        "where id = ?",
		        draw(seed, 5), draw(seed, 2), draw(seed, 2),
		        draw(seed, 10) ? 0 : t->now_ms + 1000000, i);
}

/* Queues are a quick way to the same. */
static void queues_lead_to_the_first_of_all(void **state)
{
	enum { SEEDS = 20, AGENTS_MOST = 60 };

	for (int64_t seed = 1; seed <= SEEDS; seed++) {
		struct turns t;
		mix(&t, seed);
		for (int i = 0; i < AGENTS_MOST; i++) {
			int64_t ranks = 1 + (int64_t)draw(seed, 4);
			int64_t memory_mb = 1000 + 1000 * (int64_t)draw(seed, 3);
			hello_with(&t, i, ranks, memory_mb, true);
			for (int64_t k = 1; k <= STUDIES * TRIALS; k++)
				if (draw(seed, 2))
					sql_run(&t.store.db,
					        "insert into refusal(trial, worker, until_ms) "
					        "select ?, max(id), 9e15 from worker",
					        k);
			int64_t expected = first_of_all(&t, ranks, memory_mb);
			assert_int_equal(t.store.db.failure, SQLITE_OK);
			turns_say(&t, name_of(i), WIRE_BEAT,
			          "{\"agent\":\"a%d\",\"seq\":1,\"free_ranks\":%ld,"
			          "\"free_memory_mb\":%ld,\"holds\":[]}",
			          i, (long)ranks, (long)memory_mb);
			int64_t got =
			        turns_int(&t, "select coalesce((select trial from history "
			                      "where event = 'lease' and worker = (select "
			                      "max(id) from worker) order by seq limit 1), 0)");
			if (got != expected)
				fail_msg("seed %ld: agent %d is given trial %ld, not %ld",
				         (long)seed, i, (long)got, (long)expected);
		}
		turns_release(&t);
	}
}

int main(void)
{
#define LAW(name) cmocka_unit_test(name)
	const struct CMUnitTest tests[] = {
	        LAW(equal_studies_hold_equally_much),
	        LAW(a_turn_that_leases_many_shares_them_too),
	        LAW(a_double_share_gives_twice_as_much),
	        LAW(cores_are_shared_not_leases),
	        LAW(priority_comes_before_shares),
	        LAW(what_others_cannot_use_goes_to_an_only_study),
	        LAW(a_trial_of_two_studies_counts_for_the_oldest_that_is_active),
	        LAW(launched_again_a_study_may_have_another_share),
	        LAW(one_can_say_whose_turn_it_is),
	        LAW(queues_lead_to_the_first_of_all),
	};

	return cmocka_run_group_tests_name("share", tests, NULL, NULL);
}
