/* Laws of the trials that a sweep stands for. */
#include "tests/spec_fixture.h"

static void grid_counts_with_the_last_field_fastest(void **state)
{
	struct sweep_spec spec;
	struct error e = {{0}};

	parse_sweep(design, &spec);
	assert_int_equal(sweep_count(&spec), 36);
	cJSON *assignment = sweep_assignment(&spec, 4 + 9 * 2);
	char *text = json_print(assignment, false);
	assert_string_equal(text, "{\"quant.weight_bits\":4,\"fisher.regularizer\":0.001,"
	                          "\"train.seed\":2}");
	cJSON *trial = sweep_trial(&spec, 4 + 9 * 2, &e);
	assert_int_equal(json_at(trial, "quant.weight_bits")->valuedouble, 4);
	assert_int_equal(json_at(trial, "train.seed")->valuedouble, 2);
	assert_int_equal(json_at(trial, "resources.memory_mb")->valuedouble, 3000);
	assert_int_equal(json_at(trial, "resources.ranks")->valuedouble, 2);
	cJSON_Delete(trial);
	free(text);
	cJSON_Delete(assignment);
	sweep_spec_release(&spec);
}

static void grid_steps_reach_the_end(void **state)
{
	struct sweep_spec spec;

	parse_sweep(
	        "{\"name\": \"a\", \"trial\": {\"data\": {\"name\": \"shapes\"}, \"model\": "
	        "{\"name\":"
	        " \"resnet20\"}}, \"space\": {\"train.lr\": {\"min\": 0.1, \"max\": 0.7, \"step\":"
	        " 0.1}}}",
	        &spec);
	assert_int_equal(sweep_count(&spec), 7);
	cJSON *third = sweep_assignment(&spec, 2), *last = sweep_assignment(&spec, 6);
	assert_true(cJSON_GetObjectItem(third, "train.lr")->valuedouble == 0.3);
	assert_true(cJSON_GetObjectItem(last, "train.lr")->valuedouble == 0.7);
	cJSON_Delete(third);
	cJSON_Delete(last);
	sweep_spec_release(&spec);
}

static void random_search_stays_in_range_and_repeats(void **state)
{
	struct sweep_spec spec;
	int seen[3] = {0};

	parse_sweep(
	        "{\"name\": \"a\", \"trial\": {\"data\": {\"name\": \"shapes\"}, \"model\": "
	        "{\"name\":"
	        " \"resnet20\"}}, \"search\": {\"kind\": \"random\", \"trials\": 200, \"seed\": 7},"
	        " \"space\": {\"train.lr\": {\"min\": 0.001, \"max\": 1, \"log\": true},"
	        " \"train.epochs\": {\"min\": 1, \"max\": 3}, \"train.gamma\": {\"min\": 0, "
	        "\"max\":"
	        " 1, \"step\": 0.25}}}",
	        &spec);
	assert_int_equal(sweep_count(&spec), 200);
	int small = 0;
	for (int64_t i = 0; i < 200; i++) {
		cJSON *a = sweep_assignment(&spec, i), *b = sweep_assignment(&spec, i);
		double lr = cJSON_GetObjectItem(a, "train.lr")->valuedouble;
		double epochs = cJSON_GetObjectItem(a, "train.epochs")->valuedouble;
		double gamma = cJSON_GetObjectItem(a, "train.gamma")->valuedouble;
		assert_true(cJSON_Compare(a, b, true));
		assert_true(lr >= 0.001 && lr <= 1);
		assert_true(epochs == 1 || epochs == 2 || epochs == 3);
		assert_true(gamma * 4 == (int)(gamma * 4));
		seen[(int)epochs - 1]++;
		small += lr < 0.0316;
		cJSON_Delete(a);
		cJSON_Delete(b);
	}
	for (int i = 0; i < 3; i++)
		assert_in_range(seen[i], 45, 90);
	assert_in_range(small, 75, 125);
	sweep_spec_release(&spec);
}

static void a_trial_of_its_own_mind_keeps_its_resources(void **state)
{
	struct sweep_spec spec;
	struct error e = {{0}};

	parse_sweep("{\"name\": \"a\", \"trial\": {\"data\": {\"name\": \"shapes\"}, \"model\": "
	            "{\"name\":"
	            " \"resnet20\"}, \"retry\": {\"limit\": 9}}, \"retry\": {\"limit\": 1}}",
	            &spec);
	cJSON *trial = sweep_trial(&spec, 0, &e);
	assert_int_equal(sweep_count(&spec), 1);
	assert_int_equal(json_at(trial, "retry.limit")->valuedouble, 9);
	cJSON_Delete(trial);
	sweep_spec_release(&spec);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(grid_counts_with_the_last_field_fastest),
	        cmocka_unit_test(grid_steps_reach_the_end),
	        cmocka_unit_test(random_search_stays_in_range_and_repeats),
	        cmocka_unit_test(a_trial_of_its_own_mind_keeps_its_resources),
	};
	return cmocka_run_group_tests_name("sweep", tests, NULL, NULL);
}
