/* Rungs: who has come to one, who goes on from there, who ends. */
#include "coordinator/rung.h"
#include "coordinator/pruner/pruner.h"
#include "core/base/text.h"
#include <math.h>
#include <stdlib.h>

struct place { /* of a trial in a study */
	int64_t trial, bracket, until, epochs;
};

static bool place_read(struct sql *db, int64_t study, int64_t trial, struct place *p)
{
	struct sql_rows *rows = sql_query(
	        db,
	        "select st.bracket, coalesce(st.until_epoch, 0), p.epochs from study_trial st join "
	        "specification p on p.trial = st.trial where st.study = ? and st.trial = ? and "
	        "st.role = 'trial' and st.wanted order by st.number limit 1",
	        study, trial);

	*p = (struct place){.trial = trial};
	if (!sql_next(rows))
		return false;
	p->bracket = sql_int(rows, 0);
	p->until = sql_int(rows, 1);
	p->epochs = sql_int(rows, 2);
	sql_end(rows);
	return true;
}

static void pass(struct turn *t, const struct rules *r, struct place *p)
{
	int64_t next = pruner_rung(&r->pruner, p->bracket, p->epochs, p->until);

	sql_run(t->db,
	        "update rung set verdict = 'promoted' where study = ? and bracket = ? and epoch = "
	        "? and trial = ?",
	        r->study, p->bracket, p->until, p->trial);
	sql_run(t->db,
	        "update study_trial set until_epoch = nullif(?, 0) where study = ? and trial = ? "
	        "and role = 'trial'",
	        next, r->study, p->trial);
	p->until = next;
	prune_let_go_on(t, p->trial);
	rung_climb(t, r, p->trial); /* for another study it may have been there already */
}

static void drop(struct turn *t, const struct rules *r, const struct place *p, int64_t rank,
                 int64_t count)
{
	char *why =
	        xformat("stopped after %ld epochs: %s is number %ld of %ld there, and one in %ld "
	                "goes on",
	                (long)p->until, r->metric, (long)rank, (long)count, (long)r->pruner.eta);

	sql_run(t->db,
	        "update rung set verdict = 'stopped' where study = ? and bracket = ? and epoch = ? "
	        "and trial = ?",
	        r->study, p->bracket, p->until, p->trial);
	prune_give_up(t, r->study, p->trial, why);
	free(why);
}

/* All that are at a rung; the caller's. */
static struct pruner_entry *entries(struct sql *db, const struct rules *r, int64_t bracket,
                                    int64_t epoch, int64_t *count)
{
	struct sql_rows *rows = sql_query(
	        db,
	        "select g.trial, g.value, g.verdict is not null, g.verdict is null and t.state in "
	        "('failed', 'infeasible', 'skipped', 'cancelled') from rung g join trial t on t.id "
	        "= "
	        "g.trial where g.study = ? and g.bracket = ? and g.epoch = ?",
	        r->study, bracket, epoch);
	struct pruner_entry *list = NULL;

	for (*count = 0; sql_next(rows); ++*count) {
		list = xrealloc(list, (size_t)(*count + 1) * sizeof *list);
		list[*count] = (struct pruner_entry){sql_int(rows, 0), sql_real(rows, 1),
		                                     sql_int(rows, 2) != 0, sql_int(rows, 3) != 0};
	}
	return list;
}

/* Of a complete rung: the best go on, and all others end.  Who has failed meanwhile takes nobody's
 * place. */
static void close_rung(struct turn *t, const struct rules *r, int64_t bracket, int64_t epoch)
{
	int64_t count = 0, passed = 0;
	struct pruner_entry *entry = entries(t->db, r, bracket, epoch, &count);
	int64_t best = pruner_promote(&r->pruner, entry, count, true);
	struct place p;

	for (int64_t i = 0; i < count; i++) {
		if (entry[i].gone)
			continue;
		bool goes_on = passed++ < best;
		if (entry[i].judged || !place_read(t->db, r->study, entry[i].trial, &p) ||
		    p.until != epoch)
			continue;
		if (goes_on)
			pass(t, r, &p);
		else
			drop(t, r, &p, i + 1, count);
	}
	free(entry);
}

static int64_t arrived(struct sql *db, const struct rules *r, int64_t bracket, int64_t epoch)
{
	return sql_get_int(
	        db, 0, "select count(*) from rung where study = ? and bracket = ? and epoch = ?",
	        r->study, bracket, epoch);
}

/* Mode promote, one more has come: it may be among the best in so many, or make them one more.
 * Looks at no more of the rung than that: there may be a hundred thousand. */
static void promote(struct turn *t, const struct rules *r, int64_t bracket, int64_t epoch)
{
	int64_t best = arrived(t->db, r, bracket, epoch) / r->pruner.eta, last = 0, fine[4],
	        count = 0;
	struct sql_rows *rows;
	struct place p;
	double score = NAN;

	if (best < 1)
		return;
	rows = sql_query(t->db,
	                 "select score, trial from rung indexed by rung_score where study = ? and "
	                 "bracket = ? and epoch = ? "
	                 "order by score desc, trial limit 1 offset ?",
	                 r->study, bracket, epoch, best - 1);
	while (sql_next(rows)) {
		score = sql_real(rows, 0);
		last = sql_int(rows, 1);
	}
	rows = sql_query(
	        t->db,
	        "select trial from rung indexed by rung_waiting where study = ?1 and bracket "
	        "= ?2 and epoch = ?3 and verdict is null and (score > ?4 or (score is ?4 and "
	        "trial <= ?5) or (?4 is null and score is not null)) order by score desc, "
	        "trial limit 4",
	        r->study, bracket, epoch, score, last);
	while (sql_next(rows))
		fine[count++] = sql_int(rows, 0);
	for (int64_t i = 0; i < count; i++)
		if (place_read(t->db, r->study, fine[i], &p) && p.until == epoch)
			pass(t, r, &p);
}

/* Mode stop: this one goes on, or not. */
static void judge(struct turn *t, const struct rules *r, struct place *p)
{
	int64_t count = arrived(t->db, r, p->bracket, p->until);
	int64_t rank = sql_get_int(
	        t->db, 1,
	        "select 1 + count(*) from rung o join rung g on g.study = o.study and g.bracket = "
	        "o.bracket and g.epoch = o.epoch and g.trial = ?4 where o.study = ?1 and o.bracket "
	        "= ?2 "
	        "and o.epoch = ?3 and (o.score > g.score or (o.score is g.score and o.trial < "
	        "g.trial) "
	        "or (g.score is null and o.score is not null))",
	        r->study, p->bracket, p->until, p->trial);
	bool ended = sql_get_int(t->db, 0, "select ended_ms is not null from trial where id = ?",
	                         p->trial) == 1;

	if (!ended && pruner_stops(&r->pruner, rank, count))
		drop(t, r, p, rank, count);
	else
		pass(t, r, p);
}

/* A trial that is past its rung, or ends there, and has not measured the metric: the worst value,
 * so that nobody waits for it. */
static bool arrive_without(struct turn *t, const struct rules *r, const struct place *p)
{
	int64_t trained = prune_trained(t->db, p->trial);

	if (trained < p->until || (trained == p->until && !r->at_rung))
		return false;
	sql_run(t->db,
	        "insert or ignore into rung(study, bracket, epoch, trial) values(?, ?, ?, ?)",
	        r->study, p->bracket, p->until, p->trial);
	if (!sql_get_int(t->db, 0,
	                 "select 1 from event where kind = 'metric_missing' and study = ?",
	                 r->study))
		event_add(t->db, t->now_ms, "metric_missing", r->study, p->trial, 0,
		          "after %ld epochs there is no metric \"%s\" to compare trials by "
		          "(prune.metric)",
		          (long)p->until, r->metric);
	return true;
}

/* Whether the trial has measured the metric at its rung; takes the value down. */
static bool arrive(struct turn *t, const struct rules *r, const struct place *p)
{
	bool measured = sql_get_int(t->db, 0,
	                            "select 1 from metric where trial = ? and name = ? and epoch = "
	                            "? limit 1",
	                            p->trial, (const char *)r->metric, p->until) == 1;

	if (measured)
		sql_run(t->db,
		        "insert or ignore into rung(study, bracket, epoch, trial, value, score) "
		        "select ?1, ?2, ?3, trial, value, value * ?6 from metric where trial = ?4 "
		        "and name = ?5 and epoch = ?3 order by step desc limit 1",
		        r->study, p->bracket, p->until, p->trial, (const char *)r->metric,
		        r->pruner.maximizes ? 1.0 : -1.0);
	return measured ||
	       sql_get_int(t->db, 0,
	                   "select 1 from rung where study = ? and bracket = ? and epoch = ? and "
	                   "trial = ?",
	                   r->study, p->bracket, p->until, p->trial) == 1;
}

/* As far as its reports reach. */
void rung_climb(struct turn *t, const struct rules *r, int64_t trial)
{
	struct place p;

	while (place_read(t->db, r->study, trial, &p) && p.until &&
	       (arrive(t, r, &p) || arrive_without(t, r, &p))) {
		int64_t before = p.until;
		if (r->pruner.promotes)
			promote(t, r, p.bracket, before);
		else
			judge(t, r, &p);
		if (place_read(t->db, r->study, trial, &p) && p.until == before)
			break;
	}
	sql_run(t->db, "update study set judge = 1 where id = ? and judge = 0", r->study);
}

/* Whether one of the bracket can still come to the rung. */
static bool may_come(struct sql *db, const struct rules *r, int64_t bracket, int64_t epoch)
{
	return sql_get_int(
	               db, 0,
	               "select 1 from trial t indexed by trial_open join study_trial st on "
	               "st.trial = t.id where t.ended_ms is null and st.study = ?1 and st.role = "
	               "'trial' and st.bracket = ?2 and st.wanted and st.until_epoch <= ?3 and not "
	               "exists (select 1 from rung g where g.study = ?1 and g.bracket = ?2 and "
	               "g.epoch = ?3 and g.trial = st.trial) limit 1",
	               r->study, bracket, epoch) == 1;
}

void rung_settle(struct turn *t, const struct rules *r)
{
	int64_t bracket = 0, epoch = 0;

	for (bool more = r->pruner.promotes && !r->more; more;) {
		struct sql_rows *rows = sql_query(t->db,
		                                  "select bracket, epoch from rung indexed by "
		                                  "rung_waiting where study = ? and "
		                                  "verdict is null and (bracket, epoch) > (?, ?) "
		                                  "order by bracket, epoch limit "
		                                  "1",
		                                  r->study, bracket, epoch);
		more = sql_next(rows);
		if (!more)
			break;
		bracket = sql_int(rows, 0);
		epoch = sql_int(rows, 1);
		sql_end(rows);
		if (!may_come(t->db, r, bracket, epoch))
			close_rung(t, r, bracket, epoch);
	}
}
