/* One trial as an MPI job: started, watched, ended; nothing of it is left behind. */
#include "worker/job.h"
#include "core/base/text.h"
#include "worker/process.h"
#include "worker/signals.h"
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { SRUN_END_MS = 5000, SRUN_POLL_MS = 20 };

/* A growing, null-terminated vector of strings that it owns. */
struct words {
	char **item;
	size_t count;
};

/* Takes the word. */
static void words_add(struct words *w, char *word)
{
	w->item = xrealloc(w->item, (w->count + 2) * sizeof *w->item);
	w->item[w->count++] = word;
	w->item[w->count] = NULL;
}

/* A launcher's words; "{threads}" in one is the number of threads per rank. */
static void words_split(struct words *w, const char *text, int threads)
{
	static const char mark[] = "{threads}";
	char *copy = xstrdup(text), *rest = copy, *word, *at;
	while ((word = strsep(&rest, " \t"))) {
		if (*word && (at = strstr(word, mark)))
			words_add(w, xformat("%.*s%d%s", (int)(at - word), word, threads,
			                     at + sizeof mark - 1));
		else if (*word)
			words_add(w, xstrdup(word));
	}
	free(copy);
}

static void words_option(struct words *w, const char *name, char *value)
{
	words_add(w, xstrdup(name));
	words_add(w, value);
}

static void words_release(struct words *w)
{
	for (size_t i = 0; i < w->count; i++)
		free(w->item[i]);
	free(w->item);
}

static struct words job_words(const struct job_options *o, const struct job_start *s)
{
	struct words w = {0};
	words_split(&w, o->launcher, s->threads);
	words_option(&w, "-n", xformat("%d", s->ranks));
	words_add(&w, xstrdup(o->program));
	words_option(&w, "--ranks", xformat("%d", s->ranks));
	words_option(&w, "--trial", xformat("%lld", (long long)s->trial));
	words_option(&w, "--attempt", xformat("%lld", (long long)s->attempt));
	words_option(&w, "--agent", xstrdup(o->socket));
	words_option(&w, "--folder", xstrdup(s->folder));
	if (s->until_epoch)
		words_option(&w, "--until-epoch", xformat("%lld", (long long)s->until_epoch));
	if (s->resume)
		words_option(&w, "--resume", xstrdup(s->resume));
	for (size_t i = 0; i < s->input_count; i++)
		words_option(&w, "--input", xformat("%s=%s", s->inputs[i].role, s->inputs[i].path));
	if (o->data)
		words_option(&w, "--data", xstrdup(o->data));
	if (o->pin)
		words_option(&w, "--pin", xstrdup(o->pin));
	words_add(&w, xformat("%s/trial.json", s->folder));
	return w;
}

/* The agent's environment with the mark and the thread count in place of its own.  Unless told,
 * threads that wait for each other sleep soon: on a node with more threads than cores, spinning
 * made training ten times slower. */
static struct words job_environment(const struct job *j, const struct job_start *s)
{
	struct words w = {0};
	for (char **p = environ; *p; p++)
		if (strncmp(*p, PROCESS_MARK "=", strlen(PROCESS_MARK) + 1) &&
		    strncmp(*p, "OMP_NUM_THREADS=", 16))
			words_add(&w, xstrdup(*p));
	words_add(&w, xformat(PROCESS_MARK "=%s", j->mark));
	words_add(&w, xformat("OMP_NUM_THREADS=%d", s->threads));
	if (!getenv("GOMP_SPINCOUNT") && !getenv("OMP_WAIT_POLICY"))
		words_add(&w, xstrdup("GOMP_SPINCOUNT=1000"));
	return w;
}

/* In the child: only calls that are safe after fork.  Does not return.  Slurm asks every process of
 * a step to leave, and only the agent is meant: ranks would die of it that do not listen yet. */
static void child_run(pid_t parent, const struct words *arguments, const struct words *environment,
                      int log_fd, int failure_fd)
{
	sigset_t leave;
	leave_signals(&leave);
	sigprocmask(SIG_SETMASK, &leave, NULL);
	signal(SIGPIPE, SIG_DFL);
	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent) /* it died before the signal was asked for */
		_exit(1);
	int nothing = open("/dev/null", O_RDONLY);
	if (dup2(nothing, 0) == 0 && dup2(log_fd, 1) == 1 && dup2(log_fd, 2) == 2 &&
	    close_range(3, ~0U, CLOSE_RANGE_CLOEXEC) == 0)
		execvpe(arguments->item[0], arguments->item, environment->item);
	int number = errno;
	ssize_t ignored = write(failure_fd, &number, sizeof number);
	(void)ignored;
	_exit(127);
}

/* Whether exec worked: the pipe closes with it, or carries errno. */
static int failure_read(int fd, const char *program, struct error *e)
{
	int number;
	ssize_t n;
	while ((n = read(fd, &number, sizeof number)) < 0 && errno == EINTR)
		;
	if (n != sizeof number)
		return 0;
	errno = number;
	return error_errno(e, "cannot start %s", program);
}

static int job_fork(struct job *j, const struct words *arguments, const struct words *environment,
                    int log_fd, struct error *e)
{
	int failure[2];
	pid_t parent = getpid();
	if (pipe2(failure, O_CLOEXEC))
		return error_errno(e, "pipe");
	j->pid = fork();
	if (j->pid == 0)
		child_run(parent, arguments, environment, log_fd, failure[1]);
	int status = j->pid < 0 ? error_errno(e, "fork") : 0;
	close(failure[1]);
	if (status == 0 && (status = failure_read(failure[0], arguments->item[0], e)))
		waitpid(j->pid, NULL, 0);
	close(failure[0]);
	return status;
}

int job_start(struct job *j, const struct job_options *o, const struct job_start *s,
              struct error *e)
{
	assert(getpid() == gettid());
	int log_fd;
	*j = (struct job){.status = 0};
	char *path = xformat("%s/log", s->folder);
	int status = joblog_init(&j->log, path, o->log_bytes_max, &log_fd, e);
	free(path);
	if (status)
		return -1;
	j->mark = xformat("%s/%lld-%lld/", o->agent, (long long)s->trial, (long long)s->attempt);
	struct words arguments = job_words(o, s), environment = job_environment(j, s);
	j->by_srun = strcmp(arguments.item[0], "srun") == 0;
	status = job_fork(j, &arguments, &environment, log_fd, e);
	close(log_fd);
	words_release(&arguments);
	words_release(&environment);
	if (status) {
		j->pid = 0;
		joblog_release(&j->log);
		free(j->mark);
	}
	return status;
}

bool job_ended(struct job *j)
{
	if (j->pid && waitpid(j->pid, &j->status, WNOHANG) == j->pid)
		j->pid = 0;
	return j->pid == 0;
}

/* Ranks on other nodes are within nobody's reach but srun's, which has them killed as it ends. */
static void srun_end(struct job *j)
{
	kill(j->pid, SIGTERM);
	for (int ms = 0; ms < SRUN_END_MS && !job_ended(j); ms += SRUN_POLL_MS)
		nanosleep(&(struct timespec){0, SRUN_POLL_MS * 1000000}, NULL);
}

size_t job_kill(struct job *j)
{
	if (j->pid && j->by_srun)
		srun_end(j);
	if (j->pid)
		kill(-j->pid, SIGKILL);
	size_t left = processes_kill(j->mark);
	if (j->pid && waitpid(j->pid, &j->status, left ? WNOHANG : 0) == j->pid)
		j->pid = 0;
	return left;
}

int64_t job_memory_bytes(const struct job *j, int64_t limit_bytes)
{
	pid_t *pids;
	size_t count = processes_marked(j->mark, &pids);
	int64_t bytes = count ? processes_rss_bytes(pids, count) : -1;
	if (bytes > limit_bytes / 10 * 9) /* the kernel's count of resident pages lags a little */
		bytes = processes_pss_bytes(pids, count);
	free(pids);
	return bytes;
}

void job_release(struct job *j)
{
	job_kill(j);
	joblog_release(&j->log);
	free(j->mark);
	*j = (struct job){.pid = 0};
}
