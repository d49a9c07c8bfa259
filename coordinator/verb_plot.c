/* Verb plot: pictures of what trials measured. */
#include "coordinator/difference.h"
#include "coordinator/picture.h"
#include "coordinator/plot/png.h"
#include "coordinator/plot/svg.h"
#include "coordinator/verb.h"
#include "core/base/file.h"
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double PNG_SCALE = 2;

/* ---- files ---- */

static const char *extension_of(const char *path)
{
	const char *dot = strrchr(path, '.');
	return dot && (!strcasecmp(dot, ".svg") || !strcasecmp(dot, ".png")) ? dot + 1 : NULL;
}

static int save(struct picture *p, const struct figure *f, const char *path, struct error *e)
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

int picture_save(struct picture *p, const struct figure *f, const char *part, struct error *e)
{
	static const char *const kinds[] = {"svg", "png"};
	if (option_given(p->o, "--output"))
		return save(p, f, option_text(p->o, "--output", NULL), e);
	for (int k = 0; k < 2; k++) {
		struct text path = {0};
		text_add(&path, "%s", p->kind);
		for (int i = 0; i < p->trials; i++)
			text_add(&path, "-%s", p->id[i]);
		text_add(&path, "%s%s.%s", part ? "-" : "", part ? part : "", kinds[k]);
		int rc = save(p, f, path.data, e);
		text_release(&path);
		if (rc)
			return rc;
	}
	return 0;
}

/* ---- trials ---- */

static int label_trials(struct picture *p, struct error *e)
{
	cJSON *spec[PICTURE_TRIALS] = {0};
	struct rows r;
	int rc = 0;
	for (int i = 0; i < p->trials && !rc; i++) {
		rc = verb_query(p->d, &r, e, "select spec from specification where trial = ?1", 1,
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

static int find_trials(struct picture *p, struct error *e)
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

char *picture_title(struct picture *p, const char *what)
{
	struct text title = {0};
	struct rows r;
	text_add(&title, "%s of trial%s ", what, p->trials > 1 ? "s" : "");
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

static int say_files(struct picture *p)
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

static const struct {
	const char *name;
	int trials; /* at most */
	int (*draw)(struct picture *p, struct error *e);
} kinds[] = {
        {"landscape", PICTURE_TRIALS, picture_landscapes},
        {"tree", 1, picture_tree},
        {"roc", PICTURE_TRIALS, picture_roc},
        {"scores", 1, picture_scores},
};
enum { KINDS = sizeof kinds / sizeof *kinds };

static int unknown_kind(const char *name, struct error *e)
{
	struct text known = {0};
	for (int i = 0; i < KINDS; i++)
		text_add(&known, "%s%s", i ? ", " : "", kinds[i].name);
	error_set(e, "%s: no such picture; there are: %s", name, known.data);
	text_release(&known);
	return -1;
}

static int draw(struct picture *p, int kind, struct error *e)
{
	p->kind = kinds[kind].name;
	if (p->o->words - 1 > kinds[kind].trials)
		return error_set(e, "plot %s: %d trial%s at most", p->kind, kinds[kind].trials,
		                 kinds[kind].trials > 1 ? "s" : "");
	p->d = verb_database(p->o, e);
	return !p->d || find_trials(p, e) || kinds[kind].draw(p, e) ? -1 : say_files(p);
}

int verb_plot(const struct options *o, struct error *e)
{
	struct picture p = {.o = o, .files = cJSON_CreateArray()};
	const char *to = option_text(o, "--output", NULL);
	int kind = 0, rc = -1;
	while (kind < KINDS && strcmp(kinds[kind].name, o->word[0]))
		kind++;
	if (kind == KINDS)
		unknown_kind(o->word[0], e);
	else if (to && !extension_of(to))
		error_set(e, "%s: a picture's name ends in .svg or .png", to);
	else
		rc = draw(&p, kind, e);
	for (int i = 0; i < p.trials; i++)
		free(p.label[i]);
	free(p.ids);
	cJSON_Delete(p.files);
	database_close(p.d);
	return rc;
}
