/* The agent: holds leases, runs each as a job, reports, moves checkpoints.  It does not train, so
 * it is never too busy for a beat. */
#ifndef WORKER_AGENT_H
#define WORKER_AGENT_H
#include "core/base/error.h"
#include <cjson/cJSON.h>
#include <stddef.h>
#include <stdint.h>

struct agent_options {
	const char *connect; /* tcp://host:5555[,tcp://…]: where the coordinator may be */
	const char *key, *server_key; /* as curve_connect_as_told has them */
	const char *name;             /* that people see; null: host name */
	const char *work;             /* folder of jobs and of the cache */
	const char *data;             /* DIR[:DIR…]; null: as source_roots() */
	const char *const *datasets;  /* further folders or archives that it has */
	size_t dataset_count;
	const char *const *labels;
	size_t label_count;
	const char *launcher; /* as launcher_words has it; may be null */
	const char *program;  /* trawl-trial */
	const char *pin;      /* "auto" "none": whether ranks keep to cores; null: auto */
	int ranks;            /* that it may run at a time */
	int threads;          /* per rank */
	int gpus;
	int64_t memory_mb;    /* of all jobs together; 0: nine tenths of the machine's */
	int64_t cache_mb;     /* checkpoints and inputs kept for later; 0: 4096 */
	int64_t idle_exit_ms; /* leave after so long without work; 0: never */
	int64_t leave_ms;     /* how long leaving may take; 0: 60,000 */
	int64_t limit_ms;     /* its time: it has left by then; 0: never */
};

/* Runs until it is told to leave (signals.h: jobs yield and their checkpoints are sent first; a
 * person's second one: at once).  Call it in the main thread.  -1: it could not begin. */
int agent_run(const struct agent_options *o, struct error *e);

/* What it says of itself in HELLO, but for what changes: agent, name, pid, ranks, threads,
 * memory_mb, gpus, labels, data (found and hashed now), numerics (asked of the program), version.
 */
cJSON *agent_offer(const struct agent_options *o, const char *agent);
#endif
