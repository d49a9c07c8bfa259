/* Laws of what a trial begins with when it starts from a file of a Split-Ensemble. */
#include "core/tensor/safetensors.h"
#include "core/train/action.h"
#include "schemas/trial_spec.h"
#include "tests/trial_run.h"

/* A trunk of zero epochs: its file has groups and a tree as any other. */
static enum outcome run(const char *split, const char *folder, const char *input, struct error *e)
{
	struct trial_files files = {
	        .folder = below(folder), .cache = below("cache"), .input = input};
	struct parallel p = {.ranks = 1, .shards = 1, .count = 1};
	struct observer o = {0};
	struct trial_spec spec;
	struct trainer t;
	char *text = xformat("{\"data\": {\"name\": \"shapes\", \"test_limit\": 24}, \"model\": "
	                     "{\"name\": \"resnet20\", \"width\": 4}, \"split\": {%s}, \"train\": "
	                     "{\"epochs\": 0}}",
	                     split);
	cJSON *trial = cJSON_Parse(text);

	assert_non_null(trial);
	if (trial_spec_parse(trial, &spec, e))
		fail_msg("%s", e->text);
	enum outcome outcome = action_run(&t, trial, &spec, &files, &o, &p, e);
	trainer_release(&t);
	trial_spec_release(&spec);
	cJSON_Delete(trial);
	free(text);
	return outcome;
}

static int make_tree(void **state)
{
	struct error e = {{0}};

	if (scratch_make(state))
		return -1;
	return run("\"submodels\": 3", "tree", NULL, &e) == OUTCOME_DONE ? 0 : -1;
}

static void start_from_tree(const char *split, const char *message)
{
	char *input = below("tree/weights.safetensors");
	struct error e = {{0}};
	enum outcome outcome = run(split, "start", input, &e);

	if (outcome != (message ? OUTCOME_ERROR : OUTCOME_DONE))
		fail_msg("%s: outcome %d, \"%s\"", split, outcome, e.text);
	if (message && (!strstr(e.text, message) || strchr(e.text, '\n')))
		fail_msg("%s: \"%s\" is not in \"%s\"", split, message, e.text);
	free(input);
}

/* Its groups, as it tells them; turned: the first last. */
static char *groups_of_tree(bool turned)
{
	struct error e = {{0}};
	struct safetensors *f = safetensors_open(below("tree/weights.safetensors"), &e);
	cJSON *split = cJSON_Parse(safetensors_metadata(f, "split"));
	cJSON *groups = json_at(split, "groups"), *group;

	cJSON_ArrayForEach (group, groups) /* the order within groups is nobody's */
		cJSON_AddItemToArray(group, cJSON_DetachItemFromArray(group, 0));
	if (turned)
		cJSON_AddItemToArray(groups, cJSON_DetachItemFromArray(groups, 0));
	char *lists = json_print(groups, false);
	cJSON_Delete(split);
	safetensors_close(f);
	return lists;
}

/* In the file's own order, and in another; in the trial, and in a file of its own. */
static void groups_of_a_split_parent_are_those_that_are_listed(void **state)
{
	static const char other[] = "weights.safetensors: it has other groups than split.groups";

	for (int i = 0; i < 4; i++) {
		bool turned = i % 2;
		char *lists = groups_of_tree(turned), *path = below("groups.json");
		char *split =
		        xformat("\"submodels\": 3, \"grouping\": \"explicit\", \"%s\": %s%s%s",
		                i / 2 ? "file" : "groups", i / 2 ? "\"" : "", i / 2 ? path : lists,
		                i / 2 ? "\"" : "");
		trial_write("groups.json", lists);
		start_from_tree(split, turned ? other : NULL);
		free(split);
		free(path);
		free(lists);
	}
	start_from_tree("\"submodels\": 3, \"grouping\": \"explicit\", \"groups\": [[0, 1, 2], "
	                "[3, 4, 5], [6, 7, 8, 9]]",
	                other);
	start_from_tree("\"submodels\": 3, \"grouping\": \"explicit\", \"groups\": [[0, 1, 2], "
	                "[3, 4, 5], [6, 7, 8, \"cat\"]]",
	                "split.groups: group 2: ");
}

static void groups_that_are_not_listed_are_the_parents(void **state)
{
	start_from_tree("\"submodels\": 3, \"seed\": 9", NULL);
}

static void a_tree_is_not_taken_for_one_network(void **state)
{
	start_from_tree("\"submodels\": 0",
	                "weights.safetensors is a Split-Ensemble of 3 submodels, not one network: "
	                "set split.submodels to 3");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(groups_of_a_split_parent_are_those_that_are_listed),
	        cmocka_unit_test(groups_that_are_not_listed_are_the_parents),
	        cmocka_unit_test(a_tree_is_not_taken_for_one_network),
	};

	return cmocka_run_group_tests(tests, make_tree, scratch_remove);
}
