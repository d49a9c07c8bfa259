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

	if (path[0] == '/' || file_exists(path) || !file_exists(beside)) {
		free(beside);
		return xstrdup(path);
	}
	char *absolute = realpath(beside, NULL);
	free(beside);
	return absolute ? absolute : xstrdup(path);
}

static int read_groups(cJSON *trial, const char *folder, struct error *e)
{
	const char *path = json_text(json_at(trial, "split"), "file", NULL);

	if (!path)
		return 0;
	char *found = find(folder, path);
	cJSON *lists = split_groups_read(found, e);
	free(found);
	if (!lists)
		return error_prefix(e, "split.file");
	json_put(trial, "split.groups", lists);
	json_put(trial, "split.file", NULL);
	return 0;
}

static int complete(cJSON *trial, const char *folder, struct error *e)
{
	const char *file = json_text(json_at(trial, "start_from"), "file", NULL);
	cJSON *change = json_at(trial, "start_from.change");

	if (file) {
		char *found = find(folder, file);
		json_put(trial, "start_from.file", cJSON_CreateString(found));
		free(found);
	}
	if (read_groups(trial, folder, e))
		return -1;
	return cJSON_IsObject(change) ? complete(change, folder, e) : 0;
}

cJSON *sweep_file_read(const char *path, struct error *e)
{
	cJSON *sweep = json_read(path, e), *trial = json_at(sweep, "trial");
	char *copy = xstrdup(path);

	if (cJSON_IsObject(trial) && complete(trial, dirname(copy), e)) {
		error_prefix(e, "%s", path);
		cJSON_Delete(sweep);
		sweep = NULL;
	}
	free(copy);
	return sweep;
}
