/* Pictures of loss landscapes: every slice that all of the trials have. */
#include "coordinator/picture.h"
#include "coordinator/plot/landscape.h"
#include "coordinator/verb.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { METRICS_MOST = 4 };

/* Slices that all of the trials have, planes first. */
static int find_slices(struct picture *p, struct rows *slices, struct error *e)
{
	const char *wanted = option_text(p->o, "--slice", "");
	if (verb_query(p->d, slices, e,
	               "select slice, max(y) > min(y) plane from landscape where trial in"
	               " (select value from json_each(?1)) and ?2 in ('', slice) group by slice"
	               " having count(distinct trial) = json_array_length(?1)"
	               " order by plane desc, slice = 'hessian', slice",
	               2, (const char *[]){p->ids, wanted}))
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
static int read_landscape(struct picture *p, int trial, const char *slice, const char *metric,
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
static int find_metrics(struct picture *p, const char *slice, bool plane, struct rows *r,
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

static int draw_slice(struct picture *p, const char *slice, bool plane, struct error *e)
{
	struct landscape list[PICTURE_TRIALS * METRICS_MOST];
	struct figure f;
	struct rows metrics;
	int count = 0, each = find_metrics(p, slice, plane, &metrics, e), rc = each < 0;
	for (int m = 0; m < each && !rc; m++)
		for (int i = 0; i < p->trials && !rc; i++, count += !rc)
			rc = read_landscape(p, i, slice, rows_text(&metrics, m, "metric"),
			                    &list[count], e);
	if (!rc) {
		char *title =
		        picture_title(p, p->trials > 1 ? "Loss landscapes" : "Loss landscape");
		landscape_draw(&f, list, count, slice, title);
		rc = picture_save(p, &f, slice, e);
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

int picture_landscapes(struct picture *p, struct error *e)
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
