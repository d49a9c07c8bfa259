/* The processes of a job: found in /proc by the mark in their environment, measured, killed. */
#include "worker/process.h"
#include "core/base/text.h"
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { KILL_ROUNDS = 100, KILL_PAUSE_NS = 10000000 };

/* All of a file below /proc, NUL-terminated, or null when its process is gone. */
static char *proc_read(pid_t pid, const char *name, size_t *length)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return NULL;
	struct text t = {0};
	char block[4096];
	ssize_t n;
	while ((n = read(fd, block, sizeof block)) > 0)
		text_add_bytes(&t, block, (size_t)n);
	close(fd);
	*length = t.length;
	return text_take(&t);
}

static bool process_is_marked(pid_t pid, const char *mark)
{
	size_t length = 0;
	char *environment = proc_read(pid, "environ", &length);
	bool found = false;
	const char *key = PROCESS_MARK "=";
	for (const char *p = environment; p && p < environment + length && !found;
	     p += strlen(p) + 1)
		found = strncmp(p, key, strlen(key)) == 0 &&
		        strncmp(p + strlen(key), mark, strlen(mark)) == 0;
	free(environment);
	return found;
}

size_t processes_marked(const char *mark, pid_t **pids)
{
	size_t count = 0, capacity = 0;
	*pids = NULL;
	DIR *proc = opendir("/proc");
	for (struct dirent *d; proc && (d = readdir(proc));) {
		pid_t pid = (pid_t)atoi(d->d_name);
		if (pid <= 0 || pid == getpid() || !process_is_marked(pid, mark))
			continue;
		if (count == capacity)
			*pids = xrealloc(*pids, (capacity = capacity * 2 + 8) * sizeof **pids);
		(*pids)[count++] = pid;
	}
	if (proc)
		closedir(proc);
	return count;
}

/* Two clean looks in a row: one look can miss a process that is just being forked. */
size_t processes_kill(const char *mark)
{
	size_t left = 0;
	for (int round = 0, clean = 0; round < KILL_ROUNDS && clean < 2; round++) {
		pid_t *pids;
		left = processes_marked(mark, &pids);
		for (size_t i = 0; i < left; i++)
			kill(pids[i], SIGKILL);
		free(pids);
		clean = left ? 0 : clean + 1;
		if (left)
			nanosleep(&(struct timespec){0, KILL_PAUSE_NS}, NULL);
	}
	return left;
}

int64_t processes_rss_bytes(const pid_t *pids, size_t count)
{
	int64_t pages = 0;
	for (size_t i = 0; i < count; i++) {
		size_t length;
		long long resident = 0;
		char *statm = proc_read(pids[i], "statm", &length);
		if (statm)
			sscanf(statm, "%*s %lld", &resident);
		pages += resident;
		free(statm);
	}
	return pages * sysconf(_SC_PAGESIZE);
}

int64_t processes_pss_bytes(const pid_t *pids, size_t count)
{
	int64_t bytes = 0;
	for (size_t i = 0; i < count; i++) {
		size_t length;
		char *rollup = proc_read(pids[i], "smaps_rollup", &length);
		const char *line = rollup ? strstr(rollup, "\nPss:") : NULL;
		bytes += line ? strtoll(line + 5, NULL, 10) * 1024 : 0;
		free(rollup);
	}
	return bytes;
}
