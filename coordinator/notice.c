/* Notices: what they say, and when they are due. */
#include "coordinator/notice.h"
#include "coordinator/screen.h"
#include "core/base/json.h"
#include "core/base/text.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
	BURST = 3,
	BURST_MS = 10 * 60 * 1000,
	BURST_AGAIN_MS = 3600 * 1000,
	BEST_MS = 30 * 1000,
	TRY_MS = 5000,
	TRY_MOST_MS = 3600 * 1000,
	TRIES_MOST = 30
};

static void add(struct turn *t, const char *kind, int64_t study, int64_t wait_ms, const char *text)
{
	sql_run(t->db,
	        "insert into notice(at_ms, kind, study, text, not_before_ms) values(?1, ?2, "
	        "nullif(?3, 0), ?4, ?1 + ?5)",
	        t->now_ms, kind, study, text, wait_ms);
}

/* One that waits still says the newest best only. */
static void note_best(struct turn *t, int64_t study, const char *name, const char *metric,
                      double value, int64_t trial)
{
	char *text = xformat("Study %s: trial %ld is the best so far, %s %.6g", name, (long)trial,
	                     metric, value);

	if (!sql_run(t->db,
	             "update notice set text = ? where kind = 'best' and study = ? and sent_ms is "
	             "null and tries = 0",
	             (const char *)text, study))
		add(t, "best", study, BEST_MS, text);
	free(text);
}

void notice_done(struct turn *t, int64_t trial)
{
	struct sql_rows *rows =
	        t->options->notifies
	                ? sql_query(
	                          t->db,
	                          "select s.id, s.name, o.metric, iif(o.goal = 'min', -r.value, "
	                          "r.value), s.best, r.value from study_trial st join study s on "
	                          "s.id = st.study join objective o on o.study_id = s.id and "
	                          "o.rank = 0 join result r on r.trial = st.trial and r.metric = "
	                          "o.metric where st.trial = ? and st.role = 'trial' group by s.id",
	                          trial)
	                : NULL;

	while (sql_next(rows)) {
		int64_t study = sql_int(rows, 0);
		double score = sql_real(rows, 3), best = sql_real(rows, 4);
		if (isnan(score) || (!isnan(best) && score <= best))
			continue;
		sql_run(t->db, "update study set best = ? where id = ?", score, study);
		if (!isnan(best)) /* the first is no news */
			note_best(t, study, sql_text(rows, 1), sql_text(rows, 2), sql_real(rows, 5),
			          trial);
	}
}

void notice_failed(struct turn *t, int64_t trial)
{
	struct sql_rows *rows =
	        t->options->notifies
	                ? sql_query(
	                          t->db,
	                          "select s.id, s.name, (select count(distinct h.trial) from "
	                          "history h "
	                          "join study_trial o on o.trial = h.trial and o.study = s.id "
	                          "where "
	                          "h.after in ('failed', 'infeasible') and h.at_ms > ?1) n, t.why "
	                          "from study_trial st join study s on s.id = st.study join trial "
	                          "t "
	                          "on t.id = st.trial where st.trial = ?2 and not exists (select 1 "
	                          "from notice where kind = 'failures' and study = s.id and at_ms "
	                          "> "
	                          "?3) group by s.id",
	                          t->now_ms - BURST_MS, trial, t->now_ms - BURST_AGAIN_MS)
	                : NULL;

	while (sql_next(rows)) {
		if (sql_int(rows, 2) < BURST)
			continue;
		char *text = xformat("Study %s: %ld trials failed within ten minutes, the last: %s",
		                     sql_text(rows, 1), (long)sql_int(rows, 2),
		                     sql_is_null(rows, 3) ? "?" : sql_text(rows, 3));
		add(t, "failures", sql_int(rows, 0), 0, text);
		free(text);
	}
}

void notice_full(struct turn *t, const char *text)
{
	if (t->options->notifies)
		add(t, "full", 0, 0, text);
}

static bool has_ended(struct sql *db, int64_t study)
{
	return sql_get_int(db, 0, "select cursor = total from study where id = ?", study) == 1 &&
	       !sql_get_int(
	               db, 0,
	               "select 1 from trial t indexed by trial_open join study_trial st on "
	               "st.trial = t.id where t.ended_ms is null and st.study = ? and st.wanted "
	               "limit 1",
	               study);
}

static void note_end(struct turn *t, int64_t study)
{
	struct sql_rows *rows = sql_query(
	        t->db,
	        "select s.name, sum(t.state = 'done'), sum(t.state in ('failed', 'infeasible', "
	        "'skipped')), sum(t.state in ('pruned', 'cancelled')), (max(t.ended_ms) - "
	        "min(t.started_ms)) / 1000.0, (select 'best ' || metric || ' ' || "
	        "printf('%.6g', value) || ', trial ' || trial from best b where b.study = s.name "
	        "and rank = 1 limit 1) from study s join study_trial st on st.study = s.id and "
	        "st.role = 'trial' join trial t on t.id = st.trial where s.id = ?",
	        study);
	char spent[24];

	while (sql_next(rows)) {
		screen_duration(sql_is_null(rows, 4) ? 0 : sql_real(rows, 4), spent);
		char *text = xformat(
		        "Study %s has ended after %s: %ld done, %ld failed, %ld stopped%s%s",
		        sql_text(rows, 0), spent, (long)sql_int(rows, 1), (long)sql_int(rows, 2),
		        (long)sql_int(rows, 3), sql_is_null(rows, 5) ? "" : "; ",
		        sql_is_null(rows, 5) ? "" : sql_text(rows, 5));
		add(t, "end", study, 0, text);
		free(text);
	}
}

void notice_settle(struct turn *t)
{
	size_t count = 0;
	int64_t *ids = NULL;

	if (!t->options->notifies)
		return;
	ids = sql_get_ids(t->db,
	                  "select id from study indexed by study_news where news = 1 and id > ? "
	                  "and state <> 'cancelled'",
	                  0, &count);
	for (size_t i = 0; i < count; i++) {
		sql_run(t->db, "update study set news = 0 where id = ?", ids[i]);
		if (has_ended(t->db, ids[i]))
			note_end(t, ids[i]);
	}
	free(ids);
}

void on_noticed(struct turn *t, const cJSON *body)
{
	int64_t id = json_int(body, "notice", 0);
	int64_t tries = 1 + sql_get_int(t->db, 0, "select tries from notice where id = ?", id);
	int64_t wait = TRY_MS;

	for (int64_t i = 1; i < tries && wait < TRY_MOST_MS; i++)
		wait *= 2;
	if (json_bool(body, "ok", false))
		sql_run(t->db,
		        "update notice set sent_ms = ?, tries = ?, error = null where id = ?",
		        t->now_ms, tries, id);
	else if (tries < TRIES_MOST)
		sql_run(t->db,
		        "update notice set tries = ?, error = ?, not_before_ms = ? where id = ?",
		        tries, json_text(body, "text", ""),
		        t->now_ms + (wait < TRY_MOST_MS ? wait : TRY_MOST_MS), id);
	else
		sql_run(t->db,
		        "update notice set tries = ?, error = ?, not_before_ms = null where id = ?",
		        tries, json_text(body, "text", ""), id);
}
