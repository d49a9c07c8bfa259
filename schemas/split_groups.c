/* Groups of classes in files of the user's. */
#include "schemas/split_groups.h"
#include <stdio.h>

/* {"cat": "pets", …} -> {"pets": ["cat", …], …} */
static cJSON *by_group(const cJSON *group_of)
{
	cJSON *groups = cJSON_CreateObject();
	const cJSON *class;

	cJSON_ArrayForEach (class, group_of) {
		const char *name = class->valuestring;
		cJSON *group = cJSON_GetObjectItemCaseSensitive(groups, name);
		if (!group)
			group = cJSON_AddArrayToObject(groups, name);
		cJSON_AddItemToArray(group, cJSON_CreateString(class->string));
	}
	return groups;
}

static cJSON *values_of(const cJSON *object)
{
	cJSON *list = cJSON_CreateArray();
	const cJSON *item;

	cJSON_ArrayForEach (item, object)
		cJSON_AddItemToArray(list, cJSON_Duplicate(item, true));
	return list;
}

cJSON *split_groups_read(const char *path, struct error *e)
{
	cJSON *json = json_read(path, e), *lists = NULL, *groups = NULL;

	if (!json)
		return NULL;
	if (json->child && cJSON_IsObject(json) && json_all(json, cJSON_IsString))
		groups = by_group(json);
	else if (json->child && json_all(json, cJSON_IsArray))
		groups = cJSON_Duplicate(json, true);
	if (groups)
		lists = values_of(groups);
	else
		error_set(e,
		          "%s: lists of classes are expected, or an object of such lists, or of "
		          "each class's group",
		          path);
	cJSON_Delete(groups);
	cJSON_Delete(json);
	return lists;
}

cJSON *split_groups_named(const cJSON *lists)
{
	cJSON *object = cJSON_CreateObject();
	const cJSON *list;
	int i = 0;

	cJSON_ArrayForEach (list, lists) {
		char name[16];
		snprintf(name, sizeof name, "%d", i++);
		cJSON_AddItemToObject(object, name, cJSON_Duplicate(list, true));
	}
	return object;
}
