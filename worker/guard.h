/* A small process beside the agent that outlives it for a moment, to leave no orphan behind.
 *
 * mpiexec dies with its agent (parent-death signal), ranks die with the proxy that started them,
 * but nothing makes the proxy in between die in every case.  The guard holds the reading end of a
 * pipe whose only writer is the agent: when that end closes, however the agent ended, it kills all
 * processes that bear the agent's mark, and goes. */
#ifndef WORKER_GUARD_H
#define WORKER_GUARD_H
#include "core/base/error.h"
#include <sys/types.h>

struct guard {
	pid_t pid;
	int fd; /* the writing end; closing it lets the guard act */
};

/* Forks the guard.  `folder` (may be null) is removed by it too when the agent is gone. */
int guard_start(struct guard *g, const char *mark, const char *folder, struct error *e);
void guard_stop(struct guard *g); /* lets it act and waits for its end */
#endif
