/* How well scores tell samples of the distribution from those outside it.
 *
 * A higher score means in-distribution, which is the positive class.  At a threshold t the samples
 * with score >= t are called in-distribution: TPR(t) is the share of in-distribution samples so
 * called, FPR(t) that of the others.  Equal scores are never told apart. */
#ifndef EVAL_OOD_H
#define EVAL_OOD_H
#include <stdint.h>

/* The samples that have one score, and those with a higher one. */
struct ood_level {
	double score;
	int64_t in, out;             /* with this score */
	int64_t in_above, out_above; /* with a higher one */
};
/* All that the figures depend on; also the ROC curve: (out_above / out, in_above / in). */
struct ood {
	struct ood_level *level; /* (levels) different scores, highest first */
	int64_t levels, in, out; /* samples of both kinds */
};

/* Sorts in_score (in) and out_score (out); neither is kept.  O(n log n).  A score that is no number
 * makes every figure NaN, and so does the want of either kind of sample. */
void ood_init(struct ood *o, const double *in_score, int64_t in, const double *out_score,
              int64_t out);
void ood_release(struct ood *o);

/* The figures, one row each. */
struct ood_metric {
	const char *name; /* "auroc" */
	const char *help;
	double (*of)(const struct ood *o);
};
extern const struct ood_metric ood_metrics[];
extern const int ood_metric_count;

/* P(in > out) + P(in = out) / 2 for one sample of each kind. */
double ood_auroc(const struct ood *o);

/* Average precision sum_t (R(t) - R(t before)) P(t) over falling thresholds, not interpolated (as
 * in scikit-learn), of finding the in-distribution samples, and of finding the others by low
 * scores. */
double ood_aupr_in(const struct ood *o);
double ood_aupr_out(const struct ood *o);

/* At the threshold that keeps 95 % of the in-distribution samples: the (n - floor(n / 20))-th
 * highest of their n scores.  FPR; the share of all samples that is called wrongly; and the mean of
 * FPR and 1 - TPR. */
double ood_fpr(const struct ood *o);
double ood_detection_error(const struct ood *o);
double ood_balanced_detection_error(const struct ood *o);

/* The least (FPR(t) + 1 - TPR(t)) / 2 of all thresholds. */
double ood_least_detection_error(const struct ood *o);
#endif
