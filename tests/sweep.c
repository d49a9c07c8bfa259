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

/* A sweep of shapes with this space and search. */
static void parse_space(const char *space, const char *search, struct sweep_spec *spec)
{
	char *text = xformat("{\"name\": \"a\", \"trial\": {\"data\": {\"name\": \"shapes\"},"
	                     " \"model\": {\"name\": \"resnet20\"}}, \"space\": {%s},"
	                     " \"search\": {%s}}",
	                     space, search);

	parse_sweep(text, spec);
	free(text);
}

static void sobol_search_fills_all_axes_evenly(void **state)
{
	struct sweep_spec spec;
	int low[2] = {0}, epochs[4] = {0}, shards[2] = {0};

	parse_space("\"train.lr\": {\"min\": 0.0001, \"max\": 1, \"log\": true},"
	            " \"train.epochs\": {\"min\": 1, \"max\": 4},"
	            " \"train.shards\": {\"values\": [1, 2]}",
	            "\"kind\": \"sobol\", \"trials\": 64, \"seed\": 3", &spec);
	assert_int_equal(sweep_count(&spec), 64);
	for (int64_t i = 0; i < 64; i++) {
		cJSON *a = sweep_assignment(&spec, i);
		low[cJSON_GetObjectItem(a, "train.lr")->valuedouble < 0.01]++;
		epochs[cJSON_GetObjectItem(a, "train.epochs")->valueint - 1]++;
		shards[cJSON_GetObjectItem(a, "train.shards")->valueint - 1]++;
		cJSON_Delete(a);
	}
	assert_int_equal(low[0], 32);
	assert_int_equal(shards[0], 32);
	for (int i = 0; i < 4; i++)
		assert_int_equal(epochs[i], 16);
	sweep_spec_release(&spec);
}

/* Of fields that do not count there, a grid has no combinations. */
static void fields_are_swept_where_their_when_holds(void **state)
{
	struct sweep_spec spec;
	struct error e = {{0}};
	int trials = 0, rates = 0;

	parse_space("\"train.optimizer\": {\"values\": [\"sgd\", \"adamw\"]},"
	            " \"train.momentum\": {\"values\": [0, 0.5, 0.9],"
	            "  \"when\": {\"train.optimizer\": [\"sgd\"]}},"
	            " \"train.gamma\": {\"values\": [0.1, 0.2], \"when\":"
	            "  {\"train.schedule\": [\"step\"]}},"
	            " \"train.nesterov\": {\"values\": [false, true], \"when\":"
	            "  {\"train.optimizer\": [\"sgd\"], \"train.momentum\": [0.5, 0.9]}}",
	            "\"kind\": \"grid\"", &spec);
	for (int64_t i = 0; i < sweep_count(&spec); i++) {
		cJSON *a = sweep_assignment(&spec, i), *trial = sweep_trial(&spec, i, &e);
		assert_int_equal(!a, !trial);
		assert_string_equal(e.text, "");
		trials += a != NULL;
		rates += cJSON_GetObjectItem(a, "train.momentum") != NULL;
		assert_null(cJSON_GetObjectItem(a, "train.gamma")); /* the schedule is cosine */
		cJSON_Delete(a);
		cJSON_Delete(trial);
	}
	assert_int_equal(trials, 6); /* adamw; sgd with 0, and with two momenta times two */
	assert_int_equal(rates, 5);
	sweep_spec_release(&spec);
}

/* Draws are the same whether a field counts or not, and it is there only where it does. */
static void draws_leave_out_what_does_not_count(void **state)
{
	struct sweep_spec spec;
	int there = 0;

	parse_space("\"train.optimizer\": {\"values\": [\"sgd\", \"adamw\"]},"
	            " \"train.momentum\": {\"min\": 0, \"max\": 0.9,"
	            "  \"when\": {\"train.optimizer\": [\"sgd\"]}}",
	            "\"kind\": \"random\", \"trials\": 50", &spec);
	for (int64_t i = 0; i < 50; i++) {
		cJSON *a = sweep_assignment(&spec, i);
		bool sgd = !strcmp(json_text(a, "train.optimizer", ""), "sgd");
		assert_int_equal(sgd, cJSON_GetObjectItem(a, "train.momentum") != NULL);
		there += sgd;
		cJSON_Delete(a);
	}
	assert_in_range(there, 10, 40);
	sweep_spec_release(&spec);
}

static int count_trials(const struct sweep_spec *spec)
{
	int trials = 0;

	for (int64_t i = 0; i < sweep_count(spec); i++) {
		cJSON *a = sweep_assignment(spec, i);
		trials += a != NULL;
		cJSON_Delete(a);
	}
	return trials;
}

/* Between swept fields, fixed ones and defaults; texts, lists, and what has no value. */
static void constraints_leave_combinations_out(void **state)
{
	static const struct {
		const char *constraint;
		int trials;
	} cases[] = {
	        {"train.epochs <= train.batch", 3},
	        {"train.epochs < train.batch and train.shards = 1", 2},
	        {"train.epochs + 2 <> train.batch or data.name = 'cifar10'", 3},
	        {"data.name = 'shapes'", 4},
	        {"start_from.file = 'x'", 4}, /* unknown is not false */
	        {"max(train.epochs, train.batch) >= 4", 2},
	        {"json_array_length(data.mean) = 3 or train.milestones is null", 4},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct sweep_spec spec;
		char *search = xformat("\"kind\": \"grid\"}, \"constraints\": [\"train.seed >= 0\","
		                       " \"%s\"], \"retry\": {",
		                       cases[i].constraint);
		parse_space("\"train.epochs\": {\"values\": [1, 2]},"
		            " \"train.batch\": {\"values\": [1, 4]}",
		            search, &spec);
		if (count_trials(&spec) != cases[i].trials)
			fail_msg("%s: %d trials", cases[i].constraint, count_trials(&spec));
		sweep_spec_release(&spec);
		free(search);
	}
}

/* However often they were asked before. */
static void constraints_do_not_wear_out(void **state)
{
	struct sweep_spec spec;

	parse_space("\"train.seed\": {\"min\": 0, \"max\": 39999, \"step\": 1}",
	            "\"kind\": \"grid\"}, \"constraints\": [\"train.seed % 2 = 0\"], \"retry\": {",
	            &spec);
	assert_int_equal(count_trials(&spec), 20000);
	sweep_spec_release(&spec);
}

/* Random search asks for trials, and gets them. */
static void draws_are_made_again_until_they_hold(void **state)
{
	struct sweep_spec spec;

	parse_space("\"train.momentum\": {\"min\": 0, \"max\": 1},"
	            " \"train.gamma\": {\"min\": 0, \"max\": 1}",
	            "\"kind\": \"random\", \"trials\": 100},"
	            " \"constraints\": [\"train.gamma < train.momentum / 4\"], \"retry\": {",
	            &spec);
	assert_int_equal(count_trials(&spec), 100);
	for (int64_t i = 0; i < 100; i++) {
		cJSON *a = sweep_assignment(&spec, i);
		assert_true(4 * cJSON_GetObjectItem(a, "train.gamma")->valuedouble <
		            cJSON_GetObjectItem(a, "train.momentum")->valuedouble);
		cJSON_Delete(a);
	}
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
	        cmocka_unit_test(sobol_search_fills_all_axes_evenly),
	        cmocka_unit_test(fields_are_swept_where_their_when_holds),
	        cmocka_unit_test(draws_leave_out_what_does_not_count),
	        cmocka_unit_test(constraints_leave_combinations_out),
	        cmocka_unit_test(constraints_do_not_wear_out),
	        cmocka_unit_test(draws_are_made_again_until_they_hold),
	        cmocka_unit_test(a_trial_of_its_own_mind_keeps_its_resources),
	};
	return cmocka_run_group_tests_name("sweep", tests, NULL, NULL);
}
