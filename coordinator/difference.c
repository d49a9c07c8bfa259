/* What differs between specifications. */
#include "coordinator/difference.h"
#include "coordinator/artifact.h"
#include "core/base/json.h"
#include "core/base/text.h"
#include <stdlib.h>
#include <string.h>

enum { SHORT_HEX = 8 };

static bool same(const cJSON *a, const cJSON *b)
{
	if (!a || !b)
		return a == b;
	char *left = json_canonical(a), *right = json_canonical(b);
	bool equal = !strcmp(left, right);
	free(left);
	free(right);
	return equal;
}

static bool listed(const cJSON *list, const char *path)
{
	const cJSON *item;
	cJSON_ArrayForEach (item, list)
		if (!strcmp(json_text(item, "path", ""), path))
			return true;
	return false;
}

/* Where the path is an object in one of them, its members are looked at, not it. */
static void compare(const char *path, const cJSON *const spec[], int count, cJSON *list)
{
	bool differs = false;
	for (int i = 0; i < count; i++) {
		const cJSON *value = json_at(spec[i], path);
		if (cJSON_IsObject(value))
			return;
		differs = differs || !same(value, json_at(spec[0], path));
	}
	if (!differs || listed(list, path))
		return;
	cJSON *item = cJSON_CreateObject(), *values;
	cJSON_AddStringToObject(item, "path", path);
	values = cJSON_AddArrayToObject(item, "values");
	for (int i = 0; i < count; i++) {
		const cJSON *value = json_at(spec[i], path);
		cJSON_AddItemToArray(values,
		                     value ? cJSON_Duplicate(value, true) : cJSON_CreateNull());
	}
	cJSON_AddItemToArray(list, item);
}

static void walk(const cJSON *object, const char *prefix, const cJSON *const spec[], int count,
                 cJSON *list)
{
	const cJSON *item;
	cJSON_ArrayForEach (item, object) {
		char *path = xformat("%s%s%s", prefix, *prefix ? "." : "", item->string);
		if (cJSON_IsObject(item))
			walk(item, path, spec, count, list);
		else
			compare(path, spec, count, list);
		free(path);
	}
}

cJSON *difference_of(const cJSON *const spec[], int count)
{
	cJSON *list = cJSON_CreateArray();
	for (int i = 0; i < count; i++)
		walk(spec[i], "", spec, count, list);
	return list;
}

char *difference_shown(const cJSON *value)
{
	if (!value || cJSON_IsNull(value))
		return xstrdup("–");
	if (!cJSON_IsString(value))
		return cJSON_PrintUnformatted(value);
	const char *s = value->valuestring;
	return sha256_valid(s) ? xformat("%.*s…", SHORT_HEX, s) : xstrdup(s);
}

char *difference_label(const cJSON *difference, int which)
{
	struct text out = {0};
	const cJSON *item;
	cJSON_ArrayForEach (item, difference) {
		const char *path = json_text(item, "path", ""), *dot = strrchr(path, '.');
		const cJSON *value = cJSON_GetArrayItem(json_at(item, "values"), which);
		char *shown = difference_shown(value);
		if (!cJSON_IsNull(value))
			text_add(&out, "%s%s=%s", out.length ? " " : "", dot ? dot + 1 : path,
			         shown);
		free(shown);
	}
	return text_take(&out);
}
