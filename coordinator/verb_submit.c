/* The verb worker submit: agents as jobs of Slurm. */
#include "coordinator/child.h"
#include "coordinator/submit.h"
#include "coordinator/verb.h"
#include "core/base/file.h"
#include "core/base/text.h"
#include "schemas/curve.h"
#include <errno.h>
#include <limits.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* --slurm N or N%M. */
static int read_agents(struct submit *s, const struct options *o, struct error *e)
{
	const char *text = option_text(o, "--slurm", NULL);
	long long agents = 0, at_a_time = 0;
	int end = 0;

	if (!text)
		return error_set(e, "--slurm N is missing: how many agents");
	int got = sscanf(text, "%6lld%n%%%6lld%n", &agents, &end, &at_a_time, &end);
	if (got < 1 || text[end] || agents < 1 || (got == 2 && at_a_time < 1))
		return error_set(e,
		                 "--slurm %s: a number of agents is expected, or N%%M: M of them "
		                 "at a time",
		                 text);
	s->agents = agents;
	s->at_a_time = at_a_time;
	return 0;
}

static int read_numbers(struct submit *s, const struct options *o, struct error *e)
{
	const struct {
		const char *name;
		int64_t least, otherwise, *value;
	} rows[] = {{"--nodes", 1, 1, &s->nodes},       {"--ranks", 1, 1, &s->ranks},
	            {"--threads", 1, 1, &s->threads},   {"--memory-mb", 1, 0, &s->memory_mb},
	            {"--gpus", 0, 0, &s->gpus},         {"--leave", 1, 60, &s->leave_s},
	            {"--idle-exit", 1, 300, &s->idle_s}};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (option_int(o, rows[i].name, rows[i].least, 1000000, rows[i].otherwise,
		               rows[i].value, e))
			return -1;
	return 0;
}

static const char *from_environment(const char *value, const char *name)
{
	value = value ? value : getenv(name);
	return value && *value ? value : NULL;
}

/* A file as jobs find it, whichever folder they start in. */
static int make_absolute(const char **path, char buffer[PATH_MAX], const char *option,
                         struct error *e)
{
	if (!realpath(*path, buffer))
		return error_errno(e, "%s %s", option, *path);
	*path = buffer;
	return 0;
}

/* Keys are looked at here: a job that fails for their sake fails much later. */
static int read_keys(struct submit *s, const struct options *o, struct error *e)
{
	static char key[PATH_MAX], server[CURVE_KEY];
	struct curve_pair pair;

	s->key = from_environment(option_text(o, "--key", NULL), "TRAWL_KEY");
	s->server_key = from_environment(option_text(o, "--server-key", NULL), "TRAWL_SERVER_KEY");
	if (s->key && (curve_read(s->key, &pair, e) || make_absolute(&s->key, key, "--key", e)))
		return -1;
	explicit_bzero(&pair, sizeof pair);
	if (s->server_key) {
		if (curve_public(s->server_key, server, e))
			return -1;
		s->server_key = server;
	}
	return 0;
}

static int read_connect(struct submit *s, const struct options *o, struct error *e)
{
	const char *db = from_environment(option_text(o, "--db", NULL), "TRAWL_DB");

	s->connect = from_environment(option_text(o, "--connect", NULL), "TRAWL_CONNECT");
	if (!s->connect && db && strncmp(db, "tcp://", 6) == 0)
		s->connect = db;
	return s->connect
	               ? 0
	               : error_set(e, "--connect tcp://HOST:5555 is missing: the coordinator, as "
	                              "nodes reach it");
}

static int read_submit(struct submit *s, const struct options *o, struct error *e)
{
	static char worker[PATH_MAX];
	char *beside = child_beside("trawl-worker");
	const struct {
		const char *name, **value;
	} texts[] = {{"--partition", &s->partition}, {"--account", &s->account},
	             {"--time", &s->time},           {"--job-name", &s->name},
	             {"--output", &s->output},       {"--labels", &s->labels},
	             {"--work", &s->work},           {"--data", &s->data}};

	*s = (struct submit){.more = (const char *const *)o->word + 1, .more_count = o->words - 1};
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		*texts[i].value = option_text(o, texts[i].name, NULL);
	s->name = s->name ? s->name : "trawl";
	s->data = from_environment(s->data, "TRAWL_DATA");
	snprintf(worker, sizeof worker, "%s", option_text(o, "--program", beside));
	free(beside);
	s->worker = worker;
	return read_agents(s, o, e) || read_numbers(s, o, e) || read_connect(s, o, e) ||
	                       read_keys(s, o, e)
	               ? -1
	               : 0;
}

/* sbatch reads the script from its standard input: no file of ours has to be where it looks. */
static int submit(const char *script, struct error *e)
{
	char *const words[] = {"sbatch", NULL};
	posix_spawn_file_actions_t actions;
	int fd = memfd_create("trawl-submit", MFD_CLOEXEC), status = -1;
	ssize_t length = (ssize_t)strlen(script);
	pid_t pid;

	if (fd < 0 || write(fd, script, (size_t)length) != length || lseek(fd, 0, SEEK_SET))
		return error_errno(e, "the script cannot be kept in memory");
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, fd, 0);
	errno = posix_spawnp(&pid, words[0], &actions, NULL, words, environ);
	posix_spawn_file_actions_destroy(&actions);
	close(fd);
	if (errno)
		return error_errno(e,
		                   "sbatch cannot be started: run this where Slurm is, or take the "
		                   "script from --print");
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (status)
		return error_set(e,
		                 "sbatch refused (its reason is above); --print shows the script");
	return 0;
}

int verb_submit(const struct options *o, struct error *e)
{
	struct submit s;

	if (read_submit(&s, o, e))
		return -1;
	if (!option_given(o, "--print") && !option_given(o, "--program") && !file_exists(s.worker))
		return error_errno(e, "%s", s.worker);
	char *script = submit_script(&s, e);
	if (!script)
		return -1;
	int status = 0;
	if (option_given(o, "--print"))
		fputs(script, stdout);
	else
		status = submit(script, e);
	free(script);
	return status;
}
