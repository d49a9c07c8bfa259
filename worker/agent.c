/* The agent's loop: sockets, signals, timers; what is to be done is decided in holding.c. */
#include "core/base/clock.h"
#include "core/base/json.h"
#include "core/base/log.h"
#include "core/base/text.h"
#include "worker/agent_state.h"
#include "worker/cache.h"
#include "worker/launcher.h"
#include "worker/signals.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zmq.h>

enum {
	BEAT_MS = 1000,          /* until the coordinator says */
	CREDITS = 16,            /* the same */
	MEMORY_MS = 500,         /* between looks at the memory of jobs */
	TICK_MS = 100,           /* deadlines are kept to this */
	SIGNALS_APART_MS = 1000, /* a terminal and a parent may both send the same one */
	LEAVE_MS = 60000,
	LOG_BYTES = 4 << 20,
};

/* --- jobs --------------------------------------------------------------------------------------
 */

static void on_job(struct agent *a, const struct message *m)
{
	struct slot *s = agent_slot_of(a, m->body);
	if (!s || strcmp(wire_from(m->kind), "job"))
		return;
	if (m->kind == WIRE_JOB_HELLO) {
		free(s->route);
		s->route = memcpy(xmalloc(m->route_bytes + 1), m->route, m->route_bytes);
		s->route_bytes = m->route_bytes;
	}
	holding_message(s->holding, a->office.name, m->kind, m->body, a->now_ms, &a->acts);
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

/* From the address in use; from the others, whether to move there. */
static void agent_hear(struct agent *a)
{
	struct addresses *places = &a->office.coordinator;
	struct message m;
	struct error e;
	int got;
	for (int i = 0; i < places->count; i++)
		while ((got = wire_receive(places->address[i].socket, &m, &e))) {
			enum heard_from from =
			        got > 0 ? addresses_heard(places, i, &m, agent_hears_nothing(a))
			                : HEARD_NOTHING;
			if (got < 0)
				log_warn("%s", e.text);
			if (from == HEARD_OURS)
				agent_on_coordinator(a, &m);
			if (from == HEARD_MOVED)
				agent_move(a);
			message_release(&m);
			agent_act(a);
		}
}

static void on_over(struct agent *a, struct slot *s)
{
	struct holding_exit x;
	slot_exit(s, &x);
	holding_exited(s->holding, a->office.name, &x, a->now_ms, &a->acts);
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
			holding_memory(s->holding,
			               job_memory_bytes(&s->job, s->holding->memory_mb << 20),
			               &a->acts);
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
		struct slot *s = agent_slot(a, r.item.trial, r.item.attempt);
		bool matters = s && (!r.item.upload || holding_owes(s->holding, r.item.sha256));
		if (matters && r.status != TRANSFER_OK && r.status != TRANSFER_CANCELLED)
			log_warn("trial %lld: %s: %s", (long long)r.item.trial,
			         transfer_status_text(r.status), r.error.text);
		if (s && r.item.upload)
			holding_stored(s->holding, a->office.name, &r, &a->acts);
		else if (s)
			holding_fetched(s->holding, a->office.name, &r, a->now_ms, &a->acts);
		if (!r.item.upload && r.status == TRANSFER_OK) {
			cache_touch(a->office.cache, r.item.sha256);
			agent_cache_trim(a);
		}
		transfer_result_release(&r);
		agent_act(a);
	}
}

/* --- leaving -----------------------------------------------------------------------------------
 */

/* Jobs yield; what they owe is sent; then leases are handed back. */
static void agent_leave(struct agent *a, const char *why)
{
	if (a->leave_ms)
		return;
	log_info("leaving: %s; jobs write their checkpoints first (again to leave at once)", why);
	a->leave_ms = a->now_ms + (a->options->leave_ms ? a->options->leave_ms : LEAVE_MS);
	for (size_t i = 0; i < a->slot_count; i++)
		holding_order(a->slots[i]->holding, a->office.name, WISH_YIELD, a->now_ms,
		              &a->acts);
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
		} else if (leave_signal_hurries((int)info.ssi_signo) &&
		           a->now_ms - a->signal_ms > SIGNALS_APART_MS) {
			a->leave_ms = a->now_ms;
		}
	}
}

/* Until it has to begin to leave. */
int64_t agent_left_ms(const struct agent *a)
{
	int64_t leave_ms = a->options->leave_ms ? a->options->leave_ms : LEAVE_MS;

	return a->begun_ms + a->options->limit_ms - leave_ms - a->now_ms;
}

static void agent_idle(struct agent *a)
{
	if (a->slot_count || !a->idle_ms)
		a->idle_ms = a->now_ms;
	if (a->options->idle_exit_ms && a->now_ms - a->idle_ms > a->options->idle_exit_ms)
		agent_leave(a, "nothing to do");
	if (a->options->limit_ms && agent_left_ms(a) <= 0)
		agent_leave(a, "its time is nearly over (--time-limit)");
	a->ended = a->leave_ms && (!a->slot_count || a->now_ms > a->leave_ms);
}

/* --- loop --------------------------------------------------------------------------------------
 */

static void agent_tick(struct agent *a)
{
	int64_t again_ms = a->beat_ms * 2, credits = a->credits;
	for (size_t i = 0; i < a->slot_count; i++)
		credits -= outbox_in_flight(&a->slots[i]->holding->outbox);
	for (size_t i = 0; i < a->slot_count; i++)
		holding_tick(a->slots[i]->holding, a->now_ms, again_ms, &credits, &a->acts);
	agent_act(a);
	if (a->now_ms >= a->next_beat_ms)
		agent_beat(a);
	if (office_mind(&a->office))
		log_warn("the guard was killed and is started again");
}

static void agent_wait(struct agent *a)
{
	enum { LOGS = 64, POLLS = 3 + ENDPOINTS_MAX + LOGS };
	const struct addresses *places = &a->office.coordinator;
	zmq_pollitem_t polls[POLLS] = {
	        {.socket = a->office.jobs, .events = ZMQ_POLLIN},
	        {.fd = a->signal_fd, .events = ZMQ_POLLIN},
	        {.fd = transfer_fd(a->transfer), .events = ZMQ_POLLIN},
	};
	int count = 3;
	for (int i = 0; i < places->count; i++)
		polls[count++] =
		        (zmq_pollitem_t){.socket = places->address[i].socket, .events = ZMQ_POLLIN};
	for (size_t i = 0; i < a->slot_count && count < POLLS; i++)
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
		agent_hear(a);
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
	leave_signals(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void agent_close(struct agent *a)
{
	while (a->slot_count)
		agent_slot_forget(a, a->slots[0]);
	if (a->ended) {
		cJSON *body = cJSON_CreateObject();
		cJSON_AddStringToObject(body, "agent", a->office.name);
		agent_send(a, WIRE_LEAVE, body);
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
	struct agent a = {.options = o, .beat_ms = BEAT_MS, .credits = CREDITS, .signal_fd = -1};
	int status = office_open(&a.office, o, e);
	if (status)
		return -1;
	a.offer = agent_offer(o, a.office.name);
	a.signal_fd = signals_open();
	a.job = (struct job_options){launcher_words(o->launcher),
	                             o->program,
	                             a.office.jobs_url,
	                             o->data,
	                             o->pin,
	                             a.office.name,
	                             LOG_BYTES};
	a.transfer = transfer_new(&(struct transfer_options){0}, e);
	status = a.transfer ? 0 : -1;
	a.begun_ms = a.now_ms = clock_monotonic_ms();
	if (status == 0)
		agent_loop(&a);
	agent_close(&a);
	return status;
}
