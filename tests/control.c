/* Laws of what people do to studies and trials while they run. */
#include "tests/turns.h"

static void request(struct turns *t, const char *verb, const char *args)
{
	turns_say(t, "client", WIRE_REQUEST, "{\"id\":9,\"verb\":\"%s\",\"args\":%s}", verb, args);
}

static bool granted(struct turns *t)
{
	return json_bool(turns_reply(t, WIRE_REPLY), "ok", false);
}

static void one_trial_can_be_cancelled_and_its_study_goes_on(void **state)
{
	struct turns t;

	turns_init(&t);
	turns_launch(&t, "bits", "[2, 4, 8]", false);
	turns_hello(&t, "a");
	turns_state(&t, 2, "leased");
	request(&t, "cancel", "{\"trial\":2}");
	assert_true(granted(&t));
	turns_state(&t, 1, "leased");
	turns_state(&t, 2, "cancelled");
	assert_int_equal(turns_int(&t, "select count(*) from study where state = 'active'"), 1);
	assert_int_equal(turns_int(&t, "select count(*) from attempt where trial = 2 and outcome "
	                               "= 'cancelled' and ended_ms is not null"),
	                 1);
	turns_beat(&t, "a", "[{\"trial\":2,\"attempt\":1,\"step\":0,\"phase\":\"train\"}]");
	assert_string_equal(json_text(turns_hold(&t, 2), "order", ""), "stop");
	turns_release(&t);
}

static void what_cannot_be_cancelled_is_said(void **state)
{
	struct turns t;

	turns_init(&t);
	turns_launch(&t, "bits", "[2]", false);
	request(&t, "cancel", "{\"trial\":1}");
	assert_true(granted(&t));
	request(&t, "cancel", "{\"trial\":1}");
	assert_false(granted(&t));
	assert_string_equal(json_text(turns_reply(&t, WIRE_REPLY), "text", ""),
	                    "trial 1 is cancelled: nothing to cancel");
	request(&t, "cancel", "{\"trial\":7}");
	assert_string_equal(json_text(turns_reply(&t, WIRE_REPLY), "text", ""),
	                    "there is no trial 7");
	turns_release(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(one_trial_can_be_cancelled_and_its_study_goes_on),
	        cmocka_unit_test(what_cannot_be_cancelled_is_said),
	};

	return cmocka_run_group_tests_name("control", tests, NULL, NULL);
}
