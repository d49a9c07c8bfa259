/* Leases: which agent may run which trial, until when. */
#include "coordinator/lease.h"
#include "coordinator/artifact.h"
#include "coordinator/generation.h"
#include "coordinator/notice.h"
#include "coordinator/queue.h"
#include "coordinator/turn.h"
#include "core/base/text.h"
#include <stdlib.h>
#include <string.h>

enum {
	OTHER_AGENT_MS = 60000
}; /* so long an error's trial waits for another agent than its last */

/* What an agent has left.  One that was not heard of for three beats is given nothing. */
struct room {
	int64_t worker, threads, slots, memory_mb, gpus, left_ms;
	bool others; /* there are other agents for what failed here */
	struct answer {
		int64_t ask;
		bool has;
	} * answers; /* whether it has the data and labels of an ask, as far as looked up */
	size_t answer_count;
};

int64_t lease_slots(int64_t ranks, int64_t threads, int64_t worker_threads)
{
	return ranks * ((threads + worker_threads - 1) / worker_threads);
}

static bool room_load(struct turn *t, int64_t worker, struct room *room)
{
	struct sql_rows *rows = sql_query(
	        t->db,
	        "select w.threads, w.ranks - w.other_slots, w.memory_mb - w.other_memory_mb, "
	        "w.gpus, "
	        "exists (select 1 from worker o where o.state = 'up' and o.id <> w.id and "
	        "o.seen_ms > ?2), coalesce(w.until_ms - ?3, 9007199254740991) from worker w where "
	        "w.id = ?1 and w.state = 'up' and w.seen_ms > "
	        "?2",
	        worker, t->now_ms - 3 * t->options->beat_ms, t->now_ms);

	*room = (struct room){.worker = worker};
	if (!sql_next(rows))
		return false;
	room->threads = sql_int(rows, 0);
	room->slots = sql_int(rows, 1);
	room->memory_mb = sql_int(rows, 2);
	room->gpus = sql_int(rows, 3);
	room->others = sql_int(rows, 4) != 0;
	room->left_ms = sql_int(rows, 5);
	sql_end(rows);
	rows = sql_query(t->db,
	                 "select a.ranks, a.threads, a.memory_mb, a.gpus from trial join ask a on "
	                 "a.id = trial.ask where trial.worker = ? and trial.state = 'leased'",
	                 worker);
	while (sql_next(rows)) {
		room->slots -= lease_slots(sql_int(rows, 0), sql_int(rows, 1), room->threads);
		room->memory_mb -= sql_int(rows, 2);
		room->gpus -= sql_int(rows, 3);
	}
	return true;
}

struct candidate {
	struct place_in_line place;
	int64_t attempt;
	struct queue *queue;
};

#define FIRST_READY(trials)                                                                     \
	"select id, attempt, priority, reached from " trials                                    \
	" where state = 'ready' and held = 0 and study = ?1 and ask = ?2 "                      \
	"and not_before_ms <= ?3 and not exists (select 1 from refusal r where "                \
	"r.trial = trial.id and r.worker = ?4 and r.until_ms > ?3) and not (?5 and errors > 0 " \
	"and not_before_ms + ?6 > ?3 and worker = ?4) "                                         \
	"order by priority desc, reached desc, id limit 1"
/* Of a full store, it is looked for from its checkpoints on: they are few then. */
#define BEGUN                                                                            \
	"(select distinct trial as begun from artifact indexed by artifact_spare where " \
	"name = 'checkpoint' and state = 'present' and not final) cross join trial on "  \
	"trial.id = begun"

/* Its first trial, if the worker may have it; else the first that it may. */
static bool first_ready(struct turn *t, const struct room *room, struct queue *q,
                        struct candidate *c)
{
	struct sql_rows *rows = sql_query(
	        t->db, t->full ? FIRST_READY(BEGUN) : FIRST_READY("trial indexed by trial_ready"),
	        q->study, q->ask, t->now_ms, room->worker, room->others, OTHER_AGENT_MS);

	if (!sql_next(rows))
		return false;
	*c = (struct candidate){q->first, sql_int(rows, 1), q};
	c->place.trial = sql_int(rows, 0);
	c->place.priority = sql_int(rows, 2);
	c->place.reached = sql_int(rows, 3);
	sql_end(rows);
	return true;
}

/* Whether the worker has the data set and the labels that are asked for. */
static bool has(struct turn *t, struct room *room, int64_t ask)
{
	for (size_t i = 0; i < room->answer_count; i++)
		if (room->answers[i].ask == ask)
			return room->answers[i].has;
	bool answer =
	        sql_get_int(t->db, 0,
	                    "select 1 from ask where id = ?1 and (data_digest = '' or data_digest "
	                    "in (select value ->> '$.digest' from worker, json_each(worker.data) "
	                    "where worker.id = ?2)) and (labels = '[]' or not exists (select value "
	                    "from json_each(ask.labels) except select value from worker, "
	                    "json_each(worker.labels) where worker.id = ?2))",
	                    ask, room->worker) == 1;
	room->answers = xrealloc(room->answers, (room->answer_count + 1) * sizeof *room->answers);
	room->answers[room->answer_count++] = (struct answer){ask, answer};
	return answer;
}

static bool fits(struct turn *t, struct room *room, const struct queue *q)
{
	return lease_slots(q->ranks, q->threads, room->threads) <= room->slots &&
	       q->memory_mb <= room->memory_mb && q->gpus <= room->gpus &&
	       q->minutes * 60000 <= room->left_ms && (!q->picky || has(t, room, q->ask));
}

/* The first trial of all that fit into the room.  Queues come by their firsts, so that mostly one
 * is looked at; a worker that may not have a queue's first may find a better one further on. */
static bool choose(struct turn *t, struct room *room, struct candidate *best)
{
	bool found = false;
	struct queue *q;

	queues_begin(t->queues);
	while ((q = queues_next(t->queues)) && !(found && place_before(&best->place, &q->first))) {
		struct candidate c;
		if (!fits(t, room, q))
			continue;
		if (!first_ready(t, room, q, &c)) {
			queue_look(q, t->db, t->now_ms);
			continue;
		}
		if (!found || place_before(&c.place, &best->place))
			*best = c;
		found = true;
	}
	return found;
}

void lease_token(const char *secret, int64_t trial, int64_t attempt, char hex[SHA256_HEX])
{
	char *text = xformat("%s lease of trial %ld attempt %ld %s", secret, (long)trial,
	                     (long)attempt, secret);

	sha256_hex(text, strlen(text), hex);
	free(text);
}

static bool lease_one(struct turn *t, int64_t worker, const struct candidate *c)
{
	int64_t attempt = generation_attempt(t, c->attempt);
	struct trial_change change = {.worker = worker,
	                              .attempt = attempt,
	                              .lease_until_ms = t->now_ms + t->options->lease_ms};
	int64_t trial = c->place.trial;
	char token[SHA256_HEX], hashed[SHA256_HEX];
	struct artifact resume;
	bool resumes = artifact_resume(t->db, trial, &resume);

	if (!trial_move(t->db, t->now_ms, trial, c->attempt, ON_LEASE, &change))
		return false;
	lease_token(t->options->secret, trial, attempt, token);
	sha256_hex(token, strlen(token), hashed);
	sql_run(t->db,
	        "insert into attempt(trial, attempt, worker, token_sha256, started_ms, numerics, "
	        "from_artifact, from_step, step) select ?1, ?2, id, ?3, ?4, numerics, nullif(?5, "
	        "0), ?6, "
	        "?6 from worker where id = ?7",
	        trial, attempt, (const char *)hashed, t->now_ms, resumes ? resume.id : 0,
	        resumes ? resume.step : 0, worker);
	return true;
}

/* Most beats come when there is nothing to give. */
static bool any_ready(struct turn *t)
{
	return sql_get_int(t->db, 0,
	                   "select 1 from trial indexed by trial_ready where state = 'ready' and "
	                   "held = 0 limit 1") == 1;
}

int lease_assign(struct turn *t, int64_t worker)
{
	struct room room;
	struct candidate c;
	int leased = 0;

	if (!t->leasing || !any_ready(t) || !room_load(t, worker, &room) || room.slots < 1)
		return 0;
	if (!t->queues) {
		t->queues = xcalloc(1, sizeof *t->queues);
		queues_load(t->queues, t->db, t->now_ms);
	}
	while (!t->db->failure && choose(t, &room, &c) && lease_one(t, worker, &c)) {
		room.slots -= lease_slots(c.queue->ranks, c.queue->threads, room.threads);
		room.memory_mb -= c.queue->memory_mb;
		room.gpus -= c.queue->gpus;
		queues_took(t->queues, c.queue);
		leased++;
	}
	free(room.answers);
	return leased;
}

void attempt_end(struct turn *t, int64_t trial, int64_t attempt, const char *outcome,
                 const char *text)
{
	sql_run(t->db,
	        "update attempt set ended_ms = ?, outcome = ?, text = coalesce(?, text) "
	        "where trial = ? and attempt = ?",
	        t->now_ms, outcome, text, trial, attempt);
}

void lease_lose(struct turn *t, const struct trial *trial, const char *why)
{
	bool progress =
	        sql_get_int(t->db, 0,
	                    "select max(a.step) > min(p.from_step) from attempt p join artifact a "
	                    "on a.trial = p.trial and a.attempt = p.attempt and "
	                    "a.name = 'checkpoint' where p.trial = ? and p.attempt = ?",
	                    trial->id, trial->attempt) != 0;
	int64_t losses = progress ? 0 : trial->losses + 1;
	bool last = losses >= t->options->lost_limit;
	struct trial_change change = {.why = why};

	if (!trial_move(t->db, t->now_ms, trial->id, trial->attempt, last ? ON_LOSE_LAST : ON_LOSE,
	                &change))
		return;
	sql_run(t->db, "update trial set losses = ? where id = ?", losses, trial->id);
	attempt_end(t, trial->id, trial->attempt, "lost", why);
	if (last)
		notice_failed(t, trial->id);
}

void lease_expire(struct turn *t)
{
	for (;;) {
		int64_t id = sql_get_int(t->db, 0,
		                         "select id from trial indexed by trial_lease where "
		                         "state = 'leased' and lease_until_ms <= ? order by "
		                         "lease_until_ms, id limit 1",
		                         t->now_ms);
		struct trial trial;
		if (!id || !trial_load(t->db, id, &trial))
			break;
		char *name =
		        sql_get_text(t->db, "select name from worker where id = ?", trial.worker);
		char *why = xformat("agent %s was not heard of for %ld s", name ? name : "?",
		                    (long)(t->options->lease_ms / 1000));
		lease_lose(t, &trial, why);
		free(why);
		free(name);
	}
	int64_t silent_ms = t->now_ms - t->options->lease_ms;
	if (!sql_get_int(t->db, 0,
	                 "select 1 from worker indexed by worker_up where state = 'up' and seen_ms "
	                 "< ? limit 1",
	                 silent_ms))
		return;
	sql_run(t->db,
	        "update worker set state = 'lost' where state = 'up' and seen_ms < ? and not "
	        "exists (select 1 from trial t where t.state = 'leased' and t.worker = worker.id)",
	        silent_ms);
}

/* Whether the attempt is the worker's; of the newest, the trial says it. */
static bool is_its(struct sql *db, const struct trial *trial, int64_t attempt, int64_t worker)
{
	return (trial->attempt == attempt && trial->worker == worker) ||
	       sql_get_int(db, 0,
	                   "select 1 from attempt where trial = ? and attempt = ? and worker = ?",
	                   trial->id, attempt, worker) == 1;
}

enum standing lease_standing(struct turn *t, int64_t id, int64_t attempt, int64_t worker,
                             struct trial *trial)
{
	struct trial_change change = {.worker = worker,
	                              .lease_until_ms = t->now_ms + t->options->lease_ms};

	if (!trial_load(t->db, id, trial) || trial_state_final(trial->state) ||
	    !is_its(t->db, trial, attempt, worker))
		return STANDING_OVER;
	if (trial->attempt != attempt)
		return STANDING_LATE;
	if (trial->state == TRIAL_LEASED)
		return STANDING_CURRENT;
	char *outcome = sql_get_text(
	        t->db, "select coalesce(outcome, '') from attempt where trial = ? and attempt = ?",
	        id, attempt);
	bool lost = outcome && strcmp(outcome, "lost") == 0;
	/* Nobody wanted it for a while: what it has finished meanwhile is as good. */
	bool unwanted =
	        outcome && (strcmp(outcome, "cancelled") == 0 || strcmp(outcome, "pruned") == 0);
	free(outcome);
	if (!lost || !trial_move(t->db, t->now_ms, id, attempt, ON_REATTACH, &change))
		return lost || unwanted ? STANDING_LATE : STANDING_OVER;
	sql_run(t->db,
	        "update attempt set ended_ms = null, outcome = null where trial = ? and attempt = "
	        "?",
	        id, attempt);
	trial_load(t->db, id, trial);
	return STANDING_CURRENT;
}
