/* The processes of a job: found in /proc by the mark in their environment, measured, killed. */
#ifndef WORKER_PROCESS_H
#define WORKER_PROCESS_H
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PROCESS_MARK "TRAWL_JOB" /* the environment variable that carries the mark */

/* The living processes (zombies are not) whose mark begins with `mark`; *pids is the caller's to
 * free.  A mark is <agent>/<trial>-<attempt>/, so that an agent's own name finds all its jobs. */
size_t processes_marked(const char *mark, pid_t **pids);

/* SIGKILL to every process so marked, again until none is left or a second has passed (one in an
 * uninterruptible sleep can take longer).  Returns how many are left. */
size_t processes_kill(const char *mark);

/* Resident set size, pages that several share counted for each: never less than the proportional
 * one, and read in no time, where that one walks all page tables. */
int64_t processes_rss_bytes(const pid_t *pids, size_t count);

/* Proportional set size: the memory of each, shared pages divided among those that share them.
 * What ended in between counts as nothing. */
int64_t processes_pss_bytes(const pid_t *pids, size_t count);
#endif
