/* What an attempt has told and nobody has acknowledged: kept, uploaded for, and said again.
 *
 * Items keep their order: metrics and checkpoints, then at the end one of DONE or ENDED. */
#ifndef WORKER_OUTBOX_H
#define WORKER_OUTBOX_H
#include "core/base/hash.h"
#include "schemas/wire.h"

struct outbox_file {
	char sha256[SHA256_HEX];
	char *path;
	int64_t bytes;
	bool stored; /* the store has said so */
};

struct outbox_item {
	enum wire_kind kind; /* METRICS | CHECKPOINT | DONE | ENDED */
	cJSON *body;
	int64_t batch, step;
	struct outbox_file *files; /* that must be stored first */
	size_t file_count;
	int64_t sent_ms; /* 0: not yet */
	int sent;        /* how often */
};

struct outbox {
	struct outbox_item *items;
	size_t count, capacity;
};

/* Takes body. */
struct outbox_item *outbox_add(struct outbox *o, enum wire_kind kind, cJSON *body);

/* METRICS, together with those before it that were not said yet, up to ROWS_TOGETHER rows; of more
 * than METRICS_QUEUED such items the oldest is forgotten: its rows come once more with the next
 * CHECKPOINT and with DONE.  Takes body. */
enum { ROWS_TOGETHER = 1000, METRICS_QUEUED = 64 };
void outbox_add_metrics(struct outbox *o, cJSON *body);

/* METRICS that were said and are not acknowledged. */
int64_t outbox_in_flight(const struct outbox *o);

/* As if none had been said: whom we speak to from now on has heard nothing. */
void outbox_unsay(struct outbox *o);

/* What must be stored before the item is said. */
void outbox_add_file(struct outbox_item *item, const char *sha256, const char *path, int64_t bytes);
bool outbox_item_has(const struct outbox_item *item, const char *sha256); /* among its files */
void outbox_item_mark_stored(struct outbox_item *item, const char *sha256);
void outbox_remove(struct outbox *o, size_t i);
struct outbox_item *outbox_find(struct outbox *o, enum wire_kind kind); /* the first, or null */

/* Whether all of its files are stored and it was not said for `again_ms`, twice as long each time
 * it is said in vain (16 times at most), so that a coordinator with a backlog is not given a longer
 * one. The last word (DONE, ENDED) waits until all before it was acknowledged. */
bool outbox_due(const struct outbox *o, size_t i, int64_t now_ms, int64_t again_ms);
void outbox_release(struct outbox *o);
#endif
