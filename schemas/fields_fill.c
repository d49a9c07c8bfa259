/* Defaults, and copying between JSON and the struct that a table describes. */
#include "schemas/fields.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

cJSON *field_default(const struct field *field)
{
	if (!field->initial)
		return NULL;
	if (field->type == FIELD_TEXT)
		return cJSON_CreateString(field->initial);
	cJSON *value = cJSON_Parse(field->initial);
	assert(value);
	return value;
}

void fields_fill(const struct field_table *table, cJSON *object)
{
	cJSON *filled = cJSON_CreateObject();

	for (size_t i = 0; i < table->count; i++) {
		const cJSON *given = json_at(object, table->rows[i].path);
		cJSON *value = given && !cJSON_IsNull(given) ? cJSON_Duplicate(given, true)
		                                             : field_default(table->rows + i);
		if (value)
			json_put(filled, table->rows[i].path, value);
	}
	cJSON *before = object->child;
	object->child = filled->child;
	filled->child = before;
	cJSON_Delete(filled);
}

void fields_load(const struct field_table *table, const cJSON *object, void *target)
{
	for (size_t i = 0; i < table->count; i++) {
		const struct field *field = table->rows + i;
		const cJSON *value = json_at(object, field->path);
		void *member = (char *)target + field->offset;
		if (!value)
			continue;
		switch (field->type) {
		case FIELD_INTEGER: *(int64_t *)member = (int64_t)value->valuedouble; break;
		case FIELD_REAL: *(double *)member = value->valuedouble; break;
		case FIELD_BOOLEAN: *(bool *)member = cJSON_IsTrue(value); break;
		case FIELD_TEXT: *(char **)member = xstrdup(value->valuestring); break;
		case FIELD_LIST:
		case FIELD_OBJECT: *(cJSON **)member = cJSON_Duplicate(value, true); break;
		}
	}
}

void fields_release(const struct field_table *table, void *target)
{
	for (size_t i = 0; i < table->count; i++) {
		const struct field *field = table->rows + i;
		void *member = (char *)target + field->offset;
		if (field->type == FIELD_TEXT) {
			free(*(char **)member);
			*(char **)member = NULL;
		} else if (field->type == FIELD_LIST || field->type == FIELD_OBJECT) {
			cJSON_Delete(*(cJSON **)member);
			*(cJSON **)member = NULL;
		}
	}
}
