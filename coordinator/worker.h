/* Agents as the coordinator knows them: what they have, whether they may be given work. */
#ifndef COORDINATOR_WORKER_H
#define COORDINATOR_WORKER_H
#include "core/base/error.h"
#include <stdint.h>

struct turn;

/* Looks at the worker's last ended attempts: when three different trials failed fast, one after the
 * other, and there is another agent, this one is quarantined and those failures do not count. */
void worker_judge(struct turn *t, int64_t worker);

/* A person drains (what runs is handed back, nothing new is given) or frees a worker, by its name
 * or number. */
int worker_drain(struct turn *t, const char *which, struct error *e);
int worker_undrain(struct turn *t, const char *which, struct error *e);
#endif
