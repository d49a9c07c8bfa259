/* How well a trial's scores tell its test images from images of other distributions. */
#include "core/train/outside.h"
#include "core/base/text.h"
#include "core/data/outside.h"
#include "core/data/source.h"
#include "core/eval/ood.h"
#include "core/train/loop.h"
#include "schemas/ood_set.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BINS = 40 };
static const double CURVE_STEP = 1.0 / 50; /* of either rate, between points of a ROC curve */

/* Where the set's bytes are; null: noise, or made.  -1: not found, or not those that are meant. */
static int find(const struct trainer *t, const struct ood_set *set, char **source, struct error *e)
{
	char *roots = t->files.data ? xstrdup(t->files.data) : source_roots();
	char digest[SHA256_HEX];
	bool made = ood_set_is_noise(set) || source_is_builtin(set->data);

	*source = made ? NULL : source_find(set->data, set->path, roots, e);
	free(roots);
	if (made)
		return 0;
	if (!*source)
		return -1;
	if (!set->digest || t->parallel.rank)
		return 0;
	if (source_digest(set->data, *source, digest, e))
		return -1;
	return strcmp(digest, set->digest) == 0
	               ? 0
	               : error_set(e, "the digest of %s is %.12s…, the trial wants %.12s…", *source,
	                           digest, set->digest);
}

/* Rank 0 first, which builds the cache where there is none. */
static int open_set(struct trainer *t, const struct ood_set *set, struct dataset **out,
                    struct error *e)
{
	const struct trial_spec *s = t->spec;
	char *source = NULL;
	int status = find(t, set, &source, e);
	struct outside_request r = {.kind = set->data,
	                            .source = source,
	                            .cache = t->files.cache ? t->files.cache : s->data_cache,
	                            .fit = set->crops ? FIT_CROP : FIT_RESIZE,
	                            .size_px = t->test->height,
	                            .limit = s->ood_images,
	                            .seed = s->ood_seed};

	*out = NULL;
	if (!status && t->parallel.rank == 0)
		status = outside_open(&r, out, e);
	status = parallel_outcome(&t->parallel, status, e);
	if (!status && t->parallel.rank)
		status = outside_open(&r, out, e);
	status = parallel_outcome(&t->parallel, status, e);
	free(source);
	return status ? error_prefix(e, "ood.sets: %s", set->name) : 0;
}

static double *column(const struct evaluation *e, int score)
{
	int64_t count = e->calibration.accuracy.count;
	double *values = xcalloc((size_t)count + 1, sizeof *values);

	for (int64_t i = 0; i < count; i++)
		values[i] = e->score[i * SCORES + score];
	return values;
}

/* The ROC curve, as few points as show it; both ends are among them. */
static void add_roc(struct trainer *t, const char *set, const char *score, const struct ood *o)
{
	double x = 0, y = 0;

	result_curve(&t->result, set, score, "roc", 0, 0);
	for (int64_t i = 0; i < o->levels; i++) {
		const struct ood_level *l = &o->level[i];
		double fpr = (double)(l->out_above + l->out) / (double)o->out;
		double tpr = (double)(l->in_above + l->in) / (double)o->in;
		if (i + 1 < o->levels && fpr - x < CURVE_STEP && tpr - y < CURVE_STEP)
			continue;
		result_curve(&t->result, set, score, "roc", fpr, tpr);
		x = fpr;
		y = tpr;
	}
}

/* Shares of the images in equal bins between the least and the largest score of both kinds. */
static void add_densities(struct trainer *t, const char *set, const char *score,
                          const struct ood *o)
{
	double high = o->level[0].score, low = o->level[o->levels - 1].score;
	double width = high > low ? (high - low) / BINS : 1, in[BINS] = {0}, out[BINS] = {0};

	for (int64_t i = 0; i < o->levels; i++) {
		const struct ood_level *l = &o->level[i];
		int bin = (int)((l->score - low) / width);
		bin = bin < BINS ? bin : BINS - 1;
		in[bin] += (double)l->in / (double)o->in;
		out[bin] += (double)l->out / (double)o->out;
	}
	for (int i = 0; i < BINS; i++) {
		result_curve(&t->result, set, score, "density_in", low + (i + 0.5) * width, in[i]);
		result_curve(&t->result, set, score, "density_out", low + (i + 0.5) * width,
		             out[i]);
	}
}

/* Figures and curves of one score; returns its AUROC, NaN where the model has no such score. */
static double report_score(struct trainer *t, const char *set, int score,
                           const struct evaluation *outside)
{
	const char *name = score_rows[score].name;
	double *in = column(&t->tested, score), *out = column(outside, score);
	struct ood o;

	ood_init(&o, in, t->tested.calibration.accuracy.count, out,
	         outside->calibration.accuracy.count);
	double auroc = ood_auroc(&o);
	for (int i = 0; i < ood_metric_count && isfinite(auroc); i++)
		result_ood(&t->result, set, name, ood_metrics[i].name, ood_metrics[i].of(&o));
	if (isfinite(auroc)) {
		add_roc(t, set, name, &o);
		add_densities(t, set, name, &o);
	}
	ood_release(&o);
	free(in);
	free(out);
	return auroc;
}

/* The score that the trial's one figure is of: the submodels' where the model, or each of an
 * ensemble's members, has them. */
static enum score own_score(const struct trainer *t)
{
	bool has = t->tested.calibration.accuracy.count && !isnan(t->tested.score[SCORE_SUBTASK]);

	return has ? SCORE_SUBTASK : SCORE_MAX_SOFTMAX;
}

static int evaluate_outside(struct trainer *t, const struct ood_set *set, double *auroc,
                            struct error *e)
{
	enum score own = own_score(t);
	struct evaluation outside = {0};
	struct dataset *d;

	if (open_set(t, set, &d, e))
		return OUTCOME_REFUSE;
	enum order order = trainer_evaluate_set(t, d, &outside);
	for (enum score k = 0; k < SCORES && order == ORDER_GO; k++) {
		double area = report_score(t, set->name, k, &outside);
		*auroc += k == own ? area : 0;
	}
	dataset_free(d);
	evaluation_release(&outside);
	return order == ORDER_GO ? LOOP_GOES_ON : loop_obey(t, order, e);
}

int outside_evaluate(struct trainer *t, struct error *e)
{
	int sets = cJSON_GetArraySize(t->spec->ood_sets), ended = LOOP_GOES_ON;
	double auroc = 0;

	result_forget_ood(&t->result);
	for (int i = 0; i < sets && ended == LOOP_GOES_ON; i++) {
		struct ood_set set;
		if (ood_set_read(cJSON_GetArrayItem(t->spec->ood_sets, i), &set, e))
			return OUTCOME_ERROR;
		ended = evaluate_outside(t, &set, &auroc, e);
	}
	if (sets && ended == LOOP_GOES_ON)
		result_figure(&t->result, "auroc", auroc / sets);
	return ended;
}
