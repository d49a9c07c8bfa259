/* Adaptive searches: trials as points, the sampler's answer as an assignment. */
#include "coordinator/search.h"
#include "coordinator/sampler/sampler.h"
#include "core/base/json.h"
#include "core/base/text.h"
#include "schemas/sweep_spec.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

void search_note_agents(struct sql *db)
{
	sql_run(db, "update study set due = 1 where due = 0 and cursor < total");
}

/* Trials that run or could run; paused ones wait for others. */
static int64_t open_trials(struct sql *db, int64_t study)
{
	return sql_get_int(db, 0,
	                   "select count(*) from study_trial st join trial t on t.id = st.trial "
	                   "where st.study = ? and st.role = 'trial' and t.state in ('waiting', "
	                   "'ready', 'leased')",
	                   study);
}

static int64_t room(struct sql *db, int64_t study, const struct sweep_spec *spec)
{
	int64_t parallel = spec->search_parallel;

	if (!parallel)
		parallel =
		        sql_get_int(db, 0, "select sum(ranks / ?) from worker where state = 'up'",
		                    spec->resources_ranks);
	return (parallel > 0 ? parallel : 1) - open_trials(db, study);
}

/* ---- trials as points ---- */

struct view {
	const struct sweep_spec *spec;
	struct sampler_space space;
	struct sampler_axis *axis;
};

static cJSON *assignment_of(const struct view *v, const double *point, int axes)
{
	cJSON *assignment = cJSON_CreateObject();

	for (int i = 0; i < axes; i++)
		if (!isnan(point[i]))
			cJSON_AddItemToObject(assignment, v->spec->axes[i].field->path,
			                      sweep_axis_at(v->spec->axes + i, point[i]));
	return assignment;
}

static bool axis_counts(void *context, const double *point, int axis)
{
	const struct view *v = context;

	if (!v->spec->axes[axis].when)
		return true;
	cJSON *before = assignment_of(v, point, axis);
	bool counts = sweep_axis_counts(v->spec->axes + axis, before, v->spec->trial);
	cJSON_Delete(before);
	return counts;
}

static bool is_allowed(void *context, const double *point)
{
	const struct view *v = context;

	if (!v->spec->constraining)
		return true;
	cJSON *assignment = assignment_of(v, point, v->space.axes);
	bool holds = constraints_hold(v->spec->constraining, assignment, v->spec->trial);
	cJSON_Delete(assignment);
	return holds;
}

/* Whole numbers of a range are cells too, equally wide but for logarithms. */
static int64_t cells_of(const struct sweep_axis *axis)
{
	bool whole = axis->field->type == FIELD_INTEGER && !axis->log;

	return axis->count || !whole ? axis->count : (int64_t)(axis->max - axis->min) + 1;
}

static void view_make(struct view *v, const struct sweep_spec *spec)
{
	*v = (struct view){.spec = spec};
	v->axis = xcalloc((size_t)spec->axis_count + 1, sizeof *v->axis);
	for (int64_t i = 0; i < spec->axis_count; i++)
		v->axis[i] = (struct sampler_axis){cells_of(spec->axes + i),
		                                   sweep_axis_ordered(spec->axes + i)};
	v->space = (struct sampler_space){.axis = v->axis,
	                                  .axes = (int)spec->axis_count,
	                                  .objectives = cJSON_GetArraySize(spec->objective),
	                                  .counts = axis_counts,
	                                  .allows = is_allowed,
	                                  .context = v};
}

/* All objectives, as losses; false where one is missing or is no number. */
static bool read_losses(struct sql *db, int64_t trial, const cJSON *objective, double *loss)
{
	const cJSON *goal;
	bool all = true;

	cJSON_ArrayForEach (goal, objective) {
		struct sql_rows *rows =
		        sql_query(db, "select value from result where trial = ? and metric = ?",
		                  trial, json_text(goal, "metric", ""));
		double value = NAN;
		if (sql_next(rows)) {
			value = sql_real(rows, 0);
			sql_end(rows);
		}
		all = all && isfinite(value);
		*loss++ = strcmp(json_text(goal, "goal", ""), "max") == 0 ? -value : value;
	}
	return all;
}

/* Room for one trial more in all three lists. */
static void grow(struct sampler_trials *t, const struct sampler_space *space, int64_t *capacity)
{
	if (t->count < *capacity)
		return;
	*capacity = *capacity ? 2 * *capacity : 64;
	size_t rows = (size_t)*capacity;
	t->point = xrealloc(t->point, rows * (size_t)(space->axes + 1) * sizeof *t->point);
	t->loss = xrealloc(t->loss, rows * (size_t)(space->objectives + 1) * sizeof *t->loss);
	t->outcome = xrealloc(t->outcome, rows * sizeof *t->outcome);
}

static void place(const struct view *v, const char *text, double *point)
{
	cJSON *assignment = cJSON_Parse(text);

	for (int i = 0; i < v->space.axes; i++) {
		const struct sweep_axis *axis = v->spec->axes + i;
		const cJSON *value =
		        cJSON_GetObjectItemCaseSensitive(assignment, axis->field->path);
		point[i] = value ? sweep_axis_place(axis, value) : NAN;
	}
	cJSON_Delete(assignment);
}

/* The study's trials by number. */
static void read_trials(struct sql *db, int64_t study, const struct view *v,
                        struct sampler_trials *t, int64_t *capacity)
{
	struct sql_rows *rows = sql_query(
	        db,
	        "select t.id, t.state, t.ended_ms is not null, st.assignment from study_trial st "
	        "join trial t on t.id = st.trial where st.study = ? and st.role = 'trial' order by "
	        "st.number",
	        study);

	while (sql_next(rows)) {
		grow(t, &v->space, capacity);
		bool done = strcmp(sql_text(rows, 1), "done") == 0;
		place(v, sql_text(rows, 3), t->point + t->count * v->space.axes);
		t->outcome[t->count] = sql_int(rows, 2) ? SAMPLED_INFEASIBLE : SAMPLED_PENDING;
		if (done && read_losses(db, sql_int(rows, 0), v->spec->objective,
		                        t->loss + t->count * v->space.objectives))
			t->outcome[t->count] = SAMPLED_MEASURED;
		t->count++;
	}
}

/* Each one that is chosen is pending for those after it. */
static void choose(struct sql *db, const struct sweep_spec *spec, struct proposal *p,
                   int64_t wanted)
{
	const struct sampler_options options = {.seed = spec->search_seed,
	                                        .startup = spec->search_startup,
	                                        .population = spec->search_population};
	sampler *next = sampler_find(spec->search_kind);
	struct sampler_trials trials = {0};
	int64_t capacity = 0;
	struct view v;

	view_make(&v, spec);
	read_trials(db, p->study, &v, &trials, &capacity);
	for (int64_t i = 0; i < wanted && !p->end.text[0]; i++) {
		grow(&trials, &v.space, &capacity);
		double *point = trials.point + trials.count * v.space.axes;
		if (!next(&v.space, &trials, &options, p->cursor + i, point)) {
			error_set(&p->end, "no combination that was not tried is left");
			break;
		}
		trials.outcome[trials.count++] = SAMPLED_PENDING;
		cJSON_AddItemToArray(p->assignment, assignment_of(&v, point, v.space.axes));
	}
	free(trials.point);
	free(trials.loss);
	free(trials.outcome);
	free(v.axis);
}

static int64_t least(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static void look(struct sql *db, struct proposal *p, const char *text, int64_t total, int64_t most)
{
	cJSON *sweep = cJSON_Parse(text);

	p->assignment = cJSON_CreateArray();
	if (sweep_spec_load(sweep, &p->spec, &p->end) == 0) {
		p->room = room(db, p->study, &p->spec);
		choose(db, &p->spec, p, least(least(p->room, most), total - p->cursor));
	}
	cJSON_Delete(sweep);
}

void search_propose(struct sql *db, int64_t most, struct proposals *p)
{
	size_t count = 0;
	int64_t *due =
	        sql_get_ids(db,
	                    "select id from study indexed by study_due where due = 1 and "
	                    "cursor < total and id > ? and state = 'active' and sweep " IS_ADAPTIVE
	                    " order by id",
	                    0, &count);

	*p = (struct proposals){xcalloc(count + 1, sizeof *p->list), 0};
	for (size_t i = 0; i < count && most > 0; i++) {
		struct proposal *one = p->list + p->count++;
		struct sql_rows *rows = sql_query(
		        db, "select cursor, total, sweep from study where id = ?", due[i]);
		if (!sql_next(rows))
			break;
		*one = (struct proposal){.study = due[i], .cursor = sql_int(rows, 0)};
		int64_t total = sql_int(rows, 1);
		char *sweep = xstrdup(sql_text(rows, 2));
		sql_end(rows);
		look(db, one, sweep, total, most);
		free(sweep);
		most -= cJSON_GetArraySize(one->assignment);
	}
	free(due);
}

void search_looked(struct sql *db, const struct proposals *p)
{
	for (size_t i = 0; i < p->count; i++)
		sql_run(db, "update study set due = 0 where id = ?", p->list[i].study);
}

void proposals_release(struct proposals *p)
{
	for (size_t i = 0; i < p->count; i++) {
		sweep_spec_release(&p->list[i].spec);
		cJSON_Delete(p->list[i].assignment);
	}
	free(p->list);
	*p = (struct proposals){0};
}
