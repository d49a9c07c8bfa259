/* Laws of the turn, one message at a time: results, checkpoints, what is refused. */
#include "tests/turns.h"

static const char other_sha[] = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
static const char third_sha[] = "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc";

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
	assert_non_null(strstr(json_at(hold, "spec")->valuestring, "\"name\":\"resnet20\""));
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

	turns_one(&t);
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

static void another_agents_attempt_is_not_its_own(void **state)
{
	struct turns t;

	turns_one(&t);
	turns_hello(&t, "b");
	turns_say(&t, "b", WIRE_METRICS,
	          "{\"agent\":\"b\",\"trial\":1,\"attempt\":1,\"batch\":1,\"rows\":[{\"name\":"
	          "\"loss\",\"step\":1,\"value\":1}]}");
	assert_null(turns_reply(&t, WIRE_METRICS_SAVED));
	turns_done(&t, "b", 1, 1, 0.5);
	turns_ended(&t, "b", 1, 1, "error");
	turns_state(&t, 1, "leased");
	assert_int_equal(turns_int(&t, "select count(*) from metric"), 0);
	turns_release(&t);
}

static void a_message_that_is_refused_leaves_no_trace(void **state)
{
	struct turns t;

	turns_one(&t);
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

/* METRICS of trial 1, of that name. */
static struct message metrics_named(const char *name)
{
	char *text = xformat("{\"agent\":\"a\",\"trial\":1,\"attempt\":1,\"batch\":1,\"rows\":["
	                     "{\"name\":\"before %s\",\"step\":1},{\"name\":\"%s\",\"step\":1}]}",
	                     name, name);
	struct message m = message_make(WIRE_METRICS, "a", 1, cJSON_Parse(text));

	free(text);
	return m;
}

/* What nobody has foreseen: SQLite refuses the second row of the second message. */
static void of_a_batch_only_what_is_refused_is_lost(void **state)
{
	struct turns t;
	struct error e = {{0}};

	turns_one(&t);
	sql_script(&t.store.db, "create trigger trap before insert on metric when new.name = 'b' "
	                        "begin select raise(abort, 'a trap'); end");
	struct message three[] = {metrics_named("a"), metrics_named("b"), metrics_named("c")};
	struct turn_input in = {.wall_ms = t.now_ms,
	                        .monotonic_ms = t.now_ms,
	                        .messages = three,
	                        .count = 3,
	                        .drained = true,
	                        .free_bytes = -1};
	turn_output_release(&t.out);
	assert_int_equal(turn_run(&t.coordinator, &in, &t.out, &e), 0);
	assert_int_equal(t.out.count, 3);
	assert_int_equal(t.out.messages[0].kind, WIRE_METRICS_SAVED);
	assert_non_null(strstr(json_text(t.out.messages[1].body, "text", ""), "a trap"));
	assert_int_equal(t.out.messages[2].kind, WIRE_METRICS_SAVED);
	assert_int_equal(turns_int(&t, "select count(*) from metric where trial = 1 and name in "
	                               "('before a', 'a', 'before c', 'c')"),
	                 4);
	assert_int_equal(turns_int(&t, "select count(*) from metric where name like '%b'"), 0);
	for (int i = 0; i < 3; i++)
		message_release(&three[i]);
	turns_release(&t);
}

static void repeats_of_done_change_nothing_and_are_answered(void **state)
{
	struct turns t;

	turns_one(&t);
	turns_store(&t, turns_sha);
	for (int i = 0; i < 3; i++) {
		turns_done(&t, "a", 1, 1, i ? 0.1 : 0.9);
		assert_non_null(turns_reply(&t, WIRE_DONE_SAVED));
	}
	assert_int_equal(turns_int(&t, "select value = 0.9 from result"), 1);
	assert_int_equal(turns_int(&t, "select count(*) from history where event = 'finish'"), 1);
	turns_release(&t);
}

static void end_again(struct turns *t, const char *list)
{
	turns_say(t, "a", WIRE_DONE,
	          "{\"agent\":\"a\",\"trial\":1,\"attempt\":1,\"numerics\":\"n\",\"batch\":1,"
	          "\"rows\":[],\"result\":{},\"artifacts\":[],%s}",
	          list);
	assert_non_null(turns_reply(t, WIRE_DONE_SAVED));
}

/* Trial 1 ends, with a list of its own in what it says. */
static void end_with(struct turns *t, const char *list)
{
	turns_one(t);
	end_again(t, list);
}

static const char curves[] =
        "\"ood\":[{\"set\":\"svhn\",\"score\":\"energy\",\"metric\":\"auroc\",\"value\":0.75}],"
        "\"curves\":["
        "{\"set\":\"svhn\",\"score\":\"energy\",\"curve\":\"roc\",\"x\":0,\"y\":0},"
        "{\"set\":\"svhn\",\"score\":\"energy\",\"curve\":\"roc\",\"x\":0,\"y\":0.5},"
        "{\"set\":\"svhn\",\"score\":\"energy\",\"curve\":\"roc\",\"x\":1,\"y\":1}]";

static void what_tells_sets_apart_is_stored(void **state)
{
	struct turns t;

	end_with(&t, curves);
	assert_int_equal(turns_int(&t, "select count(*) from ood_metric where ood_set = 'svhn' and "
	                               "score = 'energy' and metric = 'auroc' and value = 0.75"),
	                 1);
	assert_int_equal(turns_int(&t, "select group_concat(y, ',') = '0.0,0.5,1.0' from (select y "
	                               "from ood_curve where curve = 'roc' order by point)"),
	                 1);
	turns_release(&t);
}

/* Its bytes went, so that it was to be made again; then the first attempt says its result anew. */
static void a_result_with_curves_is_taken_twice(void **state)
{
	struct turns t;

	end_with(&t, curves);
	sql_run(&t.store.db, "update trial set state = 'waiting', ended_ms = null, unsettled = 1");
	turns_wait(&t, 1000);
	turns_beat(&t, "a", "[]");
	assert_int_equal(turns_int(&t, "select attempt from trial where state = 'leased'"), 2);
	end_again(&t, curves);
	turns_state(&t, 1, "done");
	assert_int_equal(turns_int(&t, "select count(*) from ood_curve"), 3);
	turns_release(&t);
}

static void nodes_of_a_tree_are_stored(void **state)
{
	struct turns t;

	end_with(&t, "\"tree\":["
	             "{\"node\":0,\"parent\":-1,\"layer\":\"conv1\",\"members\":\"0,1\","
	             "\"channels\":12,\"width\":16,\"macs\":5000000000},"
	             "{\"node\":1,\"parent\":0,\"layer\":\"layer1.0.conv1\",\"members\":\"0\","
	             "\"channels\":16,\"width\":16,\"macs\":1}]");
	assert_int_equal(turns_int(&t, "select count(*) from split_node where parent is null and "
	                               "layer = 'conv1' and members = '0,1' and channels = 12 and "
	                               "width = 16 and macs = 5e9"),
	                 1);
	assert_int_equal(turns_int(&t,
	                           "select count(*) from split_node where node = 1 and parent = "
	                           "0 and members = '0'"),
	                 1);
	turns_release(&t);
}

static void points_of_a_landscape_are_stored(void **state)
{
	struct turns t;

	end_with(&t,
	         "\"landscape\":["
	         "{\"slice\":\"random\",\"x\":-1,\"y\":0,\"metric\":\"loss\",\"value\":2.5},"
	         "{\"slice\":\"random\",\"x\":-1,\"y\":0,\"metric\":\"critical_loss\",\"value\":4},"
	         "{\"slice\":\"random_plane\",\"x\":-1,\"y\":0.5,\"metric\":\"loss\","
	         "\"value\":null}]");
	assert_int_equal(turns_int(&t, "select count(*) from landscape where trial = 1"), 3);
	assert_int_equal(turns_int(&t, "select count(*) from landscape where slice = 'random' and "
	                               "x = -1 and y = 0 and metric = 'loss' and value = 2.5"),
	                 1);
	assert_int_equal(turns_int(&t, "select count(*) from landscape where slice = "
	                               "'random_plane' and y = 0.5 and value is null"),
	                 1);
	turns_release(&t);
}

static void old_checkpoints_go_but_the_newest_and_the_best_stay(void **state)
{
	static const char *const hex = "0123456789";
	struct turns t;

	turns_one(&t);
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

/* The second attempt ends before it has a checkpoint of its own. */
static void a_result_from_another_class_of_machine_is_an_event(void **state)
{
	struct turns t;

	turns_one(&t);
	turns_store(&t, other_sha);
	turns_checkpoint(&t, "a", 1, 1, 2, other_sha);
	turns_ended(&t, "a", 1, 1, "yield");
	turns_store(&t, turns_sha);
	turns_say(
	        &t, "a", WIRE_DONE,
	        "{\"agent\":\"a\",\"trial\":1,\"attempt\":2,\"numerics\":\"other\",\"batch\":1,"
	        "\"rows\":[],\"result\":{},\"artifacts\":[{\"name\":\"weights\",\"sha256\":\"%s\","
	        "\"bytes\":10}]}",
	        turns_sha);
	turns_state(&t, 1, "done");
	assert_int_equal(turns_int(&t, "select count(*) from event where kind = "
	                               "'numerics_changed' and trial = 1"),
	                 1);
	turns_release(&t);
}

static void a_bad_checkpoint_is_passed_over(void **state)
{
	struct turns t;

	turns_one(&t);
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

static void bytes_that_another_trial_names_stay(void **state)
{
	struct turns t;
	char sha256[SHA256_HEX] = {0};

	turns_init(&t);
	turns_launch(&t, "two", "[2, 4]", false);
	turns_hello(&t, "a");
	turns_store(&t, other_sha);
	turns_checkpoint(&t, "a", 1, 1, 1, other_sha);
	turns_checkpoint(&t, "a", 2, 1, 1, other_sha);
	for (int step = 2; step <= 5; step++) {
		memset(sha256, '0' + step, 64);
		turns_store(&t, sha256);
		turns_checkpoint(&t, "a", 1, 1, step, sha256);
	}
	assert_int_equal(turns_int(&t,
	                           "select state = 'collected' from artifact where trial = 1 and "
	                           "step = 1"),
	                 1);
	assert_int_equal(turns_int(&t, "select count(*) from upload where sha256 like 'bbbb%'"), 1);
	turns_release(&t);
}

static void bytes_that_nobody_names_go_after_a_day(void **state)
{
	struct turns t;

	turns_init(&t);
	turns_store(&t, other_sha);
	t.now_ms += 23 * 3600000;
	turns_store(&t, third_sha);
	assert_int_equal(t.out.deletion_count, 0);
	t.now_ms += 2 * 3600000;
	turns_say(&t, "", WIRE_ERROR, NULL);
	assert_int_equal(t.out.deletion_count, 1);
	assert_string_equal(t.out.deletions[0], other_sha);
	assert_int_equal(turns_int(&t, "select count(*) from upload where sha256 like 'cccc%'"), 1);
	turns_release(&t);
}

/* And at least one. */
static void credits_are_divided_among_the_agents(void **state)
{
	struct turns t;

	turns_init(&t);
	t.coordinator.options.credits = 6;
	static const int64_t expected[] = {6, 3, 2, 1, 1, 1, 1};
	for (int i = 0; i < 7; i++) {
		char *agent = xformat("agent%d", i);
		turns_hello(&t, agent);
		assert_int_equal(json_int(turns_reply(&t, WIRE_WELCOME), "credits", 0),
		                 expected[i]);
		free(agent);
	}
	turns_beat(&t, "agent0", "[]");
	assert_int_equal(json_int(turns_reply(&t, WIRE_ORDERS), "credits", 0), 1);
	turns_release(&t);
}

int main(void)
{
#define LAW(name) cmocka_unit_test(name)
	const struct CMUnitTest tests[] = {
	        LAW(credits_are_divided_among_the_agents),
	        LAW(trials_flow_from_launch_to_done),
	        LAW(an_unknown_agent_is_asked_to_say_hello_again),
	        LAW(an_agent_speaks_for_itself_only),
	        LAW(another_agents_attempt_is_not_its_own),
	        LAW(a_message_that_is_refused_leaves_no_trace),
	        LAW(of_a_batch_only_what_is_refused_is_lost),
	        LAW(repeats_of_done_change_nothing_and_are_answered),
	        LAW(what_tells_sets_apart_is_stored),
	        LAW(a_result_with_curves_is_taken_twice),
	        LAW(nodes_of_a_tree_are_stored),
	        LAW(points_of_a_landscape_are_stored),
	        LAW(old_checkpoints_go_but_the_newest_and_the_best_stay),
	        LAW(bytes_that_another_trial_names_stay),
	        LAW(bytes_that_nobody_names_go_after_a_day),
	        LAW(a_result_from_another_class_of_machine_is_an_event),
	        LAW(a_bad_checkpoint_is_passed_over),
	        LAW(an_input_that_is_lost_is_made_again),
	};

	return cmocka_run_group_tests_name("coordinator", tests, NULL, NULL);
}
