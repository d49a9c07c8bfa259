/* Early stopping: the books of the rules in pruner/. */
#include "coordinator/prune.h"
#include "coordinator/artifact.h"
#include "coordinator/lease.h"
#include "coordinator/pruner/pruner.h"
#include "core/base/text.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What a study's sweep says. */
struct rules {
	struct pruner pruner;
	char *metric;
	int64_t study;
	bool more; /* trials are still to be made */
};

static bool rules_read(struct sql *db, int64_t study, struct rules *r)
{
	struct sql_rows *rows = sql_query(
	        db,
	        "select sweep ->> '$.prune.kind', sweep ->> '$.prune.mode' = 'promote', coalesce("
	        "sweep ->> '$.prune.metric', sweep ->> '$.objective[0].metric') as metric, "
	        "coalesce(sweep ->> '$.prune.goal', (select value ->> '$.goal' from "
	        "json_each(sweep, '$.objective') where value ->> '$.metric' = coalesce("
	        "sweep ->> '$.prune.metric', sweep ->> '$.objective[0].metric'))) = 'max', "
	        "sweep ->> '$.prune.least', sweep ->> '$.prune.reduction', "
	        "sweep ->> '$.prune.startup', cursor < total from study where id = ?",
	        study);

	*r = (struct rules){.study = study};
	if (!sql_next(rows))
		return false;
	r->pruner = (struct pruner){.kind = pruner_kind_of(sql_text(rows, 0)),
	                            .promotes = sql_int(rows, 1) != 0,
	                            .maximizes = sql_int(rows, 3) != 0,
	                            .least = sql_int(rows, 4),
	                            .eta = sql_int(rows, 5),
	                            .startup = sql_int(rows, 6)};
	r->metric = xstrdup(sql_text(rows, 2));
	r->more = sql_int(rows, 7) != 0;
	sql_end(rows);
	return true;
}

static void rules_release(struct rules *r)
{
	free(r->metric);
}

static int64_t epochs_of(struct sql *db, int64_t trial)
{
	return sql_get_int(db, 0,
	                   "select iif(spec ->> '$.action' = 'train', spec ->> "
	                   "'$.train.epochs', 0) from trial where id = ?",
	                   trial);
}

/* ---- how far a trial may go ---- */

int64_t prune_until(struct sql *db, int64_t trial)
{
	return sql_get_int(db, 0,
	                   "select iif(count(*) = count(until), max(until), 0) from (select "
	                   "iif(s.judge is not null and s.sweep ->> '$.prune.mode' = 'promote', "
	                   "st.until_epoch, null) "
	                   "until from study_trial st join study s on s.id = st.study "
	                   "where st.trial = ? and st.wanted)",
	                   trial);
}

static int64_t trained_epochs(struct sql *db, int64_t trial)
{
	return sql_get_int(db, 0, "select max(epoch) from metric where trial = ? and name = 'loss'",
	                   trial);
}

/* A trial that waits goes on when some study lets it. */
static void let_go_on(struct turn *t, int64_t id)
{
	struct trial trial;

	if (!trial_load(t->db, id, &trial) || trial.state != TRIAL_PAUSED)
		return;
	int64_t until = prune_until(t->db, id);
	if (until && until <= trained_epochs(t->db, id))
		return;
	if (trial_move(t->db, t->now_ms, id, trial.attempt, ON_PROMOTE, NULL))
		t->all = true;
}

void prune_at_rung(struct turn *t, const struct trial *trial)
{
	int64_t until = prune_until(t->db, trial->id), trained = trained_epochs(t->db, trial->id);
	bool waits = until && until <= trained;
	char why[64];
	struct trial_change change = {.why = why};

	snprintf(why, sizeof why, "waits at a rung, after %ld epochs", (long)trained);
	sql_run(t->db, "update trial set reached = ? where id = ?", trained, trial->id);
	trial_move(t->db, t->now_ms, trial->id, trial->attempt, waits ? ON_RUNG : ON_YIELD,
	           waits ? &change : NULL);
}

/* The study wants no more of it; when no other does, it ends. */
static void give_up(struct turn *t, int64_t study, int64_t id, const char *why)
{
	struct trial trial;

	sql_run(t->db,
	        "update study_trial set wanted = 0, verdict = 'pruned' where study = ? and trial "
	        "= ? and role = 'trial'",
	        study, id);
	if (sql_get_int(t->db, 0, "select 1 from study_trial where trial = ? and wanted", id)) {
		let_go_on(t, id);
		return;
	}
	if (!trial_load(t->db, id, &trial))
		return;
	enum trial_event event = trial.state == TRIAL_PAUSED ? ON_CLOSE : ON_PRUNE;
	if (!trial_move(t->db, t->now_ms, id, trial.attempt, event,
	                &(struct trial_change){.why = why}))
		return;
	if (trial.state == TRIAL_LEASED) {
		attempt_end(t, id, trial.attempt, "pruned", why);
		t->all = true;
	}
	artifact_collect(t->db, id, 0);
}

/* ---- rungs ---- */

struct place { /* of a trial in a study */
	int64_t trial, bracket, until, epochs;
};

static bool place_read(struct sql *db, int64_t study, int64_t trial, struct place *p)
{
	struct sql_rows *rows = sql_query(db,
	                                  "select bracket, coalesce(until_epoch, 0) from "
	                                  "study_trial where study = ? and trial = ? and role = "
	                                  "'trial' and wanted order by number limit 1",
	                                  study, trial);

	*p = (struct place){.trial = trial};
	if (!sql_next(rows))
		return false;
	p->bracket = sql_int(rows, 0);
	p->until = sql_int(rows, 1);
	sql_end(rows);
	p->epochs = epochs_of(db, trial);
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
	let_go_on(t, p->trial);
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
	give_up(t, r->study, p->trial, why);
	free(why);
}

/* All that are at a rung; the caller's. */
static struct pruner_entry *entries(struct sql *db, const struct rules *r, int64_t bracket,
                                    int64_t epoch, int64_t *count)
{
	struct sql_rows *rows =
	        sql_query(db,
	                  "select trial, value, verdict is not null from rung where "
	                  "study = ? and bracket = ? and epoch = ?",
	                  r->study, bracket, epoch);
	struct pruner_entry *list = NULL;

	for (*count = 0; sql_next(rows); ++*count) {
		list = xrealloc(list, (size_t)(*count + 1) * sizeof *list);
		list[*count] = (struct pruner_entry){sql_int(rows, 0), sql_real(rows, 1),
		                                     sql_int(rows, 2) != 0};
	}
	return list;
}

/* Mode promote: those that are among the best now; and, of a complete rung, all others end. */
static void promote(struct turn *t, const struct rules *r, int64_t bracket, int64_t epoch,
                    bool complete)
{
	int64_t count = 0;
	struct pruner_entry *entry = entries(t->db, r, bracket, epoch, &count);
	int64_t best = pruner_promote(&r->pruner, entry, count, complete);
	struct place p;

	for (int64_t i = 0; i < count && (i < best || complete); i++) {
		if (entry[i].promoted || !place_read(t->db, r->study, entry[i].trial, &p) ||
		    p.until != epoch)
			continue;
		if (i < best)
			pass(t, r, &p);
		else
			drop(t, r, &p, i + 1, count);
	}
	free(entry);
}

/* Mode stop: this one goes on, or not. */
static void judge(struct turn *t, const struct rules *r, struct place *p)
{
	int64_t count = 0, rank = 0;
	struct pruner_entry *entry = entries(t->db, r, p->bracket, p->until, &count);

	pruner_promote(&r->pruner, entry, count, false);
	while (rank < count && entry[rank++].trial != p->trial)
		;
	free(entry);
	bool ended = sql_get_int(t->db, 0, "select ended_ms is not null from trial where id = ?",
	                         p->trial) == 1;
	if (!ended && pruner_stops(&r->pruner, rank, count))
		drop(t, r, p, rank, count);
	else
		pass(t, r, p);
}

/* Whether the trial has measured the metric at its rung; takes the value down. */
static bool arrive(struct turn *t, const struct rules *r, const struct place *p)
{
	return sql_run(t->db,
	               "insert or ignore into rung(study, bracket, epoch, trial, value) select ?1, "
	               "?2, ?3, trial, value from metric where trial = ?4 and name = ?5 and epoch "
	               "= ?3 order by step desc limit 1",
	               r->study, p->bracket, p->until, p->trial, (const char *)r->metric) > 0 ||
	       sql_get_int(t->db, 0,
	                   "select 1 from rung where study = ? and bracket = ? and epoch = ? and "
	                   "trial = ?",
	                   r->study, p->bracket, p->until, p->trial) == 1;
}

/* As far as its reports reach. */
static void climb(struct turn *t, const struct rules *r, int64_t trial)
{
	struct place p;

	while (place_read(t->db, r->study, trial, &p) && p.until && arrive(t, r, &p)) {
		int64_t before = p.until;
		if (r->pruner.promotes)
			promote(t, r, p.bracket, before, false);
		else
			judge(t, r, &p);
		if (place_read(t->db, r->study, trial, &p) && p.until == before)
			break;
	}
	sql_run(t->db, "update study set judge = 1 where id = ? and judge = 0", r->study);
}

/* ---- the median rule ---- */

static int by_size(const void *left, const void *right)
{
	const double *a = left, *b = right;

	return *a < *b ? -1 : *a > *b;
}

static void judge_by_median(struct turn *t, const struct rules *r, int64_t trial)
{
	int64_t epoch =
	        sql_get_int(t->db, 0, "select max(epoch) from metric where trial = ? and name = ?",
	                    trial, (const char *)r->metric);
	struct sql_rows *rows = sql_query(
	        t->db,
	        "select m.value from study_trial st join trial t on t.id = st.trial and t.state = "
	        "'done' join metric m on m.trial = t.id and m.name = ? and m.epoch = ? where "
	        "st.study = ? and st.role = 'trial' and st.trial <> ? and m.value is not null",
	        (const char *)r->metric, epoch, r->study, trial);
	double *others = NULL, best = NAN;
	int64_t count = 0;

	for (; sql_next(rows); count++) {
		others = xrealloc(others, (size_t)(count + 1) * sizeof *others);
		others[count] = sql_real(rows, 0);
	}
	rows = sql_query(t->db, "select value from metric where trial = ? and name = ?", trial,
	                 (const char *)r->metric);
	while (sql_next(rows))
		best = r->pruner.maximizes ? fmax(best, sql_real(rows, 0))
		                           : fmin(best, sql_real(rows, 0));
	if (count)
		qsort(others, (size_t)count, sizeof *others, by_size);
	if (epoch < epochs_of(t->db, trial) &&
	    pruner_median_stops(&r->pruner, epoch, best, others, count)) {
		char *why = xformat("stopped after %ld epochs: %s %.4g is worse than the median of "
		                    "%ld trials there",
		                    (long)epoch, r->metric, best, (long)count);
		give_up(t, r->study, trial, why);
		free(why);
	}
	free(others);
}

/* ---- what others call ---- */

static void look(struct turn *t, int64_t study, int64_t trial)
{
	struct rules r;

	if (!rules_read(t->db, study, &r))
		return;
	if (r.pruner.kind == PRUNER_MEDIAN)
		judge_by_median(t, &r, trial);
	else if (r.pruner.kind != PRUNER_NONE)
		climb(t, &r, trial);
	rules_release(&r);
}

void prune_reported(struct turn *t, int64_t trial)
{
	int64_t study = 0;

	while ((study = sql_get_int(t->db, 0,
	                            "select min(st.study) from study_trial st join study s on s.id "
	                            "= st.study where st.trial = ? and st.role = 'trial' and "
	                            "st.wanted and s.judge is not null and st.study > ?",
	                            trial, study)))
		look(t, study, trial);
}

void prune_joined(struct turn *t, int64_t study, int64_t trial)
{
	struct rules r;
	struct trial state;

	if (!trial_load(t->db, trial, &state) ||
	    (sql_get_int(t->db, 0, "select judge is null from study where id = ?", study) &&
	     state.state != TRIAL_PAUSED))
		return;
	int64_t number = sql_get_int(t->db, 0,
	                             "select number from study_trial where study = ? and trial = ? "
	                             "and role = 'trial' order by number desc limit 1",
	                             study, trial);
	int64_t epochs = epochs_of(t->db, trial);

	if (!rules_read(t->db, study, &r))
		return;
	if (r.pruner.kind != PRUNER_NONE) {
		int64_t bracket = pruner_bracket(&r.pruner, epochs, number);
		sql_run(t->db,
		        "update study_trial set bracket = ?, until_epoch = nullif(?, 0) where "
		        "study "
		        "= ? and number = ?",
		        bracket, pruner_rung(&r.pruner, bracket, epochs, 0), study, number);
		look(t, study, trial);
	}
	rules_release(&r);
	let_go_on(t, trial);
}

/* How many of the bracket can still come to the rung. */
static int64_t below(struct sql *db, const struct rules *r, int64_t bracket, int64_t epoch)
{
	return sql_get_int(db, 0,
	                   "select count(*) from study_trial st join trial t on t.id = st.trial "
	                   "where st.study = ?1 and st.role = 'trial' and st.bracket = ?2 and "
	                   "st.wanted and t.ended_ms is null and st.until_epoch <= ?3 and not "
	                   "exists (select 1 from rung g where g.study = ?1 and g.bracket = ?2 and "
	                   "g.epoch = ?3 and g.trial = st.trial)",
	                   r->study, bracket, epoch);
}

static void settle_study(struct turn *t, int64_t study)
{
	struct rules r;
	int64_t bracket = 0, epoch = 0;

	if (!rules_read(t->db, study, &r))
		return;
	for (bool more = r.pruner.promotes && !r.more; more;) {
		struct sql_rows *rows = sql_query(
		        t->db,
		        "select bracket, epoch from rung where study = ? and verdict is null and "
		        "(bracket, epoch) > (?, ?) order by bracket, epoch limit 1",
		        study, bracket, epoch);
		more = sql_next(rows);
		if (!more)
			break;
		bracket = sql_int(rows, 0);
		epoch = sql_int(rows, 1);
		sql_end(rows);
		if (!below(t->db, &r, bracket, epoch))
			promote(t, &r, bracket, epoch, true);
	}
	rules_release(&r);
}

void prune_settle(struct turn *t)
{
	size_t count = 0;
	int64_t *ids = sql_get_ids(
	        t->db, "select id from study where judge = ? and state <> 'cancelled'", 1, &count);

	for (size_t i = 0; i < count; i++) {
		sql_run(t->db, "update study set judge = 0 where id = ?", ids[i]);
		settle_study(t, ids[i]);
	}
	free(ids);
}

void prune_explain(struct sql *db, int64_t trial, struct text *out)
{
	struct sql_rows *rows = sql_query(
	        db,
	        "select s.name, g.epoch, g.value, coalesce(g.verdict, 'waits'), (select count(*) "
	        "from rung o where o.study = g.study and o.bracket = g.bracket and o.epoch = "
	        "g.epoch), coalesce(s.sweep ->> '$.prune.metric', s.sweep ->> "
	        "'$.objective[0].metric'), s.sweep ->> '$.prune.reduction', g.bracket from rung g "
	        "join study s on s.id = g.study where g.trial = ? order by s.id, g.epoch",
	        trial);

	while (sql_next(rows))
		text_add(out,
		         "Study %s, bracket %ld, after %ld epochs: %s %.6g, one of %ld there, of "
		         "which one in %ld goes on: %s.\n",
		         sql_text(rows, 0), (long)sql_int(rows, 7), (long)sql_int(rows, 1),
		         sql_text(rows, 5), sql_real(rows, 2), (long)sql_int(rows, 4),
		         (long)sql_int(rows, 6), sql_text(rows, 3));
}
