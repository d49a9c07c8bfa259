/* Views for people and notebooks: those of views.sql, and one per study. */
#include "coordinator/view.h"
#include "core/base/json.h"
#include "core/base/text.h"
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

extern const char _binary_schemas_views_sql_start[], _binary_schemas_views_sql_end[];

/* A column of a study's view: what it is called, and the expression behind it. */
struct column {
	char *name, *from, *path; /* path: of the field; null for a metric */
};

struct columns {
	struct column *items;
	size_t count;
};

static void columns_add(struct columns *c, char *name, char *from, const char *path)
{
	c->items = xrealloc(c->items, (c->count + 1) * sizeof *c->items);
	c->items[c->count++] = (struct column){name, from, path ? xstrdup(path) : NULL};
}

static void columns_release(struct columns *c)
{
	for (size_t i = 0; i < c->count; i++) {
		free(c->items[i].name);
		free(c->items[i].from);
		free(c->items[i].path);
	}
	free(c->items);
}

/* The last `segments` segments of a path, joined by '_'. */
static char *tail_of(const char *path, int segments)
{
	const char *start = path + strlen(path);

	while (start > path && (start[-1] != '.' || --segments > 0))
		start--;
	char *name = xstrdup(start);
	for (char *c = name; *c; c++)
		*c = *c == '.' ? '_' : *c;
	return name;
}

static bool taken(const struct columns *c, const char *name)
{
	for (size_t i = 0; i < c->count; i++)
		if (strcasecmp(c->items[i].name, name) == 0)
			return true;
	return false;
}

/* Text within quotes of SQL. */
static char *quoted(const char *text, char quote)
{
	struct text t = {0};

	text_add(&t, "%c", quote);
	for (; *text; text++)
		text_add(&t, *text == quote ? "%c%c" : "%c", *text, quote);
	text_add(&t, "%c", quote);
	return text_take(&t);
}

/* Whether another swept field ends in the same segments. */
static bool ambiguous(const cJSON *paths, const char *path, int segments)
{
	char *name = tail_of(path, segments);
	const cJSON *other = NULL;
	bool found = false;

	cJSON_ArrayForEach (other, paths) {
		char *theirs = tail_of(other->valuestring, segments);
		found = found ||
		        (strcmp(other->valuestring, path) != 0 && strcmp(theirs, name) == 0);
		free(theirs);
	}
	free(name);
	return found;
}

static void add_field(struct columns *c, const cJSON *paths, const char *path)
{
	int segments = 1;

	while (ambiguous(paths, path, segments) && segments < 16)
		segments++;
	char *name = tail_of(path, segments);
	while (taken(c, name) && segments < 16) {
		free(name);
		name = tail_of(path, ++segments);
	}
	char *key = xformat("$.\"%s\"", path), *member = xformat("$.%s", path);
	char *of_key = quoted(key, '\''), *of_member = quoted(member, '\'');
	columns_add(c, name,
	            xformat("coalesce(st.assignment ->> %s, (select spec from specification p "
	                    "where p.trial = t.id) ->> %s)",
	                    of_key, of_member),
	            path);
	free(key);
	free(member);
	free(of_key);
	free(of_member);
}

static void add_metric(struct columns *c, const char *metric)
{
	char *name = taken(c, metric) ? xformat("final_%s", metric) : xstrdup(metric);
	char *text = quoted(metric, '\'');

	columns_add(c, name,
	            xformat("(select value from result r where r.trial = t.id and r.metric = %s)",
	                    text),
	            NULL);
	free(text);
}

/* Fields in the order of the sweep, then those of trials that were added with others. */
static cJSON *swept_paths(struct sql *db, int64_t study)
{
	cJSON *paths = cJSON_CreateArray();
	struct sql_rows *rows = sql_query(
	        db,
	        "select key from (select s.key, 0 as later, s.id as at from study, "
	        "json_each(study.sweep, '$.space') s where study.id = ?1 union all "
	        "select distinct j.key, 1, 0 from study_trial st, json_each(st.assignment) j "
	        "where st.study = ?1 and st.number >= (select cursor from study where id = ?1)) "
	        "group by key order by min(later), min(at), key",
	        study);

	while (sql_next(rows))
		cJSON_AddItemToArray(paths, cJSON_CreateString(sql_text(rows, 0)));
	return paths;
}

static char *view_name(struct sql *db, int64_t study)
{
	return sql_get_text(db, VIEW_NAME_SQL "where s.id = ?", study);
}

/* A view that is there already is left alone: every change of the schema costs all statements. */
static void replace_view(struct sql *db, const char *name, const char *definition)
{
	char *text = xformat("CREATE VIEW %s", definition);
	char *old = sql_get_text(db, "select sql from sqlite_schema where name = ?", name);
	char *drop = xformat("drop view if exists \"%s\"", name);

	if (!old || strcmp(old, text) != 0) {
		sql_script(db, drop);
		sql_script(db, text);
	}
	free(text);
	free(old);
	free(drop);
}

void view_create_study(struct sql *db, int64_t study)
{
	struct columns columns = {0};
	struct text script = {0};
	char *name = view_name(db, study), *view = name ? quoted(name, '"') : NULL;
	cJSON *paths = swept_paths(db, study);
	const cJSON *path = NULL;

	if (!view)
		goto end;
	columns_add(&columns, xstrdup("trial"), xstrdup("t.id"), NULL);
	columns_add(&columns, xstrdup("state"), xstrdup("t.state"), NULL);
	cJSON_ArrayForEach (path, paths)
		add_field(&columns, paths, path->valuestring);
	struct sql_rows *rows = sql_query(
	        db, "select metric from study_metric where study = ? order by metric", study);
	while (sql_next(rows))
		add_metric(&columns, sql_text(rows, 0));
	text_add(&script, "%s as select ", view);
	for (size_t i = 0; i < columns.count; i++) {
		char *column = quoted(columns.items[i].name, '"');
		text_add(&script, "%s%s as %s", i ? ", " : "", columns.items[i].from, column);
		free(column);
	}
	text_add(&script,
	         " from study_trial st join trial t on t.id = st.trial "
	         "where st.study = %ld and st.role = 'trial' order by st.number",
	         (long)study);
	replace_view(db, name, script.data);
end:
	columns_release(&columns);
	cJSON_Delete(paths);
	text_release(&script);
	free(name);
	free(view);
}

/* The scripts' "create view NAME" lines, each preceded by a drop. */
static void drop_views(struct sql *db, const char *script)
{
	for (const char *at = strstr(script, "create view "); at; at = strstr(at, "create view ")) {
		at += strlen("create view ");
		char *drop = xformat("drop view if exists \"%.*s\"", (int)strcspn(at, " "), at);
		sql_script(db, drop);
		free(drop);
	}
}

void view_create_all(struct sql *db)
{
	size_t bytes = (size_t)(_binary_schemas_views_sql_end - _binary_schemas_views_sql_start);
	struct text script = {0};
	int64_t study = 0;

	text_add_bytes(&script, _binary_schemas_views_sql_start, bytes);
	drop_views(db, script.data);
	sql_script(db, script.data);
	text_release(&script);
	while ((study = sql_get_int(db, 0, "select min(id) from study where id > ?", study)))
		view_create_study(db, study);
}

void view_note_metrics(struct sql *db, int64_t trial)
{
	size_t count = 0;

	if (!sql_run(db,
	             "insert or ignore into study_metric select st.study, r.metric from "
	             "study_trial st join result r on r.trial = st.trial where st.trial = ? and "
	             "st.role = 'trial'",
	             trial))
		return;
	int64_t *studies =
	        sql_get_ids(db, "select study from study_trial where trial = ? and role = 'trial'",
	                    trial, &count);
	for (size_t i = 0; i < count; i++)
		view_create_study(db, studies[i]);
	free(studies);
}
