/* A table of fields as help text and as JSON Schema. */
#include "schemas/fields.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HELP_COLUMNS = 92 };

/* Words wrapped at HELP_COLUMNS; each line begins at column `from`, where the first one is. */
static void add_wrapped(struct text *out, const char *words, int from)
{
	size_t column = (size_t)from;

	while (*words) {
		size_t length = strcspn(words, " "), space = column > (size_t)from;
		if (space && column + 1 + length > HELP_COLUMNS) {
			text_add(out, "\n%*s", from, "");
			column = (size_t)from;
			space = 0;
		}
		text_add(out, "%*s%.*s", (int)space, "", (int)length, words);
		column += space + length;
		words += length;
		words += strspn(words, " ");
	}
	text_add(out, "\n");
}

void fields_help(const struct field_table *table, struct text *out)
{
	for (size_t i = 0; i < table->count; i++) {
		const struct field *field = table->rows + i;
		struct text values = {0};

		field_allowed(field, &values);
		if (field->initial)
			text_add(&values, "; default %s", field->initial);
		else if (field->flags & REQUIRED)
			text_add(&values, "; required");
		text_add(out, "  %-24s ", field->path);
		add_wrapped(out, values.data, 27);
		text_add(out, "      ");
		add_wrapped(out, field->meaning, 6);
		text_release(&values);
	}
}

/* {"type": ["integer", "null"], …}: null stands for the default everywhere. */
static cJSON *type_schema(const char *type)
{
	cJSON *schema = cJSON_CreateObject(), *types = cJSON_AddArrayToObject(schema, "type");

	cJSON_AddItemToArray(types, cJSON_CreateString(type));
	cJSON_AddItemToArray(types, cJSON_CreateString("null"));
	return schema;
}

static void add_limits(cJSON *schema, const struct field *field)
{
	if (!field->ranged)
		return;
	cJSON_AddNumberToObject(schema, "minimum", field->min);
	cJSON_AddNumberToObject(schema, "maximum", field->max);
}

static void add_choices(cJSON *schema, const struct field *field)
{
	cJSON *list = cJSON_AddArrayToObject(schema, "enum");
	char *copy = xstrdup(field->choices), *rest = copy, *choice = NULL;

	while ((choice = strsep(&rest, "|")))
		cJSON_AddItemToArray(list, field->type == FIELD_INTEGER
		                                   ? cJSON_CreateNumber(atof(choice))
		                                   : cJSON_CreateString(choice));
	cJSON_AddItemToArray(list, cJSON_CreateNull());
	free(copy);
}

static cJSON *field_schema(const struct field *field)
{
	static const char *const names[] = {
	        [FIELD_INTEGER] = "integer", [FIELD_REAL] = "number", [FIELD_BOOLEAN] = "boolean",
	        [FIELD_TEXT] = "string",     [FIELD_LIST] = "array",  [FIELD_OBJECT] = "object",
	};
	cJSON *schema = type_schema(names[field->type]), *initial = field_default(field);

	cJSON_AddStringToObject(schema, "description", field->meaning);
	if (field->choices)
		add_choices(schema, field);
	if (field->type == FIELD_LIST && field->ranged) {
		cJSON *items = cJSON_AddObjectToObject(schema, "items");
		cJSON_AddStringToObject(items, "type", "number");
		add_limits(items, field);
	} else {
		add_limits(schema, field);
	}
	if (initial)
		cJSON_AddItemToObject(schema, "default", initial);
	return schema;
}

/* The schema object of a section ("" for the top), made when it is not there yet. */
static cJSON *section_schema(cJSON *top, const char *section)
{
	cJSON *at = top;
	char *copy = xstrdup(section), *rest = copy, *part = NULL;

	while (*section && (part = strsep(&rest, "."))) {
		cJSON *members = cJSON_GetObjectItemCaseSensitive(at, "properties");
		at = cJSON_GetObjectItemCaseSensitive(members, part);
		if (at)
			continue;
		at = type_schema("object");
		cJSON_AddObjectToObject(at, "properties");
		cJSON_AddFalseToObject(at, "additionalProperties");
		cJSON_AddItemToObject(members, part, at);
	}
	free(copy);
	return at;
}

static cJSON *all_fields(const struct field_table *table)
{
	cJSON *top = cJSON_CreateObject();

	cJSON_AddStringToObject(top, "type", "object");
	cJSON_AddObjectToObject(top, "properties");
	cJSON_AddFalseToObject(top, "additionalProperties");
	for (size_t i = 0; i < table->count; i++) {
		char *section = xstrdup(table->rows[i].path), *dot = strrchr(section, '.');
		const char *leaf = table->rows[i].path + (dot ? dot - section + 1 : 0);
		*(dot ? dot : section) = 0;
		cJSON *members = cJSON_GetObjectItemCaseSensitive(section_schema(top, section),
		                                                  "properties");
		cJSON_AddItemToObject(members, leaf, field_schema(table->rows + i));
		free(section);
	}
	return top;
}

static cJSON *required_list(cJSON *schema)
{
	cJSON *list = cJSON_GetObjectItemCaseSensitive(schema, "required");

	return list ? list : cJSON_AddArrayToObject(schema, "required");
}

/* {"required": ["data"], "properties": {"data": {"required": ["name"]}}} for "data.name". */
static void add_required(cJSON *schema, const char *path)
{
	char *copy = xstrdup(path), *rest = copy, *part = NULL;

	while ((part = strsep(&rest, "."))) {
		cJSON_AddItemToArray(required_list(schema), cJSON_CreateString(part));
		if (!rest)
			break;
		cJSON *members = cJSON_GetObjectItemCaseSensitive(schema, "properties");
		if (!members)
			members = cJSON_AddObjectToObject(schema, "properties");
		schema = cJSON_AddObjectToObject(members, part);
	}
	free(copy);
}

cJSON *fields_json_schema(const struct field_table *table, const char *title)
{
	cJSON *schema = cJSON_CreateObject();
	char *id = xformat("%s.schema.json", table->name);

	cJSON_AddStringToObject(schema, "$schema", "https://json-schema.org/draft/2020-12/schema");
	cJSON_AddStringToObject(schema, "$id", id);
	cJSON_AddStringToObject(schema, "title", title);
	cJSON_AddStringToObject(schema, "$ref", "#/$defs/fields");
	for (size_t i = 0; i < table->count; i++)
		if (table->rows[i].flags & REQUIRED)
			add_required(schema, table->rows[i].path);
	cJSON *definitions = cJSON_AddObjectToObject(schema, "$defs");
	cJSON_AddItemToObject(definitions, "fields", all_fields(table));
	free(id);
	return schema;
}
