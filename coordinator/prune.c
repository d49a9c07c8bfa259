/* Early stopping: how far each trial may train, and who is looked at when. */
#include "coordinator/prune.h"
#include "coordinator/artifact.h"
#include "coordinator/lease.h"
#include "coordinator/pruner/pruner.h"
#include "coordinator/rung.h"
#include "core/base/text.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool rules_read(struct sql *db, int64_t study, struct rules *r)
{
	struct sql_rows *rows = sql_query(
	        db,
	        "select coalesce(sweep ->> '$.prune.kind', 'none'), sweep ->> '$.prune.mode' = "
	        "'promote', coalesce("
	        "sweep ->> '$.prune.metric', sweep ->> '$.objective[0].metric', 'accuracy'), "
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

int64_t prune_epochs(struct sql *db, int64_t trial)
{
	return sql_get_int(db, 0, "select epochs from specification where trial = ?", trial);
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

int64_t prune_trained(struct sql *db, int64_t trial)
{
	return sql_get_int(db, 0, "select max(epoch) from metric where trial = ? and name = 'loss'",
	                   trial);
}

/* A trial that waits goes on when some study lets it. */
void prune_let_go_on(struct turn *t, int64_t id)
{
	struct trial trial;

	if (!trial_load(t->db, id, &trial) || trial.state != TRIAL_PAUSED)
		return;
	int64_t until = prune_until(t->db, id);
	if (until && until <= prune_trained(t->db, id))
		return;
	if (trial_move(t->db, t->now_ms, id, trial.attempt, ON_PROMOTE, NULL))
		t->all = true;
}

/* The study wants no more of it; when no other does, it ends. */
void prune_give_up(struct turn *t, int64_t study, int64_t id, const char *why)
{
	struct trial trial;

	sql_run(t->db,
	        "update study_trial set wanted = 0, verdict = 'pruned' where study = ? and trial "
	        "= ? and role = 'trial'",
	        study, id);
	if (sql_get_int(t->db, 0, "select 1 from study_trial where trial = ? and wanted", id)) {
		trial_hold(t->db, id);
		prune_let_go_on(t, id);
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
	if (epoch < prune_epochs(t->db, trial) &&
	    pruner_median_stops(&r->pruner, epoch, best, others, count)) {
		char *why = xformat("stopped after %ld epochs: %s %.4g is worse than the median of "
		                    "%ld trials there",
		                    (long)epoch, r->metric, best, (long)count);
		prune_give_up(t, r->study, trial, why);
		free(why);
	}
	free(others);
}

/* ---- what others call ---- */

/* Others of the study start from it: it is trained to its end. */
static bool is_input(struct sql *db, int64_t study, int64_t trial)
{
	return sql_get_int(db, 0,
	                   "select 1 from trial_input i join study_trial c on c.trial = i.trial "
	                   "where i.input = ? and c.study = ? limit 1",
	                   trial, study) == 1;
}

static void look(struct turn *t, int64_t study, int64_t trial, bool at_rung)
{
	struct rules r;

	if (is_input(t->db, study, trial) || !rules_read(t->db, study, &r))
		return;
	r.at_rung = at_rung;
	if (r.pruner.kind == PRUNER_MEDIAN)
		judge_by_median(t, &r, trial);
	else if (r.pruner.kind != PRUNER_NONE)
		rung_climb(t, &r, trial);
	rules_release(&r);
}

static void look_everywhere(struct turn *t, int64_t trial, bool at_rung)
{
	int64_t study = 0;

	while ((study = sql_get_int(t->db, 0,
	                            "select min(st.study) from study_trial st join study s on s.id "
	                            "= st.study where st.trial = ? and st.role = 'trial' and "
	                            "st.wanted and s.judge is not null and st.study > ?",
	                            trial, study)))
		look(t, study, trial, at_rung);
}

bool prune_reads(struct sql *db, int64_t trial, const char *metric)
{
	return sql_get_int(db, 0,
	                   "select 1 from study_trial st join study s on s.id = st.study where "
	                   "st.trial = ? and s.judge is not null and coalesce(s.sweep ->> "
	                   "'$.prune.metric', s.sweep ->> '$.objective[0].metric', 'accuracy') = ?",
	                   trial, metric) == 1;
}

void prune_reported(struct turn *t, int64_t trial)
{
	look_everywhere(t, trial, false);
}

void prune_at_rung(struct turn *t, const struct trial *trial)
{
	look_everywhere(t, trial->id, true);
	int64_t until = prune_until(t->db, trial->id), trained = prune_trained(t->db, trial->id);
	bool waits = until && until <= trained;
	char why[64];
	struct trial_change change = {.why = why};

	snprintf(why, sizeof why, "waits at a rung, after %ld epochs", (long)trained);
	sql_run(t->db, "update trial set reached = ? where id = ?", trained, trial->id);
	trial_move(t->db, t->now_ms, trial->id, trial->attempt, waits ? ON_RUNG : ON_YIELD,
	           waits ? &change : NULL);
}

/* It drew the same values again. */
static bool was_stopped(struct sql *db, int64_t study, int64_t trial)
{
	return sql_get_int(db, 0,
	                   "select 1 from study_trial where study = ? and trial = ? and verdict = "
	                   "'pruned' limit 1",
	                   study, trial) == 1;
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
	int64_t epochs = prune_epochs(t->db, trial);

	if (!rules_read(t->db, study, &r))
		return;
	if (r.pruner.kind != PRUNER_NONE && was_stopped(t->db, study, trial)) {
		prune_give_up(t, study, trial, "stopped by this study before");
	} else if (r.pruner.kind != PRUNER_NONE) {
		int64_t bracket = pruner_bracket(&r.pruner, epochs, number);
		int64_t until = is_input(t->db, study, trial)
		                        ? 0
		                        : pruner_rung(&r.pruner, bracket, epochs, 0);
		sql_run(t->db,
		        "update study_trial set bracket = ?, until_epoch = nullif(?, 0) where "
		        "study "
		        "= ? and number = ?",
		        bracket, until, study, number);
		look(t, study, trial, false);
	}
	rules_release(&r);
	prune_let_go_on(t, trial);
}

/* Those that wait although some study, by now, lets them go on. */
static void let_all_go_on(struct turn *t)
{
	int64_t id = 0;

	while ((id = sql_get_int(t->db, 0,
	                         "select min(id) from trial indexed by trial_paused where state = "
	                         "'paused' and id > ?",
	                         id)))
		prune_let_go_on(t, id);
}

void prune_settle(struct turn *t)
{
	size_t count = 0;
	struct rules r;

	if (t->wants)
		let_all_go_on(t);
	int64_t *ids = sql_get_ids(
	        t->db,
	        "select id from study indexed by study_judge where judge = 1 and id > ? and state "
	        "<> 'cancelled'",
	        0, &count);

	for (size_t i = 0; i < count; i++) {
		sql_run(t->db, "update study set judge = 0 where id = ?", ids[i]);
		if (!rules_read(t->db, ids[i], &r))
			continue;
		rung_settle(t, &r);
		rules_release(&r);
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
