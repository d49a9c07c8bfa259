/* Memory is flat over epochs: what a training has taken after two, it takes after a dozen. */
#include "tests/trial_run.h"

static double peak_bytes(const char *extra, int epochs)
{
	char *json =
	        xformat("{\"data\": {\"name\": \"shapes\", \"limit\": 200, \"test_limit\": 60}, "
	                "\"model\": {\"name\": \"resnet20\", \"width\": 8}, %s \"train\": "
	                "{\"epochs\": %d, \"batch\": 48, \"shards\": 2, \"lr\": 0.01}}",
	                extra, epochs);

	trial_write("memory.json", json);
	assert_runs(&(struct trial_run){.trial = "memory.json", .folder = "memory"});
	cJSON *outcome = outcome_read("memory");
	double bytes = outcome_figure(outcome, "peak_memory_bytes");

	cJSON_Delete(outcome);
	free(json);
	return bytes;
}

static void assert_flat(const char *extra)
{
	double few = peak_bytes(extra, 2), many = peak_bytes(extra, 12);

	if (many > few + 4e6)
		fail_msg("%.1f MB after 2 epochs, %.1f MB after 12 (%s)", few / 1e6, many / 1e6,
		         extra);
}

static void plain_training_stays_in_its_memory(void **state)
{
	assert_flat("");
}

static void so_does_training_with_everything(void **state)
{
	assert_flat("\"quant\": {\"weight_bits\": 4, \"scale\": \"lsq\", \"activation_bits\": 8}, "
	            "\"critical\": {\"categories\": [1]}, "
	            "\"fisher\": {\"regularizer\": 0.01}, ");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(plain_training_stays_in_its_memory),
	        cmocka_unit_test(so_does_training_with_everything),
	};
	return cmocka_run_group_tests_name("memory", tests, scratch_make, scratch_remove);
}
