/* Verbs that ask in SQL: sql, best, export. */
#include "coordinator/verb.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS_SHOWN = 1000, SECONDS = 60, DAY = 86400 };

int verb_sql(const struct options *o, struct error *e)
{
	struct query_limits limits = {0};
	if (option_int(o, "--limit", 0, INT64_MAX, ROWS_SHOWN, &limits.rows, e) ||
	    option_int(o, "--timeout", 0, DAY, SECONDS, &limits.seconds, e))
		return -1;
	if (option_given(o, "--csv") || option_given(o, "--json"))
		limits.rows = option_given(o, "--limit") ? limits.rows : 0;
	struct database *d = verb_database(o, e);
	struct rows r;
	if (!d)
		return -1;
	int rc = database_query(d, o->word[0], NULL, 0, limits, &r, e);
	if (rc)
		error_prefix(e, "sql");
	else {
		verb_print(o, &r, "no rows");
		rows_release(&r);
	}
	database_close(d);
	return rc;
}

/* The view of one study, all of it or the best few. */
static int study_view(const struct options *o, const char *order, struct error *e)
{
	struct database *d = verb_database(o, e);
	char *study = d ? verb_find_study(d, o, e) : NULL, *view = NULL, *sql = NULL;
	struct rows r;
	int rc = -1;
	if (!study)
		goto out;
	view = verb_study_view(d, study, e);
	if (!view)
		goto out;
	sql = xformat("select * from \"%s\" %s", view, order);
	rc = verb_query(d, &r, e, sql, 0, NULL);
	if (rc)
		goto out;
	verb_print(o, &r, "no trials yet");
	rows_release(&r);
out:
	free(view);
	free(sql);
	free(study);
	database_close(d);
	return rc;
}

int verb_export(const struct options *o, struct error *e)
{
	return study_view(o, "order by trial", e);
}

/* The first objective of the sweep as an ORDER BY. */
static char *objective_order(struct database *d, const char *study, int64_t limit, struct error *e)
{
	struct rows r;
	if (verb_query(
	            d, &r, e,
	            "select json_extract(sweep, '$.objective[0].metric') metric,"
	            " json_extract(sweep, '$.objective[0].goal') goal from study where name = ?1",
	            1, &study))
		return NULL;
	const char *metric = rows_text(&r, 0, "metric");
	bool least = !strcmp(rows_text(&r, 0, "goal"), "min");
	char *order =
	        xformat("where state = 'done' order by \"%s\" %s limit %lld",
	                *metric ? metric : "accuracy", least ? "asc" : "desc", (long long)limit);
	rows_release(&r);
	return order;
}

int verb_best(const struct options *o, struct error *e)
{
	int64_t limit;
	if (option_int(o, "--limit", 1, 1000000, 5, &limit, e))
		return -1;
	struct database *d = verb_database(o, e);
	char *study = d ? verb_find_study(d, o, e) : NULL;
	char *order = study ? objective_order(d, study, limit, e) : NULL;
	int rc = order ? study_view(o, order, e) : -1;
	free(order);
	free(study);
	database_close(d);
	return rc;
}
