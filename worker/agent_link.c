/* The agent's side of its talk with the coordinator: HELLO, BEAT, ORDERS, acknowledgements. */
#include "core/base/file.h"
#include "core/base/json.h"
#include "core/base/log.h"
#include "core/base/text.h"
#include "worker/agent_state.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	SILENT_BEATS = 3, /* after so many without an answer it says hello again */
	BEAT_MIN_MS = 10,
	SETTLING_MS = 50, /* between looks whether all addresses have answered */
	AWAY_MS = 5000,   /* a coordinator silent for so long is worth a line */
	DISK_MIN_BYTES = 256 << 20,
	SAID_MS = 60000 /* the same complaint is printed once in so long */
};

static const char never_heard[] =
        " (is `trawl serve` running there, is --server-key its key, and was ours authorized there: "
        "`trawl keys authorize agent`?)";

void agent_send(struct agent *a, enum wire_kind kind, cJSON *body)
{
	struct error e;
	if (addresses_send(&a->office.coordinator, kind, body, &e) < 0)
		log_warn("%s", e.text);
}

/* --- coordinator -------------------------------------------------------------------------------
 */

static cJSON *describe_all(const struct agent *a)
{
	cJSON *holds = cJSON_CreateArray();
	for (size_t i = 0; i < a->slot_count; i++)
		cJSON_AddItemToArray(holds, holding_describe(a->slots[i]->holding));
	return holds;
}

static void add_room(const struct agent *a, cJSON *body)
{
	int64_t ranks = a->options->ranks, memory_mb = json_int(a->offer, "memory_mb", 0);
	for (size_t i = 0; i < a->slot_count; i++) {
		const struct holding *h = a->slots[i]->holding;
		if (h->phase == HOLDING_OVER)
			continue;
		ranks -= h->slots;
		memory_mb -= h->memory_mb;
	}
	if (a->disk_low)
		ranks = 0;
	cJSON_AddNumberToObject(body, "free_ranks", (double)(ranks > 0 ? ranks : 0));
	cJSON_AddNumberToObject(body, "free_memory_mb", (double)(memory_mb > 0 ? memory_mb : 0));
	cJSON_AddItemToObject(body, "holds", describe_all(a));
	cJSON_AddBoolToObject(body, "draining", a->leave_ms != 0);
}

static void send_logs(struct agent *a)
{
	for (size_t i = 0; i < a->slot_count; i++) {
		int64_t offset;
		struct slot *s = a->slots[i];
		char *text = s->started ? joblog_take(&s->job.log, &offset) : NULL;
		if (!text)
			continue;
		cJSON *body = cJSON_CreateObject();
		cJSON_AddStringToObject(body, "agent", a->office.name);
		cJSON_AddNumberToObject(body, "trial", (double)s->holding->trial);
		cJSON_AddNumberToObject(body, "attempt", (double)s->holding->attempt);
		cJSON_AddNumberToObject(body, "offset", (double)offset);
		cJSON_AddStringToObject(body, "text", text);
		agent_send(a, WIRE_LOG, body);
		free(text);
	}
}

bool agent_hears_nothing(const struct agent *a)
{
	return a->now_ms - (a->heard_ms ? a->heard_ms : a->begun_ms) > SILENT_BEATS * a->beat_ms;
}

/* With a full disk every trial would fail at once, one after the other: none is taken. */
static void look_at_disk(struct agent *a)
{
	int64_t free_bytes = disk_free_bytes(a->office.folder);
	bool low = free_bytes >= 0 && free_bytes < DISK_MIN_BYTES;

	if (low && !a->disk_low)
		log_warn("%lld MB are left on the disk of %s: no trials are taken until there are "
		         "%d",
		         (long long)free_bytes >> 20, a->office.folder, DISK_MIN_BYTES >> 20);
	if (!low && a->disk_low)
		log_info("there is room on the disk again");
	a->disk_low = low;
}

/* HELLO when we are not known to be known, or the store may have moved; BEAT otherwise. */
void agent_beat(struct agent *a)
{
	if (agent_hears_nothing(a))
		a->welcome = false;
	addresses_probe(&a->office.coordinator, a->office.name, !a->welcome, a->now_ms);
	if (!addresses_settled(&a->office.coordinator, a->now_ms)) {
		a->next_beat_ms = a->now_ms + SETTLING_MS;
		return;
	}
	if (!a->away && a->now_ms - (a->heard_ms ? a->heard_ms : a->begun_ms) > AWAY_MS) {
		log_warn("no answer from %s; what runs goes on, and we keep trying%s",
		         addresses_here(&a->office.coordinator), a->heard_ms ? "" : never_heard);
		a->away = true;
	}
	look_at_disk(a);
	bool hello = !a->welcome || transfer_is_stuck(a->transfer);
	cJSON *body = hello ? cJSON_Duplicate(a->offer, true) : cJSON_CreateObject();
	if (!hello) {
		cJSON_AddStringToObject(body, "agent", a->office.name);
		cJSON_AddNumberToObject(body, "seq", (double)++a->seq);
	}
	if (hello && a->options->limit_ms)
		cJSON_AddNumberToObject(body, "seconds_left",
		                        agent_left_ms(a) > 0 ? (double)(agent_left_ms(a) / 1000)
		                                             : 0);
	add_room(a, body);
	agent_send(a, hello ? WIRE_HELLO : WIRE_BEAT, body);
	if (a->welcome)
		send_logs(a);
	a->next_beat_ms = a->now_ms + a->beat_ms;
}

static void set_pace(struct agent *a, const cJSON *body)
{
	int64_t credits = json_int(body, "credits", a->credits);
	a->credits = credits < 1 ? 1 : credits;
	int64_t beat_ms = json_int(body, "beat_ms", a->beat_ms);
	a->beat_ms = beat_ms < 10 ? 10 : beat_ms;
	if (a->next_beat_ms > a->now_ms + a->beat_ms)
		a->next_beat_ms = a->now_ms + a->beat_ms;
}

static void on_welcome(struct agent *a, const cJSON *body)
{
	if (!a->welcome)
		log_info("%s knows us as worker %lld", addresses_here(&a->office.coordinator),
		         (long long)json_int(body, "worker", 0));
	a->welcome = true;
	transfer_url(a->transfer, json_text(body, "url", ""), json_text(body, "pin", NULL));
	set_pace(a, body);
}

static enum holding_wish wish_named(const char *order)
{
	return strcmp(order, "stop") == 0    ? WISH_STOP
	       : strcmp(order, "yield") == 0 ? WISH_YIELD
	                                     : WISH_RUN;
}

static void on_order(struct agent *a, const cJSON *lease)
{
	int64_t trial = json_int(lease, "trial", 0), attempt = json_int(lease, "attempt", 0);
	enum holding_wish wish = wish_named(json_text(lease, "order", "run"));
	struct slot *s = agent_slot(a, trial, attempt);
	if (!s && cJSON_GetObjectItemCaseSensitive(lease, "spec") &&
	    !agent_was_over(a, trial, attempt))
		s = agent_slot_add(a, lease);
	if (s)
		holding_order(s->holding, a->office.name, a->leave_ms && !wish ? WISH_YIELD : wish,
		              a->now_ms, &a->acts);
}

static bool lists(const cJSON *holds, const struct holding *h)
{
	const cJSON *lease;
	cJSON_ArrayForEach (lease, holds)
		if (json_int(lease, "trial", 0) == h->trial &&
		    json_int(lease, "attempt", 0) == h->attempt)
			return true;
	return false;
}

/* All that is listed is held from now on; the answer to a beat also tells what is not ours any
 * more. A finished trial is not given up for that: it is told until somebody has heard it. */
static void on_orders(struct agent *a, const cJSON *body)
{
	int64_t seq = json_int(body, "seq", 0);
	const cJSON *holds = cJSON_GetObjectItemCaseSensitive(body, "holds"), *lease;
	if (seq && seq < a->orders_seq)
		return;
	size_t before = a->slot_count;
	cJSON_ArrayForEach (lease, holds)
		on_order(a, lease);
	for (size_t i = 0; seq && i < before; i++) {
		struct holding *h = a->slots[i]->holding;
		if (!lists(holds, h) && !outbox_find(&h->outbox, WIRE_DONE))
			holding_order(h, a->office.name, WISH_STOP, a->now_ms, &a->acts);
	}
	a->orders_seq = seq ? seq : a->orders_seq;
	set_pace(a, body);
}

static void on_saved(struct agent *a, enum wire_kind kind, const cJSON *body)
{
	struct slot *s = agent_slot_of(a, body);
	if (s && holding_saved(s->holding, kind, body, &a->acts)) {
		agent_act(a);
		agent_slot_forget(a, s);
	}
}

/* The same complaint about every beat is worth a line a minute. */
static void on_error(struct agent *a, const char *text)
{
	if (strcmp(a->said, text) == 0 && a->now_ms - a->said_ms < SAID_MS)
		return;
	snprintf(a->said, sizeof a->said, "%s", text);
	a->said_ms = a->now_ms;
	log_warn("the coordinator says: %s", text);
}

/* Elsewhere nobody knows us yet, nor what we have said. */
void agent_move(struct agent *a)
{
	for (size_t i = 0; i < a->slot_count; i++)
		outbox_unsay(&a->slots[i]->holding->outbox);
	a->welcome = false;
	a->heard_ms = a->now_ms;
	a->next_beat_ms = a->now_ms;
}

void agent_on_coordinator(struct agent *a, const struct message *m)
{
	a->heard_ms = a->now_ms;
	a->away = false;
	switch ((int)m->kind) {
	case WIRE_WELCOME: on_welcome(a, m->body); break;
	case WIRE_AGAIN:
		a->welcome = false;
		a->next_beat_ms = a->now_ms;
		break;
	case WIRE_ORDERS: on_orders(a, m->body); break;
	case WIRE_METRICS_SAVED:
	case WIRE_CHECKPOINT_SAVED:
	case WIRE_NEED:
	case WIRE_DONE_SAVED:
	case WIRE_ENDED_SAVED: on_saved(a, m->kind, m->body); break;
	case WIRE_ERROR: on_error(a, json_text(m->body, "text", "")); break;
	default: log_warn("unexpected message %s", wire_name(m->kind));
	}
}
