/* What the agent says of itself and of its machine. */
#include "core/base/log.h"
#include "core/base/text.h"
#include "core/data/source.h"
#include "schemas/wire.h"
#include "worker/agent.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* The data sets that are looked for in every root. */
static const char *const known_datasets[] = {"cifar10", "cifar100", "tiny_imagenet"};

static void offer_dataset(cJSON *data, const char *name, const char *path, const char *roots)
{
	struct error e;
	char digest[SHA256_HEX];
	char *found = source_find(name, path, roots, &e);
	if (found && source_digest(name, found, digest, &e) == 0) {
		cJSON *entry = cJSON_CreateObject();
		cJSON_AddStringToObject(entry, "name", path ? path : name);
		cJSON_AddStringToObject(entry, "digest", digest);
		cJSON_AddItemToArray(data, entry);
	} else if (path) {
		log_warn("--dataset %s: %s", path, e.text);
	}
	free(found);
}

static cJSON *offer_data(const struct agent_options *o)
{
	cJSON *data = cJSON_CreateArray();
	char *roots = o->data ? xstrdup(o->data) : source_roots();
	for (size_t i = 0; i < sizeof known_datasets / sizeof *known_datasets; i++)
		offer_dataset(data, known_datasets[i], NULL, roots);
	for (size_t i = 0; i < o->dataset_count; i++)
		offer_dataset(data, "folder", o->datasets[i], roots);
	free(roots);
	return data;
}

/* The first line that `program --numerics` prints, or "". */
static char *offer_numerics(const char *program)
{
	char line[1024] = "";
	int ends[2];
	if (pipe(ends))
		return xstrdup("");
	pid_t pid = fork();
	if (pid == 0) {
		dup2(ends[1], 1);
		close(ends[0]);
		close(ends[1]);
		execlp(program, program, "--numerics", (char *)NULL);
		_exit(127);
	}
	close(ends[1]);
	FILE *f = fdopen(ends[0], "r");
	if (!fgets(line, sizeof line, f))
		line[0] = 0;
	fclose(f);
	int status = 1;
	if (pid > 0)
		waitpid(pid, &status, 0);
	line[strcspn(line, "\n")] = 0;
	if (status)
		log_warn("%s --numerics failed: this machine's class of numerics is not known",
		         program);
	return xstrdup(status ? "" : line);
}

static int64_t machine_memory_mb(void)
{
	return (int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE) / (1 << 20) * 9 / 10;
}

cJSON *agent_offer(const struct agent_options *o, const char *agent)
{
	char host[HOST_NAME_MAX + 1] = "";
	gethostname(host, sizeof host - 1);
	cJSON *offer = cJSON_CreateObject();
	char *numerics = offer_numerics(o->program);
	cJSON_AddStringToObject(offer, "agent", agent);
	cJSON_AddStringToObject(offer, "name", o->name ? o->name : host);
	cJSON_AddNumberToObject(offer, "pid", getpid());
	cJSON_AddNumberToObject(offer, "ranks", o->ranks);
	cJSON_AddNumberToObject(offer, "threads", o->threads);
	cJSON_AddNumberToObject(offer, "memory_mb",
	                        (double)(o->memory_mb ? o->memory_mb : machine_memory_mb()));
	cJSON_AddNumberToObject(offer, "gpus", o->gpus);
	cJSON *labels = cJSON_AddArrayToObject(offer, "labels");
	for (size_t i = 0; i < o->label_count; i++)
		cJSON_AddItemToArray(labels, cJSON_CreateString(o->labels[i]));
	cJSON_AddItemToObject(offer, "data", offer_data(o));
	cJSON_AddStringToObject(offer, "numerics", numerics);
	cJSON_AddStringToObject(offer, "version", WIRE_VERSION);
	free(numerics);
	return offer;
}
