/* Copies of a database: which is obeyed, as the turn and as the agent see it. */
#include "coordinator/generation.h"
#include "tests/turns.h"
#include "worker/addresses.h"

/* uuid and seal as WELCOME gave them in the last turn. */
static cJSON *proof(struct turns *t)
{
	return cJSON_Duplicate(turns_reply(t, WIRE_WELCOME), true);
}

static void set_generation(struct turns *t, int64_t generation)
{
	sql_run(&t->store.db, "update coordinator set generation = ?", generation);
}

static void probe(struct turns *t, const cJSON *proof, int64_t generation)
{
	turns_say(t, "b", WIRE_PROBE,
	          "{\"agent\":\"b\",\"generation\":%ld,\"uuid\":\"%s\",\"seal\":\"%s\"}",
	          (long)generation, json_text(proof, "uuid", ""), json_text(proof, "seal", ""));
}

static void an_old_copy_that_hears_of_a_newer_one_gives_up(void **state)
{
	struct turns t;
	struct error e;
	turns_init(&t);
	set_generation(&t, 3);
	turns_hello(&t, "a");
	cJSON *newer = proof(&t);
	set_generation(&t, 2);
	probe(&t, newer, 3);
	assert_int_equal(t.out.superseded, 3);
	assert_int_equal(t.out.count, 0);
	assert_int_equal(generation_is_newest(&t.store.db, "x", &e), -1);
	assert_non_null(strstr(e.text, "generation 3"));
	assert_int_equal(generation_begin(&t.store.db, "x", false, t.now_ms, &e), -1);
	assert_int_equal(generation_begin(&t.store.db, "x", true, t.now_ms, &e), 0);
	assert_int_equal(turns_int(&t, "select generation from coordinator"), 4);
	cJSON_Delete(newer);
	turns_release(&t);
}

/* What comes behind in the same turn is the newer copy's to decide; so is whose lease is over. */
static void nothing_is_changed_behind_the_proof(void **state)
{
	struct turns t;
	struct error e = {{0}};
	struct message m[2];
	char *text;

	turns_init(&t);
	turns_launch(&t, "one", "[4]", false);
	set_generation(&t, 3);
	turns_hello(&t, "a");
	cJSON *newer = proof(&t);
	set_generation(&t, 2);
	text = xformat("{\"agent\":\"b\",\"generation\":3,\"uuid\":\"%s\",\"seal\":\"%s\"}",
	               json_text(newer, "uuid", ""), json_text(newer, "seal", ""));
	m[0] = message_make(WIRE_PROBE, "b", 1, json_parse(text, strlen(text), "test", &e));
	free(text);
	text = xstrdup("{\"id\":1,\"verb\":\"cancel\",\"args\":{\"study\":\"one\"}}");
	m[1] = message_make(WIRE_REQUEST, "c", 1, json_parse(text, strlen(text), "test", &e));
	free(text);
	sql_run(&t.store.db, "update trial set lease_until_ms = 1");
	struct turn_input in = {.wall_ms = t.now_ms,
	                        .monotonic_ms = t.now_ms,
	                        .messages = m,
	                        .count = 2,
	                        .drained = true,
	                        .free_bytes = -1};
	turn_output_release(&t.out);
	assert_int_equal(turn_run(&t.coordinator, &in, &t.out, &e), 0);
	assert_int_equal(t.out.superseded, 3);
	turns_state(&t, 1, "leased");
	assert_int_equal(turns_int(&t, "select state = 'active' from study"), 1);
	message_release(&m[0]);
	message_release(&m[1]);
	cJSON_Delete(newer);
	turns_release(&t);
}

/* Who could make it up could stop any coordinator. */
static void a_generation_without_its_seal_is_not_believed(void **state)
{
	struct turns t;
	turns_init(&t);
	turns_hello(&t, "a");
	cJSON *ours = proof(&t);
	probe(&t, ours, 2); /* the seal is generation 1's */
	assert_int_equal(t.out.superseded, 0);
	assert_null(turns_reply(&t, WIRE_PRESENT));
	probe(&t, ours, 1);
	assert_string_equal(json_text(turns_reply(&t, WIRE_PRESENT), "seal", ""),
	                    json_text(ours, "seal", "?"));
	cJSON_Delete(ours);
	turns_release(&t);
}

static void what_is_said_to_another_generation_is_not_taken(void **state)
{
	struct turns t;
	turns_init(&t);
	turns_hello(&t, "a");
	set_generation(&t, 2);
	turns_say(
	        &t, "a", WIRE_BEAT,
	        "{\"agent\":\"a\",\"seq\":1,\"generation\":1,\"free_ranks\":1,\"free_memory_mb\":1,"
	        "\"holds\":[]}");
	assert_non_null(turns_reply(&t, WIRE_AGAIN));
	assert_null(turns_reply(&t, WIRE_ORDERS));
	assert_int_equal(json_int(turns_reply(&t, WIRE_AGAIN), "generation", 0), 2);
	turns_say(
	        &t, "a", WIRE_BEAT,
	        "{\"agent\":\"a\",\"seq\":2,\"generation\":2,\"free_ranks\":1,\"free_memory_mb\":1,"
	        "\"holds\":[]}");
	assert_non_null(turns_reply(&t, WIRE_ORDERS));
	turns_release(&t);
}

static void attempts_of_two_copies_never_share_a_number(void **state)
{
	struct turn t = {.generation = 1};
	assert_int_equal(generation_attempt(&t, 0), 1);
	assert_int_equal(generation_attempt(&t, 7), 8);
	t.generation = 3;
	assert_int_equal(generation_attempt(&t, 7), 2001);
	assert_int_equal(generation_attempt(&t, 2001), 2002);
}

/* ---- the agent's side ---- */

static enum heard_from hear(struct addresses *a, int i, enum wire_kind kind, const char *uuid,
                            int64_t generation, bool silent)
{
	cJSON *body = cJSON_CreateObject();
	cJSON_AddStringToObject(body, "uuid", uuid);
	cJSON_AddStringToObject(body, "seal", generation == 2 ? "two" : "one");
	cJSON_AddNumberToObject(body, "generation", (double)generation);
	struct message m = message_make(kind, NULL, 0, body);
	enum heard_from from = addresses_heard(a, i, &m, silent);
	message_release(&m);
	return from;
}

static struct addresses two_addresses(void)
{
	struct addresses a = {.count = 2};
	a.address[0].endpoint = "first";
	a.address[1].endpoint = "second";
	return a;
}

static void an_agent_moves_to_the_newest_copy(void **state)
{
	struct addresses a = two_addresses();
	assert_int_equal(hear(&a, 0, WIRE_WELCOME, "u", 1, false), HEARD_OURS);
	assert_int_equal(hear(&a, 1, WIRE_PRESENT, "u", 1, false), HEARD_NOTHING);
	assert_int_equal(hear(&a, 1, WIRE_PRESENT, "u", 2, false), HEARD_MOVED);
	assert_int_equal(a.at, 1);
	assert_string_equal(a.seal, "two");
	assert_int_equal(hear(&a, 1, WIRE_WELCOME, "u", 2, false), HEARD_OURS);
	/* The old one is not obeyed, nor gone back to when the new one is silent. */
	assert_int_equal(hear(&a, 0, WIRE_ORDERS, "u", 1, true), HEARD_NOTHING);
	assert_int_equal(hear(&a, 0, WIRE_PRESENT, "u", 1, true), HEARD_NOTHING);
	assert_int_equal(hear(&a, 1, WIRE_ORDERS, "u", 1, false), HEARD_NOTHING);
	assert_int_equal(hear(&a, 0, WIRE_PRESENT, "u", 2, true), HEARD_MOVED);
	assert_int_equal(a.at, 0);
}

static void an_agent_leaves_other_databases_alone(void **state)
{
	struct addresses a = two_addresses();
	assert_int_equal(hear(&a, 0, WIRE_WELCOME, "u", 1, false), HEARD_OURS);
	assert_int_equal(hear(&a, 1, WIRE_PRESENT, "other", 5, true), HEARD_NOTHING);
	assert_true(a.address[1].foreign);
	assert_int_equal(a.at, 0);
	assert_int_equal(a.generation, 1);
	/* At its own address another database may begin. */
	assert_int_equal(hear(&a, 0, WIRE_WELCOME, "fresh", 1, false), HEARD_OURS);
	assert_string_equal(a.uuid, "fresh");
}

/* Whichever answers first. */
static void of_two_databases_the_first_address_has_ours(void **state)
{
	struct addresses a = two_addresses();
	assert_int_equal(hear(&a, 1, WIRE_PRESENT, "other", 5, false), HEARD_MOVED);
	assert_int_equal(hear(&a, 0, WIRE_PRESENT, "u", 1, false), HEARD_MOVED);
	assert_int_equal(a.at, 0);
	assert_string_equal(a.uuid, "u");
	assert_true(a.address[1].foreign && addresses_settled(&a, 1));
	assert_int_equal(hear(&a, 1, WIRE_PRESENT, "other", 6, true), HEARD_NOTHING);
	/* One that comes when hello was said elsewhere comes too late. */
	struct addresses late = two_addresses();
	hear(&late, 1, WIRE_PRESENT, "other", 5, false);
	late.greeted = true;
	assert_int_equal(hear(&late, 0, WIRE_PRESENT, "u", 1, true), HEARD_NOTHING);
	/* So does its answer to a hello that was said before the agent moved. */
	assert_int_equal(hear(&late, 0, WIRE_WELCOME, "u", 1, false), HEARD_NOTHING);
	assert_string_equal(late.uuid, "other");
}

static void addresses_are_looked_at_before_they_are_used(void **state)
{
	static const char *const wrong[] = {"",
	                                    ",",
	                                    "a,,b",
	                                    "tcp://a:1,",
	                                    "tcp://a:1, tcp://b:2",
	                                    "tcp://a:1,tcp://a:1",
	                                    "tcp://a",
	                                    "tcp://:5",
	                                    "tcp://a:",
	                                    "tcp://a:0",
	                                    "tcp://a:65536",
	                                    "tcp://a:5x",
	                                    "a:5",
	                                    "tpc://a:5",
	                                    "tcp://a:1,tcp://a:2,tcp://a:3,tcp://a:4,tcp://a:5,"
	                                    "tcp://a:6,tcp://a:7,tcp://a:8,tcp://a:9"};
	char *endpoint[ENDPOINTS_MAX];
	struct error e;
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		assert_int_equal(endpoints_split(wrong[i], endpoint, &e), -1);
		assert_non_null(strstr(e.text, "--connect"));
	}
	assert_int_equal(endpoints_split("tcp://a:1,tcp://[::1]:2", endpoint, &e), 2);
	assert_string_equal(endpoint[0], "tcp://a:1");
	assert_string_equal(endpoint[1], "tcp://[::1]:2");
	free(endpoint[0]);
	free(endpoint[1]);
}

static void no_hello_is_said_before_all_have_answered(void **state)
{
	struct addresses a = two_addresses();
	a.begun_ms = 1000;
	assert_false(addresses_settled(&a, 1001));
	hear(&a, 0, WIRE_PRESENT, "u", 1, false);
	assert_false(addresses_settled(&a, 1001));
	hear(&a, 1, WIRE_PRESENT, "u", 1, false);
	assert_true(addresses_settled(&a, 1001));
	struct addresses quiet = two_addresses();
	quiet.begun_ms = 1000;
	assert_true(addresses_settled(&quiet, 4000)); /* nobody is there: it goes on */
	quiet.count = 1;
	assert_true(addresses_settled(&quiet, 1000));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(an_old_copy_that_hears_of_a_newer_one_gives_up),
	        cmocka_unit_test(nothing_is_changed_behind_the_proof),
	        cmocka_unit_test(a_generation_without_its_seal_is_not_believed),
	        cmocka_unit_test(what_is_said_to_another_generation_is_not_taken),
	        cmocka_unit_test(attempts_of_two_copies_never_share_a_number),
	        cmocka_unit_test(an_agent_moves_to_the_newest_copy),
	        cmocka_unit_test(an_agent_leaves_other_databases_alone),
	        cmocka_unit_test(of_two_databases_the_first_address_has_ours),
	        cmocka_unit_test(addresses_are_looked_at_before_they_are_used),
	        cmocka_unit_test(no_hello_is_said_before_all_have_answered),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
