/* JSON Schema of trial and sweep: the tables, and what a sweep's objects hold. */
#include "schemas/schemas.h"
#include "core/base/file.h"
#include "core/base/json.h"
#include "core/base/text.h"
#include "schemas/sweep_spec.h"
#include "schemas/trial_spec.h"
#include <assert.h>
#include <stdlib.h>

static const char axis_text[] =
        "{\"oneOf\": ["
        "{\"type\": \"object\", \"required\": [\"values\"], \"additionalProperties\": false,"
        " \"properties\": {\"values\": {\"type\": \"array\", \"minItems\": 1, \"uniqueItems\": "
        "true}}},"
        "{\"type\": \"object\", \"required\": [\"min\", \"max\"], \"additionalProperties\": false,"
        " \"properties\": {\"min\": {\"type\": \"number\"}, \"max\": {\"type\": \"number\"},"
        " \"step\": {\"type\": \"number\", \"exclusiveMinimum\": 0}, \"log\": {\"type\": "
        "\"boolean\"}}}]}";
static const char goal_text[] = "{\"type\": \"object\", \"required\": [\"metric\", \"goal\"], "
                                "\"additionalProperties\": false,"
                                " \"properties\": {\"metric\": {\"type\": \"string\"}, \"goal\": "
                                "{\"enum\": [\"max\", \"min\"]}}}";

cJSON *trial_json_schema(void)
{
	return fields_json_schema(&trial_fields, "A trial of trawl");
}

cJSON *sweep_json_schema(void)
{
	cJSON *schema = fields_json_schema(&sweep_fields, "A sweep of trawl");
	cJSON *definitions = cJSON_GetObjectItemCaseSensitive(schema, "$defs");
	cJSON *members = json_at(definitions, "fields.properties");
	cJSON *axes = cJSON_CreateObject();

	for (size_t i = 0; i < trial_fields.count; i++) {
		cJSON *axis = cJSON_AddObjectToObject(axes, trial_fields.rows[i].path);
		cJSON_AddStringToObject(axis, "$ref", "#/$defs/axis");
		cJSON_AddStringToObject(axis, "description", trial_fields.rows[i].meaning);
	}
	cJSON_AddItemToObject(json_at(members, "space"), "properties", axes);
	cJSON_AddFalseToObject(json_at(members, "space"), "additionalProperties");
	cJSON_AddStringToObject(json_at(members, "trial"), "$ref",
	                        "trial.schema.json#/$defs/fields");
	cJSON_AddStringToObject(json_at(members, "name"), "pattern", "^[a-z0-9_-]{1,64}$");
	cJSON_AddItemToObject(json_at(members, "objective"), "items", cJSON_Parse(goal_text));
	cJSON_AddItemToObject(definitions, "axis", cJSON_Parse(axis_text));
	return schema;
}

int schemas_write(const char *folder, struct error *e)
{
	const struct {
		const char *name;
		cJSON *schema;
	} files[] = {{"trial.schema.json", trial_json_schema()},
	             {"sweep.schema.json", sweep_json_schema()}};
	int status = 0;

	for (int i = 0; i < 2; i++) {
		char *path = path_join(folder, files[i].name);
		if (status == 0)
			status = json_write(path, files[i].schema, e);
		free(path);
		cJSON_Delete(files[i].schema);
	}
	return status;
}
