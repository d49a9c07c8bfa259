/* Why a trial does not run, why it failed, and all that happened to it. */
#include "coordinator/explain.h"
#include "coordinator/prune.h"
#include "coordinator/queue.h"
#include "coordinator/quota.h"
#include "coordinator/trial.h"
#include <stdlib.h>
#include <string.h>

typedef void explainer(struct sql *db, int64_t now_ms, int64_t trial, struct text *out);

static void waiting(struct sql *db, int64_t now_ms, int64_t trial, struct text *out)
{
	struct sql_rows *rows = sql_query(db,
	                                  "select t.id, t.state from trial_input i join trial t on "
	                                  "t.id = i.input where i.trial = ? "
	                                  "and t.state <> 'done' order by t.id",
	                                  trial);

	while (sql_next(rows))
		text_add(out, "It starts from trial %ld, which is %s.\n", (long)sql_int(rows, 0),
		         sql_text(rows, 1));
	rows = sql_query(db,
	                 "select source from trial where id = ? and source not in "
	                 "(select sha256 from upload)",
	                 trial);
	while (sql_next(rows))
		text_add(out,
		         "The file that it starts from (SHA-256 %.12s…) is not in the artifact "
		         "store: "
		         "launch the study again.\n",
		         sql_text(rows, 0));
}

/* What each agent lacks for this trial, or that it is busy. */
static void fitting(struct sql *db, int64_t now_ms, int64_t trial, struct text *out)
{
	struct sql_rows *rows = sql_query(
	        db,
	        "select w.name, w.state, w.ranks, a.ranks * ((a.threads + w.threads - 1) / "
	        "w.threads), "
	        "w.memory_mb, a.memory_mb, w.gpus, a.gpus, a.data_digest <> '' and not exists "
	        "(select 1 "
	        "from json_each(w.data) d where d.value ->> '$.digest' = a.data_digest), exists "
	        "(select "
	        "1 from refusal r where r.trial = t.id and r.worker = w.id and r.until_ms > ?2), "
	        "(select count(*) from "
	        "trial "
	        "o where o.worker = w.id and o.state = 'leased'), (select group_concat(value, ', "
	        "') "
	        "from json_each(a.labels) where value not in (select value from "
	        "json_each(w.labels))),"
	        " max(0, w.until_ms - ?2) / 60000, a.minutes, w.other_slots from trial t join ask "
	        "a on a.id = "
	        "t.ask "
	        "join worker w on w.state not in ('left', 'lost') where t.id = ?1 order by w.id",
	        trial, now_ms);
	int count = 0;

	for (; sql_next(rows); count++) {
		const char *name = sql_text(rows, 0), *state = sql_text(rows, 1);
		text_add(out, "Agent %s ", name);
		if (strcmp(state, "up") != 0)
			text_add(out, "is %s.\n", state);
		else if (sql_int(rows, 3) > sql_int(rows, 2))
			text_add(out, "has %ld ranks, the trial takes %ld.\n",
			         (long)sql_int(rows, 2), (long)sql_int(rows, 3));
		else if (sql_int(rows, 5) > sql_int(rows, 4))
			text_add(out, "has %ld MB of memory, the trial asks for %ld.\n",
			         (long)sql_int(rows, 4), (long)sql_int(rows, 5));
		else if (sql_int(rows, 7) > sql_int(rows, 6))
			text_add(out, "has %ld GPUs, the trial asks for %ld.\n",
			         (long)sql_int(rows, 6), (long)sql_int(rows, 7));
		else if (!sql_is_null(rows, 11))
			text_add(out, "lacks the label %s.\n", sql_text(rows, 11));
		else if (!sql_is_null(rows, 12) && sql_int(rows, 12) < sql_int(rows, 13))
			text_add(out, "has %ld minutes left, the trial takes up to %ld.\n",
			         (long)sql_int(rows, 12), (long)sql_int(rows, 13));
		else if (sql_int(rows, 8))
			text_add(out, "does not have the trial's data set.\n");
		else if (sql_int(rows, 9))
			text_add(out, "refused it, and is not asked again yet.\n");
		else if (sql_int(rows, 14) > sql_int(rows, 2) - sql_int(rows, 3))
			text_add(out,
			         "says that %ld of its ranks are taken: it ends other trials, or "
			         "its disk is full.\n",
			         (long)sql_int(rows, 14));
		else
			text_add(out, "fits; it runs %ld trials now.\n", (long)sql_int(rows, 10));
	}
	if (!count)
		text_add(out,
		         "No agent is connected: start one with `trawl-worker --connect …`.\n");
}

static void ready(struct sql *db, int64_t now_ms, int64_t trial, struct text *out)
{
	struct sql_rows *rows = sql_query(
	        db, "select held, not_before_ms, errors from trial t where id = ?", trial);

	while (sql_next(rows)) {
		if (sql_int(rows, 0))
			text_add(out, "Every study that wants it is paused.\n");
		if (sql_int(rows, 1) > now_ms)
			text_add(out, "It failed %ld times and is tried again in %ld s.\n",
			         (long)sql_int(rows, 2),
			         (long)(sql_int(rows, 1) - now_ms) / 1000 + 1);
	}
	if (sql_get_int(db, 0, "select disk_low from coordinator"))
		text_add(out, "The coordinator's disk is nearly full: nothing is leased until "
		              "there is room for checkpoints.\n");
	quota_explain(db, trial, out);
	queue_explain(db, trial, out);
	fitting(db, now_ms, trial, out);
}

static void leased(struct sql *db, int64_t now_ms, int64_t trial, struct text *out)
{
	struct sql_rows *rows = sql_query(
	        db,
	        "select w.name, (?1 - a.started_ms) / 1000, a.step, a.steps, a.phase, a.from_step, "
	        "(?1 - w.seen_ms) / 1000 from trial t join attempt a on a.trial = t.id and "
	        "a.attempt = t.attempt join worker w on w.id = t.worker where t.id = ?2",
	        now_ms, trial);

	while (sql_next(rows)) {
		text_add(out, "Agent %s has run it for %ld s, from step %ld; ", sql_text(rows, 0),
		         (long)sql_int(rows, 1), (long)sql_int(rows, 5));
		if (sql_is_null(rows, 4))
			text_add(out, "it has not said yet that it started.\n");
		else
			text_add(out, "%s, step %ld%s%.0ld; heard of %ld s ago.\n",
			         sql_text(rows, 4), (long)sql_int(rows, 2),
			         sql_int(rows, 3) ? " of " : "", (long)sql_int(rows, 3),
			         (long)sql_int(rows, 6));
	}
}

/* The last thing that its attempts said. */
static void ended(struct sql *db, int64_t now_ms, int64_t trial, struct text *out)
{
	struct sql_rows *rows =
	        sql_query(db,
	                  "select a.attempt, w.name, a.outcome, coalesce(a.text, '') from attempt "
	                  "a join worker w "
	                  "on w.id = a.worker where a.trial = ? and a.outcome is not null "
	                  "order by a.attempt desc limit 3",
	                  trial);

	while (sql_next(rows))
		text_add(out, "Attempt %ld at agent %s ended: %s%s%s\n", (long)sql_int(rows, 0),
		         sql_text(rows, 1), sql_text(rows, 2), *sql_text(rows, 3) ? ": " : "",
		         sql_text(rows, 3));
}

static void skipped(struct sql *db, int64_t now_ms, int64_t trial, struct text *out)
{
	size_t before = out->length;

	waiting(db, now_ms, trial, out);
	if (out->length > before) /* else what it starts from is done, and left nothing */
		text_add(out, "It runs once that is retried and done.\n");
}

static void cancelled(struct sql *db, int64_t now_ms, int64_t trial, struct text *out)
{
	text_add(out, "No study wants it any more; `trawl retry` or a launch revives it.\n");
}

static void rungs(struct sql *db, int64_t now_ms, int64_t trial, struct text *out)
{
	prune_explain(db, trial, out);
	quota_explain(db, trial, out);
}

static explainer *const explainers[TRIAL_STATES] = {
        [TRIAL_WAITING] = waiting,     [TRIAL_READY] = ready,  [TRIAL_LEASED] = leased,
        [TRIAL_SKIPPED] = skipped,     [TRIAL_FAILED] = ended, [TRIAL_INFEASIBLE] = ended,
        [TRIAL_CANCELLED] = cancelled, [TRIAL_PAUSED] = rungs, [TRIAL_PRUNED] = rungs,
};

int explain_reason(struct sql *db, int64_t now_ms, int64_t id, struct text *reason, struct error *e)
{
	struct trial trial;
	char *why = sql_get_text(db, "select why from trial where id = ?", id);

	if (!trial_load(db, id, &trial)) {
		free(why);
		return error_set(e, "there is no trial %ld", (long)id);
	}
	text_add(reason, "Trial %ld is %s%s%s.\n", (long)id, trial_state_name(trial.state),
	         why ? ": " : "", why ? why : "");
	if (explainers[trial.state])
		explainers[trial.state](db, now_ms, id, reason);
	free(why);
	return 0;
}

void explain_history(struct sql *db, int64_t trial, struct text *out)
{
	struct sql_rows *rows =
	        sql_query(db,
	                  "select datetime(h.at_ms / 1000, 'unixepoch'), h.event, h.before, "
	                  "h.after, h.attempt, "
	                  "w.name, h.why from history h left join worker w on w.id = h.worker "
	                  "where h.trial = ? order by h.seq",
	                  trial);

	while (sql_next(rows)) {
		const char *name = sql_text(rows, 5), *why = sql_text(rows, 6);
		text_add(out, "%s  %-13s %s -> %s", sql_text(rows, 0), sql_text(rows, 1),
		         sql_text(rows, 2), sql_text(rows, 3));
		if (sql_int(rows, 4))
			text_add(out, "  attempt %ld", (long)sql_int(rows, 4));
		text_add(out, "%s%s%s%s\n", name ? " at " : "", name ? name : "", why ? ": " : "",
		         why ? why : "");
	}
}

cJSON *explain_json(struct sql *db, int64_t now_ms, int64_t trial, struct error *e)
{
	struct text reason = {0}, moves = {0};
	cJSON *json = NULL;
	if (!explain_reason(db, now_ms, trial, &reason, e)) {
		explain_history(db, trial, &moves);
		json = cJSON_CreateObject();
		cJSON_AddNumberToObject(json, "trial", (double)trial);
		cJSON_AddStringToObject(json, "reason", reason.data ? reason.data : "");
		cJSON_AddStringToObject(json, "moves", moves.data ? moves.data : "");
	}
	text_release(&reason);
	text_release(&moves);
	return json;
}
