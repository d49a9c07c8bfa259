/* Groups of classes as users list them. */
#include "schemas/split_groups.h"
#include "core/base/text.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

/* ---- what can be wrong whatever the data set is ---- */

struct listed {
	const cJSON *class;
	int group;
};

static cJSON_bool is_class(const cJSON *item)
{
	return cJSON_IsString(item) || (cJSON_IsNumber(item) && item->valuedouble >= 0 &&
	                                item->valuedouble == item->valueint);
}

static int check_list(const cJSON *list, int least, const char *path, struct error *e)
{
	int size = cJSON_GetArraySize(list), ok = 0;

	if (!cJSON_IsArray(list) || !json_all(list, is_class))
		ok = error_append(e, "%s: is no list of classes, by name or index", path);
	else if (!size)
		ok = error_append(e, "%s: is empty", path);
	else if (size < least)
		ok = error_append(e,
		                  "%s: has one class, which leaves it nothing to tell apart: add "
		                  "a class or join two groups",
		                  path);
	return ok != 0;
}

/* By class, names before indices, then by group. */
static int by_class(const void *left, const void *right)
{
	const struct listed *a = left, *b = right;
	bool named = cJSON_IsString(a->class);
	int order = (int)cJSON_IsString(b->class) - (int)named;

	if (!order && named)
		order = strcmp(a->class->valuestring, b->class->valuestring);
	else if (!order)
		order = (a->class->valueint > b->class->valueint) -
		        (a->class->valueint < b->class->valueint);
	return order ? order : a->group - b->group;
}

static bool is_same(const struct listed *a, const struct listed *b)
{
	return by_class(&(struct listed){a->class, 0}, &(struct listed){b->class, 0}) == 0;
}

static int say_twice(const struct listed *a, const struct listed *b, const char *path,
                     struct error *e)
{
	char *name = json_print(a->class, false);

	if (a->group == b->group)
		error_append(e, "%s: %s is twice in group %d", path, name, a->group);
	else
		error_append(e, "%s: %s is in group %d and in group %d", path, name, a->group,
		             b->group);
	free(name);
	return 1;
}

/* Of lists of classes.  A class that is named here and numbered there is found when data are. */
static int check_twice(const cJSON *lists, const char *path, struct error *e)
{
	struct listed *all = NULL;
	const cJSON *list, *item;
	size_t count = 0;
	int group = 0, problems = 0;

	cJSON_ArrayForEach (list, lists) {
		all = xrealloc(all, (count + (size_t)cJSON_GetArraySize(list) + 1) * sizeof *all);
		cJSON_ArrayForEach (item, list)
			all[count++] = (struct listed){item, group};
		group++;
	}
	if (count)
		qsort(all, count, sizeof *all, by_class);
	for (size_t i = 1; i < count; i++)
		if (is_same(&all[i - 1], &all[i]))
			problems += say_twice(&all[i - 1], &all[i], path, e);
	free(all);
	return problems;
}

static int check_lists(const cJSON *lists, int least, const char *path, struct error *e)
{
	const cJSON *list;
	int problems = 0, i = 0;

	cJSON_ArrayForEach (list, lists) {
		char *inner = xformat("%s[%d]", path, i++);
		problems += check_list(list, least, inner, e);
		free(inner);
	}
	return problems ? problems : check_twice(lists, path, e);
}

static int check_number(int groups, int64_t submodels, bool listed, const char *path,
                        struct error *e)
{
	int ok = 0;

	if (listed && groups != submodels)
		ok = error_append(e, "%s: %d groups, but split.submodels is %lld", path, groups,
		                  (long long)submodels);
	else if (groups < submodels) /* they are joined, never cut */
		ok = error_append(e,
		                  "%s: %d superclasses cannot make %lld groups (split.submodels)",
		                  path, groups, (long long)submodels);
	return ok != 0;
}

int split_groups_check(const cJSON *filled, const char *where, struct error *e)
{
	const cJSON *split = json_at(filled, "split"), *lists = json_at(split, "groups");
	const char *grouping = json_text(split, "grouping", "random");
	const char *file = json_text(split, "file", NULL);
	int64_t submodels = json_int(split, "submodels", 0);
	bool listed = !strcmp(grouping, "explicit"), super = !strcmp(grouping, "superclass");
	char *path = xformat("%ssplit.%s", where, lists ? "groups" : "file");
	int problems = 0;

	if (lists && file)
		problems -= error_append(e, "%s: either this or split.file", path);
	if ((lists || file) && submodels && !listed && !super)
		problems -= error_append(e, "%s: is for grouping explicit or superclass, not %s",
		                         path, grouping);
	else if (lists)
		problems += check_lists(lists, listed && submodels ? 2 : 1, path, e);
	if (lists && submodels && (listed || super))
		problems += check_number(cJSON_GetArraySize(lists), submodels, listed, path, e);
	free(path);
	return problems;
}
