/* Hostile sweeps: parsed, its trials made, or refused with a message. */
#include "core/base/json.h"
#include "schemas/sweep_spec.h"
#include "schemas/trial_spec.h"
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct error e = {{0}};
	struct sweep_spec spec = {0};
	cJSON *sweep = json_parse((const char *)data, size, "fuzz", &e);

	if (!sweep) {
		if (!e.text[0])
			abort();
		return 0;
	}
	int status = sweep_spec_parse(sweep, 1000, &spec, &e);
	if (status && !e.text[0])
		abort();
	for (int64_t number = 0; !status && number < sweep_count(&spec) && number < 20; number++) {
		struct error problem = {{0}};
		char identity[SHA256_HEX];
		cJSON *trial = sweep_trial(&spec, number, &problem);
		if (trial)
			trial_identity(trial, identity);
		cJSON_Delete(trial);
	}
	sweep_spec_release(&spec);
	cJSON_Delete(sweep);
	return 0;
}
