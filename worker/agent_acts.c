/* The agent's acts: what holding.c decided is done to jobs, transfers, files and sockets. */
#include "core/base/clock.h"
#include "core/base/file.h"
#include "core/base/json.h"
#include "core/base/log.h"
#include "core/base/text.h"
#include "worker/agent_state.h"
#include "worker/cache.h"
#include <stdlib.h>
#include <string.h>

enum { CACHE_MB = 4096 };

/* --- slots -------------------------------------------------------------------------------------
 */

struct slot *agent_slot(struct agent *a, int64_t trial, int64_t attempt)
{
	for (size_t i = 0; i < a->slot_count; i++)
		if (a->slots[i]->holding->trial == trial &&
		    a->slots[i]->holding->attempt == attempt)
			return a->slots[i];
	return NULL;
}

struct slot *agent_slot_of(struct agent *a, const cJSON *body)
{
	return agent_slot(a, json_int(body, "trial", -1), json_int(body, "attempt", -1));
}

bool agent_was_over(const struct agent *a, int64_t trial, int64_t attempt)
{
	for (size_t i = 0; i < OVER_COUNT; i++)
		if (a->over[i].trial == trial && a->over[i].attempt == attempt)
			return true;
	return false;
}

struct slot *agent_slot_add(struct agent *a, const cJSON *lease)
{
	struct holding *h = holding_new(lease, a->office.name, a->now_ms, &a->acts);
	a->slots = xrealloc(a->slots, (a->slot_count + 1) * sizeof *a->slots);
	log_info("trial %lld attempt %lld: leased", (long long)h->trial, (long long)h->attempt);
	return a->slots[a->slot_count++] = slot_new(h, a->office.folder);
}

void agent_slot_forget(struct agent *a, struct slot *s)
{
	size_t i = 0;
	while (a->slots[i] != s)
		i++;
	transfer_cancel(a->transfer, s->holding->trial, s->holding->attempt);
	a->over[a->over_next].trial = s->holding->trial;
	a->over[a->over_next].attempt = s->holding->attempt;
	a->over_next = (a->over_next + 1) % OVER_COUNT;
	slot_free(s);
	a->slots[i] = a->slots[--a->slot_count];
}

/* --- acts --------------------------------------------------------------------------------------
 */

static void do_transfer(struct agent *a, struct slot *s, const struct act *act)
{
	bool up = act->kind == ACT_UPLOAD;
	char *path = up ? xstrdup(act->path) : path_join(a->office.cache, act->sha256);
	struct transfer_item item = {.upload = up,
	                             .trial = act->trial,
	                             .attempt = act->attempt,
	                             .bytes = act->bytes,
	                             .path = path,
	                             .token = (char *)json_text(s->holding->lease, "token", "")};
	memcpy(item.sha256, act->sha256, sizeof item.sha256);
	transfer_put(a->transfer, &item);
	free(path);
}

static void do_start(struct agent *a, struct slot *s, const struct act *act)
{
	struct error e;
	if (s->holding->slots > a->options->ranks) {
		error_set(&e, "it asks for %lld ranks, this agent has %d",
		          (long long)s->holding->slots, a->options->ranks);
		holding_refuse(s->holding, a->office.name, "refuse", e.text, &a->acts);
		return;
	}
	if (slot_start(s, &a->job, a->office.cache, &e)) {
		log_warn("trial %lld: %s", (long long)act->trial, e.text);
		holding_refuse(s->holding, a->office.name, "refuse", e.text, &a->acts);
	}
}

static void do_order(struct agent *a, struct slot *s, const struct act *act)
{
	if (!s->route) /* it is told when it says hello */
		return;
	cJSON *body = cJSON_CreateObject();
	cJSON_AddNumberToObject(body, "trial", (double)act->trial);
	cJSON_AddNumberToObject(body, "attempt", (double)act->attempt);
	cJSON_AddStringToObject(body, "order", act->text);
	struct message m = message_make(WIRE_JOB_ORDER, s->route, s->route_bytes, body);
	wire_send(a->office.jobs, &m, NULL);
	message_release(&m);
}

static void do_kill(struct agent *a, struct slot *s, const struct act *act)
{
	if (s->started && job_kill(&s->job))
		log_warn("trial %lld: processes that cannot be killed are left",
		         (long long)act->trial);
}

static void do_cancel(struct agent *a, struct slot *s, const struct act *act)
{
	transfer_cancel(a->transfer, act->trial, act->attempt);
}

static void do_send(struct agent *a, struct slot *s, const struct act *act)
{
	agent_send(a, act->message, cJSON_Duplicate(act->body, true));
}

void agent_cache_trim(const struct agent *a)
{
	cache_trim(a->office.cache, (a->options->cache_mb ? a->options->cache_mb : CACHE_MB) << 20,
	           clock_wall_ms());
}

static void do_keep(struct agent *a, struct slot *s, const struct act *act)
{
	cache_keep(a->office.cache, act->sha256, act->path);
	agent_cache_trim(a);
}

static void (*const act_table[])(struct agent *, struct slot *, const struct act *) = {
        [ACT_FETCH] = do_transfer, [ACT_START] = do_start,     [ACT_ORDER] = do_order,
        [ACT_KILL] = do_kill,      [ACT_UPLOAD] = do_transfer, [ACT_CANCEL] = do_cancel,
        [ACT_SEND] = do_send,      [ACT_KEEP] = do_keep,
};

/* Does what was decided; what that leads to is appended and done too. */
void agent_act(struct agent *a)
{
	for (size_t i = 0; i < a->acts.count; i++) {
		struct act act = a->acts.items[i];
		struct slot *s = agent_slot(a, act.trial, act.attempt);
		if (s)
			act_table[act.kind](a, s, &act);
	}
	acts_release(&a->acts);
}
