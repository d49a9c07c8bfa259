/* Defaults, and copying between JSON and the struct that a table describes. */
#include "schemas/fields.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

cJSON *field_default(const struct field *field)
{
	if (!field->initial)
		return NULL;
	switch (field->type) {
	case FIELD_TEXT: return cJSON_CreateString(field->initial);
	case FIELD_INTEGER:
	case FIELD_REAL: return cJSON_CreateNumber(strtod(field->initial, NULL));
	case FIELD_BOOLEAN: return cJSON_CreateBool(strcmp(field->initial, "true") == 0);
	default: break;
	}
	cJSON *value = cJSON_Parse(field->initial);
	assert(value);
	return value;
}

/* The part of a path before its last dot, and the object there; rows of a part lie side by side in
 * the tables, so it is looked up once for them all. */
struct group {
	char path[64];
	cJSON *object;
};

static bool group_changes(struct group *g, const char *path, const char *name)
{
	size_t length = (size_t)(name - path) - (name > path);

	if (strncmp(g->path, path, length) == 0 && !g->path[length] && g->object)
		return false;
	assert(length < sizeof g->path);
	memcpy(g->path, path, length);
	g->path[length] = 0;
	return true;
}

static const char *last_name(const char *path)
{
	const char *dot = strrchr(path, '.');

	return dot ? dot + 1 : path;
}

static const cJSON *given_at(const cJSON *object, const char *path, struct group *g)
{
	const char *name = last_name(path);

	if (group_changes(g, path, name))
		g->object = g->path[0] ? json_at(object, g->path) : (cJSON *)object;
	return json_at(g->object, name);
}

static void put_at(cJSON *object, const char *path, cJSON *value, struct group *g)
{
	const char *name = last_name(path);

	if (group_changes(g, path, name)) {
		json_put(object, path, value);
		g->object = g->path[0] ? json_at(object, g->path) : object;
	} else {
		cJSON_AddItemToObject(g->object, name, value);
	}
}

void fields_fill(const struct field_table *table, cJSON *object)
{
	cJSON *filled = cJSON_CreateObject();
	struct group from = {.object = NULL}, to = {.object = NULL};

	for (size_t i = 0; i < table->count; i++) {
		const cJSON *given = given_at(object, table->rows[i].path, &from);
		cJSON *value = given && !cJSON_IsNull(given) ? cJSON_Duplicate(given, true)
		                                             : field_default(table->rows + i);
		if (value)
			put_at(filled, table->rows[i].path, value, &to);
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
