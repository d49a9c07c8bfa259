/* Sweeps as files: what they refer to is found beside them, and read where it is small. */
#include "coordinator/sweep_file.h"
#include "core/base/file.h"
#include "core/base/json.h"
#include "core/base/text.h"
#include "schemas/split_groups.h"
#include <libgen.h>
#include <stdlib.h>

/* The path itself, or that of the file of this name in the folder; the caller's. */
static char *find(const char *folder, const char *path)
{
	char *beside = path_join(folder, path);

	if (path[0] == '/' || path_leads(path) || !path_leads(beside)) {
		free(beside);
		return xstrdup(path);
	}
	char *absolute = path_real(beside);
	free(beside);
	return absolute ? absolute : xstrdup(path);
}

static int read_groups(cJSON *trial, const char *folder, struct error *e)
{
	const char *path = json_text(json_at(trial, "split"), "file", NULL);

	if (!path)
		return 0;
	if (json_at(trial, "split.groups"))
		return error_set(e, "split.groups: either this or split.file");
	char *found = find(folder, path);
	cJSON *lists = split_groups_read(found, e);
	free(found);
	if (!lists)
		return error_prefix(e, "split.file");
	json_put(trial, "split.groups", lists);
	json_put(trial, "split.file", NULL);
	return 0;
}

/* A path that `object` says at `key`, as it is found from here. */
static void find_at(cJSON *object, const char *key, const char *folder)
{
	const char *path = json_text(object, key, NULL);

	if (!path)
		return;
	char *found = find(folder, path);
	cJSON_ReplaceItemInObjectCaseSensitive(object, key, cJSON_CreateString(found));
	free(found);
}

/* `part` is a trial or a patch of one. */
static int complete(cJSON *part, const char *folder, struct error *e)
{
	cJSON *change = json_at(part, "start_from.change"), *item;

	find_at(json_at(part, "data"), "path", folder);
	find_at(json_at(part, "start_from"), "file", folder);
	cJSON_ArrayForEach (item, json_at(part, "ood.sets"))
		find_at(item, "path", folder);
	if (read_groups(part, folder, e))
		return -1;
	cJSON_ArrayForEach (item, json_at(part, "ensemble.members"))
		if (complete(item, folder, e))
			return -1;
	return change ? complete(change, folder, e) : 0;
}

/* The values of a swept field, each as if it were the trial's. */
static int complete_axis(cJSON *axis, const char *folder, struct error *e)
{
	cJSON *values = json_at(axis, "values"), *value;

	for (int i = 0; (value = cJSON_GetArrayItem(values, i)) != NULL; i++) {
		cJSON *part = cJSON_CreateObject();
		json_put(part, axis->string, cJSON_Duplicate(value, true));
		int status = complete(part, folder, e);
		value = json_at(part, axis->string);
		if (value)
			cJSON_ReplaceItemInArray(values, i, cJSON_Duplicate(value, true));
		cJSON_Delete(part);
		if (status)
			return -1;
	}
	return 0;
}

cJSON *sweep_file_read(const char *path, struct error *e)
{
	cJSON *sweep = json_read(path, e), *axis;
	char *copy = xstrdup(path), *folder = dirname(copy);
	int status = complete(json_at(sweep, "trial"), folder, e);

	cJSON_ArrayForEach (axis, json_at(sweep, "space"))
		status = status ? status : complete_axis(axis, folder, e);
	if (status) {
		error_prefix(e, "%s", path);
		cJSON_Delete(sweep);
		sweep = NULL;
	}
	free(copy);
	return sweep;
}
