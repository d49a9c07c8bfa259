/* Laws of sweep and trial specifications: checks, defaults, identity, parents, combinations. */
#include "core/base/file.h"
#include "core/base/json.h"
#include "schemas/schemas.h"
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

static cJSON *parse(const char *text)
{
	struct error e = {{0}};
	cJSON *value = json_parse(text, strlen(text), "test", &e);

	if (!value)
		fail_msg("%s", e.text);
	return value;
}

static void assert_line(const struct error *e, const char *line)
{
	const char *at = strstr(e->text, line);
	size_t length = strlen(line);

	if (!at || (at != e->text && at[-1] != '\n') || (at[length] && at[length] != '\n'))
		fail_msg("no line \"%s\" in:\n%s", line, e->text);
}

static int line_count(const char *text)
{
	int count = *text != 0;

	for (; *text; text++)
		count += *text == '\n';
	return count;
}

static void parse_sweep(const char *text, struct sweep_spec *spec)
{
	struct error e = {{0}};
	cJSON *sweep = parse(text);

	if (sweep_spec_parse(sweep, spec, &e) != 0)
		fail_msg("%s", e.text);
	cJSON_Delete(sweep);
}

static void refuse_sweep(const char *text, struct error *e)
{
	struct sweep_spec spec;
	cJSON *sweep = parse(text);

	assert_int_equal(sweep_spec_parse(sweep, &spec, e), -1);
	sweep_spec_release(&spec);
	cJSON_Delete(sweep);
}

static void identity_of(const char *text, char hex[SHA256_HEX])
{
	struct error e = {{0}};
	cJSON *trial = parse(text);

	if (trial_check(trial, "", &e))
		fail_msg("%s", e.text);
	trial_identity(trial, hex);
	cJSON_Delete(trial);
}

static void five_mistakes_are_listed_at_once(void **state)
{
	struct error e = {{0}};

	refuse_sweep(
	        "{\"name\": \"bits\", \"trial\": {\"data\": {\"name\": \"cifar10\"}, \"model\":"
	        " {\"name\": \"resnet20\"}, \"quant\": {\"weight_bit\": 4}, \"train\":"
	        " {\"epochs\": \"ten\", \"momentum\": 1.5}}, \"space\": {\"train.seed\":"
	        " {\"values\": []}, \"quant.granularty\": {\"values\": [\"channel\"]}}}",
	        &e);
	assert_line(&e, "trial.quant.weight_bit: unknown field; did you mean \"weight_bits\"?");
	assert_line(&e, "trial.train.epochs: found \"ten\"; allowed: integer from 0 to 100000");
	assert_line(&e, "trial.train.momentum: found 1.5; allowed: number from 0 to 1");
	assert_line(&e, "space[\"train.seed\"].values: found []; allowed: at least one value");
	assert_line(&e, "space[\"quant.granularty\"]: no field of a trial; did you mean "
	                "\"quant.granularity\"?");
	assert_int_equal(line_count(e.text), 5);
}

static void every_kind_of_sweep_mistake_has_its_line(void **state)
{
	static const char *const cases[][2] = {
	        {"{\"name\": \"Bits\", \"trial\": T}",
	         "name: found \"Bits\"; allowed: 1 to 64 of a-z 0-9 _ -"},
	        {"{\"trial\": T}", "name: missing; allowed: text"},
	        {"{\"name\": \"a\"}", "trial: missing; allowed: object"},
	        {"{\"name\": \"a\", \"trial\": 3}", "trial: found 3; allowed: object"},
	        {"{\"name\": \"a\", \"trial\": {\"model\": {\"name\": \"resnet20\"}}}",
	         "trial.data.name: missing; allowed: shapes | cifar10 | cifar100 | tiny_imagenet | "
	         "idx | folder"},
	        {"{\"name\": \"a\", \"trial\": T, \"serach\": {}}",
	         "serach: unknown field; did you mean \"search\"?"},
	        {"{\"name\": \"a\", \"trial\": T, \"search\": {\"kind\": \"gird\"}}",
	         "search.kind: found \"gird\"; allowed: grid | random; did you mean \"grid\"?"},
	        {"{\"name\": \"a\", \"trial\": T, \"search\": {\"kind\": \"random\"}}",
	         "search.trials: missing; allowed: how many trials random search draws"},
	        {"{\"name\": \"a\", \"trial\": T, \"objective\": []}",
	         "objective: found []; allowed: at least one metric with its goal"},
	        {"{\"name\": \"a\", \"trial\": T, \"objective\": [{\"metric\": \"loss\"}]}",
	         "objective[0]: found {\"metric\":\"loss\"}; allowed: {\"metric\": NAME, \"goal\": "
	         "\"max\" or \"min\"}"},
	        {"{\"name\": \"a\", \"trial\": T, \"space\": {\"train.lr\": [0.1]}}",
	         "space[\"train.lr\"]: allowed: {\"values\": [...]} or a range"},
	        {"{\"name\": \"a\", \"trial\": T, \"space\": {\"train.lr\": {\"value\": [0.1]}}}",
	         "space[\"train.lr\"].value: unknown field; did you mean \"values\"?"},
	        {"{\"name\": \"a\", \"trial\": T, \"space\": {\"train.lr\": {\"min\": 0.1, "
	         "\"max\": 1}}}",
	         "space[\"train.lr\"].step: missing; grid search needs step, or values"},
	        {"{\"name\": \"a\", \"trial\": T, \"space\": {\"train.lr\": {\"min\": 1, \"max\": "
	         "0,"
	         " \"step\": 1}}}",
	         "space[\"train.lr\"].max: allowed: at least min"},
	        {"{\"name\": \"a\", \"trial\": T, \"space\": {\"train.batch\": {\"min\": 1, "
	         "\"max\": 8,"
	         " \"step\": 0.5}}}",
	         "space[\"train.batch\"].step: allowed: a number above 0, whole for integers"},
	        {"{\"name\": \"a\", \"trial\": T, \"space\": {\"train.seed\": {\"values\": [1, 2, "
	         "1.0]}}}",
	         "space[\"train.seed\"].values[2]: 1 is there twice"},
	        {"{\"name\": \"a\", \"trial\": T, \"space\": {\"quant.weight_bits\": {\"values\": "
	         "[9]}}}",
	         "space[\"quant.weight_bits\"].values[0]: found 9; allowed: 0 | 2 | 3 | 4 | 5 | 6 "
	         "| 7 | "
	         "8 | 32"},
	        {"{\"name\": \"a\", \"trial\": T, \"space\": {\"train.seed\": {\"min\": 0, "
	         "\"max\": 9999,"
	         " \"step\": 1}, \"data.seed\": {\"min\": 0, \"max\": 9999, \"step\": 1}}}",
	         "space: more than 10000000 combinations; fewer values, or search.kind random"},
	        {"{\"name\": \"a\", \"trial\": T, \"space\": {\"train.shards\": {\"values\": [2, "
	         "3]}}}",
	         "trial.train.shards: found 3; allowed: a power of two"},
	        {"{\"name\": \"a\", \"trial\": T, \"resources\": {\"ranks\": 2}}",
	         "trial.resources.ranks: found 2; allowed: at most train.shards, since every rank "
	         "computes at least one shard"},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct error e = {{0}};
		char *text = xstrdup(cases[i][0]), *at = strstr(text, "T");
		char *sweep = at ? xformat("%.*s%s%s", (int)(at - text), text, plain, at + 1)
		                 : xstrdup(text);
		refuse_sweep(sweep, &e);
		assert_line(&e, cases[i][1]);
		free(sweep);
		free(text);
	}
}

static void rules_between_fields_are_checked(void **state)
{
	static const char *const cases[][2] = {
	        {"{\"train\": {\"batch\": 2, \"shards\": 4}}",
	         "train.batch: found 2; allowed: at least train.shards"},
	        {"{\"data\": {\"mean\": [0.5]}}",
	         "data.mean: found [0.5]; allowed: three numbers: red, green, blue"},
	        {"{\"data\": {\"std\": [0, 1, \"x\"]}}",
	         "data.std[2]: found \"x\"; allowed: number from 1e-06 to 1000"},
	        {"{\"train\": {\"milestones\": [5, 3]}}",
	         "train.milestones: found [5,3]; allowed: rising epochs"},
	        {"{\"start_from\": {\"file\": \"a\", \"change\": {}}}",
	         "start_from: found {\"file\":\"a\",\"change\":{}}; allowed: exactly one of file, "
	         "trial, "
	         "change"},
	        {"{\"quant\": {\"fold_batch_norm\": true}, \"train\": {\"epochs\": 2}}",
	         "quant.fold_batch_norm: found true; allowed: false while train.epochs is not 0, "
	         "since training needs the batch norms"},
	        {"{\"quant\": {\"fold_batch_norm\": true, \"scale\": \"lsq\"}, \"train\": "
	         "{\"epochs\": 0}}",
	         "quant.fold_batch_norm: found true; allowed: false with quant.scale lsq, whose "
	         "steps are those of the weights as trained"},
	        {"{\"start_from\": {\"trial\": \"12\"}}",
	         "start_from.trial: found \"12\"; allowed: a trial's identity, 64 hex digits "
	         "(trawl show "
	         "prints it)"},
	        {"{\"start_from\": {\"change\": {\"qant\": null}}}",
	         "start_from.change.qant: unknown field; did you mean \"quant\"?"},
	        {"{\"start_from\": {\"change\": {\"train\": {\"shards\": 3}}}}",
	         "start_from.change: so patched, train.shards: found 3; allowed: a power of two"},
	        {"{\"start_from\": {\"change\": {\"start_from\": {\"change\": {\"lr\": 1}}}}}",
	         "start_from.change.start_from.change.lr: unknown field; did you mean "
	         "\"train.lr\"?"},
	        {"{\"data\": {\"name\": \"folder\"}}",
	         "data.path: found nothing; allowed: the folder or archive of images, which data "
	         "set "
	         "folder or idx needs"},
	        {"{\"train\": {\"epochs\": 1.5}}",
	         "train.epochs: found 1.5; allowed: integer from 0 to 100000"},
	        {"{\"quant\": 4}", "quant: found 4; allowed: an object"},
	        {"{\"model\": {\"name\": \"resnet21\"}}",
	         "model.name: found \"resnet21\"; allowed: resnet20 | resnet32 | resnet44 | "
	         "resnet56 | "
	         "resnet18 | resnet34 | resnet50; did you mean \"resnet20\"?"},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct error e = {{0}};
		struct trial_spec spec;
		cJSON *patch = parse(cases[i][0]), *trial = json_merge_patch(parse(plain), patch);
		/* A patch cannot hold a null, so the patch of a change comes whole. */
		const cJSON *change = json_at(patch, "start_from.change");
		if (change)
			json_put(trial, "start_from.change", cJSON_Duplicate(change, true));
		assert_int_equal(trial_spec_parse(trial, &spec, &e), -1);
		assert_line(&e, cases[i][1]);
		cJSON_Delete(trial);
		cJSON_Delete(patch);
	}
}

static void struct_holds_given_values_and_defaults(void **state)
{
	struct trial_spec spec;
	struct error e = {{0}};
	cJSON *trial =
	        parse("{\"data\": {\"name\": \"shapes\", \"mean\": [0.1, 0.2, 0.3]}, \"model\":"
	              " {\"name\": \"resnet18\"}, \"train\": {\"nesterov\": true, \"lr\": 0.25,"
	              " \"epochs\": null}, \"quant\": null, \"fisher\": {\"regularizer\": null}}");

	assert_int_equal(trial_spec_parse(trial, &spec, &e), 0);
	assert_string_equal(spec.data_name, "shapes");
	assert_string_equal(spec.model_name, "resnet18");
	assert_true(spec.train_nesterov && spec.quant_keep_first);
	assert_true(spec.train_lr == 0.25 && spec.train_weight_decay == 0.0001);
	assert_int_equal(spec.train_epochs, 10);
	assert_int_equal(spec.train_batch, 128);
	assert_int_equal(cJSON_GetArraySize(spec.data_mean), 3);
	assert_null(spec.data_std);
	assert_null(spec.start_from_file);
	trial_spec_release(&spec);
	cJSON_Delete(trial);
}

static void filling_twice_changes_nothing(void **state)
{
	cJSON *trial = parse(plain);

	trial_fill(trial);
	char *once = json_print(trial, true);
	trial_fill(trial);
	char *twice = json_print(trial, true);
	assert_string_equal(once, twice);
	free(once);
	free(twice);
	cJSON_Delete(trial);
}

static void every_default_passes_its_own_check(void **state)
{
	const struct field_table *tables[] = {&trial_fields, &sweep_fields};
	struct error e = {{0}};

	for (int t = 0; t < 2; t++) {
		for (size_t i = 0; i < tables[t]->count; i++) {
			const struct field *field = tables[t]->rows + i;
			cJSON *value = field_default(field);
			if (value && field_check(field, value, field->path, &e))
				fail_msg("%s", e.text);
			assert_false(value && (field->flags & REQUIRED));
			assert_true(strlen(field->meaning) > 3);
			cJSON_Delete(value);
		}
	}
}

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

static void help_shows_every_field(void **state)
{
	struct text out = {0};

	fields_help(&trial_fields, &out);
	for (size_t i = 0; i < trial_fields.count; i++)
		assert_non_null(strstr(out.data, trial_fields.rows[i].path));
	for (char *line = strtok(out.data, "\n"); line; line = strtok(NULL, "\n"))
		assert_true(strlen(line) <= 100);
	text_release(&out);
}

static void schema_files_agree_with_the_tables(void **state)
{
	static const char *const names[] = {"trial.schema.json", "sweep.schema.json"};
	cJSON *schemas[] = {trial_json_schema(), sweep_json_schema()};

	for (int i = 0; i < 2; i++) {
		struct error e = {{0}};
		char *path = path_join("schemas", names[i]), *written = file_read(path, NULL, &e);
		char *text = json_print(schemas[i], true), *line = xformat("%s\n", text);
		if (!written || strcmp(written, line) != 0)
			fail_msg("%s is not what the table says; write it with\n"
			         "  build/trawl help --write-schemas",
			         path);
		free(line);
		free(text);
		free(written);
		free(path);
		cJSON_Delete(schemas[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(five_mistakes_are_listed_at_once),
	        cmocka_unit_test(every_kind_of_sweep_mistake_has_its_line),
	        cmocka_unit_test(rules_between_fields_are_checked),
	        cmocka_unit_test(struct_holds_given_values_and_defaults),
	        cmocka_unit_test(filling_twice_changes_nothing),
	        cmocka_unit_test(every_default_passes_its_own_check),
	        cmocka_unit_test(identity_of_an_example_is_fixed),
	        cmocka_unit_test(identity_ignores_spelling_and_defaults),
	        cmocka_unit_test(identity_depends_on_each_identity_field_and_no_other),
	        cmocka_unit_test(full_precision_has_one_identity),
	        cmocka_unit_test(whatever_quantizes_makes_its_settings_count),
	        cmocka_unit_test(parent_is_the_patched_trial_without_its_own_parent),
	        cmocka_unit_test(parent_of_other_data_forgets_the_digest),
	        cmocka_unit_test(grid_counts_with_the_last_field_fastest),
	        cmocka_unit_test(grid_steps_reach_the_end),
	        cmocka_unit_test(random_search_stays_in_range_and_repeats),
	        cmocka_unit_test(a_trial_of_its_own_mind_keeps_its_resources),
	        cmocka_unit_test(help_shows_every_field),
	        cmocka_unit_test(schema_files_agree_with_the_tables),
	};

	return cmocka_run_group_tests_name("spec", tests, NULL, NULL);
}
