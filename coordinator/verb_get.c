/* Verbs that bring files: get (artifacts of a trial), data fetch (data sets). */
#include "coordinator/verb.h"
#include "coordinator/web/artifacts.h"
#include "core/base/file.h"
#include "core/base/hash.h"
#include "core/base/text.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The newest artifact of the name, or a message that lists those there are. */
static int find_artifact(struct database *d, int64_t trial, const char *name, struct rows *r,
                         struct error *e)
{
	char id[24];
	snprintf(id, sizeof id, "%" PRId64, trial);
	if (verb_query(d, r, e,
	               "select sha256, bytes, step from artifact where trial = ?1 and name = ?2 and"
	               " state = 'present' order by step desc, id desc limit 1",
	               2, (const char *[]){id, name}))
		return -1;
	if (r->count)
		return 0;
	rows_release(r);
	if (verb_query(
	            d, r, e,
	            "select coalesce(group_concat(distinct name), 'none') names from artifact where"
	            " trial = ?1 and state = 'present'",
	            1, (const char *[]){id}))
		return -1;
	error_set(e, "trial %s has no artifact %s; there is: %s", id, name,
	          rows_text(r, 0, "names"));
	rows_release(r);
	return -1;
}

static int copy(const char *from, const char *to, const char *sha256, struct error *e)
{
	char found[SHA256_HEX];
	size_t bytes;
	char *content = file_read(from, &bytes, e);
	if (!content)
		return -1;
	sha256_hex(content, bytes, found);
	int rc = strcmp(found, sha256)
	                 ? error_set(e, "%s is corrupt: its SHA-256 is not %s", from, sha256)
	                 : file_write(to, content, bytes, e);
	free(content);
	return rc;
}

static void say_got(const struct options *o, const char *path, const struct rows *r)
{
	if (!option_given(o, "--json")) {
		printf("%s (%s bytes)\n", path, rows_text(r, 0, "bytes"));
		return;
	}
	cJSON *json = cJSON_CreateObject();
	cJSON_AddStringToObject(json, "file", path);
	cJSON_AddStringToObject(json, "sha256", rows_text(r, 0, "sha256"));
	cJSON_AddNumberToObject(json, "bytes", (double)rows_int(r, 0, "bytes", 0));
	cJSON_AddNumberToObject(json, "step", (double)rows_int(r, 0, "step", 0));
	verb_print_json(json);
}

int verb_get(const struct options *o, struct error *e)
{
	const char *name = o->words > 1 ? o->word[1] : "weights";
	struct database *d = verb_database(o, e);
	char *folder = NULL, *from = NULL, *to = NULL;
	struct rows r = {0};
	int64_t trial;
	int rc = -1;
	if (!d || verb_find_trial(d, o->word[0], &trial, e) || find_artifact(d, trial, name, &r, e))
		goto out;
	if (strstr(database_name(d), "://") && !option_given(o, "--store")) {
		error_set(e, "files are copied out of the coordinator's folder: say with --store "
		             "where that is, or run this beside the database");
		goto out;
	}
	folder = option_given(o, "--store") ? xstrdup(option_text(o, "--store", NULL))
	                                    : database_beside(database_name(d), "artifacts");
	from = artifact_path(folder, rows_text(&r, 0, "sha256"));
	to = option_given(o, "--output") ? xstrdup(option_text(o, "--output", NULL))
	                                 : xformat("trial-%" PRId64 "-%s%s", trial, name,
	                                           strcmp(name, "log") ? ".safetensors" : "");
	if (!file_exists(from))
		error_set(
		        e,
		        "%s is not there; say with --store where the coordinator keeps checkpoints",
		        from);
	else if (!(rc = copy(from, to, rows_text(&r, 0, "sha256"), e)))
		say_got(o, to, &r);
out:
	rows_release(&r);
	free(from);
	free(to);
	free(folder);
	database_close(d);
	return rc;
}
