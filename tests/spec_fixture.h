/* A trial and a sweep as text, and reading such text, for tests of specifications. */
#ifndef TESTS_SPEC_FIXTURE_H
#define TESTS_SPEC_FIXTURE_H
#include "core/base/json.h"
#include "schemas/sweep_spec.h"
#include "schemas/trial_spec.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char plain[] =
        "{\"data\": {\"name\": \"cifar10\"}, \"model\": {\"name\": \"resnet20\"}}";

static const char design[] =
        "{\"name\": \"bits\", \"trial\": {\"task\": \"classify\", \"data\": {\"name\": "
        "\"cifar10\"},"
        " \"model\": {\"name\": \"resnet20\"}, \"start_from\": {\"change\": {\"quant\": null,"
        " \"fisher\": null, \"train\": {\"epochs\": 30}}}, \"quant\": {\"weight_bits\": 4,"
        " \"granularity\": \"channel\"}, \"fisher\": {\"regularizer\": 0.0}, \"train\": "
        "{\"epochs\": 10,"
        " \"batch\": 128, \"shards\": 2, \"threads\": 1, \"seed\": 1}}, \"space\": {"
        " \"quant.weight_bits\": {\"values\": [2, 3, 4, 8]}, \"fisher.regularizer\": {\"values\":"
        " [0, 0.001, 0.01]}, \"train.seed\": {\"values\": [1, 2, 3]}}, \"search\": {\"kind\": "
        "\"grid\"},"
        " \"objective\": [{\"metric\": \"accuracy\", \"goal\": \"max\"}, {\"metric\": "
        "\"model_bytes\","
        " \"goal\": \"min\"}], \"prune\": {\"kind\": \"none\"}, \"retry\": {\"limit\": 3},"
        " \"resources\": {\"ranks\": 2, \"gpus\": 0, \"memory_mb\": 3000}}";

static inline cJSON *parse(const char *text)
{
	struct error e = {{0}};
	cJSON *value = json_parse(text, strlen(text), "test", &e);

	if (!value)
		fail_msg("%s", e.text);
	return value;
}

static inline void parse_sweep(const char *text, struct sweep_spec *spec)
{
	struct error e = {{0}};
	cJSON *sweep = parse(text);

	if (sweep_spec_parse(sweep, 1000, spec, &e) != 0)
		fail_msg("%s", e.text);
	cJSON_Delete(sweep);
}

static inline void identity_of(const char *text, char hex[SHA256_HEX])
{
	struct error e = {{0}};
	cJSON *trial = parse(text);

	if (trial_check(trial, "", &e))
		fail_msg("%s", e.text);
	trial_identity(trial, hex);
	cJSON_Delete(trial);
}
#endif
