/* A holding with what it has on this machine: a folder, a job, the way to its rank 0. */
#include "worker/slot.h"
#include "core/base/file.h"
#include "core/base/json.h"
#include "core/base/text.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

enum { TAIL_BYTES = 8192, LAST_WORD_MS = 1000, INPUTS_MAX = 64 };

/* How often this machine's kernel has killed for want of memory; -1 unknown. */
static int64_t oom_kills(void)
{
	FILE *f = fopen("/proc/vmstat", "re");
	char line[128];
	long long count = -1;
	while (f && fgets(line, sizeof line, f))
		if (sscanf(line, "oom_kill %lld", &count) == 1)
			break;
	if (f)
		fclose(f);
	return count;
}

struct slot *slot_new(struct holding *h, const char *agent_folder)
{
	struct slot *s = xcalloc(1, sizeof *s);
	s->holding = h;
	s->folder =
	        xformat("%s/%lld-%lld", agent_folder, (long long)h->trial, (long long)h->attempt);
	return s;
}

void slot_free(struct slot *s)
{
	if (s->started)
		job_release(&s->job);
	folder_remove(s->folder, NULL);
	holding_free(s->holding);
	free(s->folder);
	free(s->route);
	free(s);
}

static int spec_write(const struct slot *s, struct error *e)
{
	char *path = path_join(s->folder, "trial.json");
	int status =
	        json_write(path, cJSON_GetObjectItemCaseSensitive(s->holding->lease, "spec"), e);
	free(path);
	return status;
}

int slot_start(struct slot *s, const struct job_options *o, const char *cache, struct error *e)
{
	const struct holding *h = s->holding;
	const cJSON *input;
	struct job_input inputs[INPUTS_MAX];
	size_t count = 0;
	const char *resume =
	        json_text(cJSON_GetObjectItemCaseSensitive(h->lease, "resume"), "sha256", NULL);
	if (folder_make(s->folder, e) || spec_write(s, e))
		return -1;
	cJSON_ArrayForEach (input, cJSON_GetObjectItemCaseSensitive(h->lease, "inputs")) {
		if (count == INPUTS_MAX)
			return error_set(e, "more than %d inputs", INPUTS_MAX);
		inputs[count++] =
		        (struct job_input){json_text(input, "role", "start_from"),
		                           path_join(cache, json_text(input, "sha256", ""))};
	}
	char *resume_path = resume ? path_join(cache, resume) : NULL;
	struct job_start start = {.trial = h->trial,
	                          .attempt = h->attempt,
	                          .ranks = (int)h->ranks,
	                          .threads = (int)h->threads,
	                          .until_epoch = h->until_epoch,
	                          .folder = s->folder,
	                          .resume = resume_path,
	                          .inputs = inputs,
	                          .input_count = count};
	s->oom_kills = oom_kills();
	int status = job_start(&s->job, o, &start, e);
	s->started = status == 0;
	free(resume_path);
	while (count)
		free((char *)inputs[--count].path);
	return status;
}

static bool outcome_exists(const struct slot *s)
{
	char *path = path_join(s->folder, "outcome.json");
	bool exists = file_exists(path);
	free(path);
	return exists;
}

bool slot_over(struct slot *s, int64_t now_ms)
{
	if (!s->started || s->holding->phase != HOLDING_RUN)
		return false;
	if (!s->exited_ms && job_ended(&s->job)) {
		job_kill(&s->job);
		s->exited_ms = now_ms;
	}
	if (!s->exited_ms)
		return false;
	int64_t before = s->job.log.offset;
	joblog_pump(&s->job.log);
	if (s->job.log.offset != before)
		return false;
	return s->holding->end || !outcome_exists(s) || now_ms - s->exited_ms > LAST_WORD_MS;
}

/* Traces that a process which nobody of us killed leaves: MPICH's launcher or Slurm prints them. */
static bool log_says_killed(const char *tail)
{
	static const char *const traces[] = {"(signal 9)", "assert (!closed) failed", ": Killed\n",
	                                     "oom-kill event"};
	for (size_t i = 0; i < sizeof traces / sizeof *traces; i++)
		if (strstr(tail, traces[i]))
			return true;
	return false;
}

void slot_exit(const struct slot *s, struct holding_exit *x)
{
	char *path = path_join(s->folder, "outcome.json");
	int64_t kills = oom_kills();
	*x = (struct holding_exit){.outcome = file_exists(path) ? json_read(path, NULL) : NULL,
	                           .log = joblog_tail(&s->job.log, TAIL_BYTES),
	                           .log_path = xstrdup(s->job.log.path),
	                           .log_bytes = file_bytes(s->job.log.path)};
	x->by_host = WIFSIGNALED(s->job.status) || log_says_killed(x->log) ||
	             (s->oom_kills >= 0 && kills > s->oom_kills);
	if (x->log_bytes > 0 && sha256_file(x->log_path, x->log_sha256, NULL))
		x->log_sha256[0] = 0;
	free(path);
}

void holding_exit_release(struct holding_exit *x)
{
	cJSON_Delete((cJSON *)x->outcome);
	free((char *)x->log);
	free(x->log_path);
}
