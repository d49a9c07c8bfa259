/* Runs trawl-trial as a person or an agent would, for the tests of training. */
#ifndef TESTS_TRIAL_RUN_H
#define TESTS_TRIAL_RUN_H
/* cmocka wants these first */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/hash.h"
#include "core/base/json.h"
#include "core/base/text.h"
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ARGUMENTS = 32 };

static char scratch[PATH_MAX]; /* this test program's own folder */

static inline int scratch_make(void **state)
{
	const char *base = getenv("TMPDIR");

	snprintf(scratch, sizeof scratch, "%s/trawl-test-XXXXXX", base ? base : "/tmp");
	return mkdtemp(scratch) ? 0 : -1;
}

static inline int scratch_remove(void **state)
{
	struct error e = {0};

	return folder_remove(scratch, &e);
}

/* Paths below the scratch folder; in use until the end, so never freed. */
static inline char *below(const char *name)
{
	return path_join(scratch, name);
}

/* build/trawl-trial beside build/tests/. */
static inline char *trial_program(void)
{
	char self[PATH_MAX] = {0};

	assert_true(readlink("/proc/self/exe", self, sizeof self - 1) > 0);
	return xformat("%s/../trawl-trial", dirname(self));
}

struct trial_run {
	int ranks;                       /* 0: started directly, without mpiexec */
	const char *trial, *folder;      /* file, output folder; below scratch */
	const char *more[ARGUMENTS / 2]; /* further arguments, ended by null */
	long memory_limit_bytes;         /* RLIMIT_AS; 0: none */
};

static inline void limit(int resource, long bytes)
{
	struct rlimit r = {(rlim_t)bytes, (rlim_t)bytes};

	if (bytes)
		setrlimit(resource, &r);
}

static inline void trial_exec(const struct trial_run *r)
{
	const char *argv[ARGUMENTS + 12];
	int n = 0, log;

	if (r->ranks) {
		argv[n++] = "mpiexec.mpich";
		argv[n++] = "-launcher";
		argv[n++] = "fork";
		argv[n++] = "-n";
		argv[n++] = xformat("%d", r->ranks);
	}
	argv[n++] = trial_program();
	for (int i = 0; i < ARGUMENTS / 2 && r->more[i]; i++)
		argv[n++] = r->more[i];
	argv[n++] = "--folder";
	argv[n++] = below(r->folder);
	argv[n++] = "--cache";
	argv[n++] = below("cache");
	if (r->trial)
		argv[n++] = below(r->trial);
	argv[n] = NULL;
	log = open(below("log"), O_CREAT | O_TRUNC | O_WRONLY, 0600);
	dup2(log, STDOUT_FILENO);
	dup2(log, STDERR_FILENO);
	limit(RLIMIT_AS, r->memory_limit_bytes);
	execvp(argv[0], (char *const *)argv);
	_exit(127);
}

static inline pid_t trial_start(const struct trial_run *r)
{
	pid_t pid = fork();

	if (pid == 0)
		trial_exec(r);
	assert_true(pid > 0);
	return pid;
}

/* Runs to the end; what it printed is in scratch/log.  Returns its exit status. */
static inline int trial_wait(const struct trial_run *r)
{
	int status;
	pid_t pid = trial_start(r);

	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static inline char *trial_log(void)
{
	struct error e = {0};

	return file_read(below("log"), NULL, &e);
}

static inline void trial_write(const char *name, const char *json)
{
	struct error e = {0};

	assert_int_equal(file_write(below(name), json, strlen(json), &e), 0);
}

/* A small trial that has everything in it: quantized, cropped, shards, a last batch that is cut. */
#define SMALL_TRIAL(quant, train)                                                        \
	"{\"data\": {\"name\": \"shapes\", \"limit\": 150, \"test_limit\": 60},"         \
	" \"model\": {\"name\": \"resnet20\", \"width\": 4}, \"eval\": {\"batch\": 16}," \
	" \"quant\": {" quant "}, \"train\": {\"batch\": 32, \"lr\": 0.05, " train "}}"

static inline void hash_of(const char *folder, const char *name, char hex[SHA256_HEX])
{
	struct error e = {0};
	char *path = path_join(below(folder), name);

	if (sha256_file(path, hex, &e))
		fail_msg("%s; the trial said:\n%s", e.text, trial_log());
	free(path);
}

static inline void assert_same_file(const char *folder, const char *other, const char *name)
{
	char a[SHA256_HEX], b[SHA256_HEX];

	hash_of(folder, name, a);
	hash_of(other, name, b);
	if (strcmp(a, b))
		fail_msg("%s of %s is %.12s, of %s %.12s", name, folder, a, other, b);
}

static inline cJSON *outcome_read(const char *folder)
{
	struct error e = {0};
	char *path = path_join(below(folder), "outcome.json");
	cJSON *outcome = json_read(path, &e);

	if (!outcome)
		fail_msg("%s; the trial said:\n%s", e.text, trial_log());
	free(path);
	return outcome;
}

/* A member of the outcome's message: "result", "layers", "rows" … */
static inline const cJSON *outcome_part(const cJSON *outcome, const char *name)
{
	return cJSON_GetObjectItem(cJSON_GetObjectItem(outcome, "body"), name);
}

static inline double outcome_figure(const cJSON *outcome, const char *name)
{
	const cJSON *value = cJSON_GetObjectItem(outcome_part(outcome, "result"), name);

	if (!cJSON_IsNumber(value))
		fail_msg("no figure %s", name);
	return value->valuedouble;
}

static inline void assert_runs(const struct trial_run *r)
{
	if (trial_wait(r))
		fail_msg("the trial said:\n%s", trial_log());
}

/* The outcome's word, and its one line of text. */
static inline void assert_outcome(const char *folder, const char *word, const char *part)
{
	cJSON *outcome = outcome_read(folder);
	const cJSON *body = cJSON_GetObjectItem(outcome, "body");
	const char *kind = json_text(outcome, "kind", ""), *text = json_text(body, "text", "");
	const char *got = strcmp(kind, "job_done") ? json_text(body, "outcome", "") : "done";

	if (strcmp(got, word) || (part && !strstr(text, part)))
		fail_msg("outcome %s (%s), not %s (…%s…)", got, text, word, part ? part : "");
	cJSON_Delete(outcome);
}

/* Runs a trial that must end well; ranks 0: without mpiexec; `more` ended by null, or null. */
static inline void trial_succeed(const char *trial, const char *folder, int ranks,
                                 const char *const more[])
{
	struct trial_run r = {.trial = trial, .folder = folder, .ranks = ranks};

	for (int i = 0; more && more[i]; i++)
		r.more[i] = more[i];
	if (trial_wait(&r))
		fail_msg("%s", trial_log());
}

/* The test loss that it said. */
static inline double trial_loss(const char *folder)
{
	cJSON *outcome = outcome_read(folder);
	double loss = json_at(outcome, "body.result.loss")->valuedouble;

	cJSON_Delete(outcome);
	return loss;
}
#endif
