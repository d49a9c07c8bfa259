/* The verb backup: a copy of the database and its artifacts, to be kept or served elsewhere. */
#include "coordinator/backup.h"
#include "coordinator/verb.h"
#include "core/base/text.h"
#include <stdio.h>
#include <string.h>

int verb_backup(const struct options *o, struct error *e)
{
	const char *from = database_path(option_text(o, "--db", NULL)), *to = o->word[0];
	struct backup made;

	if (strstr(from, "://"))
		return error_set(e,
		                 "%s: what is copied is a file: run this on the coordinator's "
		                 "machine, with --db FILE",
		                 from);
	if (backup_make(from, option_text(o, "--store", NULL), to, &made, e))
		return -1;
	if (option_given(o, "--json")) {
		cJSON *json = cJSON_CreateObject();
		cJSON_AddStringToObject(json, "file", to);
		cJSON_AddNumberToObject(json, "generation", (double)made.generation);
		cJSON_AddBoolToObject(json, "complete", made.complete);
		cJSON_AddNumberToObject(json, "artifacts", (double)made.files);
		cJSON_AddNumberToObject(json, "bytes", (double)made.bytes);
		cJSON_AddNumberToObject(json, "gone", (double)made.gone);
		return verb_print_json(json);
	}
	printf("%s: generation %ld; %ld artifacts copied (%.1f MB)\n", to, (long)made.generation,
	       (long)made.files, (double)made.bytes / 1e6);
	if (made.gone)
		printf("%ld artifacts were not in the store any more: trials that need them are "
		       "made again\n",
		       (long)made.gone);
	printf("to go on elsewhere, carry %s and all that lies beside it (%s.*: keys, checkpoints) "
	       "there; then: trawl serve --db %s\n",
	       to, to, to);
	if (!made.complete)
		printf("a coordinator is running: what it is told from now on is not in this copy, "
		       "and would be done again\n");
	return 0;
}
