/* Artifacts: which bytes belong to which trial, what may be collected, what others begin from. */
#include "coordinator/artifact.h"
#include "core/base/text.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { UNNAMED_MS = 24 * 3600 * 1000 };

bool sha256_valid(const char *text)
{
	return text && strlen(text) == SHA256_HEX - 1 &&
	       strspn(text, "0123456789abcdef") == SHA256_HEX - 1;
}

bool artifact_stored(struct sql *db, const char *sha256)
{
	return sql_get_int(db, 0, "select 1 from upload where sha256 = ?", sha256) == 1;
}

void artifact_store(struct sql *db, int64_t now_ms, const char *sha256, int64_t bytes)
{
	sql_run(db,
	        "insert into upload(sha256, bytes, stored_ms) values(?, ?, ?) "
	        "on conflict do update set stored_ms = excluded.stored_ms",
	        sha256, bytes, now_ms);
	sql_run(db, "delete from doomed where sha256 = ?", sha256);
}

static bool load(struct sql_rows *rows, struct artifact *a)
{
	*a = (struct artifact){0};
	if (!sql_next(rows))
		return false;
	a->id = sql_int(rows, 0);
	a->bytes = sql_int(rows, 1);
	a->step = sql_int(rows, 2);
	snprintf(a->sha256, sizeof a->sha256, "%s", sql_text(rows, 3));
	sql_end(rows);
	return true;
}

bool artifact_resume(struct sql *db, int64_t trial, struct artifact *a)
{
	return load(sql_query(db,
	                      "select id, bytes, step, sha256 from artifact where trial = ? and "
	                      "name = 'checkpoint' and state = 'present' and sha256 in "
	                      "(select sha256 from upload) order by step desc, id desc limit 1",
	                      trial),
	            a);
}

bool artifact_of_input(struct sql *db, int64_t trial, struct artifact *a)
{
	return load(
	        sql_query(db,
	                  "select id, bytes, step, sha256 from artifact where trial = ? and final "
	                  "and name in ('weights', 'checkpoint') and state = 'present' and sha256 "
	                  "in (select sha256 from upload) order by name desc, step desc, id desc "
	                  "limit 1",
	                  trial),
	        a);
}

bool artifact_was_left(struct sql *db, int64_t trial)
{
	return sql_get_int(db, 0,
	                   "select 1 from artifact where trial = ? and final and name in "
	                   "('weights', 'checkpoint') limit 1",
	                   trial) == 1;
}

void artifact_forget_gone(struct sql *db, int64_t trial)
{
	sql_run(db,
	        "update artifact set final = 0 where trial = ? and final and (state <> 'present' "
	        "or sha256 not in (select sha256 from upload))",
	        trial);
}

bool artifact_of_source(struct sql *db, int64_t trial, struct artifact *a)
{
	return load(sql_query(db,
	                      "select 0, bytes, 0, sha256 from upload where sha256 = (select "
	                      "source from trial where id = ?)",
	                      trial),
	            a);
}

bool artifact_load(struct sql *db, int64_t id, struct artifact *a)
{
	return load(sql_query(db, "select id, bytes, step, sha256 from artifact where id = ?", id),
	            a);
}

void artifact_add(struct sql *db, int64_t now_ms, const struct artifact_new *a)
{
	sql_run(db,
	        "insert into artifact(sha256, trial, attempt, name, step, bytes, numerics, final, "
	        "state, "
	        "created_ms) values(?, ?, ?, ?, ?, ?, ?, ?, 'present', ?) on conflict do update "
	        "set "
	        "state = 'present', final = max(final, excluded.final)",
	        a->sha256, a->trial, a->attempt, a->name, a->step, a->bytes, a->numerics, a->final,
	        now_ms);
}

/* Bytes that no present artifact and no sweep names are deleted after the commit. */
static void doom_if_unnamed(struct sql *db, const char *sha256)
{
	if (sql_run(db,
	            "delete from upload where sha256 = ?1 and not exists (select 1 from artifact "
	            "where "
	            "sha256 = ?1 and state = 'present') and "
	            "not exists (select 1 from source where sha256 = ?1)",
	            sha256))
		sql_run(db, "insert or ignore into doomed values(?)", sha256);
}

void artifact_condemn(struct sql *db, const char *sha256)
{
	sql_run(db,
	        "update trial set unsettled = 1 where state in ('waiting', 'ready') and id in "
	        "(select trial from trial_input where input in "
	        "(select trial from artifact where sha256 = ? and state = 'present'))",
	        sha256);
	sql_run(db, "update artifact set state = 'bad' where sha256 = ? and state = 'present'",
	        sha256);
	sql_run(db, "delete from upload where sha256 = ?", sha256);
	sql_run(db, "insert or ignore into doomed values(?)", sha256);
}

/* The step at which the first objective of a study that wants the trial was best; -1: none. */
static int64_t best_step(struct sql *db, int64_t trial)
{
	return sql_get_int(db, -1,
	                   "select m.step from study_trial st join study s on s.id = st.study join "
	                   "metric m on "
	                   "m.trial = st.trial and m.name = s.sweep ->> '$.objective[0].metric' "
	                   "where st.trial = ? and m.value is not null order by iif(s.sweep ->> "
	                   "'$.objective[0].goal' = 'min', m.value, -m.value), m.step desc limit 1",
	                   trial);
}

/* Mostly there are none to be collected. */
static bool has_more(struct sql *db, int64_t trial, int64_t keep)
{
	return sql_get_int(db, 0,
	                   "select 1 from artifact where trial = ? and name = 'checkpoint' and "
	                   "state = 'present' limit 1 offset ?",
	                   trial, keep) == 1;
}

static void collect(struct sql *db, int64_t trial, int64_t best, int64_t keep)
{
	struct sql_rows *rows =
	        sql_query(db,
	                  "select id, sha256 from (select id, sha256, step, final from artifact "
	                  "where trial = ?1 and name = 'checkpoint' and state = 'present' order by "
	                  "step desc, id desc limit -1 offset ?2) where not final and step <> ?3",
	                  trial, keep, best);
	struct artifact *old = NULL;
	size_t count = 0;

	for (; sql_next(rows); count++) {
		old = xrealloc(old, (count + 1) * sizeof *old);
		old[count].id = sql_int(rows, 0);
		snprintf(old[count].sha256, SHA256_HEX, "%s", sql_text(rows, 1));
	}
	for (size_t i = 0; i < count; i++) {
		sql_run(db, "update artifact set state = 'collected' where id = ?", old[i].id);
		doom_if_unnamed(db, old[i].sha256);
	}
	free(old);
}

void artifact_collect(struct sql *db, int64_t trial, int64_t keep)
{
	if (has_more(db, trial, keep))
		collect(db, trial, keep > 0 ? best_step(db, trial) : -1, keep);
}

void artifact_squeeze(struct sql *db, int64_t trial, int64_t keep)
{
	collect(db, trial, -1, keep);
}

void artifact_sweep(struct sql *db, int64_t now_ms)
{
	sql_run(db,
	        "insert or ignore into doomed select sha256 from upload u where stored_ms < ? and "
	        "not "
	        "exists (select 1 from artifact a where a.sha256 = u.sha256 and a.state = "
	        "'present') and "
	        "not exists (select 1 from source s where s.sha256 = u.sha256)",
	        now_ms - UNNAMED_MS);
	sql_run(db, "delete from upload where sha256 in (select sha256 from doomed)");
}
