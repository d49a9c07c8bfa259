/* The simulated world: one thread, a virtual clock, one stream of chances, one queue of events. */
#ifndef SIM_WORLD_H
#define SIM_WORLD_H
#include "coordinator/turn.h"
#include "core/base/hash.h"
#include "core/base/json.h"
#include "core/base/random.h"
#include "core/base/text.h"
#include "schemas/curve.h"
#include "schemas/trial_spec.h"
#include "tests/sim/disk.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	AGENTS = 3,
	JOBS = 8,
	TRIALS_MAX = 64,
	ATTEMPTS_MAX = 64,
	BLOBS_MAX = 512,
	BLOB_SLOTS = 2 * BLOBS_MAX,
	REQUESTS = 48,
	STEPS_MAX = 16,
	LEASE_MS = 6000,
	BEAT_MS = 500,
	DELAY_MS = 1500,                             /* the slowest message */
	FAULTS_END = 20000,                          /* from here on nothing fails */
	QUIET = FAULTS_END + DELAY_MS + 4 * BEAT_MS, /* from here on nothing is lost or repeated */
	REST_MS = DELAY_MS + 4 * BEAT_MS,            /* what is done stays done */
	END = FAULTS_END + 90000                     /* by then all must be done */
};

enum event_kind {
	TO_COORDINATOR,
	TO_AGENT,
	TO_CLIENT,
	UPLOAD,
	UPLOADED,
	WAKE,
	START,
	STEP,
	TURN,
	CHAOS,
	CLIENT
};

struct event {
	int64_t at, seq;
	enum event_kind kind;
	int who;        /* agent */
	int64_t serial; /* of the agent's process: timers of dead ones are ignored */
	int64_t trial, attempt;
	struct message message;
	char sha256[SHA256_HEX], token[SHA256_HEX];
	bool ok;
};

/* Content-addressed bytes, as the coordinator's disk holds them. */
struct blob {
	char sha256[SHA256_HEX];
	uint64_t state; /* what is in them: a job's state … */
	int64_t step;   /* … at this step */
	bool present, corrupt;
};

enum phase { STARTING, RUNNING, FINISHED, ENDED };

struct job {
	bool used;
	int64_t trial, attempt, step, steps, acked, pending; /* pending: step of a checkpoint */
	uint64_t state, pending_state;
	double loss[STEPS_MAX + 1]; /* by step */
	enum phase phase;
	bool yields;
	int64_t until; /* as far as it is let; 0: to its end */
	char outcome[24], bad[SHA256_HEX], token[SHA256_HEX];
	char resume[SHA256_HEX], input[SHA256_HEX], identity[SHA256_HEX];
	int64_t slots, memory_mb;
	int repeats; /* sends of what is pending, since the faults ended */
	int stale;   /* beats for which it has run though it holds no lease */
};

struct agent {
	bool up, welcome;
	int64_t cut_until;             /* no message comes through */
	char name[32], key[CURVE_KEY]; /* key: empty where nobody is asked for one */
	int64_t serial, seq, ranks;
	int64_t until;   /* when its time is over; 0: never */
	int64_t beat_at; /* its last */
	const char *numerics;
	bool data;
	struct job jobs[JOBS];
	int64_t last[TRIALS_MAX]; /* highest attempt that this process has had */
};

/* What agents whose key was revoked have brought about. */
struct silence {
	int64_t keys, metrics, artifacts, seen_ms;
	uint64_t attempts;
};

struct request {
	int64_t at;
	const char *verb;
	char *args;
	bool sent, answered;
};

struct sim {
	uint64_t seed, element, hash;
	int64_t now, seq, serial, wall_offset;
	int drop, duplicate, slow, crash, trouble, corrupt; /* percent, chosen by the seed */
	int64_t quota; /* bytes of the artifact store while faults last; 0: none */
	struct event *queue;
	size_t queued, capacity;
	struct agent agents[AGENTS];
	struct request requests[REQUESTS];
	int request_count;
	bool guarded;         /* everybody is asked for a key */
	bool revoked[AGENTS]; /* the first key of a machine, as far as its owner knows */
	int revoking;         /* the machine whose first key will be */
	struct silence silence;

	struct sql *db; /* survives the coordinator's process */
	struct blob blobs[BLOBS_MAX];
	int blob_count, slots[BLOB_SLOTS]; /* slots: by name, 1 + where in blobs */
	bool up; /* the coordinator's process, and what is in its memory: */
	struct coordinator coordinator;
	int64_t wake_ms;  /* wall time at which it wants a turn though nothing comes */
	bool more;        /* it wants one at once */
	int64_t retry_at; /* after a turn that failed */
	struct message inbox[1024];
	int64_t inbox_at[1024];
	int inbox_count;
	char deleted[64][SHA256_HEX];
	int deleted_count;
	int64_t stalled_until, slow_until, full_until;
	bool crash_at_commit, fail_at_commit;

	int64_t checked;          /* history rows that the laws have seen */
	int64_t commits, touches; /* commits that changed something; rows since the last */
	int touched[TRIALS_MAX];  /* OF_… of each (laws.h); 0: the store of bytes */
	int64_t owner[TRIALS_MAX][ATTEMPTS_MAX];
	const char *broken; /* the law that was broken */
};

static bool verbose;

static inline uint32_t chance_of(struct sim *s, uint32_t limit)
{
	struct random_stream stream = random_stream((int64_t)s->seed, "sim", 0, 0);

	return (uint32_t)random_below(&stream, s->element++, limit);
}

static inline int64_t lost_limit(const struct sim *s)
{
	return s->seed % 4 ? 2 : 5;
}

static inline bool faults(const struct sim *s)
{
	return s->now < FAULTS_END;
}

static inline bool chance(struct sim *s, int percent)
{
	return faults(s) && (int)chance_of(s, 100) < percent;
}

__attribute__((format(printf, 2, 3))) static inline void note(struct sim *s, const char *format,
                                                              ...)
{
	char line[256];
	va_list arguments;

	int n = snprintf(line, sizeof line, "[%7.3f] ", (double)s->now / 1000);
	va_start(arguments, format);
	vsnprintf(line + n, sizeof line - (size_t)n, format, arguments);
	va_end(arguments);
	s->hash = (s->hash ^ fnv1a(line, strlen(line))) * 1099511628211ull;
	if (verbose)
		puts(line);
}

static inline void broken(struct sim *s, const char *law)
{
	if (!s->broken)
		note(s, "BROKEN: %s", law);
	s->broken = s->broken ? s->broken : law;
}

/* Everything that the database says of the trials that a condition picks; for replays. */
static inline void show(struct sim *s, const char *sql)
{
	struct sql_rows *rows = verbose ? sql_query(s->db, sql) : NULL;

	while (sql_next(rows))
		printf("          %s\n", sql_text(rows, 0));
}

static inline bool earlier(const struct event *a, const struct event *b)
{
	return a->at < b->at || (a->at == b->at && a->seq < b->seq);
}

/* A binary heap: the earliest event is queue[0]. */
static inline void post(struct sim *s, struct event e)
{
	if (s->queued == s->capacity) {
		s->capacity = s->capacity ? 2 * s->capacity : 256;
		s->queue = xrealloc(s->queue, s->capacity * sizeof *s->queue);
	}
	e.seq = s->seq++;
	size_t i = s->queued++;
	for (; i && earlier(&e, &s->queue[(i - 1) / 2]); i = (i - 1) / 2)
		s->queue[i] = s->queue[(i - 1) / 2];
	s->queue[i] = e;
}

static inline struct event next_event(struct sim *s)
{
	struct event first = s->queue[0], last = s->queue[--s->queued];
	size_t i = 0;

	for (size_t child; (child = 2 * i + 1) < s->queued; i = child) {
		child += child + 1 < s->queued && earlier(&s->queue[child + 1], &s->queue[child]);
		if (!earlier(&s->queue[child], &last))
			break;
		s->queue[i] = s->queue[child];
	}
	s->queue[i] = last;
	return first;
}

static inline struct message message_copy(const struct message *m)
{
	struct message copy = {.kind = WIRE_KINDS};

	if (m->body)
		copy = message_make(m->kind, m->route, m->route_bytes,
		                    cJSON_Duplicate(m->body, true));
	memcpy(copy.key, m->key, sizeof copy.key);
	return copy;
}

/* The network: drops, delays, reorders, says things twice. */
static inline void network(struct sim *s, struct event e)
{
	bool agent = e.kind == TO_AGENT || (e.kind == TO_COORDINATOR && e.serial);
	bool cut = agent && faults(s) && s->agents[e.who].cut_until > s->now;
	int64_t delay =
	        1 + chance_of(s, 30) + (chance(s, s->slow) ? chance_of(s, DELAY_MS / 2) : 0);

	e.at = s->now + delay;
	if (!cut && chance(s, s->duplicate)) {
		struct event twin = e;
		twin.message = message_copy(&e.message);
		twin.at += 1 + chance_of(s, DELAY_MS / 2);
		post(s, twin);
	}
	if (cut || chance(s, s->drop)) {
		note(s, "dropped %s", e.message.body ? wire_name(e.message.kind) : "bytes");
		message_release(&e.message);
		return;
	}
	post(s, e);
}

/* The next state of the deterministic job, and what it measures in a state. */
static inline uint64_t mix(uint64_t state, uint64_t with)
{
	uint64_t x = state + with * 0x9E3779B97F4A7C15ull + 1;

	x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9ull;
	x = (x ^ x >> 27) * 0x94D049BB133111EBull;
	return x ^ x >> 31;
}

static inline double measure(uint64_t state)
{
	return (double)(state >> 40) / (1 << 24);
}

/* Where the bytes of a name stand, or would: open addressing by its first digits. */
static inline int *blob_slot(struct sim *s, const char *sha256)
{
	uint32_t at = 0;

	for (int i = 0; i < 8 && sha256[i]; i++)
		at = at * 31 + (unsigned char)sha256[i];
	for (at %= BLOB_SLOTS;; at = (at + 1) % BLOB_SLOTS)
		if (!s->slots[at] || strcmp(s->blobs[s->slots[at] - 1].sha256, sha256) == 0)
			return &s->slots[at];
}

static inline struct blob *blob_find(struct sim *s, const char *sha256)
{
	int at = *blob_slot(s, sha256);

	return at ? &s->blobs[at - 1] : NULL;
}

/* The name of the bytes that hold this state; what is in them is known from now on. */
static inline void blob_name(struct sim *s, uint64_t state, int64_t step, char sha256[SHA256_HEX])
{
	char text[64];

	snprintf(text, sizeof text, "state %" PRIu64 " step %" PRId64, state, step);
	sha256_hex(text, strlen(text), sha256);
	int *slot = blob_slot(s, sha256);
	if (*slot || s->blob_count == BLOBS_MAX)
		return;
	struct blob *b = &s->blobs[s->blob_count++];
	*b = (struct blob){.state = state, .step = step};
	memcpy(b->sha256, sha256, SHA256_HEX);
	*slot = s->blob_count;
}
#endif
