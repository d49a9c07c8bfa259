/* The artifact store's quota: what is freed when it is passed, and what waits. */
#include "coordinator/quota.h"
#include "coordinator/artifact.h"
#include "coordinator/notice.h"
#include "coordinator/screen.h"
#include "coordinator/standing.h"
#include <stdlib.h>

enum { AT_ONCE = 10000 }; /* trials looked at in one turn */

#define SPARE ARTIFACT_SPARE " and t.state "

/* What nothing needs, in this order: checkpoints of whom, but for their newest `keep`. */
static const struct {
	int64_t keep;
	const char *trials;
} unneeded[] = {
        {0, "select distinct a.trial " SPARE "= 'done' limit ?"},
        {1, "select a.trial " SPARE "in ('waiting', 'ready', 'paused') group by a.trial having "
            "count(*) > 1 limit ?"},
        {0, "select distinct a.trial " SPARE "in ('failed', 'infeasible', 'cancelled', 'pruned', "
            "'skipped') limit ?"},
};

static int64_t stored(struct sql *db)
{
	return sql_get_int(db, 0, "select stored_bytes from coordinator");
}

/* Until no more than `most` bytes are left; of how many trials. */
static int64_t free_those(struct turn *t, const int64_t *trials, size_t count, int64_t keep,
                          int64_t most)
{
	size_t i = 0;

	for (; i < count && stored(t->db) > most; i++)
		artifact_squeeze(t->db, trials[i], keep);
	return (int64_t)i;
}

static int64_t free_unneeded(struct turn *t, int64_t most)
{
	int64_t freed = 0;

	for (size_t i = 0; i < sizeof unneeded / sizeof *unneeded; i++) {
		size_t count = 0;
		int64_t *trials = sql_get_ids(t->db, unneeded[i].trials, AT_ONCE, &count);
		freed += free_those(t, trials, count, unneeded[i].keep, most);
		free(trials);
	}
	return freed;
}

static int64_t free_paused(struct turn *t, int64_t most)
{
	size_t count = 0;
	int64_t *trials = standing_worst_first(t->db, &count);
	int64_t freed = free_those(t, trials, count, 0, most);

	for (int64_t i = 0; i < freed; i++)
		sql_run(t->db,
		        "update trial set why = 'waits at a rung, without its checkpoint: that "
		        "made room in the artifact store' where id = ?",
		        trials[i]);
	free(trials);
	return freed;
}

static void make_room(struct turn *t, int64_t quota)
{
	int64_t before = stored(t->db), most = quota - quota / 10;
	int64_t unneeded_trials = free_unneeded(t, most), paused = 0;
	char held[24], allowed[24], gone[24];

	if (stored(t->db) > most)
		paused = free_paused(t, most);
	if (!unneeded_trials && !paused)
		return;
	screen_bytes(before, held);
	screen_bytes(quota, allowed);
	screen_bytes(before - stored(t->db), gone);
	event_add(t->db, t->now_ms, "quota", 0, 0, 0,
	          "the artifact store held %s of %s: freed %s, checkpoints of %ld trials that "
	          "nothing needs, and of %ld that stand worst at their rungs",
	          held, allowed, gone, (long)unneeded_trials, (long)paused);
}

/* Said when it begins and when it ends. */
static void note_full(struct turn *t, int64_t quota)
{
	char held[24], allowed[24];

	if (t->was_full == t->full)
		return;
	sql_run(t->db, "update coordinator set full_ms = iif(?, ?, null)", t->full, t->now_ms);
	screen_bytes(stored(t->db), held);
	screen_bytes(quota, allowed);
	char *text = t->full ? xformat("The artifact store is full: %s of %s are needed. No new "
	                               "trial is leased until there is room; trawl serve "
	                               "--artifact-quota allows more",
	                               held, allowed)
	                     : xformat("There is room in the artifact store again (%s): new trials "
	                               "are leased",
	                               held);
	event_add(t->db, t->now_ms, t->full ? "quota_full" : "quota", 0, 0, 0, "%s", text);
	if (t->full)
		notice_full(t, text);
	else
		t->all = true;
	free(text);
}

void quota_settle(struct turn *t)
{
	int64_t quota = t->options->quota_bytes;

	if (quota != t->quota_was)
		sql_run(t->db, "update coordinator set quota_bytes = nullif(?, 0)", quota);
	if (quota && stored(t->db) > quota)
		make_room(t, quota);
	t->full = quota && stored(t->db) > quota;
	note_full(t, quota);
	if (t->full && !sql_get_int(t->db, 0, "select 1 " SPARE "= 'ready' limit 1"))
		t->leasing = false; /* nobody has to look through all queues for nothing */
}

void quota_explain(struct sql *db, int64_t trial, struct text *out)
{
	char held[24], allowed[24];
	struct sql_rows *rows = sql_query(
	        db,
	        "select t.state = 'paused', c.stored_bytes, c.quota_bytes from trial t, "
	        "coordinator c where t.id = ?1 and not exists (select 1 from artifact where trial "
	        "= ?1 and name = 'checkpoint' and state = 'present') and ((t.state = 'ready' and "
	        "c.full_ms is not null) or (t.state = 'paused' and exists (select 1 from artifact "
	        "where trial = ?1 and name = 'checkpoint' and state = 'collected')))",
	        trial);

	while (sql_next(rows)) {
		screen_bytes(sql_int(rows, 1), held);
		screen_bytes(sql_int(rows, 2), allowed);
		if (sql_int(rows, 0))
			text_add(out,
			         "Its checkpoint made room in the artifact store: if it is let "
			         "go on, it begins anew.\n");
		else
			text_add(out,
			         "The artifact store is full, %s of %s: only trials with a "
			         "checkpoint there are leased (trawl serve --artifact-quota allows "
			         "more).\n",
			         held, allowed);
	}
}
