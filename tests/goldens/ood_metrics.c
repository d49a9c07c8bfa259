/* Golden OOD metrics: score sets, and the calibration of logits. */
#include "core/base/text.h"
#include "core/eval/calibration.h"
#include "core/eval/ood.h"
#include "tests/goldens/golden.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* "<set>.<what>", which must be there. */
static const struct safetensor *find(const struct golden *g, const char *set, const char *what,
                                     struct error *e)
{
	char *name = xformat("%s.%s", set, what);
	const struct safetensor *s = safetensors_find(g->tensors, name);

	if (!s)
		error_set(e, "no tensor %s", name);
	free(name);
	return s;
}

static double *values(const struct safetensor *s)
{
	double *v = xcalloc((size_t)s->count + 1, sizeof(*v));

	for (int64_t i = 0; i < s->count; i++)
		v[i] = safetensor_at(s, i);
	return v;
}

static double score_metric(const struct ood *o, const char *name)
{
	for (int i = 0; i < ood_metric_count; i++)
		if (strcmp(ood_metrics[i].name, name) == 0)
			return ood_metrics[i].of(o);
	return NAN;
}

static double calibration_metric(const struct calibration *c, const char *name)
{
	int bins, end = 0;

	if (sscanf(name, "ece_%4d_bins%n", &bins, &end) == 1 && end && !name[end] && bins > 0)
		return calibration_error(c, bins);
	if (strcmp(name, "accuracy") == 0)
		return accuracy_top1(&c->accuracy);
	if (strcmp(name, "nll") == 0)
		return accuracy_loss(&c->accuracy);
	return strcmp(name, "brier") == 0 ? calibration_brier(c) : NAN;
}

/* The README's rule, where the largest of a family is about 1. */
static void check(struct golden *g, const char *set, const cJSON *expect, double got)
{
	golden_check_number(g, set, expect->string, cJSON_IsNumber(expect) ? got : NAN,
	                    expect->valuedouble, 1e-4);
}

static int run_scores(struct golden *g, const cJSON *set, struct error *e)
{
	const struct safetensor *in = find(g, set->string, "id_score", e), *out;
	const cJSON *expect;
	struct ood o;

	if (!in || !(out = find(g, set->string, "ood_score", e)))
		return -1;

	double *in_score = values(in), *out_score = values(out);
	ood_init(&o, in_score, in->count, out_score, out->count);
	cJSON_ArrayForEach (expect, set)
		check(g, set->string, expect, score_metric(&o, expect->string));
	ood_release(&o);
	free(in_score);
	free(out_score);
	return 0;
}

static int add_samples(struct calibration *c, const struct safetensor *logits,
                       const struct safetensor *labels, struct error *e)
{
	double *z = values(logits);
	int32_t *label = xcalloc((size_t)labels->count + 1, sizeof(*label));
	int status = 0;

	for (int64_t i = 0; i < labels->count && !status; i++) {
		double l = safetensor_at(labels, i);
		label[i] = (int32_t)l;
		if (l < 0 || l >= c->accuracy.classes)
			status = error_set(e, "%s: %g is no class", labels->name, l);
	}
	if (!status)
		calibration_add(c, 0, z, label, labels->count);
	free(z);
	free(label);
	return status;
}

static int run_logits(struct golden *g, const cJSON *set, const struct safetensor *logits,
                      struct error *e)
{
	const struct safetensor *labels = find(g, set->string, "labels", e);
	const cJSON *expect;
	struct calibration c;

	if (!labels)
		return -1;
	if (logits->shape.n != 2 || logits->shape.d[0] != labels->count)
		return error_set(e, "%s: not a row of logits per label", set->string);
	calibration_init(&c, labels->count, (int)logits->shape.d[1]);
	int status = add_samples(&c, logits, labels, e);
	for (expect = status ? NULL : set->child; expect; expect = expect->next)
		check(g, set->string, expect, calibration_metric(&c, expect->string));
	calibration_release(&c);
	return status;
}

int ood_metrics_run(struct golden *g, struct error *e)
{
	const cJSON *set, *sets = cJSON_GetObjectItemCaseSensitive(g->manifest, "expect");

	if (cJSON_GetArraySize(sets) == 0)
		return error_set(e, "nothing is expected");
	cJSON_ArrayForEach (set, sets) {
		const struct safetensor *logits = find(g, set->string, "logits", NULL);

		if (cJSON_GetArraySize(set) == 0)
			return error_set(e, "%s: nothing is expected", set->string);
		if (logits ? run_logits(g, set, logits, e) : run_scores(g, set, e))
			return -1;
	}
	return 0;
}
