/* One turn of the coordinator: messages in, one transaction, messages out.
 *
 *   look what adaptive searches want;
 *   begin immediate;  each message;  expire (if the sockets were drained);  settle;  lease;  commit
 *
 * Nothing is known outside of the database; time, randomness, files and sockets are the caller's.
 * What a turn returns may be sent only because it has committed. */
#ifndef COORDINATOR_TURN_H
#define COORDINATOR_TURN_H
#include "coordinator/lease.h"
#include "coordinator/sql.h"
#include "coordinator/study.h"
#include "schemas/wire.h"

struct queues;

struct turn_options {
	int64_t lease_ms, beat_ms;
	int64_t lost_limit;       /* losses in a row without progress: failed */
	int64_t error_delay_ms;   /* first backoff after an error; doubles */
	int64_t free_bytes_min;   /* with less disk, nothing is leased */
	int64_t quota_bytes;      /* of the artifact store (quota.h); 0: none */
	int64_t metric_rows;      /* of a trial's metric; more are thinned (series.h) */
	int64_t credits;          /* METRICS on their way, of all agents together */
	int64_t chunk;            /* trials made of a sweep in one turn */
	const char *url, *pin;    /* of the artifact store, for agents; pin null: it has no TLS */
	bool notifies;            /* notices are sent to somebody */
	bool views;               /* every study has its view, for people */
	const char *secret;       /* 64 hex digits from which tokens are derived */
	struct study_files files; /* how launch reads files and data sets; may be all null */
};
extern const struct turn_options turn_defaults; /* url, pin and secret are null */

struct turn_input {
	int64_t wall_ms, monotonic_ms;
	const struct message *messages;
	size_t count;
	bool drained;                /* no message is left in any socket */
	int64_t free_bytes;          /* of the disk; -1: unknown */
	bool alone;                  /* no agent can hear what is sent: nothing is leased */
	char (*deleted)[SHA256_HEX]; /* of the last output's, what was deleted */
	size_t deleted_count;
	const char *note, *note_text; /* kind and text of an event to record; null: none */
};

struct turn_output {
	struct message *messages; /* to their routes, in this order */
	size_t count, capacity;
	char (*deletions)[SHA256_HEX]; /* bytes to delete now */
	size_t deletion_count;
	int64_t wake_ms;    /* wall time at which the next turn is due though nothing comes */
	bool more;          /* there is work for another turn at once */
	bool stop;          /* a client asked the coordinator to end */
	int64_t superseded; /* the generation of a newer copy that is served; 0: none.  Then this
	                       one ends */
};

/* What lives from turn to turn in one process: a connection, and the clocks at the last turn, which
 * tell a gap from a step. */
struct coordinator {
	struct sql *db;
	struct turn_options options;
	int64_t wall_ms, monotonic_ms; /* 0: no turn yet */
	int64_t swept_ms;              /* monotonic: when uploads that nothing names were swept */
};

/* Handles all messages, or none.  -1: nothing was committed, nothing may be sent, and the same
 * messages are to be given again later (disk full, I/O).  Release *out in any case. */
int turn_run(struct coordinator *c, const struct turn_input *in, struct turn_output *out,
             struct error *e);
void turn_output_release(struct turn_output *out);

/* An agent that spoke in this turn, or was given something. */
struct heard {
	int64_t worker;
	char *agent;
	const cJSON *holds; /* its beat's, or null */
	int64_t seq;
};

/* The turn in progress, for the handlers. */
struct turn {
	struct sql *db;
	const struct turn_options *options;
	int64_t now_ms;
	char *uuid;                     /* of the database */
	int64_t generation, superseded; /* generation.h */
	int64_t last_ms, quota_was;     /* when the last turn was, and as it left things: */
	bool disk_was_low, was_full;
	bool careful; /* a message that is refused is taken back by itself; else the turn has … */
	bool stumbled; /* … stumbled over one: nothing of it counts */
	bool leasing;  /* there is disk enough */
	bool full;     /* of the artifact store: only trials with a checkpoint in it are leased */
	struct turn_output *out;
	const struct message *message; /* being handled */
	int64_t speaker;               /* the worker that the last one was from; 0: nobody known */
	const char *speaker_name;
	struct heard *heard;
	size_t heard_count;
	struct queues *queues; /* of ready trials; null: nobody had room yet */
	int64_t credits;       /* of each agent; 0: not divided yet */
	bool all;              /* every agent may get work, not only those heard */
	bool wants; /* studies have come to want other trials: those that wait at rungs may go on */
};

/* Queues an answer to the message being handled, or a message to an agent. */
void turn_reply(struct turn *t, enum wire_kind kind, cJSON *body);
void turn_send(struct turn *t, const char *agent, enum wire_kind kind, cJSON *body);

/* Notes that an agent is to be given ORDERS at the end of the turn. */
void turn_hear(struct turn *t, int64_t worker, const char *agent, const cJSON *holds, int64_t seq);

/* METRICS that an agent may have on their way: its part of all, at least one. */
int64_t turn_credits(struct turn *t);

/* Asks the agent of the message being handled to say hello again. */
void turn_again(struct turn *t);

/* The worker that a message's agent is; 0, and AGAIN queued, when we do not know it. */
int64_t turn_worker(struct turn *t);

/* One handler per kind that the coordinator takes. */
typedef void turn_handler(struct turn *t, const cJSON *body);
turn_handler on_hello, on_beat, on_leave, on_log;                     /* worker.c */
turn_handler on_metrics, on_checkpoint, on_done, on_ended, on_stored; /* report.c */
turn_handler on_request;                                              /* request.c */
turn_handler on_probe;                                                /* generation.c */

/* Leases what fits to those who were heard, and queues their ORDERS (orders.c). */
void turn_orders(struct turn *t);
#endif
