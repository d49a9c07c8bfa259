/* One swept field: a list of values or a range; checked, counted, drawn from. */
#include "core/base/random.h"
#include "core/base/sobol.h"
#include "schemas/sweep_spec.h"
#include "schemas/trial_spec.h"
#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const keys[] = {"values", "min", "max", "step", "log", "when"};
enum { KEYS = sizeof keys / sizeof *keys };

static bool is_number(const struct field *field)
{
	return field->type == FIELD_INTEGER || field->type == FIELD_REAL;
}

static int problem(const char *where, const char *key, const char *what, struct error *e)
{
	error_append(e, "%s%s%s: %s", where, key[0] ? "." : "", key, what);
	return 1;
}

static int check_keys(const cJSON *member, const char *where, struct error *e)
{
	int problems = 0;
	const cJSON *item = NULL;

	cJSON_ArrayForEach (item, member) {
		bool known = false;
		for (int i = 0; i < KEYS; i++)
			known = known || strcmp(item->string, keys[i]) == 0;
		if (known)
			continue;
		const char *nearest = nearest_name(item->string, keys, KEYS);
		error_append(e, "%s.%s: unknown field%s%s%s", where, item->string,
		             nearest ? "; did you mean \""
		                     : "; known: values, min, max, step, log, when",
		             nearest ? nearest : "", nearest ? "\"?" : "");
		problems++;
	}
	return problems;
}

static int check_twice(const cJSON *values, const char *where, struct error *e)
{
	int problems = 0, count = 0;
	char **texts = xcalloc((size_t)cJSON_GetArraySize(values), sizeof *texts);
	const cJSON *value = NULL;

	cJSON_ArrayForEach (value, values) {
		texts[count] = json_canonical(value);
		for (int i = 0; i < count; i++)
			if (strcmp(texts[i], texts[count]) == 0) {
				error_append(e, "%s.values[%d]: %s is there twice", where, count,
				             texts[count]);
				problems++;
			}
		count++;
	}
	while (count--)
		free(texts[count]);
	free(texts);
	return problems;
}

static int parse_values(const cJSON *values, const char *where, struct sweep_axis *axis,
                        struct error *e)
{
	int problems = 0, i = 0;
	const cJSON *value = NULL;

	if (!cJSON_IsArray(values))
		return problem(where, "values", "allowed: a list of values", e);
	if (!values->child)
		return problem(where, "values", "found []; allowed: at least one value", e);
	cJSON_ArrayForEach (value, values) {
		char *at = xformat("%s.values[%d]", where, i++);
		problems += field_check(axis->field, value, at, e);
		free(at);
	}
	axis->values = values;
	axis->count = i;
	return problems + check_twice(values, where, e);
}

static int check_end(const cJSON *member, const char *key, const char *where,
                     const struct sweep_axis *axis, struct error *e)
{
	const cJSON *value = cJSON_GetObjectItemCaseSensitive(member, key);
	char *at = xformat("%s.%s", where, key);
	int problems = 0;

	if (!value)
		problems = problem(where, key, "missing; a range has min and max", e);
	else
		problems = field_check(axis->field, value, at, e);
	free(at);
	return problems;
}

/* The rules of a range whose ends are fine by themselves. */
static int check_range(const cJSON *member, bool grid, const char *where,
                       const struct sweep_axis *axis, struct error *e)
{
	const cJSON *step = cJSON_GetObjectItemCaseSensitive(member, "step");
	const cJSON *logarithm = cJSON_GetObjectItemCaseSensitive(member, "log");
	bool whole = axis->field->type != FIELD_INTEGER || axis->step == floor(axis->step);

	if (logarithm && !cJSON_IsBool(logarithm))
		return problem(where, "log", "allowed: true | false", e);
	if (axis->min > axis->max)
		return problem(where, "max", "allowed: at least min", e);
	if (axis->log && axis->min <= 0)
		return problem(where, "min", "allowed: above 0, since log is true", e);
	if (step && (!cJSON_IsNumber(step) || axis->step <= 0 || !whole))
		return problem(where, "step", "allowed: a number above 0, whole for integers", e);
	if (axis->log && step)
		return problem(where, "step", "not together with log", e);
	if (grid && !step)
		return problem(where, "step", "missing; grid search needs step, or values", e);
	if (step && (axis->max - axis->min) / axis->step >= SWEEP_TRIALS_MAX)
		return problem(where, "step", "too small: more than 10000000 values", e);
	return 0;
}

static int parse_range(const cJSON *member, bool grid, const char *where, struct sweep_axis *axis,
                       struct error *e)
{
	if (!is_number(axis->field) || axis->field->choices)
		return problem(where, "",
		               "allowed: {\"values\": [...]}, since no range fits the field", e);
	int problems =
	        check_end(member, "min", where, axis, e) + check_end(member, "max", where, axis, e);
	if (problems)
		return problems;
	axis->min = json_real(member, "min", 0);
	axis->max = json_real(member, "max", 0);
	axis->step = json_real(member, "step", 0);
	axis->log = json_bool(member, "log", false);
	if (check_range(member, grid, where, axis, e))
		return 1;
	if (axis->step > 0)
		axis->count = (int64_t)floor((axis->max - axis->min) / axis->step + 1e-9) + 1;
	return 0;
}

static int unknown_path(const char *path, const char *where, struct error *e)
{
	const char *nearest = field_nearest(&trial_fields, path);

	error_append(e, "%s: no field of a trial%s%s%s", where, nearest ? "; did you mean \"" : "",
	             nearest ? nearest : "", nearest ? "\"?" : " (trawl help trial lists them)");
	return 1;
}

/* {"model.name": ["resnet20", …], …}: fields of a trial, with values of theirs. */
static int parse_when(const cJSON *when, const char *where, struct sweep_axis *axis,
                      struct error *e)
{
	const cJSON *item, *value;
	int problems = 0;

	if (!cJSON_IsObject(when) || !when->child || !json_all(when, cJSON_IsArray))
		return problem(where, "when", "allowed: {FIELD: [values], ...}", e);
	cJSON_ArrayForEach (item, when) {
		const struct field *field = field_find(&trial_fields, item->string);
		char *at = xformat("%s.when[\"%s\"]", where, item->string);
		if (!field)
			problems += unknown_path(item->string, at, e);
		else
			cJSON_ArrayForEach (value, item)
				problems += field_check(field, value, at, e);
		free(at);
	}
	axis->when = when;
	return problems;
}

int sweep_axis_parse(const cJSON *member, bool grid, struct sweep_axis *axis, struct error *e)
{
	char *where = xformat("space[\"%s\"]", member->string);
	const cJSON *values = cJSON_GetObjectItemCaseSensitive(member, "values");
	const cJSON *when = cJSON_GetObjectItemCaseSensitive(member, "when");
	int problems = 0;

	*axis = (struct sweep_axis){.field = field_find(&trial_fields, member->string)};
	if (!axis->field)
		problems += unknown_path(member->string, where, e);
	if (!cJSON_IsObject(member))
		problems += problem(where, "", "allowed: {\"values\": [...]} or a range", e);
	else
		problems += check_keys(member, where, e);
	if (cJSON_IsObject(member) && values && cJSON_GetArraySize(member) > 1 + (when != NULL))
		problems += problem(where, "", "allowed: values or a range, not both", e);
	if (axis->field && cJSON_IsObject(member))
		problems += values ? parse_values(values, where, axis, e)
		                   : parse_range(member, grid, where, axis, e);
	if (when)
		problems += parse_when(when, where, axis, e);
	free(where);
	return problems;
}

/* Sums of steps are rounded to 12 digits, so that 0.1 + 2 * 0.1 is 0.3. */
static double round_digits(double x)
{
	char text[40];

	snprintf(text, sizeof text, "%.12g", x);
	return strtod(text, NULL);
}

cJSON *sweep_axis_value(const struct sweep_axis *axis, int64_t index)
{
	assert(index >= 0 && index < axis->count);
	if (axis->values)
		return cJSON_Duplicate(cJSON_GetArrayItem(axis->values, (int)index), true);
	return cJSON_CreateNumber(round_digits(axis->min + (double)index * axis->step));
}

/* Share u, from 0 up to 1, of the way along a range without steps. */
static cJSON *value_between(const struct sweep_axis *axis, double u)
{
	bool whole = axis->field->type == FIELD_INTEGER;
	double half = whole ? 0.5 : 0;
	double low = axis->min - half, high = axis->max + half;
	double x = axis->log ? exp(log(low) + u * (log(high) - log(low))) : low + u * (high - low);

	x = whole ? floor(x + 0.5) : x;
	return cJSON_CreateNumber(fmin(fmax(x, axis->min), axis->max));
}

cJSON *sweep_axis_draw(const struct sweep_axis *axis, int64_t seed, int64_t number, int again)
{
	struct random_stream s =
	        random_stream(seed, "search", (uint64_t)number, random_name(axis->field->path));

	if (axis->count)
		return sweep_axis_value(
		        axis, (int64_t)random_below(&s, (uint64_t)again, (uint64_t)axis->count));
	return value_between(axis, random_uniform(&s, (uint64_t)again));
}

cJSON *sweep_axis_at(const struct sweep_axis *axis, double u)
{
	if (axis->count)
		return sweep_axis_value(axis, (int64_t)(u * (double)axis->count));
	return value_between(axis, u);
}

bool sweep_axis_ordered(const struct sweep_axis *axis)
{
	const cJSON *item = axis->values ? axis->values->child : NULL;
	bool rises = true, falls = true;

	if (!axis->values)
		return true;
	for (; item && item->next; item = item->next) {
		if (!cJSON_IsNumber(item) || !cJSON_IsNumber(item->next))
			return false;
		rises = rises && item->valuedouble < item->next->valuedouble;
		falls = falls && item->valuedouble > item->next->valuedouble;
	}
	return item && cJSON_IsNumber(item) && (rises || falls);
}

static double place_between(const struct sweep_axis *axis, double x)
{
	double half = axis->field->type == FIELD_INTEGER ? 0.5 : 0;
	double low = axis->min - half, high = axis->max + half;
	double u =
	        axis->log ? (log(x) - log(low)) / (log(high) - log(low)) : (x - low) / (high - low);

	return high > low ? fmin(fmax(u, 0), nextafter(1, 0)) : 0.5;
}

double sweep_axis_place(const struct sweep_axis *axis, const cJSON *value)
{
	const cJSON *item;
	int64_t index = 0;

	if (!axis->values && !cJSON_IsNumber(value))
		return NAN;
	if (!axis->count)
		return place_between(axis, value->valuedouble);
	if (!axis->values)
		index = (int64_t)floor((value->valuedouble - axis->min) / axis->step + 0.5);
	else
		for (item = axis->values->child; item && !cJSON_Compare(item, value, true);) {
			item = item->next;
			index++;
		}
	return index < 0 || index >= axis->count ? NAN
	                                         : ((double)index + 0.5) / (double)axis->count;
}

static bool is_one_of(const cJSON *list, const cJSON *assignment, const cJSON *trial)
{
	cJSON *value = trial_value(field_find(&trial_fields, list->string), assignment, trial);
	const cJSON *item;
	bool found = false;

	cJSON_ArrayForEach (item, list)
		found = found || cJSON_Compare(item, value, true);
	cJSON_Delete(value);
	return found;
}

bool sweep_axis_counts(const struct sweep_axis *axis, const cJSON *assignment, const cJSON *trial)
{
	const cJSON *list;

	cJSON_ArrayForEach (list, axis->when)
		if (!is_one_of(list, assignment, trial))
			return false;
	return true;
}
