/* The agent's loop: sockets, signals, timers; what is to be done is decided in holding.c. */
#include "worker/agent.h"
#include "core/base/clock.h"
#include "core/base/file.h"
#include "core/base/json.h"
#include "core/base/log.h"
#include "core/base/text.h"
#include "worker/cache.h"
#include "worker/guard.h"
#include "worker/office.h"
#include "worker/process.h"
#include "worker/slot.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zmq.h>

enum {
	BEAT_MS = 1000,          /* until the coordinator says */
	MEMORY_MS = 500,         /* between looks at the memory of jobs */
	TICK_MS = 100,           /* deadlines are kept to this */
	SILENT_BEATS = 3,        /* after so many without an answer it says hello again */
	SIGNALS_APART_MS = 1000, /* a terminal and a parent may both send the same one */
	LEAVE_MS = 60000,
	CACHE_MB = 4096,
	LOG_BYTES = 4 << 20,
	OVER_COUNT = 64 /* attempts remembered as over, against orders that come late */
};

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
	int64_t now_ms, beat_ms, next_beat_ms, next_memory_ms, next_tick_ms;
	int64_t seq, orders_seq, heard_ms;
	int64_t signal_ms, leave_ms, idle_ms; /* 0: not (idle_ms: since when) */
	bool welcome, ended;
};

static const char *agent_name(const struct agent *a)
{
	return a->office.name;
}

/* --- slots --------------------------------------------------------------------------------------
 */

static struct slot *slot_find(struct agent *a, int64_t trial, int64_t attempt)
{
	for (size_t i = 0; i < a->slot_count; i++)
		if (a->slots[i]->holding->trial == trial &&
		    a->slots[i]->holding->attempt == attempt)
			return a->slots[i];
	return NULL;
}

static struct slot *slot_of(struct agent *a, const cJSON *body)
{
	return slot_find(a, json_int(body, "trial", -1), json_int(body, "attempt", -1));
}

static bool was_over(const struct agent *a, int64_t trial, int64_t attempt)
{
	for (size_t i = 0; i < OVER_COUNT; i++)
		if (a->over[i].trial == trial && a->over[i].attempt == attempt)
			return true;
	return false;
}

static struct slot *slot_add(struct agent *a, const cJSON *lease)
{
	struct holding *h = holding_new(lease, agent_name(a), a->now_ms, &a->acts);
	a->slots = xrealloc(a->slots, (a->slot_count + 1) * sizeof *a->slots);
	log_info("trial %lld attempt %lld: leased", (long long)h->trial, (long long)h->attempt);
	return a->slots[a->slot_count++] = slot_new(h, a->office.folder);
}

static void slot_forget(struct agent *a, struct slot *s)
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

/* --- acts ---------------------------------------------------------------------------------------
 */

static void send_to_coordinator(struct agent *a, enum wire_kind kind, cJSON *body)
{
	struct error e;
	struct message m = message_make(kind, NULL, 0, body);
	if (wire_send(a->office.coordinator, &m, &e) < 0)
		log_warn("%s", e.text);
	message_release(&m);
}

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
	if (slot_start(s, &a->job, a->office.cache, &e)) {
		log_warn("trial %lld: %s", (long long)act->trial, e.text);
		holding_refuse(s->holding, agent_name(a), "refuse", e.text, &a->acts);
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
	send_to_coordinator(a, act->message, cJSON_Duplicate(act->body, true));
}

static void do_keep(struct agent *a, struct slot *s, const struct act *act)
{
	cache_keep(a->office.cache, act->sha256, act->path);
}

static void (*const act_table[])(struct agent *, struct slot *, const struct act *) = {
        [ACT_FETCH] = do_transfer, [ACT_START] = do_start,     [ACT_ORDER] = do_order,
        [ACT_KILL] = do_kill,      [ACT_UPLOAD] = do_transfer, [ACT_CANCEL] = do_cancel,
        [ACT_SEND] = do_send,      [ACT_KEEP] = do_keep,
};

/* Does what was decided; what that leads to is appended and done too. */
static void agent_act(struct agent *a)
{
	for (size_t i = 0; i < a->acts.count; i++) {
		struct act act = a->acts.items[i];
		struct slot *s = slot_find(a, act.trial, act.attempt);
		if (s)
			act_table[act.kind](a, s, &act);
	}
	acts_release(&a->acts);
}

/* --- coordinator ---------------------------------------------------------------------------------
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
		cJSON_AddStringToObject(body, "agent", agent_name(a));
		cJSON_AddNumberToObject(body, "trial", (double)s->holding->trial);
		cJSON_AddNumberToObject(body, "attempt", (double)s->holding->attempt);
		cJSON_AddNumberToObject(body, "offset", (double)offset);
		cJSON_AddStringToObject(body, "text", text);
		send_to_coordinator(a, WIRE_LOG, body);
		free(text);
	}
}

/* HELLO when we are not known to be known, or the store may have moved; BEAT otherwise. */
static void agent_beat(struct agent *a)
{
	if (a->now_ms - a->heard_ms > SILENT_BEATS * a->beat_ms)
		a->welcome = false;
	bool hello = !a->welcome || transfer_is_stuck(a->transfer);
	cJSON *body = hello ? cJSON_Duplicate(a->offer, true) : cJSON_CreateObject();
	if (!hello) {
		cJSON_AddStringToObject(body, "agent", agent_name(a));
		cJSON_AddNumberToObject(body, "seq", (double)++a->seq);
	}
	add_room(a, body);
	send_to_coordinator(a, hello ? WIRE_HELLO : WIRE_BEAT, body);
	if (a->welcome)
		send_logs(a);
	a->next_beat_ms = a->now_ms + a->beat_ms;
}

static void set_beat(struct agent *a, const cJSON *body)
{
	int64_t beat_ms = json_int(body, "beat_ms", a->beat_ms);
	a->beat_ms = beat_ms < 10 ? 10 : beat_ms;
	if (a->next_beat_ms > a->now_ms + a->beat_ms)
		a->next_beat_ms = a->now_ms + a->beat_ms;
}

static void on_welcome(struct agent *a, const cJSON *body)
{
	if (!a->welcome)
		log_info("%s knows us as worker %lld", a->options->connect,
		         (long long)json_int(body, "worker", 0));
	a->welcome = true;
	transfer_url(a->transfer, json_text(body, "url", ""));
	set_beat(a, body);
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
	struct slot *s = slot_find(a, trial, attempt);
	if (!s && cJSON_GetObjectItemCaseSensitive(lease, "spec") && !was_over(a, trial, attempt))
		s = slot_add(a, lease);
	if (s)
		holding_order(s->holding, agent_name(a), a->leave_ms && !wish ? WISH_YIELD : wish,
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
			holding_order(h, agent_name(a), WISH_STOP, a->now_ms, &a->acts);
	}
	a->orders_seq = seq ? seq : a->orders_seq;
	set_beat(a, body);
}

static void on_saved(struct agent *a, enum wire_kind kind, const cJSON *body)
{
	struct slot *s = slot_of(a, body);
	if (s && holding_saved(s->holding, kind, body, &a->acts)) {
		agent_act(a);
		slot_forget(a, s);
	}
}

static void on_coordinator(struct agent *a, const struct message *m)
{
	a->heard_ms = a->now_ms;
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
	case WIRE_ERROR:
		log_warn("the coordinator says: %s", json_text(m->body, "text", ""));
		break;
	default: log_warn("unexpected message %s", wire_name(m->kind));
	}
}

/* --- jobs ----------------------------------------------------------------------------------------
 */

static void on_job(struct agent *a, const struct message *m)
{
	struct slot *s = slot_of(a, m->body);
	if (!s || strcmp(wire_from(m->kind), "job"))
		return;
	if (m->kind == WIRE_JOB_HELLO) {
		free(s->route);
		s->route = memcpy(xmalloc(m->route_bytes + 1), m->route, m->route_bytes);
		s->route_bytes = m->route_bytes;
	}
	holding_message(s->holding, agent_name(a), m->kind, m->body, a->now_ms, &a->acts);
}

static void agent_receive(struct agent *a, void *socket,
                          void (*handle)(struct agent *, const struct message *))
{
	struct message m;
	struct error e;
	int got;
	while ((got = wire_receive(socket, &m, &e))) {
		if (got > 0)
			handle(a, &m);
		else
			log_warn("%s", e.text);
		message_release(&m);
		agent_act(a);
	}
}

static void on_over(struct agent *a, struct slot *s)
{
	struct holding_exit x;
	slot_exit(s, &x);
	holding_exited(s->holding, agent_name(a), &x, a->now_ms, &a->acts);
	const struct outbox *o = &s->holding->outbox;
	const struct outbox_item *last = &o->items[o->count - 1];
	log_info("trial %lld attempt %lld: %s %s", (long long)s->holding->trial,
	         (long long)s->holding->attempt,
	         last->kind == WIRE_DONE ? "done" : json_text(last->body, "outcome", ""),
	         json_text(last->body, "text", ""));
	holding_exit_release(&x);
	a->next_beat_ms = a->now_ms; /* there is room again */
}

static void agent_watch(struct agent *a)
{
	bool look = a->now_ms >= a->next_memory_ms;
	for (size_t i = 0; i < a->slot_count; i++) {
		struct slot *s = a->slots[i];
		if (!s->started || s->holding->phase != HOLDING_RUN)
			continue;
		joblog_pump(&s->job.log);
		if (look)
			holding_memory(s->holding, job_memory_bytes(&s->job), &a->acts);
		if (slot_over(s, a->now_ms))
			on_over(a, s);
	}
	if (look)
		a->next_memory_ms = a->now_ms + MEMORY_MS;
	agent_act(a);
}

static void agent_transfers(struct agent *a)
{
	struct transfer_result r;
	while (transfer_next(a->transfer, &r)) {
		struct slot *s = slot_find(a, r.item.trial, r.item.attempt);
		if (r.status != TRANSFER_OK && r.status != TRANSFER_CANCELLED)
			log_warn("trial %lld: %s: %s", (long long)r.item.trial,
			         transfer_status_text(r.status), r.error.text);
		if (s && r.item.upload)
			holding_stored(s->holding, agent_name(a), &r, &a->acts);
		else if (s)
			holding_fetched(s->holding, agent_name(a), &r, a->now_ms, &a->acts);
		if (!r.item.upload && r.status == TRANSFER_OK) {
			cache_touch(a->office.cache, r.item.sha256);
			cache_trim(a->office.cache,
			           (a->options->cache_mb ? a->options->cache_mb : CACHE_MB) << 20,
			           clock_wall_ms());
		}
		transfer_result_release(&r);
		agent_act(a);
	}
}

/* --- leaving -------------------------------------------------------------------------------------
 */

/* Jobs yield; what they owe is sent; then leases are handed back. */
static void agent_leave(struct agent *a, const char *why)
{
	if (a->leave_ms)
		return;
	log_info("leaving: %s; jobs write their checkpoints first (again to leave at once)", why);
	a->leave_ms = a->now_ms + (a->options->leave_ms ? a->options->leave_ms : LEAVE_MS);
	for (size_t i = 0; i < a->slot_count; i++)
		holding_order(a->slots[i]->holding, agent_name(a), WISH_YIELD, a->now_ms, &a->acts);
	a->next_beat_ms = a->now_ms;
	agent_act(a);
}

static void agent_signals(struct agent *a)
{
	struct signalfd_siginfo info;
	while (read(a->signal_fd, &info, sizeof info) == sizeof info) {
		if (info.ssi_signo == SIGCHLD)
			continue;
		if (!a->leave_ms) {
			a->signal_ms = a->now_ms;
			agent_leave(a, strsignal((int)info.ssi_signo));
		} else if (a->now_ms - a->signal_ms > SIGNALS_APART_MS) {
			a->leave_ms = a->now_ms;
		}
	}
}

static void agent_idle(struct agent *a)
{
	if (a->slot_count || !a->idle_ms)
		a->idle_ms = a->now_ms;
	if (a->options->idle_exit_ms && a->now_ms - a->idle_ms > a->options->idle_exit_ms)
		agent_leave(a, "nothing to do");
	a->ended = a->leave_ms && (!a->slot_count || a->now_ms > a->leave_ms);
}

/* --- loop ----------------------------------------------------------------------------------------
 */

static void agent_tick(struct agent *a)
{
	int64_t again_ms = a->beat_ms * 2;
	for (size_t i = 0; i < a->slot_count; i++)
		holding_tick(a->slots[i]->holding, a->now_ms, again_ms, &a->acts);
	agent_act(a);
	if (a->now_ms >= a->next_beat_ms)
		agent_beat(a);
	if (office_mind(&a->office))
		log_warn("the guard was killed and is started again");
}

static void agent_wait(struct agent *a)
{
	zmq_pollitem_t polls[4 + 64] = {
	        {.socket = a->office.coordinator, .events = ZMQ_POLLIN},
	        {.socket = a->office.jobs, .events = ZMQ_POLLIN},
	        {.fd = a->signal_fd, .events = ZMQ_POLLIN},
	        {.fd = transfer_fd(a->transfer), .events = ZMQ_POLLIN},
	};
	int count = 4;
	for (size_t i = 0; i < a->slot_count && count < 4 + 64; i++)
		if (a->slots[i]->started && a->slots[i]->job.log.pipe_fd >= 0)
			polls[count++] = (zmq_pollitem_t){.fd = a->slots[i]->job.log.pipe_fd,
			                                  .events = ZMQ_POLLIN};
	int64_t until_ms = a->next_beat_ms;
	if (a->slot_count && until_ms > a->now_ms + TICK_MS)
		until_ms = a->now_ms + TICK_MS;
	if (until_ms > a->now_ms + 1000)
		until_ms = a->now_ms + 1000;
	zmq_poll(polls, count, until_ms > a->now_ms ? (long)(until_ms - a->now_ms) : 0);
	a->now_ms = clock_monotonic_ms();
}

static void agent_loop(struct agent *a)
{
	while (!a->ended) {
		agent_receive(a, a->office.coordinator, on_coordinator);
		agent_receive(a, a->office.jobs, on_job);
		agent_signals(a);
		agent_transfers(a);
		agent_watch(a);
		agent_tick(a);
		agent_idle(a);
		if (!a->ended)
			agent_wait(a);
	}
}

static int signals_open(void)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void agent_close(struct agent *a)
{
	while (a->slot_count)
		slot_forget(a, a->slots[0]);
	if (a->ended) {
		cJSON *body = cJSON_CreateObject();
		cJSON_AddStringToObject(body, "agent", agent_name(a));
		send_to_coordinator(a, WIRE_LEAVE, body);
	}
	transfer_free(a->transfer);
	office_close(&a->office);
	acts_release(&a->acts);
	cJSON_Delete(a->offer);
	free(a->slots);
	if (a->signal_fd >= 0)
		close(a->signal_fd);
}

int agent_run(const struct agent_options *o, struct error *e)
{
	struct agent a = {.options = o, .beat_ms = BEAT_MS, .signal_fd = -1};
	int status = office_open(&a.office, o->work, o->connect, e);
	if (status)
		return -1;
	a.offer = agent_offer(o, agent_name(&a));
	a.signal_fd = signals_open();
	a.job = (struct job_options){o->launcher ? o->launcher : "mpiexec.mpich -launcher fork",
	                             o->program,
	                             a.office.jobs_url,
	                             o->data,
	                             agent_name(&a),
	                             LOG_BYTES};
	a.transfer = transfer_new(&(struct transfer_options){0}, e);
	status = a.transfer ? 0 : -1;
	a.now_ms = clock_monotonic_ms();
	if (status == 0)
		agent_loop(&a);
	agent_close(&a);
	return status;
}
