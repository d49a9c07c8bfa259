/* A small process beside the agent that outlives it for a moment, to leave no orphan behind. */
#include "worker/guard.h"
#include "core/base/file.h"
#include "worker/process.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static void guard_run(int fd, const char *mark, const char *folder)
{
	sigset_t all;
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	setsid();
	prctl(PR_SET_NAME, "trawl-guard");
	if (fd > 3)
		close_range(3, (unsigned)fd - 1, 0);
	close_range((unsigned)fd + 1, ~0U, 0);
	char byte;
	while (read(fd, &byte, 1) > 0 || errno == EINTR)
		;
	processes_kill(mark);
	if (folder)
		folder_remove(folder, NULL);
	_exit(0);
}

int guard_start(struct guard *g, const char *mark, const char *folder, struct error *e)
{
	int ends[2];
	if (pipe2(ends, O_CLOEXEC))
		return error_errno(e, "pipe");
	g->pid = fork();
	if (g->pid == 0) {
		close(ends[1]);
		errno = 0;
		guard_run(ends[0], mark, folder);
	}
	close(ends[0]);
	g->fd = ends[1];
	if (g->pid < 0) {
		close(ends[1]);
		return error_errno(e, "fork");
	}
	return 0;
}

void guard_stop(struct guard *g)
{
	close(g->fd);
	while (waitpid(g->pid, NULL, 0) < 0 && errno == EINTR)
		;
}
