/* Child processes of `trawl run`: started, restarted when they die, ended politely. */
#include "coordinator/child.h"
#include "core/base/clock.h"
#include "core/base/text.h"
#include <assert.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { QUICK_MS = 5000, RESTARTS_MAX = 5, POLL_US = 20000 };

void child_word(struct child *p, const char *format, ...)
{
	char *word = NULL;
	int at = 0;
	va_list list;
	while (p->argv[at])
		at++;
	assert(at < CHILD_WORDS);
	va_start(list, format);
	if (vasprintf(&word, format, list) < 0)
		abort();
	va_end(list);
	p->argv[at] = word;
}

static void become(struct child *p, pid_t parent)
{
	int log = open(p->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		_exit(1);
	dup2(nothing, STDIN_FILENO);
	dup2(log, STDOUT_FILENO);
	dup2(log, STDERR_FILENO);
	execv(p->argv[0], p->argv);
	_exit(127);
}

int child_start(struct child *p, struct error *e)
{
	pid_t parent = getpid(), pid = fork();
	if (pid < 0)
		return error_errno(e, "%s cannot be started", p->name);
	if (!pid)
		become(p, parent);
	p->pid = pid;
	p->started_ms = clock_monotonic_ms();
	return 0;
}

bool child_running(struct child *p)
{
	if (p->pid && waitpid(p->pid, NULL, WNOHANG) == p->pid)
		p->pid = 0;
	return p->pid != 0;
}

int child_keep(struct child *p, struct error *e)
{
	if (child_running(p))
		return 0;
	p->restarts = clock_monotonic_ms() - p->started_ms < QUICK_MS ? p->restarts + 1 : 1;
	if (p->restarts > RESTARTS_MAX)
		return error_set(e, "%s keeps dying; see the end of %s", p->name, p->log);
	return child_start(p, e);
}

void child_stop(struct child *p, int64_t grace_ms)
{
	if (!child_running(p))
		return;
	kill(p->pid, SIGTERM);
	child_wait(p, grace_ms);
}

void child_wait(struct child *p, int64_t grace_ms)
{
	int64_t deadline = clock_monotonic_ms() + grace_ms;
	while (child_running(p) && clock_monotonic_ms() < deadline)
		usleep(POLL_US);
	if (p->pid) {
		kill(p->pid, SIGKILL);
		waitpid(p->pid, NULL, 0);
		p->pid = 0;
	}
}

void child_release(struct child *p)
{
	for (int i = 0; p->argv[i]; i++)
		free(p->argv[i]);
	free(p->log);
	*p = (struct child){0};
}

char *child_beside(const char *program)
{
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
	assert(n > 0);
	self[n] = 0;
	char *slash = strrchr(self, '/');
	return xformat("%.*s/%s", (int)(slash - self), self, program);
}
