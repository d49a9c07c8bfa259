/* Laws of the coordinator's turn, one message at a time. */
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

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_launch_makes_the_trials_and_their_shared_parent),
	        cmocka_unit_test(trials_flow_from_launch_to_done),
	};

	return cmocka_run_group_tests_name("coordinator", tests, NULL, NULL);
}
