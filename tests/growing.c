/* Laws of what a tree grows into: what splits and pruning may cost, what is said of it, and what is
 * refused. */
#include "tests/growing_trial.h"

/* A look takes no longer for batches that are not there. */
static void more_batches_than_there_are_mean_all(void **state)
{
	struct told four = {0}, many = {0};
	struct error e = {{0}};

	for (int i = 0; i < 2; i++) {
		char *json = xformat(GROWING, i ? 1000 : 4, "", "0.8");
		trial_write(i ? "many.json" : "four.json", json);
		free(json);
	}
	assert_int_equal(run("four.json", "four", NULL, &four, &e), OUTCOME_DONE);
	assert_int_equal(run("many.json", "many", NULL, &many, &e), OUTCOME_DONE);
	assert_int_equal(four.asked, many.asked);
}

static enum outcome grow_until(const char *split, const char *prune, struct grown *g,
                               struct error *e)
{
	struct told never = {0};
	char *json = xformat(
	        "{\"data\": {\"name\": \"shapes\", \"limit\": 64, \"test_limit\": 24}, \"eval\": "
	        "{\"batch\": 24}, \"model\": {\"name\": \"resnet20\", \"width\": 4}, \"split\": "
	        "{\"submodels\": 3, %s}, \"prune\": {%s}, \"train\": {\"epochs\": 3, \"batch\": "
	        "32}}",
	        split, prune);

	trial_write("grow.json", json);
	free(json);
	return run_keeping("grow.json", "grow", NULL, &never, g, e);
}

static struct grown grow(const char *split, const char *prune)
{
	struct error e = {{0}};
	struct grown g;

	if (grow_until(split, prune, &g, &e) != OUTCOME_DONE)
		fail_msg("%s", e.text);
	return g;
}

/* Widths of 4 go by 4, so that no channel of the first stage can go: all copies cannot be paid. */
static void splits_that_cannot_be_paid_for_are_not_made(void **state)
{
	static const char split[] = "\"interval\": 1, \"until\": 1, \"threshold\": 1";
	struct grown paid = grow(split, "\"multiple\": 4, \"flops\": 1.1");
	struct grown free_of_cost = grow(split, "\"multiple\": 4, \"flops\": 0");

	assert_true(paid.cost <= 1.1);
	assert_true(paid.growth.splits > 0 && paid.growth.unpaid > 0);
	assert_true(free_of_cost.cost > 2.5);
	assert_int_equal(free_of_cost.growth.unpaid, 0);
	growth_release(&paid.growth);
	growth_release(&free_of_cost.growth);
}

static void the_least_overlap_is_that_of_all_looks(void **state)
{
	struct grown early =
	        grow("\"interval\": 1, \"until\": 0.34, \"threshold\": 0", "\"flops\": 2");
	struct grown all = grow("\"interval\": 1, \"until\": 1, \"threshold\": 0", "\"flops\": 2");
	struct grown late = grow("\"interval\": 3, \"until\": 1, \"threshold\": 0", "\"flops\": 2");

	assert_int_equal(early.growth.least_epoch, 1);
	assert_int_equal(late.growth.least_epoch, 3);
	assert_true(all.growth.least <= early.growth.least);
	assert_true(all.growth.least <= late.growth.least);
	assert_true(early.growth.least != late.growth.least);
	assert_int_equal(all.growth.looked, 3);
	assert_non_null(all.growth.least_layer);
	growth_release(&early.growth);
	growth_release(&all.growth);
	growth_release(&late.growth);
}

static void a_budget_that_no_look_would_meet_is_refused(void **state)
{
	static const char *const never[] = {"\"interval\": 0", "\"interval\": 4, \"until\": 1",
	                                    "\"interval\": 2, \"until\": 0.5"};

	for (int i = 0; i < 3; i++) {
		struct grown g;
		struct error e = {{0}};
		assert_int_equal(grow_until(never[i], "\"flops\": 0.9", &g, &e), OUTCOME_ERROR);
		assert_non_null(
		        strstr(e.text, "prune.flops is 0.9, but the tree is never looked at"));
		g = grow(never[i], "\"flops\": 1"); /* what was not asked for is not missed */
		assert_int_equal(g.growth.looked, 0);
		growth_release(&g.growth);
	}
}

static void assert_refused(const char *split, const char *flops, const char *message)
{
	struct told never = {0};
	struct error e = {{0}};
	char *json = xformat(GROWING, 2, split, flops);

	trial_write("bad.json", json);
	assert_int_equal(run("bad.json", "bad", NULL, &never, &e), OUTCOME_ERROR);
	if (!strstr(e.text, message))
		fail_msg("%s: \"%s\" is not in \"%s\"", split, message, e.text);
	free(json);
}

static void bad_groups_are_said_in_one_line(void **state)
{
#define EXPLICIT(groups) ", \"grouping\": \"explicit\", \"groups\": " groups
	assert_refused(EXPLICIT("[[0,1,2],[3,4],[5,6,7,8]]"), "1", "split.groups: ");
	assert_refused(EXPLICIT("[[0,1,2],[3,4],[5,6,7,8,10]]"), "1", "split.groups: ");
	assert_refused(", \"grouping\": \"superclass\"", "1", "split.grouping: ");
	assert_refused("", "0.001", "nothing below");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(more_batches_than_there_are_mean_all),
	        cmocka_unit_test(splits_that_cannot_be_paid_for_are_not_made),
	        cmocka_unit_test(the_least_overlap_is_that_of_all_looks),
	        cmocka_unit_test(a_budget_that_no_look_would_meet_is_refused),
	        cmocka_unit_test(bad_groups_are_said_in_one_line),
	};

	return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
