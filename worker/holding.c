/* One attempt that the agent holds: what it is at, what is wanted of it, what is owed for it. */
#include "worker/holding.h"
#include "core/base/json.h"
#include "core/base/text.h"
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GRACE_SECONDS = 30, CHECKPOINTS_WAITING = 2 };
static const double stall_minutes = 15;

static cJSON *body_new(const struct holding *h, const char *agent)
{
	cJSON *body = cJSON_CreateObject();
	cJSON_AddStringToObject(body, "agent", agent);
	cJSON_AddNumberToObject(body, "trial", (double)h->trial);
	cJSON_AddNumberToObject(body, "attempt", (double)h->attempt);
	return body;
}

/* A message of the job as the agent's: its members, with the agent's name, less paths. */
static cJSON *body_from(const struct holding *h, const char *agent, const cJSON *job)
{
	cJSON *body = cJSON_Duplicate(job, true), *artifact;
	cJSON_DeleteItemFromObjectCaseSensitive(body, "agent");
	cJSON_AddStringToObject(body, "agent", agent);
	cJSON_DeleteItemFromObjectCaseSensitive(body, "path");
	cJSON_ArrayForEach (artifact, cJSON_GetObjectItemCaseSensitive(body, "artifacts"))
		cJSON_DeleteItemFromObjectCaseSensitive(artifact, "path");
	return body;
}

/* --- begin -------------------------------------------------------------------------------------
 */

static void fetch(struct holding *h, const cJSON *what, struct acts *acts)
{
	const char *sha256 = json_text(what, "sha256", NULL);
	if (!sha256)
		return;
	h->fetches++;
	act_add_file(acts, ACT_FETCH, h->trial, h->attempt, sha256, NULL,
	             json_int(what, "bytes", 0));
}

static void begin(struct holding *h, int64_t now_ms, struct acts *acts)
{
	h->phase = HOLDING_RUN;
	h->started_ms = h->moved_ms = now_ms;
	act_add(acts, ACT_START, h->trial, h->attempt);
}

struct holding *holding_new(const cJSON *lease, const char *agent, int64_t now_ms,
                            struct acts *acts)
{
	const cJSON *limits = cJSON_GetObjectItemCaseSensitive(lease, "limits"), *input;
	struct holding *h = xcalloc(1, sizeof *h);
	h->trial = json_int(lease, "trial", 0);
	h->attempt = json_int(lease, "attempt", 0);
	h->lease = cJSON_Duplicate(lease, true);
	h->ranks = json_int(limits, "ranks", 1);
	h->threads = json_int(limits, "threads", 1);
	h->slots = json_int(limits, "slots", h->ranks);
	h->memory_mb = json_int(limits, "memory_mb", 0);
	h->until_epoch = json_int(limits, "until_epoch", 0);
	h->stall_ms = (int64_t)(json_real(json_at(lease, "spec.stall"), "minutes", stall_minutes) *
	                        60000);
	h->grace_ms = (int64_t)(json_real(limits, "grace_seconds", GRACE_SECONDS) * 1000);
	h->started_ms = h->moved_ms = now_ms;
	fetch(h, cJSON_GetObjectItemCaseSensitive(lease, "resume"), acts);
	cJSON_ArrayForEach (input, cJSON_GetObjectItemCaseSensitive(lease, "inputs"))
		fetch(h, input, acts);
	if (!h->fetches)
		begin(h, now_ms, acts);
	return h;
}

void holding_free(struct holding *h)
{
	cJSON_Delete(h->lease);
	cJSON_Delete(h->progress);
	cJSON_Delete(h->end);
	outbox_release(&h->outbox);
	free(h->killed_why);
	free(h);
}

/* --- the last word -----------------------------------------------------------------------------
 */

static cJSON *ended_body(const struct holding *h, const char *agent, const char *outcome,
                         const char *text)
{
	cJSON *body = body_new(h, agent);
	cJSON_AddStringToObject(body, "outcome", outcome);
	cJSON_AddStringToObject(body, "text", text ? text : "");
	return body;
}

void holding_refuse(struct holding *h, const char *agent, const char *outcome, const char *text,
                    struct acts *acts)
{
	h->phase = HOLDING_OVER;
	outbox_release(&h->outbox);
	act_add(acts, ACT_CANCEL, h->trial, h->attempt);
	outbox_add(&h->outbox, WIRE_ENDED, ended_body(h, agent, outcome, text));
}

static void upload(struct holding *h, const struct outbox_item *item, struct acts *acts)
{
	for (size_t i = 0; i < item->file_count; i++)
		if (!item->files[i].stored)
			act_add_file(acts, ACT_UPLOAD, h->trial, h->attempt, item->files[i].sha256,
			             item->files[i].path, item->files[i].bytes);
}

static void artifacts_add_log(cJSON *artifacts, const struct holding_exit *x)
{
	cJSON *log = cJSON_CreateObject();
	cJSON_AddStringToObject(log, "name", "log");
	cJSON_AddStringToObject(log, "sha256", x->log_sha256);
	cJSON_AddNumberToObject(log, "bytes", (double)x->log_bytes);
	cJSON_AddItemToArray(artifacts, log);
}

/* All that was said before is in DONE too. */
static void finish(struct holding *h, const char *agent, const struct holding_exit *x,
                   struct acts *acts)
{
	const cJSON *artifact;
	cJSON *body = body_from(h, agent, h->end);
	outbox_release(&h->outbox);
	act_add(acts, ACT_CANCEL, h->trial, h->attempt);
	if (x->log_sha256[0])
		artifacts_add_log(cJSON_GetObjectItemCaseSensitive(body, "artifacts"), x);
	struct outbox_item *item = outbox_add(&h->outbox, WIRE_DONE, body);
	cJSON_ArrayForEach (artifact, cJSON_GetObjectItemCaseSensitive(h->end, "artifacts"))
		outbox_add_file(item, json_text(artifact, "sha256", ""),
		                json_text(artifact, "path", ""), json_int(artifact, "bytes", 0));
	if (x->log_sha256[0])
		outbox_add_file(item, x->log_sha256, x->log_path, x->log_bytes);
	upload(h, item, acts);
}

static const char *wish_outcome(enum holding_wish wish)
{
	return wish == WISH_STOP ? "stopped" : "yield";
}

/* Why it ended, when its own word (or outcome.json) does not say so.  Our own kill comes before
 * what the ranks made of being killed. */
static void judge(const struct holding *h, const struct holding_exit *x, const char **outcome,
                  const char **text)
{
	*outcome = json_text(h->end, "outcome", NULL);
	*text = json_text(h->end, "text", "");
	if (h->killed_as && (!*outcome || strcmp(*outcome, "error") == 0)) {
		*outcome = h->killed_as;
		*text = h->killed_why;
	} else if (!*outcome && h->wish != WISH_RUN) {
		*outcome = wish_outcome(h->wish);
		*text = "ended before it could say how";
	} else if (!*outcome) {
		*outcome = x->by_host ? "killed" : "error";
		*text = x->by_host ? "killed by the host (out of memory there, or by hand)"
		                   : "its processes ended without an outcome; see the log";
	}
}

void holding_exited(struct holding *h, const char *agent, const struct holding_exit *x,
                    int64_t now_ms, struct acts *acts)
{
	const char *outcome, *text;
	h->phase = HOLDING_OVER;
	if (!h->end && x->outcome) {
		h->end =
		        cJSON_Duplicate(cJSON_GetObjectItemCaseSensitive(x->outcome, "body"), true);
		h->end_done = strcmp(json_text(x->outcome, "kind", ""), "job_done") == 0;
	}
	if (h->end && h->end_done) {
		finish(h, agent, x, acts);
		return;
	}
	judge(h, x, &outcome, &text);
	cJSON *body = ended_body(h, agent, outcome, text);
	cJSON_AddStringToObject(body, "log", x->log ? x->log : "");
	cJSON_AddNumberToObject(body, "seconds", (double)(now_ms - h->started_ms) / 1000);
	if (h->wish == WISH_STOP) {
		outbox_release(&h->outbox);
		act_add(acts, ACT_CANCEL, h->trial, h->attempt);
	}
	outbox_add(&h->outbox, WIRE_ENDED, body);
}

/* --- orders ------------------------------------------------------------------------------------
 */

void holding_order(struct holding *h, const char *agent, enum holding_wish wish, int64_t now_ms,
                   struct acts *acts)
{
	if (wish <= h->wish)
		return;
	h->wish = wish;
	h->wish_ms = now_ms;
	if (h->phase == HOLDING_FETCH) {
		holding_refuse(h, agent, wish_outcome(wish), "", acts);
	} else if (h->phase == HOLDING_RUN) {
		act_add(acts, ACT_ORDER, h->trial, h->attempt)->text =
		        wish == WISH_STOP ? "stop" : "yield";
	} else if (wish == WISH_STOP) { /* its checkpoints are not wanted any more */
		act_add(acts, ACT_CANCEL, h->trial, h->attempt);
		while (h->outbox.count > 1)
			outbox_remove(&h->outbox, 0);
		for (size_t i = 0; i < h->outbox.items[0].file_count; i++)
			h->outbox.items[0].files[i].stored = true;
	}
}

static void job_kill_as(struct holding *h, const char *outcome, char *why, struct acts *acts)
{
	if (h->killed) {
		free(why);
		return;
	}
	h->killed = true;
	h->killed_as = outcome;
	h->killed_why = why;
	act_add(acts, ACT_KILL, h->trial, h->attempt);
}

void holding_memory(struct holding *h, int64_t bytes, struct acts *acts)
{
	if (h->phase == HOLDING_RUN && h->memory_mb > 0 && bytes > h->memory_mb << 20)
		job_kill_as(h, "out_of_memory",
		            xformat("its processes took %lld MB; resources.memory_mb is %lld",
		                    (long long)(bytes >> 20), (long long)h->memory_mb),
		            acts);
}

static void tick_running(struct holding *h, int64_t now_ms, struct acts *acts)
{
	if (h->end && now_ms - h->end_ms > h->grace_ms)
		job_kill_as(h, NULL, NULL, acts);
	else if (h->wish != WISH_RUN && now_ms - h->wish_ms > h->grace_ms)
		job_kill_as(h, wish_outcome(h->wish),
		            xformat("did not end within %lld s", (long long)(h->grace_ms / 1000)),
		            acts);
	else if (!h->end && now_ms - h->moved_ms > h->stall_ms)
		job_kill_as(h, "hung",
		            xformat("no step for %.3g minutes (stall.minutes)",
		                    (double)h->stall_ms / 60000),
		            acts);
}

void holding_tick(struct holding *h, int64_t now_ms, int64_t again_ms, int64_t *credits,
                  struct acts *acts)
{
	if (h->phase == HOLDING_RUN)
		tick_running(h, now_ms, acts);
	for (size_t i = 0; i < h->outbox.count; i++) {
		struct outbox_item *item = &h->outbox.items[i];
		bool costs = item->kind == WIRE_METRICS && !item->sent;
		if (!outbox_due(&h->outbox, i, now_ms, again_ms) || (costs && *credits < 1))
			continue;
		*credits -= costs;
		item->sent_ms = now_ms;
		item->sent++;
		struct act *act = act_add(acts, ACT_SEND, h->trial, h->attempt);
		act->message = item->kind;
		act->body = item->body;
	}
}

/* --- files -------------------------------------------------------------------------------------
 */

void holding_fetched(struct holding *h, const char *agent, const struct transfer_result *r,
                     int64_t now_ms, struct acts *acts)
{
	const char *resume =
	        json_text(cJSON_GetObjectItemCaseSensitive(h->lease, "resume"), "sha256", "");
	if (h->phase != HOLDING_FETCH || r->status == TRANSFER_CANCELLED)
		return;
	if (r->status == TRANSFER_OK) {
		if (--h->fetches == 0)
			begin(h, now_ms, acts);
		return;
	}
	char *text = xformat("%s: %s", transfer_status_text(r->status), r->error.text);
	bool lost = r->status == TRANSFER_GONE || r->status == TRANSFER_BAD;
	holding_refuse(h, agent,
	               !lost                                 ? "refuse"
	               : strcmp(resume, r->item.sha256) == 0 ? "checkpoint_bad"
	                                                     : "input_lost",
	               text, acts);
	if (lost)
		cJSON_AddStringToObject(h->outbox.items[0].body, "sha256", r->item.sha256);
	free(text);
}

bool holding_owes(const struct holding *h, const char *sha256)
{
	for (size_t i = 0; i < h->outbox.count; i++)
		if (outbox_item_has(&h->outbox.items[i], sha256))
			return true;
	return false;
}

/* A file that cannot be sent: a checkpoint fewer, or a result that is worth nothing.  One that is
 * refused counts as sent: the coordinator will say why it is not wanted. */
void holding_stored(struct holding *h, const char *agent, const struct transfer_result *r,
                    struct acts *acts)
{
	bool broken = r->status == TRANSFER_LOCAL || r->status == TRANSFER_BAD;
	if (r->status == TRANSFER_CANCELLED)
		return;
	for (size_t i = h->outbox.count; i-- > 0;) {
		struct outbox_item *item = &h->outbox.items[i];
		if (!outbox_item_has(item, r->item.sha256))
			continue;
		if (!broken)
			outbox_item_mark_stored(item, r->item.sha256);
		else if (item->kind == WIRE_CHECKPOINT)
			outbox_remove(&h->outbox, i);
		else { /* the last word stands alone */
			holding_refuse(h, agent, "error", r->error.text, acts);
			break;
		}
	}
}

/* --- from the job ------------------------------------------------------------------------------
 */

static void progress(struct holding *h, const cJSON *body, int64_t now_ms)
{
	static const char *const moving[] = {"step", "epoch"};
	bool moved = !h->progress ||
	             strcmp(json_text(body, "phase", ""), json_text(h->progress, "phase", "")) != 0;
	for (size_t i = 0; i < sizeof moving / sizeof *moving && !moved; i++)
		moved = json_int(body, moving[i], 0) != json_int(h->progress, moving[i], 0);
	if (moved)
		h->moved_ms = now_ms;
	cJSON_Delete(h->progress);
	h->progress = cJSON_Duplicate(body, true);
}

/* The job writes no more to it, and does not need it: the next attempt may, if it runs here. */
static void checkpoint_keep(const struct holding *h, const struct outbox_item *item,
                            struct acts *acts)
{
	act_add_file(acts, ACT_KEEP, h->trial, h->attempt, item->files[0].sha256,
	             item->files[0].path, item->files[0].bytes);
}

/* The oldest waiting checkpoint is on its way; those between it and the newest are not needed. */
static void checkpoint(struct holding *h, const char *agent, const cJSON *body, struct acts *acts)
{
	size_t waiting = 0;
	struct outbox_item *item =
	        outbox_add(&h->outbox, WIRE_CHECKPOINT, body_from(h, agent, body));
	outbox_add_file(item, json_text(body, "sha256", ""), json_text(body, "path", ""),
	                json_int(body, "bytes", 0));
	upload(h, item, acts);
	for (size_t i = 0; i + 1 < h->outbox.count; i++)
		if (h->outbox.items[i].kind == WIRE_CHECKPOINT &&
		    ++waiting >= CHECKPOINTS_WAITING) {
			checkpoint_keep(h, &h->outbox.items[i], acts);
			outbox_remove(&h->outbox, i--);
		}
}

void holding_message(struct holding *h, const char *agent, enum wire_kind kind, const cJSON *body,
                     int64_t now_ms, struct acts *acts)
{
	if (h->phase != HOLDING_RUN)
		return;
	switch ((int)kind) {
	case WIRE_JOB_HELLO:
		h->connected = true;
		h->moved_ms = now_ms;
		if (h->wish != WISH_RUN) /* the order was given before anybody could hear it */
			act_add(acts, ACT_ORDER, h->trial, h->attempt)->text =
			        h->wish == WISH_STOP ? "stop" : "yield";
		break;
	case WIRE_JOB_PROGRESS: progress(h, body, now_ms); break;
	case WIRE_JOB_METRICS:
		h->moved_ms = now_ms;
		outbox_add_metrics(&h->outbox, body_from(h, agent, body));
		break;
	case WIRE_JOB_CHECKPOINT:
		h->moved_ms = now_ms;
		checkpoint(h, agent, body, acts);
		break;
	case WIRE_JOB_DONE:
	case WIRE_JOB_ENDED:
		cJSON_Delete(h->end);
		h->end = cJSON_Duplicate(body, true);
		h->end_done = kind == WIRE_JOB_DONE;
		h->end_ms = now_ms;
		break;
	default: break;
	}
}

/* --- acknowledgements --------------------------------------------------------------------------
 */

static void checkpoint_saved(struct holding *h, int64_t step, int64_t batch, struct acts *acts)
{
	for (size_t i = h->outbox.count; i-- > 0;) {
		struct outbox_item *item = &h->outbox.items[i];
		bool metrics = item->kind == WIRE_METRICS && item->batch <= batch;
		bool older = item->kind == WIRE_CHECKPOINT && item->step <= step;
		if (older)
			checkpoint_keep(h, item, acts);
		if (metrics || older)
			outbox_remove(&h->outbox, i);
	}
}

static void metrics_saved(struct holding *h, int64_t batch)
{
	for (size_t i = h->outbox.count; i-- > 0;)
		if (h->outbox.items[i].kind == WIRE_METRICS && h->outbox.items[i].batch == batch)
			outbox_remove(&h->outbox, i);
}

/* Uploads what the coordinator misses; the message is said again when that is done. */
static void needed(struct holding *h, const cJSON *list, struct acts *acts)
{
	const cJSON *sha256;
	cJSON_ArrayForEach (sha256, list)
		for (size_t i = 0; i < h->outbox.count; i++)
			for (size_t f = 0; f < h->outbox.items[i].file_count; f++) {
				struct outbox_file *file = &h->outbox.items[i].files[f];
				if (!file->stored || !cJSON_IsString(sha256) ||
				    strcmp(file->sha256, sha256->valuestring))
					continue;
				file->stored = false;
				h->outbox.items[i].sent = 0;
				act_add_file(acts, ACT_UPLOAD, h->trial, h->attempt, file->sha256,
				             file->path, file->bytes);
			}
}

bool holding_saved(struct holding *h, enum wire_kind kind, const cJSON *body, struct acts *acts)
{
	switch ((int)kind) {
	case WIRE_METRICS_SAVED: metrics_saved(h, json_int(body, "batch", -1)); return false;
	case WIRE_CHECKPOINT_SAVED:
		checkpoint_saved(h, json_int(body, "step", -1), json_int(body, "batch", -1), acts);
		return false;
	case WIRE_NEED:
		needed(h, cJSON_GetObjectItemCaseSensitive(body, "sha256"), acts);
		return false;
	case WIRE_DONE_SAVED: return outbox_find(&h->outbox, WIRE_DONE) != NULL;
	case WIRE_ENDED_SAVED: return outbox_find(&h->outbox, WIRE_ENDED) != NULL;
	default: return false;
	}
}

/* --- description -------------------------------------------------------------------------------
 */

static const char *phase_text(const struct holding *h)
{
	const struct outbox *o = &h->outbox;
	if (h->phase == HOLDING_FETCH)
		return "fetch";
	if (h->phase == HOLDING_RUN)
		return json_text(h->progress, "phase", "start");
	return o->count && o->items[o->count - 1].kind == WIRE_DONE ? "done" : "ended";
}

cJSON *holding_describe(const struct holding *h)
{
	static const char *const members[] = {"epoch", "epochs",   "steps", "images_per_second",
	                                      "loss",  "accuracy", NULL};
	cJSON *entry = cJSON_CreateObject();
	int64_t from = json_int(cJSON_GetObjectItemCaseSensitive(h->lease, "resume"), "step", 0);
	cJSON_AddNumberToObject(entry, "trial", (double)h->trial);
	cJSON_AddNumberToObject(entry, "attempt", (double)h->attempt);
	cJSON_AddNumberToObject(entry, "step", (double)json_int(h->progress, "step", from));
	cJSON_AddStringToObject(entry, "phase", phase_text(h));
	for (int i = 0; members[i]; i++) {
		const cJSON *value = cJSON_GetObjectItemCaseSensitive(h->progress, members[i]);
		if (cJSON_IsNumber(value))
			cJSON_AddNumberToObject(entry, members[i], value->valuedouble);
	}
	return entry;
}
