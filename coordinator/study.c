/* A sweep becomes a study, and the study's trials, a chunk at a time. */
#include "coordinator/study.h"
#include "coordinator/plan.h"
#include "coordinator/search.h"
#include "coordinator/turn.h"
#include "coordinator/view.h"
#include "core/base/json.h"
#include "core/base/text.h"
#include <stdlib.h>
#include <string.h>

/* The study of that name: its id and, when asked, its sweep and digests. */
static int64_t study_find(struct sql *db, const char *name, cJSON **sweep, cJSON **digests)
{
	struct sql_rows *rows =
	        sql_query(db, "select id, sweep, digests from study where name = ?", name);
	int64_t id = 0;

	if (!sql_next(rows))
		return 0;
	id = sql_int(rows, 0);
	if (sweep)
		*sweep = cJSON_Parse(sql_text(rows, 1));
	if (digests)
		*digests = cJSON_Parse(sql_text(rows, 2));
	sql_end(rows);
	return id;
}

static cJSON *study_known(struct sql *db, int64_t id)
{
	char *text = sql_get_text(db, "select digests from study where id = ?", id);
	cJSON *known = text ? cJSON_Parse(text) : NULL;

	free(text);
	return known ? known : cJSON_CreateObject();
}

static cJSON *plan_json(const char *study, const struct plan *plan, bool extended, bool dry_run)
{
	cJSON *result = cJSON_CreateObject();

	cJSON_AddStringToObject(result, "study", study);
	cJSON_AddNumberToObject(result, "trials", (double)plan->trials);
	cJSON_AddNumberToObject(result, "looked", (double)plan->looked);
	cJSON_AddNumberToObject(result, "distinct", (double)plan->distinct);
	cJSON_AddNumberToObject(result, "parents", (double)plan->parents);
	cJSON_AddNumberToObject(result, "reused", (double)plan->reused);
	cJSON_AddNumberToObject(result, "to_train", (double)plan->to_train);
	cJSON_AddNumberToObject(result, "epochs", plan->epochs);
	cJSON_AddBoolToObject(result, "extended", extended);
	cJSON_AddBoolToObject(result, "dry_run", dry_run);
	return result;
}

/* The study's row, new or extended, with the enumeration at its start again. */
static int64_t study_save(struct turn *t, const char *name, int64_t id, const cJSON *sweep,
                          const cJSON *digests, int64_t total)
{
	char *text = json_print(sweep, false), *known = json_canonical(digests);

	if (id)
		sql_run(t->db,
		        "update study set sweep = ?1, digests = ?2, total = ?3, cursor = "
		        "iif(?1 " IS_ADAPTIVE ", cursor, 0), due = 1, share = ?1 ->> '$.share', "
		        "judge = iif(?1 ->> '$.prune.kind' = 'none', null, 1), "
		        "state = 'active', pause_now = 0 where id = ?4",
		        (const char *)text, (const char *)known, total, id);
	else
		sql_run(t->db,
		        "insert into study(name, sweep, digests, total, created_ms, share, judge) "
		        "values(?1, ?2, ?3, ?4, ?5, ?2 ->> '$.share', iif(?2 ->> '$.prune.kind' = "
		        "'none', null, 0))",
		        name, (const char *)text, (const char *)known, total, t->now_ms);
	free(text);
	free(known);
	return id ? id : sqlite3_last_insert_rowid(t->db->handle);
}

/* A study that was launched before is wanted again, if it was cancelled. */
static void want_again(struct turn *t, int64_t id)
{
	sql_run(t->db,
	        "update study_trial set wanted = 1 where study = ? and verdict is null and not "
	        "wanted",
	        id);
	size_t count = 0;
	struct trial old;
	int64_t *ids = sql_get_ids(t->db,
	                           "select distinct t.id from study_trial st join trial t on "
	                           "t.id = st.trial where st.study = ? and t.state = 'cancelled'",
	                           id, &count);
	for (size_t i = 0; i < count; i++)
		if (trial_load(t->db, ids[i], &old))
			trial_move(t->db, t->now_ms, ids[i], old.attempt, ON_WANT, NULL);
	free(ids);
	study_hold(t->db, id);
}

static int check_same(const char *name, const cJSON *old, const cJSON *sweep, struct error *e)
{
	struct error lines = {{0}};

	if (!old || plan_differences(old, sweep, &lines) == 0)
		return 0;
	return error_set(
	        e, "study \"%s\" exists, and its sweep differs: give this one another name\n%s",
	        name, lines.text);
}

/* Agents wait while a launch is answered: of more trials than these not all are looked at. */
enum { LOOKED_MOST = 2000 };

int study_launch(struct turn *t, const cJSON *args, cJSON **result, struct error *e)
{
	struct sweep_spec spec = {0};
	struct plan plan;
	cJSON *sweep = cJSON_Duplicate(json_at(args, "sweep"), true), *old = NULL, *known = NULL;
	const cJSON *member = NULL;
	bool dry_run = json_bool(args, "dry_run", false);
	int status = -1;

	if (!cJSON_IsObject(sweep)) {
		error_set(e, "launch: there is no sweep");
		goto end;
	}
	if (sweep_spec_parse(sweep, 1, &spec, e) != 0) /* the plan tries others */
		goto end;
	fields_fill(&sweep_fields, sweep);
	int64_t id = study_find(t->db, spec.name, &old, &known);
	if (old) /* fields that are newer than it stand at their defaults */
		fields_fill(&sweep_fields, old);
	if (check_same(spec.name, old, sweep, e) != 0)
		goto end;
	if (!known)
		known = cJSON_CreateObject();
	cJSON_ArrayForEach (member, json_at(args, "digests"))
		if (!cJSON_GetObjectItemCaseSensitive(known, member->string))
			cJSON_AddItemToObject(known, member->string, cJSON_Duplicate(member, true));
	struct study_digests digests = {known, &t->options->files, dry_run ? NULL : t};
	if (plan_make(t->db, &spec, &digests, dry_run ? SWEEP_TRIALS_MAX : LOOKED_MOST, &plan, e) !=
	    0)
		goto end;
	*result = plan_json(spec.name, &plan, id != 0, dry_run);
	status = 0;
	if (dry_run)
		goto end;
	bool fresh = id == 0;
	id = study_save(t, spec.name, id, sweep, known, sweep_count(&spec));
	if (!fresh)
		want_again(t, id);
	if (t->options->views)
		view_create_study(t->db, id);
end:
	sweep_spec_release(&spec);
	cJSON_Delete(sweep);
	cJSON_Delete(old);
	cJSON_Delete(known);
	return status;
}

/* Whether the study has this combination already: one that is drawn by number, a grid's by values,
 * since more values shift the numbers. */
static bool is_made(struct sql *db, int64_t study, bool drawn, int64_t number,
                    const char *assignment)
{
	if (drawn)
		return sql_get_int(db, 0,
		                   "select 1 from study_trial where study = ? and number = ?",
		                   study, number) == 1;
	return sql_get_int(db, 0,
	                   "select 1 from study_trial indexed by study_trial_assignment where "
	                   "study = ? and assignment = ? and role = 'trial'",
	                   study, assignment) == 1;
}

/* Whether there is one more that has not ended. */
static bool make_trial(struct turn *t, struct study_target *study, const struct sweep_spec *sweep,
                       int64_t number, const cJSON *assignment)
{
	bool drawn = !sweep_is_grid(sweep);
	cJSON *trial = NULL;
	int64_t id = 0;
	char *text = json_canonical(assignment);
	struct error e = {{0}};

	if (!is_made(t->db, study->id, drawn, number, text)) {
		int64_t made =
		        sql_get_int(t->db, 0, "select trials from study where id = ?", study->id);
		trial = sweep_trial_of(sweep, assignment, &e);
		id = trial ? trial_want(t, study, trial, drawn ? number : made, text, &e) : 0;
		if (!id)
			event_add(t->db, t->now_ms, "trial_not_made", study->id, 0, 0, "%s: %s",
			          text, e.text);
		else
			sql_run(t->db, "update study set trials = trials + 1 where id = ?",
			        study->id);
	}
	free(text);
	cJSON_Delete(trial);
	return sql_get_int(t->db, 0, "select ended_ms is null from trial where id = ?", id);
}

/* Numbers [cursor, …) of one study, as many as fit into a chunk. */
static int64_t make_chunk(struct turn *t, int64_t id, int64_t cursor, const char *text,
                          const char *digests, int64_t limit)
{
	cJSON *sweep = cJSON_Parse(text);
	struct sweep_spec spec;
	struct error e = {{0}};
	struct study_target study = {.id = id,
	                             .digests = {cJSON_Parse(digests), &t->options->files, NULL}};
	int64_t done = 0;

	if (sweep_spec_load(sweep, &spec, &e) == 0) {
		int64_t count = sweep_count(&spec);
		for (; cursor + done < count && done < limit && !t->db->failure; done++) {
			cJSON *assignment = sweep_assignment(&spec, cursor + done);
			if (assignment)
				make_trial(t, &study, &spec, cursor + done, assignment);
			cJSON_Delete(assignment);
		}
		sql_run(t->db,
		        "update study set cursor = ?, judge = iif(judge is null, null, 1) where id "
		        "= ?",
		        cursor + done, id);
	} else {
		event_add(t->db, t->now_ms, "sweep_not_read", id, 0, 0, "%s", e.text);
		sql_run(t->db, "update study set cursor = total where id = ?", id);
	}
	sweep_spec_release(&spec);
	cJSON_Delete(study.digests.known);
	cJSON_Delete(sweep);
	return done;
}

/* Trials of what a search proposed; the study is due until all its room is taken. */
static void make_proposed(struct turn *t, const struct proposal *p)
{
	struct study_target study = {.id = p->study};
	const cJSON *assignment;
	int64_t made = 0, running = 0;

	study.digests =
	        (struct study_digests){study_known(t->db, p->study), &t->options->files, NULL};
	cJSON_ArrayForEach (assignment, p->assignment)
		running += make_trial(t, &study, &p->spec, p->cursor + made++, assignment);
	sql_run(t->db,
	        "update study set cursor = ?, due = max(due, ?), judge = iif(judge is null, null, "
	        "1) where id = ?",
	        p->cursor + made, (int64_t)(running < p->room), p->study);
	if (p->end.text[0]) {
		event_add(t->db, t->now_ms, "search_ended", p->study, 0, 0, "%s", p->end.text);
		sql_run(t->db, "update study set total = cursor where id = ?", p->study);
	}
	cJSON_Delete(study.digests.known);
}

/* A study whose sweep was launched again meanwhile, in this very turn, is looked at anew. */
static bool stands(struct sql *db, const struct proposal *p)
{
	return sql_get_int(db, 0,
	                   "select 1 from study where id = ? and cursor = ? and state = 'active'",
	                   p->study, p->cursor) == 1;
}

bool study_advance(struct turn *t, const struct proposals *proposals)
{
	int64_t left = t->options->chunk;

	for (size_t i = 0; i < proposals->count; i++)
		if (stands(t->db, &proposals->list[i]))
			make_proposed(t, &proposals->list[i]);

	while (left > 0 && !t->db->failure) {
		struct sql_rows *rows = sql_query(
		        t->db, "select id, cursor, sweep, digests from study indexed by study_due "
		               "where due = 1 and "
		               "cursor < total and state <> 'cancelled' and not sweep " IS_ADAPTIVE
		               " order by id limit 1");
		if (!sql_next(rows))
			break;
		int64_t id = sql_int(rows, 0), cursor = sql_int(rows, 1);
		char *sweep = xstrdup(sql_text(rows, 2)), *digests = xstrdup(sql_text(rows, 3));
		sql_end(rows);
		left -= make_chunk(t, id, cursor, sweep, digests, left);
		free(sweep);
		free(digests);
	}
	return sql_get_int(t->db, 0,
	                   "select 1 from study indexed by study_due where due = 1 and cursor < "
	                   "total and (state = "
	                   "'active' or (state = 'paused' and not sweep " IS_ADAPTIVE "))") == 1;
}

/* A sweep of one combination: the study's own, with only these values. */
static cJSON *one_trial(cJSON *sweep, const cJSON *assignment, struct error *e)
{
	cJSON *space = cJSON_CreateObject(), *trial = NULL;
	const cJSON *value = NULL;
	struct sweep_spec spec = {0};

	cJSON_ArrayForEach (value, assignment) {
		cJSON *values = cJSON_AddArrayToObject(
		        cJSON_AddObjectToObject(space, value->string), "values");
		cJSON_AddItemToArray(values, cJSON_Duplicate(value, true));
	}
	json_put(sweep, "space", space);
	json_put(sweep, "search", cJSON_Parse("{\"kind\": \"grid\"}"));
	if (sweep_spec_parse(sweep, 1, &spec, e) == 0)
		trial = sweep_trial(&spec, 0, e);
	sweep_spec_release(&spec);
	return trial;
}

int study_add(struct turn *t, const cJSON *args, cJSON **result, struct error *e)
{
	const char *name = json_text(args, "study", "");
	const cJSON *assignment = json_at(args, "assignment");
	cJSON *sweep = NULL, *known = NULL, *trial = NULL;
	struct study_target study = {.id = study_find(t->db, name, &sweep, &known)};
	int64_t id = 0, number = 0;

	study.digests = (struct study_digests){known, &t->options->files, t};
	if (!study.id)
		error_set(e, "there is no study \"%s\" (see `trawl studies`)", name);
	else if (!cJSON_IsObject(assignment))
		error_set(e, "add: needs the values of the trial's fields");
	else
		trial = one_trial(sweep, assignment, e);
	char *text = json_canonical(assignment ? assignment : args);
	if (trial && is_made(t->db, study.id, false, 0, text))
		error_set(e, "study \"%s\" has that trial already", name);
	else if (trial) {
		number = sql_get_int(
		        t->db, 0,
		        "select max(iif(sweep ->> '$.search.kind' <> 'grid', 1000000000, 0), "
		        "(select coalesce(max(number), -1) + 1 from study_trial where "
		        "study = id)) from study where id = ?",
		        study.id);
		id = trial_want(t, &study, trial, number, text, e);
	}
	if (id) {
		sql_run(t->db, "update study set trials = trials + 1 where id = ?", study.id);
		if (t->options->views)
			view_create_study(t->db, study.id);
		*result = cJSON_CreateObject();
		cJSON_AddNumberToObject(*result, "trial", (double)id);
		cJSON_AddNumberToObject(*result, "number", (double)number);
	}
	free(text);
	cJSON_Delete(trial);
	cJSON_Delete(sweep);
	cJSON_Delete(known);
	return id ? 0 : -1;
}
