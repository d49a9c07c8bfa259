/* Cores of this node: which ones a process may use, who has taken one, and being bound to them. */
#include "core/base/cores.h"
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { NODES_MOST = 64 };

static struct {
	cpu_set_t given;
	bool bound;
	int count, core[CORES_MOST], name[CORES_MOST]; /* taken; the sockets that say so */
} mine;

/* ---- which there are ---- */
static int node_of(int core)
{
	char path[100];

	for (int node = 0; node < NODES_MOST; node++) {
		snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/node%d", core, node);
		if (access(path, F_OK) == 0)
			return node;
	}
	return 0;
}

static int by_node(const void *a, const void *b)
{
	int x = *(const int *)a, y = *(const int *)b, m = node_of(x), n = node_of(y);

	return m != n ? m - n : x - y;
}

int cores_allowed(int core[CORES_MOST])
{
	cpu_set_t set;
	int count = 0;

	CPU_ZERO(&set);
	if (sched_getaffinity(0, sizeof set, &set))
		return 0;
	for (int i = 0; i < CPU_SETSIZE && i < CORES_MOST; i++)
		if (CPU_ISSET(i, &set))
			core[count++] = i;
	qsort(core, (size_t)count, sizeof *core, by_node);
	return count;
}

/* ---- which are chosen ---- */
int cores_choose(const int *allowed, int count, int place, int ranks, int threads,
                 cores_take_fn *take, void *self, int *out)
{
	int got = 0;

	if (threads < 1 || ranks < 1 || ranks > count / threads)
		return -1;
	for (int i = 0; i < count && got < threads; i++) {
		int core = allowed[(place * threads + i) % count];
		if (take(self, core))
			out[got++] = core;
	}
	return got == threads ? 0 : -1;
}

/* A socket's name in the abstract namespace: no file, gone with the process. */
static bool take(void *self, int core)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	int length = snprintf(name.sun_path + 1, sizeof name.sun_path - 1, "trawl-core-%d", core);
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	socklen_t bytes = (socklen_t)(sizeof name.sun_family + 1 + (size_t)length);

	if (fd < 0 || bind(fd, (struct sockaddr *)&name, bytes)) {
		if (fd >= 0)
			close(fd);
		return false;
	}
	mine.name[mine.count++] = fd;
	return true;
}

int cores_take(int place, int ranks, int threads)
{
	int allowed[CORES_MOST], count = cores_allowed(allowed);

	if (cores_choose(allowed, count, place, ranks, threads, take, NULL, mine.core)) {
		cores_leave();
		return -1;
	}
	return 0;
}

void cores_leave(void)
{
	while (mine.count)
		close(mine.name[--mine.count]);
}

/* ---- being bound ---- */
void cores_bind(void)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	for (int i = 0; i < mine.count; i++)
		CPU_SET(mine.core[i], &set);
	mine.bound = mine.count && sched_getaffinity(0, sizeof mine.given, &mine.given) == 0 &&
	             sched_setaffinity(0, sizeof set, &set) == 0;
}

void cores_roam(void)
{
	if (mine.bound)
		sched_setaffinity(0, sizeof mine.given, &mine.given);
}
