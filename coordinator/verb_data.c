/* The verb data: fetches data sets. */
#include "coordinator/verb.h"
#include "core/base/text.h"
#include "core/data/fetch.h"
#include "core/data/source.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int print_progress(void *context, int64_t got, int64_t total)
{
	const char *end = isatty(STDERR_FILENO) ? "\033[K\r" : "\n";
	if (total)
		fprintf(stderr, "%s: %.1f of %.1f MB (%.0f %%)%s", (const char *)context,
		        1e-6 * (double)got, 1e-6 * (double)total,
		        100.0 * (double)got / (double)total, end);
	else
		fprintf(stderr, "%s: %.1f MB%s", (const char *)context, 1e-6 * (double)got, end);
	return 0;
}

int verb_data(const struct options *o, struct error *e)
{
	struct fetch_options how = {.base_url = option_text(o, "--from", NULL),
	                            .progress = print_progress,
	                            .context = (void *)o->word[1]};
	char *path = NULL, *folder = NULL;
	if (strcmp(o->word[0], "fetch"))
		return error_set(e, "wants: trawl data fetch cifar10 | cifar100");
	folder = option_given(o, "--to") ? xstrdup(option_text(o, "--to", NULL))
	                                 : source_fetch_folder();
	int rc = fetch_data(o->word[1], folder, &how, &path, e);
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "\033[K");
	if (!rc && option_given(o, "--json")) {
		cJSON *json = cJSON_CreateObject();
		cJSON_AddStringToObject(json, "file", path);
		verb_print_json(json);
	} else if (!rc) {
		printf("%s\n", path);
	}
	free(path);
	free(folder);
	return rc;
}
