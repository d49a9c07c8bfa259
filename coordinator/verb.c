/* What the verbs of trawl share: opening the database, printing rows, finding trials and studies.
 */
#include "coordinator/verb.h"
#include "coordinator/view.h"
#include "core/base/json.h"
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { QUERY_SECONDS = 60, IDENTITY_LEAST = 4 };

static bool has_option(const struct options *o, const char *name)
{
	for (const struct option_row *row = o->row; row->name; row++)
		if (!strcmp(row->name, name))
			return option_given(o, name);
	return false;
}

void verb_print(const struct options *o, const struct rows *r, const char *nothing)
{
	enum rows_format format = has_option(o, "--json")  ? ROWS_JSON
	                          : has_option(o, "--csv") ? ROWS_CSV
	                                                   : ROWS_TABLE;
	struct text out = {0};
	if (format == ROWS_TABLE && !r->count && nothing) {
		printf("%s\n", nothing);
		return;
	}
	rows_format(r, format, isatty(STDOUT_FILENO), &out);
	fwrite(out.data, 1, out.length, stdout);
	if (format == ROWS_TABLE && r->cut)
		printf("… and more: --limit 0 shows all\n");
	text_release(&out);
}

int verb_print_json(cJSON *json)
{
	char *s = json_print(json, true);
	puts(s);
	free(s);
	cJSON_Delete(json);
	return 0;
}

void verb_data_roots(const struct options *o)
{
	if (option_given(o, "--data"))
		setenv("TRAWL_DATA", option_text(o, "--data", NULL), 1);
}

struct database *verb_database(const struct options *o, struct error *e)
{
	return database_open(option_text(o, "--db", NULL), false, e);
}

int verb_query(struct database *d, struct rows *out, struct error *e, const char *sql, int count,
               const char *const bind[])
{
	return database_query(d, sql, bind, count, (struct query_limits){.seconds = QUERY_SECONDS},
	                      out, e);
}

static bool all_digits(const char *s)
{
	const char *p = s;
	while (isdigit((unsigned char)*p))
		p++;
	return p > s && !*p;
}

int verb_find_trial(struct database *d, const char *word, int64_t *trial, struct error *e)
{
	const char *slash = strchr(word, '/');
	char study[80] = "";
	struct rows r;
	int rc;
	if (slash) {
		snprintf(study, sizeof study, "%.*s", (int)(slash - word), word);
		rc = verb_query(
		        d, &r, e,
		        "select t.trial id from study_trial t join study s on s.id = t.study"
		        " where s.name = ?1 and t.number = ?2",
		        2, (const char *[]){study, slash + 1});
	} else if (all_digits(word)) {
		rc = verb_query(d, &r, e, "select id from trial where id = ?1", 1, &word);
	} else if (strlen(word) >= IDENTITY_LEAST) {
		rc = verb_query(d, &r, e,
		                "select id from trial where substr(identity, 1, length(?1)) = ?1",
		                1, &word);
	} else {
		return error_set(e,
		                 "%s is no trial: give its id (17), study/number (bits/3), or the "
		                 "first letters of its identity",
		                 word);
	}
	if (rc)
		return -1;
	rc = r.count == 1 ? 0
	     : r.count    ? error_set(e, "%s is the start of several identities", word)
	                  : error_set(e, "no trial %s in %s; `trawl status` lists them", word,
	                              database_name(d));
	*trial = rows_int(&r, 0, "id", 0);
	rows_release(&r);
	return rc;
}

static int no_such_study(const struct rows *r, const char *name, struct error *e)
{
	const char **known = xcalloc((size_t)r->count + 1, sizeof *known);
	for (int64_t i = 0; i < r->count; i++)
		known[i] = rows_text(r, i, "name");
	const char *near = nearest_name(name, known, (size_t)r->count);
	if (near)
		error_set(e, "no study %s; did you mean %s?", name, near);
	else
		error_set(e, "no study %s; `trawl studies` lists them", name);
	free(known);
	return -1;
}

char *verb_find_study(struct database *d, const struct options *o, struct error *e)
{
	const char *wanted = o->words ? o->word[0] : NULL;
	char *found = NULL;
	struct rows r;
	if (verb_query(d, &r, e, "select name from study order by id", 0, NULL))
		return NULL;
	for (int64_t i = 0; i < r.count && !found; i++)
		if (wanted ? !strcmp(wanted, rows_text(&r, i, "name")) : r.count == 1)
			found = xstrdup(rows_text(&r, i, "name"));
	if (!found && wanted)
		no_such_study(&r, wanted, e);
	else if (!found)
		error_set(
		        e,
		        r.count ? "there are several studies: name one (`trawl studies` lists them)"
		                : "there is no study yet: `trawl launch SWEEP.json` makes one");
	rows_release(&r);
	return found;
}

char *verb_study_view(struct database *d, const char *study, struct error *e)
{
	struct rows r;
	if (verb_query(d, &r, e, VIEW_NAME_SQL "where s.name = ?1", 1, &study))
		return NULL;
	char *name = xstrdup(rows_text(&r, 0, "name"));
	rows_release(&r);
	return name;
}
