/* Child processes of `trawl run`: started, restarted when they die, ended politely. */
#ifndef COORDINATOR_CHILD_H
#define COORDINATOR_CHILD_H
#include "core/base/error.h"
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum { CHILD_WORDS = 24 };

struct child {
	const char *name;            /* for messages: "coordinator", "worker 1" */
	char *argv[CHILD_WORDS + 1]; /* owned strings; argv[0] is the program's path */
	char *log;                   /* stdout and stderr are appended to this file */
	pid_t pid;                   /* 0: not running */
	int restarts;
	int64_t started_ms; /* monotonic */
};

/* Appends one word to the command line (copied). */
void child_word(struct child *p, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Starts it in a process group of its own (Ctrl-C reaches only us) that ends when we die. */
int child_start(struct child *p, struct error *e);

/* Whether it runs.  Reaps it when it has ended. */
bool child_running(struct child *p);

/* Starts it again when it has died; more than a few quick deaths are an error that names the log.
 */
int child_keep(struct child *p, struct error *e);

/* SIGTERM, then SIGKILL after grace_ms.  Harmless when it does not run. */
void child_stop(struct child *p, int64_t grace_ms);

/* The same for one that was sent SIGTERM before: to an agent a second one means "at once". */
void child_wait(struct child *p, int64_t grace_ms);
void child_release(struct child *p);

/* The path of a program that lies beside the running one.  Free with free(). */
char *child_beside(const char *program);
#endif
