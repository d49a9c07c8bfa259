/* Verb compare: two trials, or two studies, side by side. */
#include "coordinator/compare.h"
#include "coordinator/difference.h"
#include "coordinator/verb.h"
#include "core/base/json.h"
#include "schemas/trial_spec.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Fields that repeat a trial, and make no other. */
static const char swept_sql[] =
        "select key from (select s.key from study t, json_each(t.sweep, '$.space') s where t.name"
        " in (?1, ?2) union select j.key from study t join study_trial st on st.study = t.id,"
        " json_each(st.assignment) j where t.name in (?1, ?2)) where key not like '%seed'"
        " order by key";

static const char members_sql[] =
        "select t.id, p.spec, st.assignment from study s join study_trial st on st.study = s.id"
        " join trial t on t.id = st.trial join specification p on p.trial = t.id"
        " where s.name = ?1 and st.role = 'trial' and"
        " t.state = 'done' group by t.id order by t.id";

/* What is measured, by name; ?1 is a study, or ?2 the only trial. */
#define MEMBERS                                                                                  \
	"(select st.trial from study_trial st join study s on s.id = st.study where s.name = ?1" \
	" union select cast(?2 as integer))"
static const char metric_sql[] =
        "select trial, metric name, value from result where trial in " MEMBERS
        " order by metric, trial";
static const char category_sql[] =
        "select trial, name, value from category_metric where metric = ?3 and trial in " MEMBERS
        " order by category, trial";

/* One side as it was asked for. */
struct side {
	char study[80]; /* "" when it is a trial */
	char trial[24];
	cJSON *spec; /* of the trial, or the one that the study's sweep varies */
};

/* What an older trawl did not know of yet has its default. */
static cJSON *filled(const struct rows *r)
{
	cJSON *spec = cJSON_Parse(rows_text(r, 0, "spec"));
	if (spec)
		trial_fill(spec);
	return spec;
}

static int find_side(struct database *d, const char *word, struct side *s, struct error *e)
{
	struct rows r;
	int64_t trial;
	*s = (struct side){0};
	if (verb_query(d, &r, e, "select sweep -> '$.trial' spec from study where name = ?1", 1,
	               &word))
		return -1;
	if (r.count) {
		snprintf(s->study, sizeof s->study, "%s", word);
		s->spec = filled(&r);
	}
	rows_release(&r);
	if (*s->study)
		return 0;
	if (verb_find_trial(d, word, &trial, e))
		return error_set(e,
		                 "%s is neither a study (`trawl studies` lists them) nor a trial "
		                 "(17, bits/3, or the start of an identity)",
		                 word);
	snprintf(s->trial, sizeof s->trial, "%" PRId64, trial);
	if (verb_query(d, &r, e, "select spec from specification where trial = ?1", 1,
	               (const char *[]){s->trial}))
		return -1;
	s->spec = filled(&r);
	rows_release(&r);
	return 0;
}

/* ---- groups ---- */

/* The trial's values of the swept fields: as assigned, or else as they stand in its specification.
 */
static char *key_of(const struct rows *swept, const cJSON *spec, const cJSON *assignment)
{
	cJSON *key = cJSON_CreateObject();
	for (int64_t i = 0; i < swept->count; i++) {
		const char *path = rows_text(swept, i, "key");
		const cJSON *value = cJSON_GetObjectItemCaseSensitive(assignment, path);
		value = value ? value : json_at(spec, path);
		if (value)
			cJSON_AddItemToObject(key, path, cJSON_Duplicate(value, true));
	}
	char *text = json_canonical(key);
	cJSON_Delete(key);
	return text;
}

static int add_members(struct database *d, const char *study, int side, const struct rows *swept,
                       struct comparison *c, struct error *e)
{
	struct rows r;
	if (verb_query(d, &r, e, members_sql, 1, &study))
		return -1;
	for (int64_t i = 0; i < r.count; i++) {
		cJSON *spec = cJSON_Parse(rows_text(&r, i, "spec"));
		cJSON *assignment = cJSON_Parse(rows_text(&r, i, "assignment"));
		char *key = key_of(swept, spec, assignment);
		comparison_trial(c, side, rows_int(&r, i, "id", 0), key);
		free(key);
		cJSON_Delete(spec);
		cJSON_Delete(assignment);
	}
	int64_t count = r.count;
	rows_release(&r);
	return count ? 0 : error_set(e, "study %s has no trial that is done yet", study);
}

static int make_groups(struct database *d, const struct side s[SIDES], struct comparison *c,
                       struct error *e)
{
	struct rows swept;
	int rc = 0;
	if (!*s[0].study) {
		for (int side = 0; side < SIDES; side++)
			comparison_trial(c, side, strtoll(s[side].trial, NULL, 10), "{}");
		return 0;
	}
	if (verb_query(d, &swept, e, swept_sql, 2, (const char *[]){s[0].study, s[1].study}))
		return -1;
	for (int side = 0; side < SIDES && !rc; side++)
		rc = add_members(d, s[side].study, side, &swept, c, e);
	rows_release(&swept);
	return rc;
}

/* ---- values ---- */

static int add_values(struct database *d, const struct side *s, int side, const char *sql,
                      const char *category_metric, struct comparison *c, struct tally *t,
                      struct error *e)
{
	const char *bind[] = {s->study, s->trial, category_metric};
	struct rows r;
	if (verb_query(d, &r, e, sql, category_metric ? 3 : 2, bind))
		return -1;
	for (int64_t i = 0; i < r.count; i++)
		comparison_value(c, t, rows_text(&r, i, "name"), side, rows_int(&r, i, "trial", 0),
		                 rows_real(&r, i, "value", NAN));
	rows_release(&r);
	return 0;
}

static int add_side(struct database *d, const struct side *s, int side, struct comparison *c,
                    struct error *e)
{
	c->title[side] = *s->study ? xstrdup(s->study) : xformat("trial %s", s->trial);
	return add_values(d, s, side, metric_sql, NULL, c, &c->metric, e) ||
	                       add_values(d, s, side, category_sql, "accuracy", c, &c->accuracy,
	                                  e) ||
	                       add_values(d, s, side, category_sql, "train_accuracy", c,
	                                  &c->train_accuracy, e)
	               ? -1
	               : 0;
}

/* The metric that is asked for, or those that the studies optimise, or accuracy. */
static char *shown_metrics(const struct options *o, struct database *d, const struct side s[SIDES])
{
	const char *wanted = option_text(o, "--metric", NULL);
	struct text shown = {0};
	struct rows r;
	if (wanted)
		return strcmp(wanted, "all") ? xformat(",%s,", wanted) : NULL;
	text_add(&shown, ",");
	if (!verb_query(d, &r, NULL, "select metric from objective where study in (?1, ?2)", 2,
	                (const char *[]){s[0].study, s[1].study})) {
		for (int64_t i = 0; i < r.count; i++)
			text_add(&shown, "%s,", rows_text(&r, i, "metric"));
		rows_release(&r);
	}
	if (shown.length == 1)
		text_add(&shown, "accuracy,");
	return text_take(&shown);
}

static void print(const struct options *o, const struct comparison *c)
{
	struct rows r;
	struct text out = {0};
	if (option_given(o, "--json") || option_given(o, "--csv")) {
		comparison_rows(c, &r);
		verb_print(o, &r, NULL);
		rows_release(&r);
		return;
	}
	comparison_text(c, isatty(STDOUT_FILENO), &out);
	fwrite(out.data, 1, out.length, stdout);
	text_release(&out);
}

int verb_compare(const struct options *o, struct error *e)
{
	struct database *d = verb_database(o, e);
	struct side s[SIDES] = {0};
	struct comparison c = {0};
	int rc = -1;
	if (!d || find_side(d, o->word[0], &s[0], e) || find_side(d, o->word[1], &s[1], e))
		goto out;
	if (!*s[0].study != !*s[1].study) {
		error_set(e, "%s is a %s and %s is a %s: two of a kind can be compared", o->word[0],
		          *s[0].study ? "study" : "trial", o->word[1],
		          *s[1].study ? "study" : "trial");
		goto out;
	}
	c.specification = difference_of((const cJSON *[]){s[0].spec, s[1].spec}, SIDES);
	c.shown = *s[0].study ? shown_metrics(o, d, s) : NULL;
	if (make_groups(d, s, &c, e) || add_side(d, &s[0], 0, &c, e) ||
	    add_side(d, &s[1], 1, &c, e))
		goto out;
	print(o, &c);
	rc = 0;
out:
	comparison_release(&c);
	cJSON_Delete(s[0].spec);
	cJSON_Delete(s[1].spec);
	database_close(d);
	return rc;
}
