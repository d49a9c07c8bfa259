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

bool field_is_default(const struct field *field, const cJSON *value)
{
	if (!field->initial)
		return false;
	switch (field->type) {
	case FIELD_TEXT:
		return cJSON_IsString(value) && strcmp(value->valuestring, field->initial) == 0;
	case FIELD_INTEGER:
	case FIELD_REAL:
		return cJSON_IsNumber(value) && value->valuedouble == strtod(field->initial, NULL);
	case FIELD_BOOLEAN:
		return cJSON_IsBool(value) &&
		       cJSON_IsTrue(value) == (strcmp(field->initial, "true") == 0);
	default: break;
	}
	char *text = json_canonical(value);
	cJSON *initial = field_default(field);
	char *other = json_canonical(initial);
	bool same = strcmp(text, other) == 0;
	free(text);
	free(other);
	cJSON_Delete(initial);
	return same;
}

static const char *last_name(const char *path)
{
	const char *dot = strrchr(path, '.');

	return dot ? dot + 1 : path;
}

/* Whether the name, within the path, begins another part. */
static bool part_changes(struct field_place *p, const char *path, const char *name)
{
	size_t length = (size_t)(name - path) - (name > path);

	if (p->begun && length == p->length && memcmp(p->part, path, length) == 0)
		return false;
	assert(length < sizeof p->part);
	memcpy(p->part, path, length);
	p->part[length] = 0;
	p->length = length;
	p->begun = true;
	return true;
}

/* The next member of the part that is being walked through, which it mostly is.  What fields_fill
 * has made is named by the end of the table's own path. */
static bool is_next(const struct field_place *p, const char *path)
{
	size_t before = p->length ? p->length + 1 : 0;

	if (!p->next)
		return false;
	return (p->next->type & cJSON_StringIsConst &&
	        (uintptr_t)p->next->string == (uintptr_t)path + before) ||
	       (strncmp(path, p->part, p->length) == 0 && (!p->length || path[p->length] == '.') &&
	        strcmp(p->next->string, path + before) == 0);
}

const cJSON *field_value(struct field_place *place, const cJSON *object, const char *path)
{
	const cJSON *value = place->next;
	const char *name;

	if (is_next(place, path)) {
		place->next = value->next;
		return value;
	}
	name = last_name(path);
	if (part_changes(place, path, name)) {
		place->object = place->part[0] ? json_at(object, place->part) : object;
		place->next = cJSON_IsObject(place->object) ? place->object->child : NULL;
	}
	value = json_at(place->object, name);
	if (value && value == place->next) /* one that stands elsewhere changes nothing */
		place->next = value->next;
	return value;
}

/* Whether nothing is missing and nothing is null; *ordered: and it stands in the table's order, by
 * the table's names. */
static bool is_complete(const struct field_table *table, const cJSON *object, bool *ordered)
{
	struct field_place from = {.begun = false};
	const cJSON *part = NULL, *before = NULL;

	*ordered = true;
	for (size_t i = 0; i < table->count; i++) {
		const struct field *field = table->rows + i;
		const cJSON *value = field_value(&from, object, field->path);
		if (value ? cJSON_IsNull(value) : field->initial != NULL)
			return false;
		if (!value)
			continue;
		*ordered = *ordered && (part != from.object || before->next == value) &&
		           value->type & cJSON_StringIsConst;
		part = from.object;
		before = value;
	}
	return true;
}

bool fields_filled(const struct field_table *table, const cJSON *object)
{
	bool ordered = false;

	return is_complete(table, object, &ordered);
}

static void put_at(cJSON *object, const char *path, cJSON *value, struct field_place *to)
{
	const char *name = last_name(path);

	if (part_changes(to, path, name)) {
		to->object = to->part[0] ? json_at(object, to->part) : object;
		if (!to->object) {
			json_put(object, to->part, cJSON_CreateObject());
			to->object = json_at(object, to->part);
		}
	}
	cJSON_AddItemToObjectCS((cJSON *)to->object, name, value);
}

void fields_fill(const struct field_table *table, cJSON *object)
{
	struct field_place from = {.begun = false}, to = {.begun = false};
	bool ordered = false;

	if (is_complete(table, object, &ordered) && ordered)
		return;
	cJSON *filled = cJSON_CreateObject();
	for (size_t i = 0; i < table->count; i++) {
		const cJSON *given = field_value(&from, object, table->rows[i].path);
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
	struct field_place from = {.begun = false};

	for (size_t i = 0; i < table->count; i++) {
		const struct field *field = table->rows + i;
		const cJSON *value = field_value(&from, object, field->path);
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
