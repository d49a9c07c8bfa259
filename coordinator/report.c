/* What agents report of their attempts: metrics, checkpoints, results, ends. */
#include "coordinator/artifact.h"
#include "coordinator/notice.h"
#include "coordinator/prune.h"
#include "coordinator/series.h"
#include "coordinator/turn.h"
#include "coordinator/view.h"
#include "coordinator/worker.h"
#include "core/base/json.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The attempt that a report is about. */
struct report {
	const char *agent;
	int64_t worker, id, attempt;
	struct trial trial;
	enum standing standing;
};

static bool report_load(struct turn *t, const cJSON *body, struct report *r)
{
	r->agent = json_text(body, "agent", "");
	r->worker = turn_worker(t);
	if (!r->worker)
		return false;
	r->id = json_int(body, "trial", 0);
	r->attempt = json_int(body, "attempt", 0);
	r->standing = lease_standing(t, r->id, r->attempt, r->worker, &r->trial);
	return true;
}

static cJSON *reply_body(const struct report *r)
{
	cJSON *body = cJSON_CreateObject();

	cJSON_AddNumberToObject(body, "trial", (double)r->id);
	cJSON_AddNumberToObject(body, "attempt", (double)r->attempt);
	return body;
}

void on_metrics(struct turn *t, const cJSON *body)
{
	struct report r;

	if (!report_load(t, body, &r))
		return;
	if (r.standing != STANDING_CURRENT) {
		turn_hear(t, r.worker, r.agent, NULL, 0);
		return;
	}
	series_save(t, r.id, r.attempt, json_at(body, "rows"));
	cJSON *reply = reply_body(&r);
	cJSON_AddNumberToObject(reply, "batch", (double)json_int(body, "batch", 0));
	turn_reply(t, WIRE_METRICS_SAVED, reply);
	prune_reported(t, r.id);
}

/* Asks for the bytes that are not in the store yet; false when there are none such. */
static bool need(struct turn *t, const struct report *r, const cJSON *artifacts)
{
	cJSON *missing = cJSON_CreateArray();
	const cJSON *artifact = NULL;

	cJSON_ArrayForEach (artifact, artifacts) {
		const char *sha256 = json_text(artifact, "sha256", "");
		if (!artifact_stored(t->db, sha256))
			cJSON_AddItemToArray(missing, cJSON_CreateString(sha256));
	}
	if (!missing->child) {
		cJSON_Delete(missing);
		return false;
	}
	cJSON *reply = reply_body(r);
	cJSON_AddItemToObject(reply, "sha256", missing);
	turn_reply(t, WIRE_NEED, reply);
	return true;
}

/* Bits may differ from here on: said once, where the class of the machine changes. */
static void note_numerics(struct turn *t, const struct report *r, const char *numerics)
{
	if (r->attempt < 2 ||
	    sql_get_int(t->db, 0, "select 1 from artifact where trial = ? and attempt = ? limit 1",
	                r->id, r->attempt))
		return;
	char *before =
	        sql_get_text(t->db,
	                     "select numerics from artifact where trial = ? and attempt < ? and "
	                     "name = 'checkpoint' order by step desc, id desc limit 1",
	                     r->id, r->attempt);

	if (before && strcmp(before, numerics) != 0)
		event_add(t->db, t->now_ms, "numerics_changed", 0, r->id, r->worker,
		          "attempt %ld goes on in numerics %s, the checkpoint came from %s",
		          (long)r->attempt, numerics, before);
	free(before);
}

static bool artifact_valid(struct turn *t, const cJSON *artifact, const char *what)
{
	if (sha256_valid(json_text(artifact, "sha256", NULL)) &&
	    json_int(artifact, "bytes", -1) >= 0)
		return true;
	struct error e;
	error_set(&e, "message \"%s\": an artifact needs sha256 (64 hex digits) and bytes", what);
	struct message m = message_error(NULL, 0, 0, &e);
	turn_reply(t, WIRE_ERROR, m.body);
	return false;
}

void on_checkpoint(struct turn *t, const cJSON *body)
{
	struct report r;
	const char *sha256 = json_text(body, "sha256", ""),
	           *numerics = json_text(body, "numerics", "");
	int64_t step = json_int(body, "step", 0);

	if (!artifact_valid(t, body, "checkpoint") || !report_load(t, body, &r))
		return;
	if (r.standing != STANDING_CURRENT) {
		turn_hear(t, r.worker, r.agent, NULL, 0);
		return;
	}
	cJSON *reply = reply_body(&r);
	if (!artifact_stored(t->db, sha256)) {
		cJSON *list = cJSON_AddArrayToObject(reply, "sha256");
		cJSON_AddItemToArray(list, cJSON_CreateString(sha256));
		turn_reply(t, WIRE_NEED, reply);
		return;
	}
	note_numerics(t, &r, numerics);
	series_save(t, r.id, r.attempt, json_at(body, "rows"));
	artifact_add(t->db, t->now_ms,
	             &(struct artifact_new){.trial = r.id,
	                                    .attempt = r.attempt,
	                                    .step = step,
	                                    .bytes = json_int(body, "bytes", 0),
	                                    .sha256 = sha256,
	                                    .name = "checkpoint",
	                                    .numerics = numerics});
	sql_run(t->db, "update trial set losses = 0 where id = ? and losses > 0", r.id);
	artifact_collect(t->db, r.id,
	                 sql_get_int(t->db, 2,
	                             "select checkpoints from specification where trial = ?",
	                             r.id));
	cJSON_AddNumberToObject(reply, "step", (double)step);
	cJSON_AddStringToObject(reply, "sha256", sha256);
	cJSON_AddNumberToObject(reply, "batch", (double)json_int(body, "batch", 0));
	turn_reply(t, WIRE_CHECKPOINT_SAVED, reply);
	prune_reported(t, r.id);
}

static void save_result(struct turn *t, const struct report *r, const cJSON *body)
{
	const cJSON *value = NULL;

	cJSON_ArrayForEach (value, json_at(body, "result"))
		sql_run(t->db,
		        "insert into result(trial, metric, value) values(?, ?, ?) "
		        "on conflict do update set value = excluded.value",
		        r->id, (const char *)value->string,
		        cJSON_IsNumber(value) ? value->valuedouble : (double)NAN);
	cJSON_ArrayForEach (value, json_at(body, "categories"))
		sql_run(t->db,
		        "insert into category_metric(trial, category, name, metric, value) "
		        "values(?, ?, ?, ?, ?) on conflict do update set value = excluded.value",
		        r->id, json_int(value, "category", 0), json_text(value, "name", ""),
		        json_text(value, "metric", ""), json_real(value, "value", NAN));
	cJSON_ArrayForEach (value, json_at(body, "layers"))
		sql_run(t->db,
		        "insert into layer_metric(trial, layer, metric, value) values(?, ?, ?, ?) "
		        "on conflict do update set value = excluded.value",
		        r->id, json_text(value, "layer", ""), json_text(value, "metric", ""),
		        json_real(value, "value", NAN));
	cJSON_ArrayForEach (value, json_at(body, "landscape"))
		sql_run(t->db,
		        "insert into landscape(trial, slice, x, y, metric, value) "
		        "values(?, ?, ?, ?, ?, ?) on conflict do update set value = excluded.value",
		        r->id, json_text(value, "slice", ""), json_real(value, "x", 0),
		        json_real(value, "y", 0), json_text(value, "metric", ""),
		        json_real(value, "value", NAN));
}

static void save_tree(struct turn *t, const struct report *r, const cJSON *body)
{
	const cJSON *node = NULL;

	cJSON_ArrayForEach (node, json_at(body, "tree"))
		sql_run(t->db,
		        "insert into split_node(trial, node, parent, layer, members, channels, "
		        "width, macs) values(?, ?, nullif(?, -1), ?, ?, ?, ?, ?) "
		        "on conflict do update set parent = excluded.parent, layer = "
		        "excluded.layer, "
		        "members = excluded.members, channels = excluded.channels, "
		        "width = excluded.width, macs = excluded.macs",
		        r->id, json_int(node, "node", 0), json_int(node, "parent", -1),
		        json_text(node, "layer", ""), json_text(node, "members", ""),
		        json_int(node, "channels", 0), json_int(node, "width", 0),
		        json_real(node, "macs", 0));
}

/* Points are numbered as they come, curve by curve. */
static void save_ood(struct turn *t, const struct report *r, const cJSON *body)
{
	const cJSON *value = NULL;
	int64_t point = 0;

	cJSON_ArrayForEach (value, json_at(body, "ood"))
		sql_run(t->db,
		        "insert into ood_metric(trial, ood_set, score, metric, value) "
		        "values(?, ?, ?, ?, ?) on conflict do update set value = excluded.value",
		        r->id, json_text(value, "set", ""), json_text(value, "score", ""),
		        json_text(value, "metric", ""), json_real(value, "value", NAN));
	sql_run(t->db, "delete from ood_curve where trial = ?", r->id);
	cJSON_ArrayForEach (value, json_at(body, "curves"))
		sql_run(t->db,
		        "insert into ood_curve(trial, ood_set, score, curve, point, x, y) "
		        "values(?, ?, ?, ?, ?, ?, ?)",
		        r->id, json_text(value, "set", ""), json_text(value, "score", ""),
		        json_text(value, "curve", ""), point++, json_real(value, "x", NAN),
		        json_real(value, "y", NAN));
}

static void save_artifacts(struct turn *t, const struct report *r, const cJSON *body)
{
	const cJSON *artifact = NULL;

	if (r->trial.attempt > 1) /* it may have been done before */
		artifact_forget_gone(t->db, r->id);
	cJSON_ArrayForEach (artifact, json_at(body, "artifacts"))
		artifact_add(
		        t->db, t->now_ms,
		        &(struct artifact_new){.trial = r->id,
		                               .attempt = r->attempt,
		                               .step = json_int(artifact, "step", 0),
		                               .bytes = json_int(artifact, "bytes", 0),
		                               .sha256 = json_text(artifact, "sha256", ""),
		                               .name = json_text(artifact, "name", "checkpoint"),
		                               .numerics = json_text(body, "numerics", NULL),
		                               .final = true});
}

/* Whether a finished older attempt gives the bits that the newest would. */
static bool same_numerics(struct turn *t, const struct report *r)
{
	return sql_get_int(
	               t->db, 0,
	               "select a.numerics = b.numerics from attempt a join attempt b on "
	               "b.trial = a.trial where a.trial = ? and a.attempt = ? and b.attempt = ?",
	               r->id, r->attempt, r->trial.attempt) == 1;
}

static bool finish(struct turn *t, const struct report *r)
{
	char why[64];
	struct trial_change late = {.why = why};

	snprintf(why, sizeof why, "attempt %ld finished late", (long)r->attempt);
	if (r->standing == STANDING_CURRENT)
		return trial_move_loaded(t->db, t->now_ms, &r->trial, ON_FINISH, NULL);
	return trial_move_loaded(t->db, t->now_ms, &r->trial, ON_FINISH_LATE, &late);
}

void on_done(struct turn *t, const cJSON *body)
{
	struct report r;
	const cJSON *artifacts = json_at(body, "artifacts"), *artifact = NULL;

	cJSON_ArrayForEach (artifact, artifacts)
		if (!artifact_valid(t, artifact, "done"))
			return;
	if (!report_load(t, body, &r))
		return;
	turn_hear(t, r.worker, r.agent, NULL, 0);
	bool wanted = r.standing == STANDING_CURRENT ||
	              (r.standing == STANDING_LATE && same_numerics(t, &r) &&
	               trial_next(r.trial.state, ON_FINISH_LATE) == TRIAL_DONE);
	if (wanted && need(t, &r, artifacts))
		return;
	if (wanted && finish(t, &r)) {
		series_save(t, r.id, r.attempt, json_at(body, "rows"));
		save_result(t, &r, body);
		save_tree(t, &r, body);
		save_ood(t, &r, body);
		note_numerics(t, &r, json_text(body, "numerics", ""));
		save_artifacts(t, &r, body);
		attempt_end(t, r.id, r.attempt, "done", NULL);
		sql_run(t->db,
		        "update trial set errors = 0, losses = 0, why = null where id = ? and "
		        "(errors or losses or why is not null)",
		        r.id);
		artifact_collect(t->db, r.id, 1);
		prune_reported(t, r.id);
		notice_done(t, r.id);
		if (t->options->views)
			view_note_metrics(t->db, r.id);
	}
	turn_reply(t, WIRE_DONE_SAVED, reply_body(&r));
}

/* What an outcome does to a trial whose lease the attempt holds. */
typedef void ended_handler(struct turn *t, const struct report *r, const char *text,
                           const char *sha256);

static void move(struct turn *t, const struct report *r, enum trial_event event, const char *text)
{
	trial_move(t->db, t->now_ms, r->id, r->attempt, event, &(struct trial_change){.why = text});
}

static void ended_yield(struct turn *t, const struct report *r, const char *text,
                        const char *sha256)
{
	move(t, r, ON_YIELD, NULL);
}

static void ended_rung(struct turn *t, const struct report *r, const char *text, const char *sha256)
{
	prune_at_rung(t, &r->trial);
}

static void ended_error(struct turn *t, const struct report *r, const char *text,
                        const char *sha256)
{
	int64_t errors = r->trial.errors + 1, delay = t->options->error_delay_ms;
	int64_t limit =
	        sql_get_int(t->db, 3, "select retries from specification where trial = ?", r->id);
	bool last = errors >= limit;

	for (int64_t i = 1; i < errors && delay < 5 * 60 * 1000; i++)
		delay *= 2;
	trial_move(
	        t->db, t->now_ms, r->id, r->attempt, last ? ON_ERROR_LAST : ON_ERROR,
	        &(struct trial_change){.why = text, .not_before_ms = last ? 0 : t->now_ms + delay});
	sql_run(t->db, "update trial set errors = ? where id = ?", errors, r->id);
}

static void ended_bad_result(struct turn *t, const struct report *r, const char *text,
                             const char *sha256)
{
	move(t, r, ON_BAD_RESULT, text);
}

static void ended_killed(struct turn *t, const struct report *r, const char *text,
                         const char *sha256)
{
	lease_lose(t, &r->trial, text);
}

/* What made it unfit (a full disk, data that are not there) may pass, so it is asked again. */
static void ended_refuse(struct turn *t, const struct report *r, const char *text,
                         const char *sha256)
{
	enum { FIRST_MS = 60000, MOST_MS = 3600000 };

	sql_run(t->db,
	        "insert into refusal(trial, worker, until_ms) values(?1, ?2, ?3 + ?4) on conflict "
	        "do "
	        "update set times = times + 1, until_ms = ?3 + min(?4 << min(times, 10), ?5)",
	        r->id, r->worker, t->now_ms, FIRST_MS, MOST_MS);
	move(t, r, ON_REFUSE, text);
}

/* Other leases that begin with the same bytes, and that nobody has begun, are taken back. */
static void ended_input_lost(struct turn *t, const struct report *r, const char *text,
                             const char *sha256)
{
	int64_t id = 0;
	struct trial other;

	if (!sha256) {
		ended_error(t, r, text, NULL);
		return;
	}
	move(t, r, ON_INPUT_LOST, text);
	while ((id = sql_get_int(
	                t->db, 0,
	                "select min(t.id) from artifact a join trial_input i on i.input = a.trial "
	                "join trial t on t.id = i.trial and t.state = 'leased' join attempt x on "
	                "x.trial = t.id and x.attempt = t.attempt and x.phase is null "
	                "where a.sha256 = ? and a.state = 'present' and a.final and t.id > ?",
	                sha256, id)) &&
	       trial_load(t->db, id, &other)) {
		trial_move(t->db, t->now_ms, id, other.attempt, ON_INPUT_LOST,
		           &(struct trial_change){.why = text});
		attempt_end(t, id, other.attempt, "lost", text);
	}
	artifact_condemn(t->db, sha256);
}

static void ended_checkpoint_bad(struct turn *t, const struct report *r, const char *text,
                                 const char *sha256)
{
	char *from =
	        sql_get_text(t->db,
	                     "select sha256 from artifact join attempt on from_artifact = id where "
	                     "attempt.trial = ? and attempt.attempt = ?",
	                     r->id, r->attempt);

	if (from)
		artifact_condemn(t->db, from);
	move(t, r, ON_YIELD, text);
	free(from);
}

static const struct {
	const char *outcome;
	ended_handler *handle;
} endings[] = {
        {"yield", ended_yield},           {"rung", ended_rung},
        {"stopped", ended_yield}, /* still leased: the order to stop was overtaken */
        {"error", ended_error},           {"hung", ended_error},
        {"diverged", ended_bad_result},   {"out_of_memory", ended_bad_result},
        {"killed", ended_killed},         {"refuse", ended_refuse},
        {"input_lost", ended_input_lost}, {"checkpoint_bad", ended_checkpoint_bad},
};

void on_ended(struct turn *t, const cJSON *body)
{
	struct report r;
	const char *outcome = json_text(body, "outcome", ""), *text = json_text(body, "text", "");
	const char *sha256 = json_text(body, "sha256", NULL);
	size_t i = 0, count = sizeof endings / sizeof *endings;

	while (i < count && strcmp(endings[i].outcome, outcome) != 0)
		i++;
	if (!report_load(t, body, &r))
		return;
	turn_hear(t, r.worker, r.agent, NULL, 0);
	if (r.standing == STANDING_CURRENT)
		(i < count ? endings[i].handle : ended_error)(t, &r, *text ? text : outcome,
		                                              sha256_valid(sha256) ? sha256 : NULL);
	sql_run(t->db,
	        "update attempt set ended_ms = ?1, outcome = ?2, text = ?3, "
	        "log = iif(instr(log, coalesce(?4, '')) > 0, log, ?4) where trial = ?5 and "
	        "attempt = ?6 and worker = ?7 and coalesce(outcome, 'lost') = 'lost'",
	        t->now_ms, outcome, text, json_text(body, "log", NULL), r.id, r.attempt, r.worker);
	if (r.standing == STANDING_CURRENT)
		worker_judge(t, r.worker);
	if (r.standing == STANDING_CURRENT && trial_load(t->db, r.id, &r.trial) &&
	    (r.trial.state == TRIAL_FAILED || r.trial.state == TRIAL_INFEASIBLE))
		notice_failed(t, r.id);
	turn_reply(t, WIRE_ENDED_SAVED, reply_body(&r));
}

void on_stored(struct turn *t, const cJSON *body)
{
	const char *sha256 = json_text(body, "sha256", "");
	cJSON *reply = cJSON_CreateObject();
	bool valid = sha256_valid(sha256);

	if (valid)
		artifact_store(t->db, t->now_ms, sha256, json_int(body, "bytes", 0));
	cJSON_AddStringToObject(reply, "sha256", sha256);
	cJSON_AddBoolToObject(reply, "ok", valid);
	turn_reply(t, WIRE_STORED_SAVED, reply);
}
