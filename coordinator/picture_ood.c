/* Pictures of how trials tell their test images from others: ROC curves, and scores of both kinds.
 */
#include "coordinator/picture.h"
#include "coordinator/plot/panels.h"
#include "coordinator/verb.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The sets that the trials have in common, in order of name; the caller's to release. */
static int find_sets(struct picture *p, struct rows *sets, struct error *e)
{
	if (verb_query(p->d, sets, e,
	               "select ood_set from ood_metric where trial in"
	               " (select value from json_each(?1)) group by ood_set"
	               " having count(distinct trial) = json_array_length(?1) order by ood_set",
	               1, (const char *[]){p->ids}))
		return -1;
	if (sets->count)
		return 0;
	rows_release(sets);
	return error_set(e,
	                 "%s %s no sets from outside of the distribution%s: ood.sets names them "
	                 "(`trawl help trial`)",
	                 p->trials > 1 ? "these trials" : p->label[0],
	                 p->trials > 1 ? "have" : "has", p->trials > 1 ? " in common" : "");
}

/* The score to draw: --score, or the one that the trial's kind of model is told apart by. */
static int find_score(struct picture *p, int trial, char score[32], struct error *e)
{
	const char *wanted = option_text(p->o, "--score", "");
	struct rows r;
	if (verb_query(p->d, &r, e,
	               "select distinct score from ood_metric where trial = ?1 and"
	               " iif(?2 = '', score in ('subtask', 'max_softmax'), score = ?2)"
	               " order by score desc",
	               2, (const char *[]){p->id[trial], wanted}))
		return -1;
	snprintf(score, 32, "%s", r.count ? rows_text(&r, 0, "score") : "");
	rows_release(&r);
	return *score ? 0 : error_set(e, "trial %s has no score %s", p->id[trial], wanted);
}

static int read_series(struct picture *p, int trial, const char *set, const char *score,
                       const char *curve, struct series *s, struct error *e)
{
	struct rows r;
	if (verb_query(p->d, &r, e,
	               "select x, y from ood_curve where trial = ?1 and ood_set = ?2 and score = ?3"
	               " and curve = ?4 order by point",
	               4, (const char *[]){p->id[trial], set, score, curve}))
		return -1;
	*s = (struct series){.points = (int)r.count};
	s->x = xmalloc(((size_t)r.count + 1) * sizeof *s->x);
	s->y = xmalloc(((size_t)r.count + 1) * sizeof *s->y);
	for (int64_t i = 0; i < r.count; i++) {
		s->x[i] = rows_real(&r, i, "x", NAN);
		s->y[i] = rows_real(&r, i, "y", NAN);
	}
	rows_release(&r);
	return 0;
}

static double metric_of(struct picture *p, int trial, const char *set, const char *score,
                        const char *metric)
{
	double value = NAN;
	struct rows r;
	if (verb_query(p->d, &r, NULL,
	               "select value from ood_metric where trial = ?1 and ood_set = ?2 and"
	               " score = ?3 and metric = ?4",
	               4, (const char *[]){p->id[trial], set, score, metric}))
		return value;
	value = r.count ? rows_real(&r, 0, "value", NAN) : NAN;
	rows_release(&r);
	return value;
}

/* ---- ROC curves: a panel per set, a line per trial ---- */
static int roc_panel(struct picture *p, const char *set, struct panel *panel, struct error *e)
{
	*panel = (struct panel){.title = xstrdup(set)};
	panel->series = xcalloc((size_t)p->trials, sizeof *panel->series);
	for (int i = 0; i < p->trials; i++) {
		char score[32];
		struct series *s = &panel->series[i];
		if (find_score(p, i, score, e) || read_series(p, i, set, score, "roc", s, e))
			return -1;
		panel->count++;
		s->kind = i;
		s->note = xformat("AUROC %.3f", metric_of(p, i, set, score, "auroc"));
	}
	return 0;
}

/* ---- scores: a panel per set, both kinds of images of one trial ---- */
static int scores_panel(struct picture *p, const char *set, struct panel *panel, struct error *e)
{
	static const char *const curves[] = {"density_in", "density_out"};
	char score[32];
	*panel = (struct panel){0};
	panel->series = xcalloc(2, sizeof *panel->series);
	if (find_score(p, 0, score, e))
		return -1;
	for (int i = 0; i < 2; i++) {
		if (read_series(p, 0, set, score, curves[i], &panel->series[i], e))
			return -1;
		panel->series[i].kind = i;
		panel->series[i].filled = true;
		panel->count++;
	}
	panel->title = xformat("%s: AUROC %.3f", set, metric_of(p, 0, set, score, "auroc"));
	return 0;
}

typedef int panel_fn(struct picture *p, const char *set, struct panel *panel, struct error *e);

static int draw(struct picture *p, panel_fn *make, const struct panels_look *look, struct error *e)
{
	struct rows sets;
	struct figure f;
	int count = 0, rc = 0;
	if (find_sets(p, &sets, e))
		return -1;
	struct panel *panel = xcalloc((size_t)sets.count, sizeof *panel);
	for (; count < sets.count && !rc; count++)
		rc = make(p, rows_text(&sets, count, "ood_set"), &panel[count], e);
	if (!rc) {
		panels_draw(&f, panel, count, look);
		rc = picture_save(p, &f, NULL, e);
		figure_release(&f);
	}
	for (int i = 0; i < count; i++)
		panel_release(&panel[i]);
	free(panel);
	rows_release(&sets);
	return rc;
}

/* The trials, and the score that each is drawn by; the caller's. */
static char **roc_legend(struct picture *p, struct error *e)
{
	char **legend = xcalloc((size_t)p->trials + 1, sizeof *legend);
	char score[32] = "";

	for (int i = 0; i < p->trials; i++)
		if (!find_score(p, i, score, e))
			legend[i] = xformat("%s, by %s", p->label[i], score);
	return legend;
}

int picture_roc(struct picture *p, struct error *e)
{
	char *title = picture_title(p, p->trials > 1 ? "ROC curves" : "ROC curve");
	char **legend = roc_legend(p, e);
	struct panels_look look = {.title = title,
	                           .x_name = "others kept (false positives)",
	                           .y_name = "test images kept",
	                           .legend = (const char *const *)legend,
	                           .kinds = p->trials,
	                           .rates = true};
	int rc = draw(p, roc_panel, &look, e);
	for (int i = 0; i < p->trials; i++)
		free(legend[i]);
	free(legend);
	free(title);
	return rc;
}

int picture_scores(struct picture *p, struct error *e)
{
	static const char *const legend[] = {"test images", "images of the set"};
	char score[32] = "", *title = NULL;
	if (find_score(p, 0, score, e))
		return -1;
	title = picture_title(p, "Scores of both kinds of images");
	struct panels_look look = {.title = title,
	                           .x_name = score,
	                           .y_name = "share of images",
	                           .legend = legend,
	                           .kinds = 2};
	int rc = draw(p, scores_panel, &look, e);
	free(title);
	return rc;
}
