/* Laws of action allocate, and of trials that take up its bits. */
#include "tests/trial_run.h"
#include <math.h>

#define TRIAL(action, more)                                                              \
	"{\"action\": \"" action "\", \"data\": {\"name\": \"shapes\", \"limit\": 150, " \
	"\"test_limit\": 60}, \"model\": {\"name\": \"resnet20\", \"width\": 8}, "       \
	"\"critical\": {\"categories\": [1, 4]}, \"eval\": {\"batch\": 16}, "            \
	"\"fisher\": {\"images\": 50, \"hessian_images\": 20, \"hessian_vectors\": 2}, " more
#define ALLOCATE(scheme, more)                                                       \
	TRIAL("allocate", "\"train\": {\"epochs\": 0, \"shards\": 2, \"seed\": 3}, " \
	                  "\"allocate\": {\"scheme\": \"" scheme "\", " more "}}")

/* Sum over layers of a metric. */
static double layer_sum(const cJSON *outcome, const char *metric)
{
	const cJSON *item;
	double sum = 0;

	cJSON_ArrayForEach (item, outcome_part(outcome, "layers")) {
		if (!strcmp(json_text(item, "metric", ""), metric))
			sum += cJSON_GetObjectItem(item, "value")->valuedouble;
	}
	return sum;
}

static void run_scheme(const char *scheme, const char *json)
{
	char *file = xformat("%s.json", scheme);

	trial_write(file, json);
	assert_runs(&(struct trial_run){.trial = file, .folder = scheme});
}

static void every_scheme_keeps_the_budget(void **state)
{
	static const char *const schemes[] = {"uniform", "fisher", "fisher_critical", "hessian"};

	run_scheme("uniform", ALLOCATE("uniform", "\"average_bits\": 4.5"));
	run_scheme("fisher", ALLOCATE("fisher", "\"average_bits\": 4.5"));
	run_scheme("fisher_critical",
	           ALLOCATE("fisher_critical", "\"average_bits\": 4.5, \"form\": \"trace\""));
	run_scheme("hessian", ALLOCATE("hessian", "\"average_bits\": 4.5, \"ties\": true"));
	for (int i = 0; i < 4; i++) {
		cJSON *outcome = outcome_read(schemes[i]);
		double used = outcome_figure(outcome, "model_bytes"),
		       most = outcome_figure(outcome, "budget_bytes");
		if (used > most || (i && used < 0.95 * most))
			fail_msg("%s uses %g of %g bytes", schemes[i], used, most);
		assert_true(i == 0 ? outcome_figure(outcome, "average_bits") == 4
		                   : outcome_figure(outcome, "average_bits") > 4);
		assert_true((layer_sum(outcome, "sensitivity_4") > 0) == (i > 0));
		cJSON_Delete(outcome);
	}
}

static void more_bits_harm_less(void **state)
{
	cJSON *outcome = outcome_read("fisher");
	double before = INFINITY;

	for (const char *bits = "234568"; *bits; bits++) {
		char *name = xformat("sensitivity_%c", *bits);
		double harm = layer_sum(outcome, name);
		assert_true(harm < before && harm > 0);
		before = harm;
		free(name);
	}
	assert_true(outcome_figure(outcome, "omega") < layer_sum(outcome, "sensitivity_4"));
	cJSON_Delete(outcome);
}

static void an_allocation_does_not_depend_on_ranks(void **state)
{
	assert_runs(&(struct trial_run){.ranks = 2, .trial = "fisher.json", .folder = "two"});
	assert_same_file("fisher", "two", "weights.safetensors");
	assert_same_file("fisher", "two", "quantized.safetensors");
	trial_write("hessian.json", ALLOCATE("hessian", "\"average_bits\": 4.5, \"ties\": true"));
	assert_runs(&(struct trial_run){.ranks = 2, .trial = "hessian.json", .folder = "two"});
	assert_same_file("hessian", "two", "weights.safetensors");
}

#define QAT                                                                                 \
	TRIAL("train", "\"quant\": {\"bits\": \"input\"}, \"start_from\": {\"file\": "      \
	               "\"%s\"}, \"train\": {\"epochs\": 1, \"batch\": 64, \"shards\": 2, " \
	               "\"lr\": 0.01}}")

static void training_takes_up_the_bits(void **state)
{
	char *json = xformat(QAT, below("fisher/weights.safetensors"));

	trial_write("qat.json", json);
	assert_runs(&(struct trial_run){.trial = "qat.json", .folder = "qat"});
	cJSON *allocated = outcome_read("fisher"), *trained = outcome_read("qat");
	assert_true(layer_sum(allocated, "bits") == layer_sum(trained, "bits"));
	assert_true(outcome_figure(allocated, "model_bytes") ==
	            outcome_figure(trained, "model_bytes"));
	cJSON_Delete(allocated);
	cJSON_Delete(trained);
	assert_runs(&(struct trial_run){.ranks = 2, .trial = "qat.json", .folder = "qat2"});
	assert_same_file("qat", "qat2", "quantized.safetensors");
	assert_runs(&(struct trial_run){
	        .trial = "qat.json", .folder = "cut", .more = {"--stop-after", "1"}});
	assert_runs(&(struct trial_run){
	        .trial = "qat.json",
	        .folder = "cut",
	        .more = {"--resume", below("cut/checkpoint-00000001.safetensors")}});
	assert_same_file("qat", "cut", "quantized.safetensors");
	free(json);
}

static void weights_without_bits_are_refused(void **state)
{
	trial_write("plain.json", TRIAL("train", "\"train\": {\"epochs\": 0, \"seed\": 3}}"));
	assert_runs(&(struct trial_run){.trial = "plain.json", .folder = "plain"});
	char *json = xformat(QAT, below("plain/weights.safetensors"));
	trial_write("qat.json", json);
	assert_int_not_equal(trial_wait(&(struct trial_run){.trial = "qat.json", .folder = "bad"}),
	                     0);
	assert_outcome("bad", "error", "names no bits");
	free(json);
}

static void a_budget_below_the_least_is_an_error_that_names_it(void **state)
{
	trial_write("low.json", ALLOCATE("fisher", "\"average_bits\": 1"));
	assert_int_not_equal(trial_wait(&(struct trial_run){.trial = "low.json", .folder = "low"}),
	                     0);
	assert_outcome("low", "error", "bytes");
	trial_write("low.json", ALLOCATE("uniform", "\"bytes\": 1000"));
	assert_int_not_equal(trial_wait(&(struct trial_run){.trial = "low.json", .folder = "low"}),
	                     0);
	assert_outcome("low", "error", "more than the budget");
	trial_write("low.json", ALLOCATE("fisher", "\"form\": \"sum\""));
	assert_int_not_equal(trial_wait(&(struct trial_run){.trial = "low.json", .folder = "low"}),
	                     0);
	assert_non_null(strstr(trial_log(), "a budget"));
}

/* With learned steps and quantized inputs too, which both depend on the bits. */
static void an_allocated_model_is_the_one_that_has_the_bits(void **state)
{
#define QUANT "\"scale\": \"lsq\", \"activation_bits\": 8, \"granularity\": \"channel\""
	trial_write("chosen.json",
	            TRIAL("allocate", "\"quant\": {" QUANT "}, \"train\": {\"seed\": 3}, "
	                              "\"allocate\": {\"scheme\": \"uniform\", "
	                              "\"average_bits\": 4}}"));
	trial_write("given.json", TRIAL("train", "\"quant\": {\"weight_bits\": 4, " QUANT "}, "
	                                         "\"train\": {\"epochs\": 0, \"seed\": 3}}"));
#undef QUANT
	assert_runs(&(struct trial_run){.trial = "chosen.json", .folder = "chosen"});
	assert_runs(&(struct trial_run){.trial = "given.json", .folder = "given"});
	assert_same_file("chosen", "given", "quantized.safetensors");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(every_scheme_keeps_the_budget),
	        cmocka_unit_test(more_bits_harm_less),
	        cmocka_unit_test(an_allocation_does_not_depend_on_ranks),
	        cmocka_unit_test(training_takes_up_the_bits),
	        cmocka_unit_test(an_allocated_model_is_the_one_that_has_the_bits),
	        cmocka_unit_test(weights_without_bits_are_refused),
	        cmocka_unit_test(a_budget_below_the_least_is_an_error_that_names_it),
	};
	return cmocka_run_group_tests_name("allocate", tests, scratch_make, scratch_remove);
}
