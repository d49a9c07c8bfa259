/* A trial's metric over steps, and what is kept of it when there is too much. */
#include "coordinator/series.h"
#include "coordinator/prune.h"
#include "core/base/json.h"
#include <math.h>

struct series {
	int64_t trial;
	const char *name;
	int64_t first, stride, rows; /* step of the first row; of those that are kept; how many */
};

#define KEPT                                                                                       \
	"((step - ?3) % ?4 = 0 or step = (select max(step) from metric where trial = ?1 and name " \
	"= ?2))"

static void save(struct sql *db, int64_t trial, int64_t attempt, const char *name, const cJSON *row)
{
	sql_run(db,
	        "insert into metric(trial, name, step, epoch, value, attempt) "
	        "values(?, ?, ?, nullif(?, -1), ?, ?) on conflict do update set "
	        "epoch = excluded.epoch, value = excluded.value, attempt = excluded.attempt "
	        "where excluded.attempt >= metric.attempt",
	        trial, name, json_int(row, "step", 0), json_int(row, "epoch", -1),
	        json_real(row, "value", NAN), attempt);
}

/* The series as it stands; one that is new counts what it has, or begins at the step. */
static void load(struct sql *db, struct series *s, int64_t step)
{
	struct sql_rows *rows =
	        sql_query(db, "select first, stride, rows from series where trial = ? and name = ?",
	                  s->trial, s->name);

	s->stride = 0;
	while (sql_next(rows)) {
		s->first = sql_int(rows, 0);
		s->stride = sql_int(rows, 1);
		s->rows = sql_int(rows, 2);
	}
	if (s->stride)
		return;
	s->stride = 1;
	rows = sql_query(db,
	                 "select coalesce(min(step), ?3), count(*) from metric where trial = ?1 "
	                 "and name = ?2",
	                 s->trial, s->name, step);
	while (sql_next(rows)) {
		s->first = sql_int(rows, 0);
		s->rows = sql_int(rows, 1);
	}
}

static int64_t count_kept(struct sql *db, const struct series *s)
{
	return sql_get_int(db, 0,
	                   "select count(*) from metric where trial = ?1 and name = ?2 and " KEPT,
	                   s->trial, s->name, s->first, s->stride);
}

/* Every second, until there are no more than so many. */
static void thin(struct turn *t, struct series *s)
{
	bool whole = s->stride == 1;

	while (s->rows > t->options->metric_rows && s->stride < INT64_MAX / 2) {
		s->stride *= 2;
		s->rows = count_kept(t->db, s);
	}
	sql_run(t->db, "delete from metric where trial = ?1 and name = ?2 and not " KEPT, s->trial,
	        s->name, s->first, s->stride);
	if (whole)
		event_add(t->db, t->now_ms, "metric_thinned", 0, s->trial, 0,
		          "\"%s\" has more than %ld rows: every second is kept, and again "
		          "whenever there are so many",
		          s->name, (long)t->options->metric_rows);
}

/* Steps are anything; strides are powers of two. */
static bool on_stride(const struct series *s, int64_t step)
{
	return (((uint64_t)step - (uint64_t)s->first) & ((uint64_t)s->stride - 1)) == 0;
}

/* Whether the row is to be kept; takes out the one that was last, if it was kept for that alone. */
static bool admits(struct sql *db, struct series *s, int64_t step)
{
	int64_t last =
	        sql_get_int(db, step, "select max(step) from metric where trial = ? and name = ?",
	                    s->trial, s->name);

	if (step < last)
		return on_stride(s, step);
	if (step > last && !on_stride(s, last))
		s->rows -=
		        sql_run(db, "delete from metric where trial = ? and name = ? and step = ?",
		                s->trial, s->name, last);
	return true;
}

static void save_counted(struct turn *t, int64_t trial, int64_t attempt, const char *name,
                         const cJSON *row)
{
	struct series s = {.trial = trial, .name = name};
	int64_t step = json_int(row, "step", 0);

	load(t->db, &s, step);
	if (!admits(t->db, &s, step))
		return;
	s.rows += sql_get_int(t->db, 1,
	                      "select 0 from metric where trial = ? and name = ? and step = ?",
	                      trial, name, step);
	save(t->db, trial, attempt, name, row);
	if (s.rows > t->options->metric_rows && !prune_reads(t->db, trial, name))
		thin(t, &s);
	sql_run(t->db,
	        "insert into series(trial, name, first, stride, rows) values(?, ?, ?, ?, ?) on "
	        "conflict do update set stride = excluded.stride, rows = excluded.rows",
	        trial, name, s.first, s.stride, s.rows);
}

void series_save(struct turn *t, int64_t trial, int64_t attempt, const cJSON *rows)
{
	/* Below so many steps there cannot be more rows. */
	bool counted =
	        cJSON_GetArraySize(rows) > 0 &&
	        sql_get_int(t->db, 0, "select 1 from series where trial = ? limit 1", trial) == 1;
	const cJSON *row = NULL;

	cJSON_ArrayForEach (row, rows) {
		const char *name = json_text(row, "name", NULL);
		int64_t step = json_int(row, "step", 0);
		counted = counted || step >= t->options->metric_rows || step < 0;
		if (name && counted)
			save_counted(t, trial, attempt, name, row);
		else if (name)
			save(t->db, trial, attempt, name, row);
	}
}
