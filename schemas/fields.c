/* Checking values against a table of fields: every problem in one go. */
#include "schemas/fields.h"
#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct field *field_find(const struct field_table *table, const char *path)
{
	for (size_t i = 0; i < table->count; i++)
		if (strcmp(table->rows[i].path, path) == 0)
			return table->rows + i;
	return NULL;
}

/* A path is a section when some field's path goes on after it. */
static bool is_section(const struct field_table *table, const char *path)
{
	size_t length = strlen(path);

	for (size_t i = 0; i < table->count; i++)
		if (strncmp(table->rows[i].path, path, length) == 0 &&
		    table->rows[i].path[length] == '.')
			return true;
	return false;
}

static const char *leaf_of(const char *path)
{
	const char *dot = strrchr(path, '.');

	return dot ? dot + 1 : path;
}

/* First by the whole path, then by its last part alone (an "lr" at the top means "train.lr"). */
const char *field_nearest(const struct field_table *table, const char *path)
{
	const char **paths = xcalloc(table->count, sizeof *paths);
	const char **leaves = xcalloc(table->count, sizeof *leaves);

	for (size_t i = 0; i < table->count; i++) {
		paths[i] = table->rows[i].path;
		leaves[i] = leaf_of(paths[i]);
	}
	const char *found = nearest_name(path, paths, table->count);
	if (!found) {
		const char *leaf = nearest_name(leaf_of(path), leaves, table->count);
		for (size_t i = 0; leaf && !found && i < table->count; i++)
			found = leaves[i] == leaf ? paths[i] : NULL;
	}
	free(paths);
	free(leaves);
	return found;
}

/* The section name nearest to a name at the top, or null; the caller's to free. */
static char *section_nearest(const struct field_table *table, const char *name)
{
	char **sections = xcalloc(table->count, sizeof *sections);
	size_t count = 0;

	for (size_t i = 0; i < table->count; i++) {
		const char *dot = strchr(table->rows[i].path, '.');
		if (dot)
			sections[count++] = xformat("%.*s", (int)(dot - table->rows[i].path),
			                            table->rows[i].path);
	}
	const char *found = nearest_name(name, (const char *const *)sections, count);
	char *copy = found ? xstrdup(found) : NULL;
	for (size_t i = 0; i < count; i++)
		free(sections[i]);
	free(sections);
	return copy;
}

static const char *const type_names[] = {
        [FIELD_INTEGER] = "integer", [FIELD_REAL] = "number", [FIELD_BOOLEAN] = "true | false",
        [FIELD_TEXT] = "text",       [FIELD_LIST] = "list",   [FIELD_OBJECT] = "object",
};

void field_allowed(const struct field *field, struct text *out)
{
	if (field->choices) {
		for (const char *c = field->choices; *c; c++)
			text_add(out, *c == '|' ? " | " : "%c", *c);
		return;
	}
	text_add(out, "%s", type_names[field->type]);
	if (!field->ranged)
		return;
	text_add(out, "%s from %.16g to %.16g", field->type == FIELD_LIST ? " of numbers" : "",
	         field->min, field->max);
}

/* The value as text, cut when long. */
static char *found_text(const cJSON *value)
{
	enum { SHOWN = 60 };
	char *text = json_print(value, false);

	if (strlen(text) > SHOWN)
		memcpy(text + SHOWN - 3, "...", 4);
	return text;
}

static const char *choice_nearest(const struct field *field, const cJSON *value, char *copy)
{
	const char *names[64];
	size_t count = 0;

	if (!field->choices || !cJSON_IsString(value))
		return NULL;
	for (char *c = strtok(copy, "|"); c && count < 64; c = strtok(NULL, "|"))
		names[count++] = c;
	return nearest_name(value->valuestring, names, count);
}

static int wrong(const struct field *field, const cJSON *value, const char *where, struct error *e)
{
	struct text allowed = {0};
	char *found = found_text(value), *copy = xstrdup(field->choices ? field->choices : "");
	const char *nearest = choice_nearest(field, value, copy);

	field_allowed(field, &allowed);
	error_append(e, "%s: found %s; allowed: %s%s%s%s", where, found, allowed.data,
	             nearest ? "; did you mean \"" : "", nearest ? nearest : "",
	             nearest ? "\"?" : "");
	free(copy);
	free(found);
	text_release(&allowed);
	return 1;
}

static bool in_range(const struct field *field, const cJSON *value)
{
	double x = value->valuedouble;

	return cJSON_IsNumber(value) && (!field->ranged || (x >= field->min && x <= field->max));
}

static bool is_choice(const struct field *field, const char *name)
{
	size_t length = strlen(name);

	for (const char *c = field->choices; c; c = strchr(c, '|')) {
		c += *c == '|';
		if (strncmp(c, name, length) == 0 && (c[length] == '|' || !c[length]))
			return true;
	}
	return false;
}

static bool is_integer(const struct field *field, const cJSON *value)
{
	char name[32];
	double x = value->valuedouble;

	if (!in_range(field, value) || x != floor(x) || fabs(x) >= 0x1p53)
		return false;
	snprintf(name, sizeof name, "%.0f", x);
	return !field->choices || is_choice(field, name);
}

static bool is_text(const struct field *field, const cJSON *value)
{
	return cJSON_IsString(value) && value->valuestring[0] &&
	       (!field->choices || is_choice(field, value->valuestring));
}

static int check_list(const struct field *field, const cJSON *value, const char *where,
                      struct error *e)
{
	int problems = 0, i = 0;
	const cJSON *element = NULL;
	struct field each = *field;

	each.type = FIELD_REAL;
	cJSON_ArrayForEach (element, value) {
		char *at = xformat("%s[%d]", where, i++);
		if (field->ranged && !in_range(field, element))
			problems += wrong(&each, element, at, e);
		free(at);
	}
	return problems;
}

int field_check(const struct field *field, const cJSON *value, const char *where, struct error *e)
{
	bool fine = false;

	switch (field->type) {
	case FIELD_INTEGER: fine = is_integer(field, value); break;
	case FIELD_REAL: fine = in_range(field, value); break;
	case FIELD_BOOLEAN: fine = cJSON_IsBool(value); break;
	case FIELD_TEXT: fine = is_text(field, value); break;
	case FIELD_LIST: fine = cJSON_IsArray(value); break;
	case FIELD_OBJECT: fine = cJSON_IsObject(value); break;
	}
	if (!fine)
		return wrong(field, value, where, e);
	return field->type == FIELD_LIST ? check_list(field, value, where, e) : 0;
}

/* "WHEREpath: unknown field; did you mean …?", the name alone when it is in the same section. */
static int unknown(const struct field_table *table, const char *path, const char *where,
                   struct error *e)
{
	const char *nearest = field_nearest(table, path);
	char *section = strchr(path, '.') || nearest ? NULL : section_nearest(table, path);
	size_t parent = (size_t)(leaf_of(path) - path);

	if (nearest && strncmp(nearest, path, parent) == 0)
		nearest += parent;
	if (section)
		nearest = section;
	error_append(e, "%s%s: unknown field%s%s%s", where, path,
	             nearest ? "; did you mean \"" : "", nearest ? nearest : "",
	             nearest ? "\"?" : "");
	free(section);
	return 1;
}

static int not_object(const cJSON *value, const char *where, struct error *e)
{
	char *found = found_text(value);

	error_append(e, "%s: found %s; allowed: an object", where, found);
	free(found);
	return 1;
}

static int check_section(const struct field_table *table, const cJSON *object, const char *path,
                         const char *where, struct error *e);

/* What stands in the table's order is found at `row`. */
static const struct field *find_at(const struct field_table *table, size_t row, const char *path)
{
	if (row < table->count && strcmp(table->rows[row].path, path) == 0)
		return table->rows + row;
	return field_find(table, path);
}

static int check_members(const struct field_table *table, const cJSON *object, const char *section,
                         const char *where, struct error *e)
{
	int problems = 0;
	size_t row = 0;
	const cJSON *member = NULL;

	cJSON_ArrayForEach (member, object) {
		char *at = xformat("%s%s%s", where, section, member->string);
		const char *path = at + strlen(where);
		const struct field *field =
		        strchr(member->string, '.') ? NULL : find_at(table, row, path);
		bool below = !field && is_section(table, path);
		row = field ? (size_t)(field - table->rows) + 1 : row;
		if (!field && !below)
			problems += unknown(table, path, where, e);
		else if (field && !cJSON_IsNull(member))
			problems += field_check(field, member, at, e);
		else if (below && cJSON_IsObject(member))
			problems += check_section(table, member, path, where, e);
		else if (below && !cJSON_IsNull(member))
			problems += not_object(member, at, e);
		free(at);
	}
	return problems;
}

static int check_section(const struct field_table *table, const cJSON *object, const char *path,
                         const char *where, struct error *e)
{
	char *section = xformat("%s.", path);
	int problems = check_members(table, object, section, where, e);

	free(section);
	return problems;
}

int fields_check(const struct field_table *table, const cJSON *object, const char *where,
                 struct error *e)
{
	if (!cJSON_IsObject(object))
		return not_object(object, where[0] ? where : table->name, e);
	return check_members(table, object, "", where, e);
}

int fields_check_missing(const struct field_table *table, const cJSON *object, const char *where,
                         struct error *e)
{
	int problems = 0;

	for (size_t i = 0; i < table->count; i++) {
		const struct field *field = table->rows + i;
		if (!(field->flags & REQUIRED))
			continue;
		const cJSON *value = json_at(object, field->path);
		if (value && !cJSON_IsNull(value))
			continue;
		struct text allowed = {0};
		field_allowed(field, &allowed);
		error_append(e, "%s%s: missing; allowed: %s", where, field->path, allowed.data);
		text_release(&allowed);
		problems++;
	}
	return problems;
}
