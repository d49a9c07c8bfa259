/* Sweeps: checked with every problem in one go, and turned into trials. */
#include "schemas/sweep_spec.h"
#include "core/base/sobol.h"
#include "schemas/trial_spec.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

static const struct field rows[] = {
#define FIELD(...) FIELD_ROW(struct sweep_spec, __VA_ARGS__)
#include "schemas/sweep_fields.def"
#undef FIELD
};
const struct field_table sweep_fields = {"sweep", rows, sizeof rows / sizeof *rows};

static int check_name(const cJSON *name, struct error *e)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789_-";
	const char *s = cJSON_IsString(name) ? name->valuestring : "x";

	if (s[0] && strlen(s) <= SWEEP_NAME_MAX && strspn(s, letters) == strlen(s))
		return 0;
	error_append(e, "name: found \"%.80s\"; allowed: 1 to %d of a-z 0-9 _ -", s,
	             SWEEP_NAME_MAX);
	return 1;
}

static int check_goal(const cJSON *goal, int index, struct error *e)
{
	const char *metric = json_text(goal, "metric", "");
	const char *direction = json_text(goal, "goal", "");
	bool fine = metric[0] && (strcmp(direction, "max") == 0 || strcmp(direction, "min") == 0);

	if (fine && cJSON_GetArraySize(goal) == 2)
		return 0;
	char *found = json_print(goal, false);
	error_append(e,
	             "objective[%d]: found %.80s; allowed: {\"metric\": NAME, \"goal\": \"max\" or "
	             "\"min\"}",
	             index, found);
	free(found);
	return 1;
}

static int check_objective(const cJSON *objective, struct error *e)
{
	int problems = 0, index = 0;
	const cJSON *goal = NULL;

	if (cJSON_IsArray(objective) && !objective->child) {
		error_append(e, "objective: found []; allowed: at least one metric with its goal");
		return 1;
	}
	if (cJSON_IsArray(objective))
		cJSON_ArrayForEach (goal, objective)
			problems += check_goal(goal, index++, e);
	return problems;
}

static bool is_search(const cJSON *sweep, const char *kind)
{
	return strcmp(json_text(json_at(sweep, "search"), "kind", "grid"), kind) == 0;
}

static int check_search(const cJSON *sweep, struct error *e)
{
	if (is_search(sweep, "grid") || json_int(json_at(sweep, "search"), "trials", 0) > 0)
		return 0;
	error_append(e, "search.trials: missing; allowed: how many trials the search draws");
	return 1;
}

/* What trials are compared by has a goal. */
static int check_prune(const cJSON *sweep, struct error *e)
{
	const cJSON *prune = json_at(sweep, "prune"), *goal;
	const char *metric = json_text(prune, "metric", NULL);

	if (!metric || json_text(prune, "goal", NULL))
		return 0;
	cJSON_ArrayForEach (goal, json_at(sweep, "objective"))
		if (strcmp(json_text(goal, "metric", ""), metric) == 0)
			return 0;
	error_append(e,
	             "prune.goal: missing; allowed: max | min, since prune.metric is no objective");
	return 1;
}

/* What a field hangs on comes before it. */
static int check_when(const struct sweep_spec *spec, int64_t axis, struct error *e)
{
	int problems = 0;

	for (int64_t i = axis; i < spec->axis_count; i++) {
		const struct field *later = spec->axes[i].field;
		if (!later || !cJSON_GetObjectItemCaseSensitive(spec->axes[axis].when, later->path))
			continue;
		error_append(e, "space[\"%s\"].when: %s is %s", spec->axes[axis].field->path,
		             later->path, i == axis ? "itself" : "swept further down: move it up");
		problems++;
	}
	return problems;
}

/* Each axis by itself, and a list of them in spec for the sweep that is right. */
static int parse_space(const cJSON *space, bool grid, struct sweep_spec *spec, struct error *e)
{
	int problems = 0;
	const cJSON *member = NULL;

	if (!cJSON_IsObject(space))
		return 0;
	spec->axes = xcalloc((size_t)cJSON_GetArraySize(space) + 1, sizeof *spec->axes);
	spec->axis_count = 0;
	cJSON_ArrayForEach (member, space)
		problems += sweep_axis_parse(member, grid, spec->axes + spec->axis_count++, e);
	for (int64_t i = 0; i < spec->axis_count; i++)
		problems += check_when(spec, i, e);
	return problems;
}

static int check_dimensions(const struct sweep_spec *spec, const cJSON *sweep, struct error *e)
{
	if (!is_search(sweep, "sobol") || spec->axis_count <= SOBOL_DIMENSIONS)
		return 0;
	error_append(e, "space: more than %d fields, which search.kind sobol has dimensions for",
	             SOBOL_DIMENSIONS);
	return 1;
}

static int check_count(const struct sweep_spec *spec, struct error *e)
{
	if (sweep_count(spec) <= SWEEP_TRIALS_MAX)
		return 0;
	error_append(e, "space: more than %d combinations; fewer values, or search.kind random",
	             SWEEP_TRIALS_MAX);
	return 1;
}

/* Everything that can be said field by field; what is read into spec stays. */
static int check_fields(const cJSON *sweep, struct sweep_spec *spec, struct error *e)
{
	const cJSON *trial = json_at(sweep, "trial"), *space = json_at(sweep, "space");
	struct sweep_spec axes = {0};
	int problems = fields_check(&sweep_fields, sweep, "", e);

	problems += fields_check_missing(&sweep_fields, sweep, "", e);
	problems += check_name(json_at(sweep, "name"), e);
	if (cJSON_IsObject(trial))
		problems += trial_check_values(trial, "trial.", e);
	problems += parse_space(space, is_search(sweep, "grid"), &axes, e);
	problems += check_dimensions(&axes, sweep, e);
	problems += check_search(sweep, e);
	problems += check_prune(sweep, e);
	problems += check_objective(json_at(sweep, "objective"), e);
	free(axes.axes);
	return problems + constraints_parse(json_at(sweep, "constraints"), &spec->constraining, e);
}

bool sweep_is_grid(const struct sweep_spec *spec)
{
	return strcmp(spec->search_kind, "grid") == 0;
}

int64_t sweep_count(const struct sweep_spec *spec)
{
	int64_t count = 1;

	if (!sweep_is_grid(spec))
		return spec->search_trials;
	for (int64_t i = 0; i < spec->axis_count && count <= SWEEP_TRIALS_MAX; i++)
		count *= spec->axes[i].count;
	return count;
}

static cJSON *drawn(const struct sweep_spec *spec, int64_t axis, int64_t number, int again)
{
	const struct sweep_axis *a = spec->axes + axis;

	if (strcmp(spec->search_kind, "sobol") == 0)
		return sweep_axis_at(
		        a, sobol_coordinate(spec->search_seed, (uint32_t)number, (int)axis));
	return sweep_axis_draw(a, spec->search_seed, number, again);
}

/* Values for all axes that count; null for a combination that another number stands for. */
static cJSON *assign(const struct sweep_spec *spec, int64_t number, int again)
{
	bool grid = sweep_is_grid(spec);
	cJSON *assignment = cJSON_CreateObject();
	int64_t below = sweep_count(spec);

	assert(number >= 0 && (!grid || number < below));
	for (int64_t i = 0; i < spec->axis_count; i++) {
		const struct sweep_axis *axis = spec->axes + i;
		bool counts = sweep_axis_counts(axis, assignment, spec->trial);
		below = grid ? below / axis->count : below;
		int64_t index = grid ? number / below % axis->count : 0;
		if (!counts && index) { /* as where it is the first of its values */
			cJSON_Delete(assignment);
			return NULL;
		}
		if (counts)
			cJSON_AddItemToObject(assignment, axis->field->path,
			                      grid ? sweep_axis_value(axis, index)
			                           : drawn(spec, i, number, again));
	}
	return assignment;
}

cJSON *sweep_assignment(const struct sweep_spec *spec, int64_t number)
{
	enum { DRAWS_MOST = 1000 };
	bool again_differs = !sweep_is_grid(spec) && strcmp(spec->search_kind, "sobol") != 0;
	int draws = again_differs ? DRAWS_MOST : 1;

	for (int again = 0; again < draws; again++) {
		cJSON *assignment = assign(spec, number, again);
		if (!assignment || constraints_hold(spec->constraining, assignment, spec->trial))
			return assignment;
		cJSON_Delete(assignment);
	}
	return NULL;
}

/* What the sweep says about all its trials, where this one does not say it itself. */
static void put_common(const struct sweep_spec *spec, cJSON *trial)
{
	for (size_t i = 0; i < sweep_fields.count; i++) {
		const struct field *field = rows + i;
		if (!(field->flags & COMMON))
			continue;
		const cJSON *own = json_at(trial, field->path);
		if (own && !cJSON_IsNull(own))
			continue;
		const void *member = (const char *)spec + field->offset;
		if (field->type == FIELD_INTEGER)
			json_put(trial, field->path,
			         cJSON_CreateNumber((double)*(const int64_t *)member));
		else if (*(cJSON *const *)member)
			json_put(trial, field->path,
			         cJSON_Duplicate(*(cJSON *const *)member, true));
	}
}

/* Every rung is a multiple of the first. */
static void check_rungs(const struct sweep_spec *spec, const cJSON *trial, struct error *e)
{
	int64_t every = json_int(json_at(trial, "eval"), "every", 1);

	if (strcmp(spec->prune_kind, "none") == 0 || strcmp(spec->prune_kind, "median") == 0 ||
	    spec->prune_least % every == 0)
		return;
	error_append(e,
	             "prune.least: %lld epochs is no multiple of eval.every, %lld: trials would "
	             "not be evaluated at rungs",
	             (long long)spec->prune_least, (long long)every);
}

cJSON *sweep_trial_of(const struct sweep_spec *spec, const cJSON *assignment, struct error *e)
{
	struct error problems = {{0}};
	const cJSON *value = NULL;
	cJSON *trial = cJSON_Duplicate(spec->trial, true);
	cJSON_ArrayForEach (value, assignment)
		json_put(trial, value->string, cJSON_Duplicate(value, true));
	trial_fill(trial);
	trial_check_whole(trial, "trial.", &problems);
	check_rungs(spec, trial, &problems);
	if (problems.text[0]) {
		char *text = json_print(assignment, false);
		error_set(e, "%s", problems.text);
		if (spec->axis_count)
			error_append(e, "(of %s)", text);
		free(text);
		cJSON_Delete(trial);
		trial = NULL;
	}
	return trial;
}

cJSON *sweep_trial(const struct sweep_spec *spec, int64_t number, struct error *e)
{
	cJSON *assignment = sweep_assignment(spec, number);
	cJSON *trial = assignment ? sweep_trial_of(spec, assignment, e) : NULL;

	cJSON_Delete(assignment);
	return trial;
}

/* Rules between fields, for so many combinations. */
static int check_trials(const struct sweep_spec *spec, int64_t tried, struct error *e)
{
	enum { DRAWN_IN_VAIN = 10 };
	int64_t count = sweep_count(spec), vain = sweep_is_grid(spec) ? count : DRAWN_IN_VAIN;
	int made = 0;

	for (int64_t number = 0; number < count && number < (made ? tried : vain); number++) {
		cJSON *trial = sweep_trial(spec, number, e);
		if (!trial && e->text[0])
			return 1;
		made += trial != NULL;
		cJSON_Delete(trial);
	}
	if (!made)
		error_set(e, "constraints: no combination of the space fulfils them");
	return !made;
}

int sweep_spec_load(const cJSON *sweep, struct sweep_spec *spec, struct error *e)
{
	struct error problems = {{0}};

	*spec = (struct sweep_spec){0};
	if (check_fields(sweep, spec, &problems))
		return error_set(e, "%s", problems.text);
	cJSON *filled = cJSON_Duplicate(sweep, true);
	fields_fill(&sweep_fields, filled);
	fields_load(&sweep_fields, filled, spec);
	cJSON_Delete(filled);
	put_common(spec, spec->trial);
	fields_fill(&trial_fields, spec->trial); /* once, not for each of its trials */
	parse_space(spec->space, sweep_is_grid(spec), spec, &problems);
	return 0;
}

int sweep_spec_parse(const cJSON *sweep, int64_t tried, struct sweep_spec *spec, struct error *e)
{
	struct error problems = {{0}};

	if (sweep_spec_load(sweep, spec, e))
		return -1;
	if (check_count(spec, &problems) || check_trials(spec, tried, &problems))
		return error_set(e, "%s", problems.text);
	return 0;
}

void sweep_spec_release(struct sweep_spec *spec)
{
	free(spec->axes);
	spec->axes = NULL;
	constraints_release(spec->constraining);
	spec->constraining = NULL;
	fields_release(&sweep_fields, spec);
}
