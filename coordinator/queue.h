/* Ready trials as queues, one for each study and each thing that its trials ask of an agent; and
 * who comes first.
 *
 * Trials of higher priority come first.  Among studies with such trials, fair share: the one whose
 * leases hold the fewest cores (ranks * threads) for each unit of its field `share`, at equality
 * the older one.  Within a study those come first that were let go on from a rung, the farthest
 * first; then the oldest.  What no study can use goes to the others: shares are no limits.
 *
 * A trial that several studies want counts for one of them: the oldest that is active
 * (trial.study).
 */
#ifndef COORDINATOR_QUEUE_H
#define COORDINATOR_QUEUE_H
#include "coordinator/sql.h"
#include "core/base/text.h"

/* A place in the order of all ready trials. */
struct place_in_line {
	int64_t priority;
	int64_t cores, share, study; /* held by the study's leases */
	int64_t reached, trial;
};
bool place_before(const struct place_in_line *a, const struct place_in_line *b);

struct queue {
	int64_t study, ask;
	int64_t ranks, threads, memory_mb, gpus, minutes;
	bool picky;                 /* it asks for a data set or labels */
	bool more;                  /* its study has others behind it */
	struct place_in_line first; /* of its trials, whoever asks; trial 0: it is empty */
	unsigned looked;            /* the round in which queues_next gave it */
};

/* All that are not empty, as the database says now.  A turn reads them once, when the first agent
 * has room; from then on trials are only taken. */
struct queues {
	struct queue *list;
	size_t count;
	unsigned round;
};
void queues_load(struct queues *q, struct sql *db, int64_t now_ms);
void queues_release(struct queues *q);

/* Begins to look through them; then each once, by their firsts. Null: there are no more. */
void queues_begin(struct queues *q);
struct queue *queues_next(struct queues *q);

/* A trial of `from` was leased: its study holds more.  The queue's first stays: none behind it
 * comes before. */
void queues_took(struct queues *q, const struct queue *from);

/* Looks again for the queue's first; queues_next passes over one that is empty. */
void queue_look(struct queue *q, struct sql *db, int64_t now_ms);

/* What comes before a ready trial, in words. */
void queue_explain(struct sql *db, int64_t trial, struct text *out);
#endif
