/* What people do to studies that run: pause, resume, cancel, retry. */
#include "coordinator/lease.h"
#include "coordinator/study.h"
#include "coordinator/turn.h"
#include "core/base/json.h"
#include <stdlib.h>

static int64_t named_study(struct turn *t, const cJSON *args, cJSON **result, struct error *e)
{
	const char *name = json_text(args, "study", "");
	int64_t id = sql_get_int(t->db, 0, "select id from study where name = ?", name);

	if (!id)
		error_set(e, "there is no study \"%s\" (see `trawl studies`)", name);
	*result = cJSON_CreateObject();
	cJSON_AddStringToObject(*result, "study", name);
	return id;
}

static int set_state(struct turn *t, int64_t study, const char *state, bool now)
{
	sql_run(t->db, "update study set state = ?, pause_now = ?, due = 1 where id = ?", state,
	        now, study);
	study_hold(t->db, study);
	t->all = true;
	return 0;
}

/* The study that is to be paused or resumed: one that was cancelled is neither. */
static int64_t living_study(struct turn *t, const cJSON *args, cJSON **result, struct error *e)
{
	int64_t study = named_study(t, args, result, e);

	if (sql_get_int(t->db, 0, "select state = 'cancelled' from study where id = ?", study)) {
		error_set(e, "study \"%s\" was cancelled: launch it again",
		          json_text(args, "study", ""));
		study = 0;
	}
	return study;
}

int study_pause(struct turn *t, const cJSON *args, cJSON **result, struct error *e)
{
	int64_t study = living_study(t, args, result, e);

	return study ? set_state(t, study, "paused", json_bool(args, "now", false)) : -1;
}

int study_resume(struct turn *t, const cJSON *args, cJSON **result, struct error *e)
{
	int64_t study = living_study(t, args, result, e);

	return study ? set_state(t, study, "active", false) : -1;
}

static int64_t cancel_one(struct turn *t, int64_t id)
{
	struct trial trial;

	if (!trial_load(t->db, id, &trial) ||
	    !trial_move(t->db, t->now_ms, id, trial.attempt, ON_CANCEL, NULL))
		return 0;
	if (trial.state == TRIAL_LEASED)
		attempt_end(t, id, trial.attempt, "cancelled", NULL);
	return 1;
}

static int cancel_trial(struct turn *t, int64_t id, cJSON **result, struct error *e)
{
	struct trial trial;

	if (!trial_load(t->db, id, &trial))
		return error_set(e, "there is no trial %ld", (long)id);
	if (!cancel_one(t, id))
		return error_set(e, "trial %ld is %s: nothing to cancel", (long)id,
		                 trial_state_name(trial.state));
	sql_run(t->db, "update study_trial set wanted = 0 where trial = ?", id);
	*result = cJSON_CreateObject();
	cJSON_AddNumberToObject(*result, "cancelled", 1);
	t->all = true;
	return 0;
}

int study_cancel(struct turn *t, const cJSON *args, cJSON **result, struct error *e)
{
	int64_t one = json_int(args, "trial", 0), study = 0, cancelled = 0;
	size_t count = 0;

	if (one)
		return cancel_trial(t, one, result, e);
	if (!(study = named_study(t, args, result, e)))
		return -1;
	sql_run(t->db, "update study_trial set wanted = 0 where study = ?", study);
	int64_t *ids =
	        sql_get_ids(t->db,
	                    "select distinct trial from study_trial st where study = ? and not "
	                    "exists (select 1 from study_trial o where o.trial = st.trial and "
	                    "o.wanted)",
	                    study, &count);
	for (size_t i = 0; i < count; i++)
		cancelled += cancel_one(t, ids[i]);
	free(ids);
	cJSON_AddNumberToObject(*result, "cancelled", (double)cancelled);
	return set_state(t, study, "cancelled", false);
}

/* Only what some study wants, or would again. */
static int64_t retry_one(struct turn *t, int64_t id)
{
	struct trial trial;

	if (!trial_load(t->db, id, &trial) ||
	    !sql_get_int(t->db, 0,
	                 "select 1 from study_trial st join study s on s.id = st.study where "
	                 "st.trial = ? and (st.wanted or (st.verdict is null and s.state <> "
	                 "'cancelled')) limit 1",
	                 id) ||
	    !trial_move(t->db, t->now_ms, id, trial.attempt, ON_RETRY,
	                &(struct trial_change){.why = "retried"}))
		return 0;
	sql_run(t->db, "update trial set errors = 0, losses = 0 where id = ?", id);
	sql_run(t->db, "delete from refusal where trial = ?", id);
	sql_run(t->db,
	        "update study_trial set wanted = 1 where trial = ? and verdict is null and study "
	        "in "
	        "(select id from study where state <> 'cancelled')",
	        id);
	trial_hold(t->db, id);
	return 1;
}

int study_retry(struct turn *t, const cJSON *args, cJSON **result, struct error *e)
{
	int64_t id = json_int(args, "trial", 0), retried = 0;

	if (id) {
		*result = cJSON_CreateObject();
		retried = retry_one(t, id);
		if (!retried)
			return error_set(e,
			                 "trial %ld did not fail, or its study was cancelled: "
			                 "nothing to retry",
			                 (long)id);
	} else {
		int64_t study = named_study(t, args, result, e);
		if (!study)
			return -1;
		size_t count = 0;
		int64_t *ids =
		        sql_get_ids(t->db,
		                    "select distinct t.id from study_trial st join trial t on "
		                    "t.id = st.trial where st.study = ? and t.state = 'failed'",
		                    study, &count);
		for (size_t i = 0; i < count; i++)
			retried += retry_one(t, ids[i]);
		free(ids);
	}
	cJSON_AddNumberToObject(*result, "retried", (double)retried);
	return 0;
}
