/* Laws of the actions that measure: what they leave, whatever the ranks and interruptions. */
#include "schemas/trial_spec.h"
#include "tests/trial_run.h"
#include <math.h>

#define MEASURED(action, more)                                                           \
	"{\"action\": \"" action "\", \"data\": {\"name\": \"shapes\", \"limit\": 150, " \
	"\"test_limit\": 60}, \"model\": {\"name\": \"resnet20\", \"width\": 4}, "       \
	"\"critical\": {\"categories\": [1, 4]}, \"eval\": {\"batch\": 16}, " more       \
	"\"train\": {\"epochs\": 0, \"shards\": 2, \"seed\": 3}}"

static double layer_value(const cJSON *outcome, const char *layer, const char *metric)
{
	const cJSON *item;

	cJSON_ArrayForEach (item, outcome_part(outcome, "layers")) {
		if (!strcmp(json_text(item, "layer", ""), layer) &&
		    !strcmp(json_text(item, "metric", ""), metric))
			return cJSON_GetObjectItem(item, "value")->valuedouble;
	}
	fail_msg("no %s of %s", metric, layer);
	return 0;
}

static void assert_same_part(const char *folder, const char *other, const char *name)
{
	cJSON *a = outcome_read(folder), *b = outcome_read(other);

	assert_true(cJSON_Compare(outcome_part(a, name), outcome_part(b, name), true));
	cJSON_Delete(a);
	cJSON_Delete(b);
}

static void fisher_does_not_depend_on_ranks(void **state)
{
	trial_write("fisher.json",
	            MEASURED("fisher", "\"fisher\": {\"images\": 70, \"diagonal\": true}, "));
	assert_runs(&(struct trial_run){.trial = "fisher.json", .folder = "one"});
	assert_runs(&(struct trial_run){.ranks = 2, .trial = "fisher.json", .folder = "two"});
	assert_same_part("one", "two", "layers");
	assert_same_part("one", "two", "rows");
	assert_same_file("one", "two", "fisher.safetensors");
	assert_same_file("one", "two", "weights.safetensors");
}

static void fisher_interrupted_is_made_anew(void **state)
{
	trial_write("fisher.json",
	            MEASURED("fisher", "\"fisher\": {\"images\": 70, \"diagonal\": true}, "));
	struct trial_run r = {.trial = "fisher.json", .folder = "cut"};
	pid_t pid = trial_start(&r);
	int status;

	usleep(200000);
	kill(pid, SIGTERM);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (access(below("cut/checkpoint-00000000.safetensors"), F_OK) == 0)
		assert_runs(&(struct trial_run){
		        .trial = "fisher.json",
		        .folder = "cut",
		        .more = {"--resume", below("cut/checkpoint-00000000.safetensors")}});
	else
		assert_runs(&r);
	assert_same_part("one", "cut", "layers");
	assert_same_part("one", "cut", "rows");
}

static void drawn_labels_measure_something_else(void **state)
{
	trial_write("drawn.json",
	            MEASURED("fisher", "\"fisher\": {\"images\": 70, \"labels\": \"sampled\"}, "));
	assert_runs(&(struct trial_run){.trial = "drawn.json", .folder = "drawn"});
	cJSON *data = outcome_read("one"), *drawn = outcome_read("drawn");
	double a = layer_value(data, "layer1.0.conv1.weight", "fisher_all");
	double b = layer_value(drawn, "layer1.0.conv1.weight", "fisher_all");
	assert_true(a > 0 && b > 0 && a != b);
	cJSON_Delete(data);
	cJSON_Delete(drawn);
}

static void rows_show_how_the_total_converges(void **state)
{
	cJSON *outcome = outcome_read("one");
	const cJSON *row, *result = outcome_part(outcome, "result");
	double last = 0, error = 0;
	int count = 0;

	cJSON_ArrayForEach (row, outcome_part(outcome, "rows")) {
		double value = cJSON_GetObjectItem(row, "value")->valuedouble;
		if (!strcmp(json_text(row, "name", ""), "fisher_critical_error"))
			error = value;
		if (strcmp(json_text(row, "name", ""), "fisher_critical"))
			continue;
		last = value;
		count++;
	}
	assert_int_equal(count, 8); /* after 1, 2, 4, 8, 16, 32, 64, 70 */
	assert_true(error > 0 && error < last);
	assert_true(fabs(last - cJSON_GetObjectItem(result, "fisher_critical")->valuedouble) <
	            1e-9 * last);
	cJSON_Delete(outcome);
}

static double loss_at(const cJSON *outcome, const char *slice, double x, double y)
{
	const cJSON *item;

	cJSON_ArrayForEach (item, outcome_part(outcome, "landscape")) {
		if (!strcmp(json_text(item, "slice", ""), slice) &&
		    !strcmp(json_text(item, "metric", ""), "loss") &&
		    cJSON_GetObjectItem(item, "x")->valuedouble == x &&
		    cJSON_GetObjectItem(item, "y")->valuedouble == y)
			return cJSON_GetObjectItem(item, "value")->valuedouble;
	}
	fail_msg("no loss at %g, %g of %s", x, y, slice);
	return 0;
}

static void a_landscape_does_not_depend_on_ranks_and_meets_itself(void **state)
{
	trial_write("land.json",
	            MEASURED("landscape", "\"landscape\": {\"images\": 20, \"points\": 5, "
	                                  "\"plane_points\": 3, \"directions\": \"both\"}, "
	                                  "\"fisher\": {\"hessian_images\": 40}, "
	                                  "\"quant\": {\"weight_bits\": 4}, "));
	assert_runs(&(struct trial_run){.trial = "land.json", .folder = "land"});
	assert_runs(&(struct trial_run){.ranks = 2, .trial = "land.json", .folder = "land2"});
	assert_same_part("land", "land2", "landscape");
	cJSON *outcome = outcome_read("land");
	assert_int_equal(cJSON_GetArraySize(outcome_part(outcome, "landscape")), 2 * 2 * (5 + 9));
	double middle = loss_at(outcome, "random", 0, 0);
	assert_true(middle == loss_at(outcome, "random_plane", 0, 0));
	assert_true(loss_at(outcome, "random", 0.5, 0) == loss_at(outcome, "random_plane", 0.5, 0));
	assert_true(middle != loss_at(outcome, "random", -0.5, 0));
	assert_true(middle == loss_at(outcome, "hessian", 0, 0));
	double first = outcome_figure(outcome, "hessian_eigenvalue_1");
	assert_true(fabs(outcome_figure(outcome, "hessian_eigenvalue_2")) <= 1.01 * fabs(first));
	cJSON_Delete(outcome);
}

static void only_training_has_epochs(void **state)
{
	char with[SHA256_HEX], without[SHA256_HEX];
	cJSON *trial = cJSON_Parse("{\"action\": \"fisher\", \"data\": {\"name\": \"shapes\"}, "
	                           "\"model\": {\"name\": \"resnet20\"}}");
	struct trial_spec spec;
	struct error e = {{0}};

	assert_int_equal(trial_spec_parse(trial, &spec, &e), 0);
	assert_int_equal(spec.train_epochs, 0);
	trial_spec_release(&spec);
	trial_identity(trial, without);
	json_put(trial, "train.epochs", cJSON_CreateNumber(7));
	trial_identity(trial, with);
	assert_string_equal(with, without);
	cJSON_Delete(trial);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(fisher_does_not_depend_on_ranks),
	        cmocka_unit_test(fisher_interrupted_is_made_anew),
	        cmocka_unit_test(drawn_labels_measure_something_else),
	        cmocka_unit_test(rows_show_how_the_total_converges),
	        cmocka_unit_test(a_landscape_does_not_depend_on_ranks_and_meets_itself),
	        cmocka_unit_test(only_training_has_epochs),
	};
	return cmocka_run_group_tests_name("measure", tests, scratch_make, scratch_remove);
}
