/* Laws of a trial's identity, and of its parent's. */
#include "tests/spec_fixture.h"

static void identity_of_an_example_is_fixed(void **state)
{
	char hex[SHA256_HEX];
	cJSON *trial = parse(plain), *form = trial_identity_form(trial);
	char *text = json_canonical(form);

	assert_string_equal(text, "{\"data.name\":\"cifar10\",\"model.name\":\"resnet20\","
	                          "\"semantics\":2}");
	trial_identity(trial, hex);
	assert_string_equal(hex,
	                    "2ca14fb13b60bbd55a90339649f8fc1665194e12476c5117c9348b09818a055f");
	free(text);
	cJSON_Delete(form);
	cJSON_Delete(trial);
}

static void identity_ignores_spelling_and_defaults(void **state)
{
	static const char *const same[] = {
	        "{\"data\": {\"name\": \"cifar10\"}, \"model\": {\"name\": \"resnet20\"}, "
	        "\"train\": "
	        "{\"lr\": 1, \"seed\": 3}}",
	        "{\"train\": {\"seed\": 3.0, \"lr\": 1.0e0}, \"model\": {\"name\": \"resnet20\"}, "
	        "\"data\": {\"name\": \"cifar10\"}}",
	        "{\"data\": {\"name\": \"cifar10\", \"limit\": 0}, \"model\": {\"name\": "
	        "\"resnet20\"}, "
	        "\"train\": {\"lr\": 1, \"seed\": 3, \"momentum\": 0.9}, \"quant\": "
	        "{\"weight_bits\": "
	        "32, \"granularity\": \"channel\"}}",
	        "{\"data\": {\"name\": \"cifar10\", \"path\": \"/x\", \"limit\": null}, \"model\": "
	        "{\"name\": \"resnet20\"}, \"fisher\": null, \"train\": {\"lr\": 1, \"seed\": 3, "
	        "\"shards\": 1}, \"retry\": {\"limit\": 7}, \"priority\": 5}",
	};
	char first[SHA256_HEX], hex[SHA256_HEX];

	identity_of(same[0], first);
	for (size_t i = 1; i < sizeof same / sizeof *same; i++) {
		identity_of(same[i], hex);
		assert_string_equal(hex, first);
	}
}

static bool is_value(const struct field *field, const cJSON *value, const cJSON *now)
{
	return field_check(field, value, "", NULL) == 0 && !cJSON_Compare(value, now, true);
}

/* One of the field's choices that differs from `now`; null when there are none. */
static cJSON *another_choice(const struct field *field, const cJSON *now)
{
	char *choices = xstrdup(field->choices ? field->choices : ""), *rest = choices, *word;
	cJSON *value = NULL;

	while (!value && (word = strsep(&rest, "|"))) {
		value = cJSON_CreateString(word);
		if (*word && is_value(field, value, now))
			break;
		cJSON_Delete(value);
		value = NULL;
	}
	free(choices);
	return value;
}

/* A value that the field takes and that differs from `now`; null when it takes one value only. */
static cJSON *another_value(const struct field *field, const cJSON *now)
{
	static const char *const tried[] = {"0",    "64",    "1",   "2",   "8",  "0.5",
	                                    "true", "false", "[1]", "[2]", "{}", "\"x\""};
	cJSON *choice = another_choice(field, now);

	for (size_t i = 0; !choice && i < sizeof tried / sizeof *tried; i++) {
		cJSON *value = cJSON_Parse(tried[i]);
		if (is_value(field, value, now))
			return value;
		cJSON_Delete(value);
	}
	return choice;
}

static void identity_depends_on_each_identity_field_and_no_other(void **state)
{
	char before[SHA256_HEX], after[SHA256_HEX];
	cJSON *base = parse(plain);
	int changed = 0, kept = 0;

	json_put(base, "quant.weight_bits", cJSON_CreateNumber(4));
	json_put(base, "split.submodels", cJSON_CreateNumber(4));
	trial_fill(base);
	trial_identity(base, before);
	for (size_t i = 0; i < trial_fields.count; i++) {
		const struct field *field = trial_fields.rows + i;
		cJSON *value = another_value(field, json_at(base, field->path));
		cJSON *trial = cJSON_Duplicate(base, true);
		bool identity =
		        field->flags & IDENTITY || !strcmp(field->path, "start_from.change");
		if (value) {
			json_put(trial, field->path, value);
			trial_identity(trial, after);
			if ((strcmp(before, after) != 0) != identity)
				fail_msg("%s: identity %s", field->path,
				         identity ? "kept" : "changed");
			changed += identity;
			kept += !identity;
		} else if (!field->choices || strchr(field->choices, '|')) {
			fail_msg("%s: no other value tried", field->path);
		}
		cJSON_Delete(trial);
	}
	assert_true(changed > 30 && kept > 8);
	cJSON_Delete(base);
}

static void full_precision_has_one_identity(void **state)
{
	char plain_hex[SHA256_HEX], hex[SHA256_HEX];

	identity_of(plain, plain_hex);
	identity_of("{\"data\": {\"name\": \"cifar10\"}, \"model\": {\"name\": \"resnet20\"},"
	            " \"quant\": {\"weight_bits\": 32, \"keep_last\": false}}",
	            hex);
	assert_string_equal(hex, plain_hex);
}

static void one_network_has_one_identity_however_it_would_be_split(void **state)
{
	char plain_hex[SHA256_HEX], hex[SHA256_HEX];

	identity_of(plain, plain_hex);
	identity_of("{\"data\": {\"name\": \"cifar10\"}, \"model\": {\"name\": \"resnet20\"},"
	            " \"split\": {\"threshold\": 0.1}, \"prune\": {\"flops\": 2}}",
	            hex);
	assert_string_equal(hex, plain_hex);
}

static void whatever_quantizes_makes_its_settings_count(void **state)
{
	static const char *const ways[] = {
	        "{\"quant\": {\"weight_bits\": 4%s}}",
	        "{\"quant\": {\"activation_bits\": 8%s}}",
	        "{\"quant\": {\"fold_batch_norm\": true%s}}",
	        "{\"quant\": {\"bits\": \"input\"%s}}",
	        "{\"action\": \"allocate\", \"quant\": {\"scale\": \"mse\"%s}}",
	};

	for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
		char tensor[SHA256_HEX], channel[SHA256_HEX], none[SHA256_HEX];
		for (int k = 0; k < 2; k++) {
			char *text = xformat(ways[i], k ? ", \"granularity\": \"channel\"" : "");
			cJSON *patch = parse(text), *trial = json_merge_patch(parse(plain), patch);
			trial_identity(trial, k ? channel : tensor);
			cJSON_Delete(patch);
			cJSON_Delete(trial);
			free(text);
		}
		identity_of(plain, none);
		assert_string_not_equal(tensor, channel);
		assert_string_not_equal(tensor, none);
	}
}

static void parent_is_the_patched_trial_without_its_own_parent(void **state)
{
	struct sweep_spec spec;
	struct error e = {{0}};
	char first[SHA256_HEX], hex[SHA256_HEX];

	parse_sweep(design, &spec);
	for (int64_t number = 0; number < 36; number++) {
		cJSON *trial = sweep_trial(&spec, number, &e), *parent = trial_parent(trial);
		assert_null(json_at(parent, "start_from"));
		assert_int_equal(json_at(parent, "train.epochs")->valuedouble, 30);
		assert_int_equal(json_at(parent, "quant.weight_bits")->valuedouble, 0);
		assert_null(trial_parent(parent));
		trial_identity(parent, hex);
		if (number < 3) /* one parent per seed, shared by all bit-widths */
			memcpy(first, hex, sizeof hex);
		else if (number % 3 == 2)
			assert_string_equal(first, hex);
		/* The child is the same trial whether it names the change or the parent. */
		char by_change[SHA256_HEX], by_name[SHA256_HEX];
		trial_identity(trial, by_change);
		json_put(trial, "start_from", NULL);
		json_put(trial, "start_from.trial", cJSON_CreateString(hex));
		trial_identity(trial, by_name);
		assert_string_equal(by_change, by_name);
		cJSON_Delete(parent);
		cJSON_Delete(trial);
	}
	sweep_spec_release(&spec);
}

static void parent_of_a_measurement_trains(void **state)
{
	static const char measured[] =
	        "{\"action\": \"fisher\", \"data\": {\"name\": \"cifar10\"}, \"model\": {\"name\": "
	        "\"resnet20\"}, \"start_from\": {\"change\": {\"action\": \"train\"}}, "
	        "\"train\": {\"epochs\": %d}}";
	char hex[2][SHA256_HEX];

	for (int k = 0; k < 2; k++) {
		char *text = xformat(measured, 2 + k);
		cJSON *trial = parse(text);
		trial_fill(trial);
		assert_int_equal(trial_epochs(trial), 0);
		cJSON *parent = trial_parent(trial);
		assert_int_equal(trial_epochs(parent), 2 + k);
		trial_identity(trial, hex[k]); /* by its parent: another number is another model */
		cJSON_Delete(parent);
		cJSON_Delete(trial);
		free(text);
	}
	assert_string_not_equal(hex[0], hex[1]);
}

static void parent_of_other_data_forgets_the_digest(void **state)
{
	cJSON *trial = parse(
	        "{\"data\": {\"name\": \"cifar10\", \"digest\": \"ab\"}, \"model\": {\"name\":"
	        " \"resnet20\"}, \"start_from\": {\"change\": {\"data\": {\"name\":"
	        " \"cifar100\"}, \"start_from\": {\"file\": \"w\"}}}}");
	cJSON *parent = trial_parent(trial);

	assert_null(json_at(parent, "data.digest"));
	assert_string_equal(json_at(parent, "start_from.file")->valuestring, "w");
	cJSON_Delete(parent);
	json_put(trial, "start_from.change.data", NULL);
	parent = trial_parent(trial);
	assert_string_equal(json_at(parent, "data.digest")->valuestring, "ab");
	cJSON_Delete(parent);
	cJSON_Delete(trial);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(identity_of_an_example_is_fixed),
	        cmocka_unit_test(identity_ignores_spelling_and_defaults),
	        cmocka_unit_test(identity_depends_on_each_identity_field_and_no_other),
	        cmocka_unit_test(full_precision_has_one_identity),
	        cmocka_unit_test(one_network_has_one_identity_however_it_would_be_split),
	        cmocka_unit_test(whatever_quantizes_makes_its_settings_count),
	        cmocka_unit_test(parent_is_the_patched_trial_without_its_own_parent),
	        cmocka_unit_test(parent_of_a_measurement_trains),
	        cmocka_unit_test(parent_of_other_data_forgets_the_digest),
	};
	return cmocka_run_group_tests_name("identity", tests, NULL, NULL);
}
