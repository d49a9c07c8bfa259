/* trawl-worker: an agent on one node, that runs trials for a coordinator. */
#include "core/base/file.h"
#include "core/base/log.h"
#include "core/base/text.h"
#include "worker/agent.h"
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Every option: name, its argument, what it means. */
static const struct {
	const char *name, *argument, *meaning;
} option_rows[] = {
        {"connect", "URL[,URL…]",
         "the coordinator, tcp://host:5555, or all places where it may be; default $TRAWL_CONNECT"},
        {"ranks", "N", "MPI ranks run at a time; default: one per processor"},
        {"threads", "N", "threads per rank; default 1"},
        {"memory-mb", "N", "memory of all trials together; default: 9/10 of the machine's"},
        {"gpus", "N", "GPUs; default 0"},
        {"work", "DIR", "running trials and kept checkpoints; default $XDG_CACHE_HOME/trawl/work"},
        {"cache-mb", "N", "kept checkpoints and inputs; default 4096"},
        {"data", "DIR[:DIR…]", "where data sets lie; default $TRAWL_DATA"},
        {"dataset", "PATH", "a further folder or archive that trials may ask for; repeatable"},
        {"name", "NAME", "what people see; default: the host's name"},
        {"label", "LABEL", "repeatable"},
        {"key", "FILE", "our key, for a coordinator that asks for one; default $TRAWL_KEY"},
        {"server-key", "KEY", "the coordinator's public key; default $TRAWL_SERVER_KEY"},
        {"launcher", "WORDS",
         "mpiexec, srun or words; default: srun in a Slurm job of several nodes"},
        {"pin", "auto|none", "auto: ranks keep to cores of their own, where enough are free"},
        {"program", "FILE", "default: trawl-trial beside this program"},
        {"idle-exit", "SECONDS", "leave after so long without work"},
        {"leave", "SECONDS", "how long leaving may take; default 60"},
        {"time-limit", "MINUTES", "leave so that it is over by then (a batch job's walltime)"},
        {"help", NULL, "print this, and end"},
};
enum { OPTIONS = sizeof option_rows / sizeof *option_rows, LIST_MAX = 64 };

struct settings {
	struct agent_options agent;
	const char *datasets[LIST_MAX], *labels[LIST_MAX];
};

static void help(void)
{
	printf("Usage: trawl-worker --connect tcp://HOST:5555 [options]\n\n"
	       "Leases trials from a coordinator (trawl serve) and runs each as an MPI job.\n"
	       "Ctrl-C or SIGTERM: running trials write checkpoints, leases are handed back, and\n"
	       "another worker goes on; a second one: at once.  SIGUSR1, SIGUSR2 and SIGXCPU are\n"
	       "the first kind however often they come, and in a Slurm job SIGTERM is too.\n\n");
	for (int i = 0; i < OPTIONS; i++) {
		const char *argument = option_rows[i].argument;
		char *left = xformat("--%s%s%s", option_rows[i].name, argument ? " " : "",
		                     argument ? argument : "");
		printf("  %s%*s %s\n", left, 20 - text_columns(left), "", option_rows[i].meaning);
		free(left);
	}
}

static int read_number(const char *name, const char *text, double least, double *out,
                       struct error *e)
{
	char *end;
	errno = 0;
	*out = strtod(text, &end);
	if (errno || *end || end == text || !(*out >= least) || *out > 1e9)
		return error_set(e, "--%s %s: a number of at least %g is expected", name, text,
		                 least);
	return 0;
}

static int list_add(const char *name, const char **list, size_t *count, const char *value,
                    struct error *e)
{
	if (*count == LIST_MAX)
		return error_set(e, "--%s: more than %d", name, LIST_MAX);
	list[(*count)++] = value;
	return 0;
}

static int read_option(struct settings *s, const char *name, const char *value, struct error *e)
{
	struct agent_options *a = &s->agent;
	const struct {
		const char *name, **text;
	} texts[] = {{"connect", &a->connect},
	             {"key", &a->key},
	             {"server-key", &a->server_key},
	             {"work", &a->work},
	             {"data", &a->data},
	             {"name", &a->name},
	             {"program", &a->program},
	             {"launcher", &a->launcher},
	             {"pin", &a->pin}};
	const struct {
		const char *name;
		double least, factor;
		int *narrow;
		int64_t *wide;
	} numbers[] = {{"ranks", 1, 1, &a->ranks, NULL},
	               {"threads", 1, 1, &a->threads, NULL},
	               {"gpus", 0, 1, &a->gpus, NULL},
	               {"memory-mb", 1, 1, NULL, &a->memory_mb},
	               {"cache-mb", 1, 1, NULL, &a->cache_mb},
	               {"idle-exit", 0.1, 1000, NULL, &a->idle_exit_ms},
	               {"leave", 0.1, 1000, NULL, &a->leave_ms},
	               {"time-limit", 0.01, 60000, NULL, &a->limit_ms}};
	double number;
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		if (strcmp(texts[i].name, name) == 0) {
			*texts[i].text = value;
			return 0;
		}
	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
		if (strcmp(numbers[i].name, name))
			continue;
		if (read_number(name, value, numbers[i].least, &number, e))
			return -1;
		if (numbers[i].wide)
			*numbers[i].wide = (int64_t)(number * numbers[i].factor);
		else
			*numbers[i].narrow = (int)number;
		return 0;
	}
	return strcmp(name, "label") == 0
	               ? list_add(name, s->labels, &a->label_count, value, e)
	               : list_add(name, s->datasets, &a->dataset_count, value, e);
}

/* 1: said all there is to say. */
static int read_options(struct settings *s, int argc, char **argv, struct error *e)
{
	struct option long_options[OPTIONS + 1] = {0};
	int at = 0, got;
	for (int i = 0; i < OPTIONS; i++)
		long_options[i] = (struct option){.name = option_rows[i].name,
		                                  .has_arg = option_rows[i].argument != NULL};
	opterr = 0;
	while ((got = getopt_long(argc, argv, "", long_options, &at)) != -1) {
		if (got)
			return error_set(e, "%s: unknown, or its argument is missing; see --help",
			                 argv[optind - 1]);
		if (strcmp(option_rows[at].name, "help") == 0) {
			help();
			return 1;
		}
		if (read_option(s, option_rows[at].name, optarg, e))
			return -1;
	}
	if (optind < argc)
		return error_set(e, "%s: unknown; see --help", argv[optind]);
	return 0;
}

/* trawl-trial in the folder of this very program. */
static char *program_beside(void)
{
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
	self[n > 0 ? n : 0] = 0;
	char *slash = strrchr(self, '/');
	return slash ? xformat("%.*s/trawl-trial", (int)(slash - self), self)
	             : xstrdup("trawl-trial");
}

static char *default_work(void)
{
	const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
	return cache && *cache ? xformat("%s/trawl/work", cache)
	                       : xformat("%s/.cache/trawl/work", home ? home : "/tmp");
}

static int complete(struct settings *s, struct error *e)
{
	struct agent_options *a = &s->agent;
	a->datasets = s->datasets;
	a->labels = s->labels;
	a->connect = a->connect ? a->connect : getenv("TRAWL_CONNECT");
	if (!a->connect)
		return error_set(e, "--connect tcp://HOST:5555 is missing; see --help");
	a->program = a->program ? a->program : program_beside();
	a->work = a->work ? a->work : default_work();
	a->threads = a->threads ? a->threads : 1;
	int processors = (int)sysconf(_SC_NPROCESSORS_ONLN) / a->threads;
	a->ranks = a->ranks ? a->ranks : processors > 0 ? processors : 1;
	if (a->pin && strcmp(a->pin, "auto") && strcmp(a->pin, "none"))
		return error_set(e, "--pin %s: auto or none is expected", a->pin);
	if (access(a->program, X_OK))
		return error_errno(e, "--program %s", a->program);
	return 0;
}

int main(int argc, char **argv)
{
	static struct settings settings;
	struct error e = {0};
	log_open("trawl-worker");
	int status = read_options(&settings, argc, argv, &e);
	if (status == 0)
		status = complete(&settings, &e);
	if (status == 0)
		status = agent_run(&settings.agent, &e);
	if (status < 0)
		fprintf(stderr, "trawl-worker: %s\n", e.text);
	return status < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
