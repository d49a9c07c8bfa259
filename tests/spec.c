/* Laws of sweep and trial specifications: checks, defaults, help, schemas. */
#include "core/base/file.h"
#include "schemas/schemas.h"
#include "tests/spec_fixture.h"

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

static void refuse_sweep(const char *text, struct error *e)
{
	struct sweep_spec spec;
	cJSON *sweep = parse(text);

	assert_int_equal(sweep_spec_parse(sweep, 1000, &spec, e), -1);
	sweep_spec_release(&spec);
	cJSON_Delete(sweep);
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

/* Sweeps, where T stands for a plain trial, and a line of what is said about each. */
static void refuse_all(const char *const (*cases)[2], size_t count)
{
	for (size_t i = 0; i < count; i++) {
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
	         "search.kind: found \"gird\"; allowed: grid | random | sobol | tpe | nsga2; did "
	         "you mean "
	         "\"grid\"?"},
	        {"{\"name\": \"a\", \"trial\": T, \"search\": {\"kind\": \"random\"}}",
	         "search.trials: missing; allowed: how many trials the search draws"},
	        {"{\"name\": \"a\", \"trial\": T, \"objective\": []}",
	         "objective: found []; allowed: at least one metric with its goal"},
	        {"{\"name\": \"a\", \"trial\": T, \"objective\": [{\"metric\": \"loss\"}]}",
	         "objective[0]: found {\"metric\":\"loss\"}; allowed: {\"metric\": NAME, \"goal\": "
	         "\"max\" or \"min\"}"},
	        {"{\"name\": \"a\", \"trial\": T, \"space\": {\"train.shards\": {\"values\": [2, "
	         "3]}}}",
	         "trial.train.shards: found 3; allowed: a power of two"},
	        {"{\"name\": \"a\", \"trial\": T, \"resources\": {\"ranks\": 2}}",
	         "trial.resources.ranks: found 2; allowed: at most train.shards, since every rank "
	         "computes at least one shard"},
	};

	refuse_all(cases, sizeof cases / sizeof *cases);
}

static void every_kind_of_mistake_in_a_space_has_its_line(void **state)
{
	static const char *const cases[][2] = {
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
	        {"{\"name\": \"a\", \"trial\": T, \"space\": {\"train.lr\": {\"values\": [1], "
	         "\"when\": [1]}}}",
	         "space[\"train.lr\"].when: allowed: {FIELD: [values], ...}"},
	        {"{\"name\": \"a\", \"trial\": T, \"space\": {\"train.lr\": {\"values\": [1], "
	         "\"when\": {\"train.sed\": [1]}}}}",
	         "space[\"train.lr\"].when[\"train.sed\"]: no field of a trial; did you mean "
	         "\"train.seed\"?"},
	        {"{\"name\": \"a\", \"trial\": T, \"space\": {\"train.lr\": {\"values\": [1], "
	         "\"when\": {\"train.seed\": [\"x\"]}}}}",
	         "space[\"train.lr\"].when[\"train.seed\"]: found \"x\"; allowed: integer from 0 "
	         "to "
	         "9007199254740991"},
	        {"{\"name\": \"a\", \"trial\": T, \"space\": {\"train.lr\": {\"values\": [1], "
	         "\"when\": {\"train.seed\": [1]}}, \"train.seed\": {\"values\": [1, 2]}}}",
	         "space[\"train.lr\"].when: train.seed is swept further down: move it up"},
	};

	refuse_all(cases, sizeof cases / sizeof *cases);
}

static void every_kind_of_mistake_in_a_constraint_has_its_line(void **state)
{
	static const char *const cases[][2] = {
	        {"[3]", "constraints[0]: 3: a text is expected"},
	        {"[\"train.lr < 1\", \"train.sed = 1\"]",
	         "constraints[1]: \"train.sed = 1\": train.sed is no field of a trial; did you "
	         "mean "
	         "\"train.seed\"?"},
	        {"[\"train.lr <\"]", "constraints[0]: \"train.lr <\": near \")\": syntax error"},
	        {"[\"lr < 1\"]", "constraints[0]: \"lr < 1\": no such column: lr"},
	        {"[\"1 < 2\"]", "constraints[0]: \"1 < 2\": it names no field of a trial"},
	        {"[\"train.lr < ?7\"]", "constraints[0]: \"train.lr < ?7\": fields are named by "
	                                "their paths, not by ?"},
	        {"[\"train.lr < random()\"]", "constraints[0]: \"train.lr < random()\": not "
	                                      "authorized to use function: random"},
	        {"[\"train.lr); drop table t --\"]",
	         "constraints[0]: \"train.lr); drop table t --\": one expression is expected"},
	        {"[\"train.lr < (select 1)\"]",
	         "constraints[0]: \"train.lr < (select 1)\": not authorized"},
	        {"[\"train.lr > 1000\"]", "constraints: no combination of the space fulfils them"},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct error e = {{0}};
		char *sweep = xformat("{\"name\": \"a\", \"trial\": %s, \"constraints\": %s}",
		                      plain, cases[i][0]);
		refuse_sweep(sweep, &e);
		assert_line(&e, cases[i][1]);
		free(sweep);
	}
}

/* Patches of a plain trial, and a line of what is said about each. */
static void refuse_patched(const char *const (*cases)[2], size_t count)
{
	for (size_t i = 0; i < count; i++) {
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

	refuse_patched(cases, sizeof cases / sizeof *cases);
}

static void mistakes_in_groups_are_found_without_the_data(void **state)
{
#define GROUPS(grouping, lists) \
	"{\"split\": {\"submodels\": 2, \"grouping\": \"" grouping "\", \"groups\": " lists "}}"
	static const char *const cases[][2] = {
	        {GROUPS("random", "[[0, 1], [2, 3]]"),
	         "split.groups: is for grouping explicit or superclass, not random"},
	        {"{\"start_from\": {\"file\": \"w\"}, \"split\": {\"submodels\": 2, "
	         "\"grouping\": \"cluster\", \"file\": \"x\"}}",
	         "split.file: is for grouping explicit or superclass, not cluster"},
	        {"{\"split\": {\"submodels\": 2, \"grouping\": \"explicit\", \"file\": \"x\", "
	         "\"groups\": [[0, 1], [2, 3]]}}",
	         "split.groups: either this or split.file"},
	        {GROUPS("explicit", "[[0, 1], []]"), "split.groups[1]: is empty"},
	        {GROUPS("explicit", "[[0, 1], \"cat\"]"),
	         "split.groups[1]: is no list of classes, by name or index"},
	        {GROUPS("explicit", "[[0, 1.5], [2, 3]]"),
	         "split.groups[0]: is no list of classes, by name or index"},
	        {GROUPS("superclass", "[[0, 1], [-1, true]]"),
	         "split.groups[1]: is no list of classes, by name or index"},
	        {GROUPS("explicit", "[[\"dog\", 1], [2, 3], [0, 4]]"),
	         "split.groups: 3 groups, but split.submodels is 2"},
	        {GROUPS("explicit", "[[0, 1], [\"cat\"]]"),
	         "split.groups[1]: has one class, which leaves it nothing to tell apart: add a "
	         "class or join two groups"},
	        {GROUPS("explicit", "[[\"cat\", \"dog\"], [3, \"cat\"]]"),
	         "split.groups: \"cat\" is in group 0 and in group 1"},
	        {GROUPS("superclass", "[[4, 1], [2, 7, 12, 2]]"),
	         "split.groups: 2 is twice in group 1"},
	        {GROUPS("superclass", "[[0, 1, 2]]"),
	         "split.groups: 1 superclasses cannot make 2 groups (split.submodels)"},
	};

	refuse_patched(cases, sizeof cases / sizeof *cases);
}

static void groups_that_may_be_right_pass(void **state)
{
	static const char *const cases[] = {
	        GROUPS("explicit", "[[1, \"cat\", 0], [\"1\", 2]]"),
	        GROUPS("superclass", "[[0], [1, 2], [3]]"),
	        "{\"split\": {\"groups\": [[0]]}}", /* of a sweep of submodels from 0 on */
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct error e = {{0}};
		struct trial_spec spec;
		cJSON *patch = parse(cases[i]), *trial = json_merge_patch(parse(plain), patch);
		if (trial_spec_parse(trial, &spec, &e))
			fail_msg("%s: %s", cases[i], e.text);
		trial_spec_release(&spec);
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

/* Pieces of cJSON's that are not given back. */
static int64_t alive;

static void *take_counted(size_t bytes)
{
	alive++;
	return malloc(bytes);
}

static void give_counted(void *piece)
{
	alive -= piece != NULL;
	free(piece);
}

/* Names of a filled object are the table's, and those of what is put there are not. */
static void nothing_is_lost_when_values_are_put_or_patched(void **state)
{
	cJSON_InitHooks(&(cJSON_Hooks){take_counted, give_counted});
	cJSON *trial = parse(plain);
	trial_fill(trial);
	cJSON *patch = parse("{\"train\": {\"lr\": 0.5, \"epochs\": null}, \"seed\": {\"a\": 1}}");
	cJSON *values = parse("{\"train.lr\": 0.25, \"model.name\": \"resnet56\"}");
	const cJSON *value;
	cJSON_ArrayForEach (value, values)
		json_put(trial, value->string, cJSON_Duplicate(value, true));
	assert_float_equal(json_at(trial, "train.lr")->valuedouble, 0.25, 0);
	trial = json_merge_patch(trial, patch);
	assert_float_equal(json_at(trial, "train.lr")->valuedouble, 0.5, 0);
	assert_null(json_at(trial, "train.epochs"));
	trial_fill(trial);
	cJSON_Delete(trial);
	cJSON_Delete(patch);
	cJSON_Delete(values);
	cJSON_InitHooks(NULL);
	assert_int_equal(alive, 0);
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
	        cmocka_unit_test(every_kind_of_mistake_in_a_space_has_its_line),
	        cmocka_unit_test(every_kind_of_mistake_in_a_constraint_has_its_line),
	        cmocka_unit_test(rules_between_fields_are_checked),
	        cmocka_unit_test(mistakes_in_groups_are_found_without_the_data),
	        cmocka_unit_test(groups_that_may_be_right_pass),
	        cmocka_unit_test(struct_holds_given_values_and_defaults),
	        cmocka_unit_test(filling_twice_changes_nothing),
	        cmocka_unit_test(nothing_is_lost_when_values_are_put_or_patched),
	        cmocka_unit_test(every_default_passes_its_own_check),
	        cmocka_unit_test(help_shows_every_field),
	        cmocka_unit_test(schema_files_agree_with_the_tables),
	};
	return cmocka_run_group_tests_name("spec", tests, NULL, NULL);
}
