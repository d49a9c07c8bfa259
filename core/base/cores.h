/* Cores of this node: which ones a process may use, who has taken one, and being bound to them.
 *
 * Memory belongs to the node of the core that touches it first, so a rank that is bound before it
 * allocates computes on memory of its own.  A core is taken by a name that the kernel keeps for the
 * whole machine and frees with the process: agents, and trials run by hand, need not know of each
 * other. */
#ifndef BASE_CORES_H
#define BASE_CORES_H
#include <stdbool.h>

enum { CORES_MOST = 1024 };

/* The cores that this process was given (sched_getaffinity: taskset, cgroups and Slurm count),
 * those of a NUMA node side by side.  Returns how many. */
int cores_allowed(int core[CORES_MOST]);

/* Whether a core could be had, and is from then on. */
typedef bool cores_take_fn(void *self, int core);

/* Chooses the cores of rank `place` of `ranks` on this node, with `threads` each: those at its
 * place among the allowed, or else the next that can be taken.  0, and them in out[threads]; -1:
 * there are not enough, and what was taken meanwhile has to be left again. */
int cores_choose(const int *allowed, int count, int place, int ranks, int threads,
                 cores_take_fn *take, void *self, int *out);

/* Takes cores for this rank as cores_choose does, machine-wide.  -1: none were. */
int cores_take(int place, int ranks, int threads);

/* What follows cores_take: binds this thread, and those that it makes from now on, to them; or
 * leaves them to others. */
void cores_bind(void);
void cores_leave(void);

/* Lets this thread, of a bound process, use whatever the process was given: it waits more than it
 * works. */
void cores_roam(void);
#endif
