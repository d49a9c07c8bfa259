/* Verbs that say how things stand: studies, workers, status. */
#include "coordinator/screen.h"
#include "coordinator/trial.h"
#include "coordinator/verb.h"
#include "core/base/clock.h"
#include "core/base/text.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static const char studies_sql[] =
        "select s.name study, s.state, s.share, count(t.id) trials,"
        " sum(t.state = 'done') done, sum(t.state = 'leased') running,"
        " sum(t.state = 'waiting' or t.state = 'ready' or t.state = 'paused') waiting,"
        " sum(t.state = 'pruned') stopped,"
        " sum(t.state = 'failed' or t.state = 'infeasible' or t.state = 'skipped') failed,"
        " datetime(s.created_ms / 1000, 'unixepoch') launched_utc"
        " from study s left join study_trial st on st.study = s.id and st.role = 'trial'"
        " left join trial t on t.id = st.trial where ?1 in ('', s.name) "
        "group by s.id order by"
        " s.id";

int verb_studies(const struct options *o, struct error *e)
{
	struct database *d = verb_database(o, e);
	struct rows r;
	if (!d)
		return -1;
	int rc = verb_query(d, &r, e, studies_sql, 1, (const char *[]){""});
	if (!rc) {
		verb_print(o, &r, "no study yet: `trawl launch SWEEP.json` makes one");
		rows_release(&r);
	}
	database_close(d);
	return rc;
}

int verb_workers(const struct options *o, struct error *e)
{
	struct database *d = verb_database(o, e);
	char now[32];
	struct rows r;
	if (!d)
		return -1;
	snprintf(now, sizeof now, "%" PRId64, clock_wall_ms());
	int rc = verb_query(
	        d, &r, e,
	        "select w.id worker, w.name, w.state, w.ranks,"
	        " w.ranks - coalesce((select sum(a.ranks) from trial t join ask a on a.id = t.ask"
	        " where t.worker = w.id and t.state = 'leased'), 0) free,"
	        " w.memory_mb, w.numerics,"
	        " round((?1 - w.seen_ms) / 1000.0, 1) seen_s_ago,"
	        " (select group_concat(t.id, ' ') from trial t where t.worker = w.id"
	        "  and t.state = 'leased') trials"
	        " from worker w where w.state not in ('left', 'lost')"
	        "  or w.seen_ms > ?1 - 86400000 order by w.id",
	        1, (const char *[]){now});
	if (!rc) {
		verb_print(o, &r, "no workers: `trawl-worker --connect …` starts one");
		rows_release(&r);
	}
	database_close(d);
	return rc;
}

/* Of a swept field people are shown the last part of its name and the first part of its value. */
#define SWEPT_WHOLE "st.assignment"
#define SWEPT_SHOWN                                                                          \
	"(select group_concat(replace(key, rtrim(key, replace(key, '.', '')), '') || '=' ||" \
	" iif(length(value) > 24, substr(value, 1, 23) || '…', value), ' ')"               \
	" from (select key, iif(type in ('true', 'false', 'null'), type, value) value"       \
	" from json_each(st.assignment)))"
#define ALL "study_trial st join trial t on t.id = st.trial"
#define RUNNING \
	"(select * from trial where state = 'leased') t join study_trial st on st.trial = t.id"
#define TRIALS_SQL(swept, which)                                                                   \
	"select t.id trial, s.name study, case st.role when 'parent' then 'parent' else "          \
	"st.number "                                                                               \
	"end number, t.state, t.attempt, " swept " swept,"                                         \
	" coalesce(iif(t.state = 'done', a.epochs, max(a.epoch, t.reached)), t.reached) || '/' ||" \
	" coalesce(a.epochs, p.epochs) epoch,"                                                     \
	" coalesce((select value from result r where r.trial = t.id and r.metric = 'accuracy'),"   \
	"  a.accuracy, (select value from metric m where m.trial = t.id and m.name = 'accuracy'"   \
	"  order by step desc limit 1)) accuracy, t.why"                                           \
	" from " which " join study s on s.id = st.study"                                          \
	" join specification p on p.trial = t.id"                                                  \
	" left join attempt a on a.trial = t.id and a.attempt = t.attempt"                         \
	" where (?1 = '' or s.name = ?1) and (?2 = '' or t.state = ?2)"                            \
	" order by s.id, st.number < 0 desc, st.number"

static int check_state(const char *state, struct error *e)
{
	struct text known = {0};
	if (trial_state_of(state) != TRIAL_STATES && trial_state_of(state) != TRIAL_NONE)
		return 0;
	for (int i = TRIAL_NONE + 1; i < TRIAL_STATES; i++)
		text_add(&known, "%s%s", known.length ? ", " : "",
		         trial_state_name((enum trial_state)i));
	error_set(e, "--state %s: wants one of %s", state, known.data);
	text_release(&known);
	return -1;
}

/* More than a person reads. */
static bool are_many(struct database *d, const char *study)
{
	enum { MANY = 1000 };
	struct error unheard;
	struct rows r;
	if (verb_query(
	            d, &r, &unheard,
	            "select count(*) trials from (select 1 from study_trial where ?1 = '' or study "
	            "= (select id from study where name = ?1) limit 1001)",
	            1, &study))
		return false;
	int64_t count = rows_int(&r, 0, "trials", 0);
	rows_release(&r);
	return count > MANY;
}

/* How many are in which state, and those that run. */
static int sum_up(const struct options *o, struct database *d, const char *study, struct error *e)
{
	struct rows r;
	if (verb_query(d, &r, e, studies_sql, 1, &study))
		return -1;
	verb_print(o, &r, "no study");
	rows_release(&r);
	if (verb_query(d, &r, e, TRIALS_SQL(SWEPT_SHOWN, RUNNING), 2, (const char *[]){study, ""}))
		return -1;
	printf("\n");
	verb_print(o, &r, "none runs");
	rows_release(&r);
	printf("not all are listed: --all does, --state STATE those in one state\n");
	return 0;
}

static int list(const struct options *o, struct database *d, const char *study, const char *state,
                struct error *e)
{
	struct rows r;
	bool whole = option_given(o, "--json") || option_given(o, "--csv");
	if (verb_query(d, &r, e,
	               whole ? TRIALS_SQL(SWEPT_WHOLE, ALL) : TRIALS_SQL(SWEPT_SHOWN, ALL), 2,
	               (const char *[]){study, state}))
		return -1;
	verb_print(o, &r, "no trials");
	rows_release(&r);
	return 0;
}

static void print_notes(struct database *d)
{
	struct error unheard;
	struct rows r;
	if (verb_query(d, &r, &unheard,
	               "select kind, text from event where kind in ('quarantined',"
	               " 'wal_large', 'wal_small', 'disk_low', 'quota') and at_ms > 1000 * "
	               "(unixepoch() - "
	               "86400) order "
	               "by seq desc limit 3",
	               0, NULL))
		return;
	for (int64_t i = 0; i < r.count; i++)
		printf("note: %s: %s\n", rows_text(&r, i, "kind"), rows_text(&r, i, "text"));
	rows_release(&r);
}

/* What lies in the artifact store, where that is limited. */
static void print_use(struct database *d)
{
	struct error unheard;
	char held[24], allowed[24];
	struct rows r;
	if (verb_query(d, &r, &unheard,
	               "select stored_bytes held, quota_bytes allowed, full_ms is not null is_full "
	               "from coordinator where quota_bytes is not null",
	               0, NULL))
		return;
	for (int64_t i = 0; i < r.count; i++) {
		screen_bytes(rows_int(&r, i, "held", 0), held);
		screen_bytes(rows_int(&r, i, "allowed", 0), allowed);
		printf("artifacts: %s of %s%s\n", held, allowed,
		       rows_int(&r, i, "is_full", 0) ? "; full: no new trial is leased until there "
		                                       "is room (trawl serve --artifact-quota)"
		                                     : "");
	}
	rows_release(&r);
}

int verb_status(const struct options *o, struct error *e)
{
	const char *state = option_text(o, "--state", "");
	bool machine = option_given(o, "--json") || option_given(o, "--csv");
	if (*state && check_state(state, e))
		return -1;
	struct database *d = verb_database(o, e);
	char *study = NULL;
	int rc = -1;
	if (d && (!o->words || (study = verb_find_study(d, o, e)))) {
		const char *name = study ? study : "";
		bool all = machine || *state || option_given(o, "--all");
		rc = !all && are_many(d, name) ? sum_up(o, d, name, e) : list(o, d, name, state, e);
	}
	if (!rc && !machine) {
		print_use(d);
		print_notes(d);
	}
	free(study);
	database_close(d);
	return rc;
}
