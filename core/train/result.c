/* What a trial has to say: metrics per epoch, final figures, figures per category and per layer,
 * points of its loss landscape, nodes of its tree. */
#include "core/train/result.h"
#include "core/base/text.h"
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *const outcome_name[OUTCOME_COUNT] = {
#define OUTCOME(name, text, status, meaning) text,
        OUTCOMES(OUTCOME)
#undef OUTCOME
};
const char *const outcome_meaning[OUTCOME_COUNT] = {
#define OUTCOME(name, text, status, meaning) meaning,
        OUTCOMES(OUTCOME)
#undef OUTCOME
};
const int outcome_status[OUTCOME_COUNT] = {
#define OUTCOME(name, text, status, meaning) status,
        OUTCOMES(OUTCOME)
#undef OUTCOME
};

void result_init(struct result *r)
{
	*r = (struct result){.figures = cJSON_CreateObject(),
	                     .categories = cJSON_CreateArray(),
	                     .layers = cJSON_CreateArray(),
	                     .landscape = cJSON_CreateArray(),
	                     .ood = cJSON_CreateArray(),
	                     .curves = cJSON_CreateArray(),
	                     .tree = cJSON_CreateArray()};
}

void result_release(struct result *r)
{
	free(r->row);
	cJSON_Delete(r->figures);
	cJSON_Delete(r->categories);
	cJSON_Delete(r->layers);
	cJSON_Delete(r->landscape);
	cJSON_Delete(r->ood);
	cJSON_Delete(r->curves);
	cJSON_Delete(r->tree);
	*r = (struct result){0};
}

void result_row(struct result *r, const char *name, int64_t step, int64_t epoch, double value)
{
	assert(strlen(name) < METRIC_NAME_BYTES);
	if (r->rows == r->capacity) {
		r->capacity = r->capacity ? 2 * r->capacity : 64;
		r->row = xrealloc(r->row, (size_t)r->capacity * sizeof *r->row);
	}
	struct metric_row *row = &r->row[r->rows++];
	*row = (struct metric_row){.step = step, .epoch = epoch, .value = value};
	strcpy(row->name, name);
}

/* Not a number is null, as everywhere in JSON. */
static void add_value(cJSON *object, const char *key, double value)
{
	if (isfinite(value))
		cJSON_AddNumberToObject(object, key, value);
	else
		cJSON_AddNullToObject(object, key);
}

void result_figure(struct result *r, const char *metric, double value)
{
	cJSON_DeleteItemFromObjectCaseSensitive(r->figures, metric);
	add_value(r->figures, metric, value);
}

/* A new item of the list, with texts: name, text, name, text … up to a null. */
static cJSON *add_item(cJSON *list, const char *const text[])
{
	cJSON *item = cJSON_CreateObject();

	for (; *text; text += 2)
		cJSON_AddStringToObject(item, text[0], text[1]);
	cJSON_AddItemToArray(list, item);
	return item;
}

void result_category(struct result *r, int category, const char *name, const char *metric,
                     double value)
{
	cJSON *item =
	        add_item(r->categories, (const char *[]){"name", name, "metric", metric, NULL});

	cJSON_AddNumberToObject(item, "category", category);
	add_value(item, "value", value);
}

void result_layer(struct result *r, const char *layer, const char *metric, double value)
{
	cJSON *item = add_item(r->layers, (const char *[]){"layer", layer, "metric", metric, NULL});

	add_value(item, "value", value);
}

void result_landscape(struct result *r, const char *slice, double x, double y, const char *metric,
                      double value)
{
	cJSON *item =
	        add_item(r->landscape, (const char *[]){"slice", slice, "metric", metric, NULL});

	assert(isfinite(x) && isfinite(y));
	cJSON_AddNumberToObject(item, "x", x);
	cJSON_AddNumberToObject(item, "y", y);
	add_value(item, "value", value);
}

void result_ood(struct result *r, const char *set, const char *score, const char *metric,
                double value)
{
	cJSON *item = add_item(
	        r->ood, (const char *[]){"set", set, "score", score, "metric", metric, NULL});

	add_value(item, "value", value);
}

void result_curve(struct result *r, const char *set, const char *score, const char *curve, double x,
                  double y)
{
	cJSON *item = add_item(r->curves,
	                       (const char *[]){"set", set, "score", score, "curve", curve, NULL});

	add_value(item, "x", x);
	add_value(item, "y", y);
}

void result_forget_ood(struct result *r)
{
	cJSON_Delete(r->ood);
	cJSON_Delete(r->curves);
	r->ood = cJSON_CreateArray();
	r->curves = cJSON_CreateArray();
}

void result_node(struct result *r, int node, int parent, const char *layer, const char *members,
                 int channels, int width, double macs)
{
	cJSON *item = add_item(r->tree, (const char *[]){"layer", layer, "members", members, NULL});

	cJSON_AddNumberToObject(item, "node", node);
	cJSON_AddNumberToObject(item, "parent", parent);
	cJSON_AddNumberToObject(item, "channels", channels);
	cJSON_AddNumberToObject(item, "width", width);
	cJSON_AddNumberToObject(item, "macs", macs);
}

cJSON *result_rows(const struct result *r, int first)
{
	cJSON *list = cJSON_CreateArray();

	for (int i = first; i < r->rows; i++) {
		cJSON *item = add_item(list, (const char *[]){"name", r->row[i].name, NULL});
		cJSON_AddNumberToObject(item, "step", (double)r->row[i].step);
		cJSON_AddNumberToObject(item, "epoch", (double)r->row[i].epoch);
		add_value(item, "value", r->row[i].value);
	}
	return list;
}

int result_rows_load(struct result *r, const cJSON *list, struct error *e)
{
	const cJSON *item;
	int index = 0;

	if (!cJSON_IsArray(list))
		return error_set(e, "metrics are not a list");
	r->rows = 0;
	cJSON_ArrayForEach (item, list) {
		const char *name = json_text(item, "name", "");
		const cJSON *value = cJSON_GetObjectItemCaseSensitive(item, "value");
		if (!*name || strlen(name) >= METRIC_NAME_BYTES || !value)
			return error_set(e, "metrics[%d] is not a metric", index);
		result_row(r, name, json_int(item, "step", 0), json_int(item, "epoch", 0),
		           cJSON_IsNumber(value) ? value->valuedouble : NAN);
		index++;
	}
	return 0;
}
