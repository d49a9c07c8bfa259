/* What the files of the agent share: its state, and what they call of each other. */
#ifndef WORKER_AGENT_STATE_H
#define WORKER_AGENT_STATE_H
#include "worker/agent.h"
#include "worker/office.h"
#include "worker/slot.h"

enum { OVER_COUNT = 64 }; /* attempts remembered as over, against orders that come late */

struct agent {
	const struct agent_options *options;
	struct office office; /* its folders, sockets, guard */
	struct job_options job;
	struct transfer *transfer;
	int signal_fd;
	cJSON *offer;
	struct slot **slots;
	size_t slot_count;
	struct acts acts;
	struct {
		int64_t trial, attempt;
	} over[OVER_COUNT];
	size_t over_next;
	int64_t now_ms, beat_ms, next_beat_ms, next_memory_ms;
	int64_t seq, orders_seq, heard_ms;    /* heard: the coordinator, last */
	int64_t signal_ms, leave_ms, idle_ms; /* 0: not (idle_ms: since when) */
	int64_t begun_ms;
	int64_t credits;             /* METRICS that may be on their way at a time */
	char said[ERROR_TEXT_BYTES]; /* the coordinator's last complaint */
	int64_t said_ms;
	bool welcome, away, disk_low, ended;
};

/* agent_acts.c: what holding.c decided is done, with what that leads to. */
struct slot *agent_slot(struct agent *a, int64_t trial, int64_t attempt); /* null: not held */
struct slot *agent_slot_of(struct agent *a, const cJSON *body); /* by its trial and attempt */
struct slot *agent_slot_add(struct agent *a, const cJSON *lease);
void agent_slot_forget(struct agent *a, struct slot *s);
bool agent_was_over(const struct agent *a, int64_t trial, int64_t attempt);
void agent_act(struct agent *a);
void agent_cache_trim(const struct agent *a);

/* agent_link.c: the coordinator's side.  Body is the callee's. */
void agent_send(struct agent *a, enum wire_kind kind, cJSON *body);
void agent_beat(struct agent *a);
bool agent_hears_nothing(const struct agent *a); /* of the coordinator, for too long */
int64_t agent_left_ms(const struct agent *a);    /* of --time-limit, until it leaves */
void agent_move(struct agent *a);                /* to another address of the coordinator */
void agent_on_coordinator(struct agent *a, const struct message *m);
#endif
