/* What an attempt has told and nobody has acknowledged: kept, uploaded for, and said again. */
#include "worker/outbox.h"
#include "core/base/json.h"
#include "core/base/text.h"
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DOUBLINGS = 4 };

struct outbox_item *outbox_add(struct outbox *o, enum wire_kind kind, cJSON *body)
{
	if (o->count == o->capacity) {
		o->capacity = o->capacity * 2 + 4;
		o->items = xrealloc(o->items, o->capacity * sizeof *o->items);
	}
	struct outbox_item *item = &o->items[o->count++];
	*item = (struct outbox_item){.kind = kind,
	                             .body = body,
	                             .batch = json_int(body, "batch", 0),
	                             .step = json_int(body, "step", 0)};
	return item;
}

/* Whether the rows went to the item: it counts as the later batch then. */
static bool join(struct outbox_item *item, cJSON *body)
{
	cJSON *rows = cJSON_GetObjectItemCaseSensitive(item->body, "rows");
	cJSON *more = cJSON_GetObjectItemCaseSensitive(body, "rows"), *row;

	if (item->kind != WIRE_METRICS || item->sent || !rows || !more ||
	    cJSON_GetArraySize(rows) + cJSON_GetArraySize(more) > ROWS_TOGETHER)
		return false;
	while ((row = cJSON_DetachItemFromArray(more, 0)))
		cJSON_AddItemToArray(rows, row);
	item->batch = json_int(body, "batch", 0);
	json_put(item->body, "batch", cJSON_CreateNumber((double)item->batch));
	cJSON_Delete(body);
	return true;
}

void outbox_add_metrics(struct outbox *o, cJSON *body)
{
	size_t oldest = 0, waiting = 0;

	if (o->count && join(&o->items[o->count - 1], body))
		return;
	outbox_add(o, WIRE_METRICS, body);
	for (size_t i = o->count; i-- > 0;)
		if (o->items[i].kind == WIRE_METRICS && !o->items[i].sent) {
			oldest = i;
			waiting++;
		}
	if (waiting > METRICS_QUEUED)
		outbox_remove(o, oldest);
}

int64_t outbox_in_flight(const struct outbox *o)
{
	int64_t count = 0;

	for (size_t i = 0; i < o->count; i++)
		count += o->items[i].kind == WIRE_METRICS && o->items[i].sent;
	return count;
}

void outbox_unsay(struct outbox *o)
{
	for (size_t i = 0; i < o->count; i++)
		o->items[i].sent = 0;
}

void outbox_add_file(struct outbox_item *item, const char *sha256, const char *path, int64_t bytes)
{
	item->files = xrealloc(item->files, (item->file_count + 1) * sizeof *item->files);
	struct outbox_file *file = &item->files[item->file_count++];
	*file = (struct outbox_file){.path = xstrdup(path), .bytes = bytes};
	snprintf(file->sha256, sizeof file->sha256, "%s", sha256);
}

static void item_release(struct outbox_item *item)
{
	for (size_t i = 0; i < item->file_count; i++)
		free(item->files[i].path);
	free(item->files);
	cJSON_Delete(item->body);
}

void outbox_remove(struct outbox *o, size_t i)
{
	assert(i < o->count);
	item_release(&o->items[i]);
	memmove(&o->items[i], &o->items[i + 1], (o->count - i - 1) * sizeof *o->items);
	o->count--;
}

bool outbox_item_has(const struct outbox_item *item, const char *sha256)
{
	for (size_t f = 0; f < item->file_count; f++)
		if (strcmp(item->files[f].sha256, sha256) == 0)
			return true;
	return false;
}

void outbox_item_mark_stored(struct outbox_item *item, const char *sha256)
{
	for (size_t f = 0; f < item->file_count; f++)
		if (strcmp(item->files[f].sha256, sha256) == 0)
			item->files[f].stored = true;
}

struct outbox_item *outbox_find(struct outbox *o, enum wire_kind kind)
{
	for (size_t i = 0; i < o->count; i++)
		if (o->items[i].kind == kind)
			return &o->items[i];
	return NULL;
}

bool outbox_due(const struct outbox *o, size_t i, int64_t now_ms, int64_t again_ms)
{
	const struct outbox_item *item = &o->items[i];
	bool last_word = item->kind == WIRE_DONE || item->kind == WIRE_ENDED;
	for (size_t f = 0; f < item->file_count; f++)
		if (!item->files[f].stored)
			return false;
	int doublings = item->sent > DOUBLINGS ? DOUBLINGS : item->sent - 1;
	return (!last_word || i == 0) &&
	       (!item->sent || now_ms - item->sent_ms >= again_ms << doublings);
}

void outbox_release(struct outbox *o)
{
	for (size_t i = 0; i < o->count; i++)
		item_release(&o->items[i]);
	free(o->items);
	*o = (struct outbox){0};
}
