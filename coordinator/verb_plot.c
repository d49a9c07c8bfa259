/* Verb plot: pictures of what trials measured. */
#include "coordinator/difference.h"
#include "coordinator/plot/landscape.h"
#include "coordinator/plot/png.h"
#include "coordinator/plot/svg.h"
#include "coordinator/verb.h"
#include "core/base/file.h"
#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TRIALS_MOST = 8, METRICS_MOST = 4 };
static const double PNG_SCALE = 2;

/* What is to be drawn of which trials. */
struct plot {
	const struct options *o;
	struct database *d;
	char id[TRIALS_MOST][24];
	char *label[TRIALS_MOST];
	int trials;
	char *ids;    /* "[17,23]", for json_each */
	cJSON *files; /* those written */
};

/* ---- files ---- */

static const char *extension_of(const char *path)
{
	const char *dot = strrchr(path, '.');
	return dot && (!strcasecmp(dot, ".svg") || !strcasecmp(dot, ".png")) ? dot + 1 : NULL;
}

static int save(struct plot *p, const struct figure *f, const char *path, struct error *e)
{
	struct text bytes = {0};
	int rc = 0;
	if (tolower((unsigned char)*extension_of(path)) == 's')
		svg_write(f, &bytes);
	else
		rc = png_write_figure(f, PNG_SCALE, &bytes, e);
	if (!rc)
		rc = file_write(path, bytes.data, bytes.length, e);
	if (!rc)
		cJSON_AddItemToArray(p->files, cJSON_CreateString(path));
	text_release(&bytes);
	return rc;
}

/* To --output, or as both kinds beside us, named after the trials and the slice. */
static int save_named(struct plot *p, const struct figure *f, const char *slice, struct error *e)
{
	static const char *const kinds[] = {"svg", "png"};
	if (option_given(p->o, "--output"))
		return save(p, f, option_text(p->o, "--output", NULL), e);
	for (int k = 0; k < 2; k++) {
		struct text path = {0};
		text_add(&path, "landscape");
		for (int i = 0; i < p->trials; i++)
			text_add(&path, "-%s", p->id[i]);
		text_add(&path, "-%s.%s", slice, kinds[k]);
		int rc = save(p, f, path.data, e);
		text_release(&path);
		if (rc)
			return rc;
	}
	return 0;
}

/* ---- trials ---- */

/* "trial 17: lambda=0.1": what it has that the others have not. */
static int label_trials(struct plot *p, struct error *e)
{
	cJSON *spec[TRIALS_MOST] = {0};
	struct rows r;
	int rc = 0;
	for (int i = 0; i < p->trials && !rc; i++) {
		rc = verb_query(p->d, &r, e, "select spec from trial where id = ?1", 1,
		                (const char *[]){p->id[i]});
		if (!rc) {
			spec[i] = cJSON_Parse(rows_text(&r, 0, "spec"));
			rows_release(&r);
		}
	}
	cJSON *difference = difference_of((const cJSON *const *)spec, p->trials);
	for (int i = 0; i < p->trials; i++) {
		char *differs = difference_label(difference, i);
		p->label[i] = xformat("trial %s%s%s", p->id[i], *differs ? ": " : "", differs);
		free(differs);
		cJSON_Delete(spec[i]);
	}
	cJSON_Delete(difference);
	return rc;
}

static int find_trials(struct plot *p, struct error *e)
{
	struct text ids = {0};
	for (int i = 1; i < p->o->words; i++) {
		int64_t trial;
		if (verb_find_trial(p->d, p->o->word[i], &trial, e)) {
			text_release(&ids);
			return -1;
		}
		snprintf(p->id[p->trials], sizeof *p->id, "%" PRId64, trial);
		text_add(&ids, "%s%s", p->trials ? "," : "[", p->id[p->trials]);
		p->trials++;
	}
	text_add(&ids, "]");
	p->ids = text_take(&ids);
	return label_trials(p, e);
}

/* "Loss landscape of trial 17 (bits-c10/3)". */
static char *title_of(struct plot *p)
{
	struct text title = {0};
	struct rows r;
	text_add(&title, "Loss landscape%s of trial%s ", p->trials > 1 ? "s" : "",
	         p->trials > 1 ? "s" : "");
	for (int i = 0; i < p->trials; i++) {
		text_add(&title, "%s%s", i ? ", " : "", p->id[i]);
		if (verb_query(p->d, &r, NULL,
		               "select s.name || '/' || st.number name from study_trial st join"
		               " study s on s.id = st.study where st.trial = ?1 limit 1",
		               1, (const char *[]){p->id[i]}))
			continue;
		if (r.count)
			text_add(&title, " (%s)", rows_text(&r, 0, "name"));
		rows_release(&r);
	}
	return text_take(&title);
}

/* ---- landscapes ---- */

/* Slices that all of the trials have, planes first. */
static int find_slices(struct plot *p, struct rows *slices, struct error *e)
{
	const char *wanted = option_text(p->o, "--slice", "");
	char count[24];
	snprintf(count, sizeof count, "%d", p->trials);
	if (verb_query(p->d, slices, e,
	               "select slice, max(y) > min(y) plane from landscape where trial in"
	               " (select value from json_each(?1)) and ?2 in ('', slice) group by slice"
	               " having count(distinct trial) = cast(?3 as integer)"
	               " order by plane desc, slice = 'hessian', slice",
	               3, (const char *[]){p->ids, wanted, count}))
		return -1;
	if (slices->count)
		return 0;
	rows_release(slices);
	return error_set(e,
	                 "%s %s no landscape%s%s%s: a trial with \"action\": \"landscape\" that "
	                 "starts from the weights makes one (`trawl help trial`)",
	                 p->trials > 1 ? "these trials together" : p->label[0],
	                 p->trials > 1 ? "have" : "has", *wanted ? " of slice " : "", wanted,
	                 *wanted ? "" : " yet");
}

static struct grid read_grid(const struct rows *r)
{
	size_t bytes = ((size_t)r->count + 1) * sizeof(double);
	double *x = xmalloc(bytes), *y = xmalloc(bytes), *value = xmalloc(bytes);
	for (int64_t i = 0; i < r->count; i++) {
		x[i] = rows_real(r, i, "x", 0);
		y[i] = rows_real(r, i, "y", 0);
		value[i] = rows_real(r, i, "value", NAN);
	}
	struct grid g = landscape_grid(x, y, value, (int)r->count);
	free(x);
	free(y);
	free(value);
	return g;
}

/* The points of one trial and metric; none is an error. */
static int read_landscape(struct plot *p, int trial, const char *slice, const char *metric,
                          struct landscape *l, struct error *e)
{
	struct rows r;
	if (verb_query(p->d, &r, e,
	               "select x, y, value from landscape where trial = ?1 and slice = ?2 and"
	               " metric = ?3",
	               3, (const char *[]){p->id[trial], slice, metric}))
		return -1;
	if (!r.count) {
		rows_release(&r);
		return error_set(e, "trial %s has no %s along %s", p->id[trial], metric, slice);
	}
	*l = (struct landscape){.label = p->trials > 1 ? p->label[trial] : "",
	                        .metric = xstrdup(metric),
	                        .trial = trial,
	                        .grid = read_grid(&r)};
	rows_release(&r);
	return 0;
}

/* Lines show every metric of the first trial, planes one. */
static int find_metrics(struct plot *p, const char *slice, bool plane, struct rows *r,
                        struct error *e)
{
	const char *wanted = option_text(p->o, "--metric", "");
	if (verb_query(p->d, r, e,
	               "select distinct metric from landscape where trial = ?1 and slice = ?2"
	               " and ?3 in ('', metric) order by metric <> 'loss', metric",
	               3, (const char *[]){p->id[0], slice, wanted}))
		return -1;
	if (!r->count) {
		rows_release(r);
		return error_set(e, "trial %s has no %s along %s", p->id[0], wanted, slice);
	}
	return (int)(plane ? 1 : r->count > METRICS_MOST ? METRICS_MOST : r->count);
}

static int draw_slice(struct plot *p, const char *slice, bool plane, struct error *e)
{
	struct landscape list[TRIALS_MOST * METRICS_MOST];
	struct figure f;
	struct rows metrics;
	int count = 0, each = find_metrics(p, slice, plane, &metrics, e), rc = each < 0;
	for (int m = 0; m < each && !rc; m++)
		for (int i = 0; i < p->trials && !rc; i++, count += !rc)
			rc = read_landscape(p, i, slice, rows_text(&metrics, m, "metric"),
			                    &list[count], e);
	if (!rc) {
		char *title = title_of(p);
		landscape_draw(&f, list, count, slice, title);
		rc = save_named(p, &f, slice, e);
		figure_release(&f);
		free(title);
	}
	for (int i = 0; i < count; i++) {
		free(list[i].metric);
		grid_release(&list[i].grid);
	}
	if (each >= 0)
		rows_release(&metrics);
	return rc ? -1 : 0;
}

/* All slices; the first of them where one file is asked for. */
static int draw_slices(struct plot *p, struct error *e)
{
	struct rows slices;
	if (find_slices(p, &slices, e))
		return -1;
	int64_t count = option_given(p->o, "--output") ? 1 : slices.count;
	int rc = 0;
	for (int64_t i = 0; i < count && !rc; i++)
		rc = draw_slice(p, rows_text(&slices, i, "slice"), rows_int(&slices, i, "plane", 0),
		                e);
	rows_release(&slices);
	return rc;
}

static int say_files(struct plot *p)
{
	const cJSON *file;
	if (option_given(p->o, "--json")) {
		cJSON *json = cJSON_CreateObject();
		cJSON_AddItemToObject(json, "files", cJSON_Duplicate(p->files, true));
		return verb_print_json(json);
	}
	cJSON_ArrayForEach (file, p->files)
		printf("%s\n", file->valuestring);
	return 0;
}

int verb_plot(const struct options *o, struct error *e)
{
	struct plot p = {.o = o};
	const char *to = option_text(o, "--output", NULL);
	if (strcmp(o->word[0], "landscape"))
		return error_set(e, "%s: there is one kind of picture: landscape", o->word[0]);
	if (to && !extension_of(to))
		return error_set(e, "%s: a picture's name ends in .svg or .png", to);
	p.d = verb_database(o, e);
	p.files = cJSON_CreateArray();
	int rc = !p.d || find_trials(&p, e) || draw_slices(&p, e) ? -1 : say_files(&p);
	for (int i = 0; i < p.trials; i++)
		free(p.label[i]);
	free(p.ids);
	cJSON_Delete(p.files);
	database_close(p.d);
	return rc;
}
