/* What is said of a batch of images, in inference. */
#include "core/train/predict.h"
#include "core/base/text.h"
#include "core/eval/softmax.h"
#include "core/split/subtask_score.h"
#include "core/train/ensemble.h"
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static void prediction_init(struct prediction *out, int64_t n, int classes)
{
	*out = (struct prediction){.n = n, .classes = classes};
	out->logits = xcalloc((size_t)(n * classes), sizeof *out->logits);
	out->score = xcalloc((size_t)(n * SCORES), sizeof *out->score);
}

static void keep_logits(struct prediction *out, struct tensor *logits)
{
	prediction_init(out, logits->shape.d[0], (int)logits->shape.d[1]);
	memcpy(out->logits, tensor_f32(logits),
	       (size_t)shape_count(logits->shape) * sizeof *out->logits);
	score_logits(out->logits, out->logits, out->n, out->classes, out->score);
}

/* What submodels know of their outsides. */
static void score_submodels(const struct trainer *t, struct tensor *const heads[],
                            struct prediction *out)
{
	double *id = xcalloc(2 * (size_t)out->n, sizeof *id), *most = id + out->n;

	subtask_score(&t->subtasks, heads, &(struct subtask_scores){.id = id, .id_max = most});
	for (int64_t i = 0; i < out->n; i++) {
		out->score[i * SCORES + SCORE_SUBTASK] = id[i];
		out->score[i * SCORES + SCORE_SUBTASK_MAX] = most[i];
	}
	free(id);
}

/* The logits of all classes, from the heads. */
static struct tensor *logits_of(const struct trainer *t, struct tape *tape,
                                struct tensor *const heads[])
{
	return t->subtasks.count ? subtask_own_logits(tape, &t->subtasks, heads) : heads[0];
}

static void predict_once(const struct trainer *t, struct forward *f, struct tensor *const pooled[],
                         struct prediction *out)
{
	struct tensor *heads[SUBTASKS_MAX];

	model_heads_again(t->model, f, pooled, UINT32_MAX, heads);
	keep_logits(out, logits_of(t, f->tape, heads));
	if (t->subtasks.count)
		score_submodels(t, heads, out);
}

/* The scores of submodels, which are averaged as they are. */
static const enum score own_scores[] = {SCORE_SUBTASK, SCORE_SUBTASK_MAX};
enum { OWN_SCORES = sizeof own_scores / sizeof *own_scores };

/* Sums of class probabilities and of logits, (n, classes) each, and of own scores, (n, OWN_SCORES):
 * no numbers where one of the predictions had none. */
struct sums {
	double *probability, *logit, *own;
};

static void add_prediction(struct sums *sum, const struct prediction *p)
{
	double *probability = xmalloc((size_t)p->classes * sizeof *probability);

	for (int64_t i = 0; i < p->n * p->classes; i += p->classes) {
		for (int k = 0; k < p->classes; k++)
			sum->logit[i + k] += probability[k] = (double)p->logits[i + k];
		softmax(probability, p->classes, probability);
		for (int k = 0; k < p->classes; k++)
			sum->probability[i + k] += probability[k];
	}
	for (int64_t i = 0; i < p->n; i++)
		for (int k = 0; k < OWN_SCORES; k++)
			sum->own[i * OWN_SCORES + k] += p->score[i * SCORES + own_scores[k]];
	free(probability);
}

/* The mean of `count` predictions: logs of mean probabilities; scores of these and mean logits; the
 * means of own scores. */
static void take_mean(const struct sums *sum, int count, struct prediction *out)
{
	int64_t all = out->n * out->classes;
	float *raw = xmalloc((size_t)all * sizeof *raw);

	for (int64_t i = 0; i < all; i++) {
		out->logits[i] = (float)log(fmax(sum->probability[i] / count, (double)FLT_MIN));
		raw[i] = (float)(sum->logit[i] / count);
	}
	score_logits(out->logits, raw, out->n, out->classes, out->score);
	for (int64_t i = 0; i < out->n; i++)
		for (int k = 0; k < OWN_SCORES; k++)
			out->score[i * SCORES + own_scores[k]] =
			        sum->own[i * OWN_SCORES + k] / count;
	free(raw);
}

/* Room for the sums of predictions of n images; free their probability. */
static struct sums sums_new(int64_t n, int classes)
{
	struct sums sum;

	sum.probability =
	        xcalloc((size_t)(n * (2 * classes + OWN_SCORES)), sizeof *sum.probability);
	sum.logit = sum.probability + n * classes;
	sum.own = sum.logit + n * classes;
	return sum;
}

/* Passes with dropout differ in what the heads read: the rest is computed once. */
static void predict_dropped(const struct trainer *t, struct forward *f,
                            struct tensor *const pooled[], int64_t n, int64_t first,
                            struct prediction *out)
{
	int classes = t->model->config.classes, passes = (int)t->spec->eval_dropout_samples;
	int64_t *sample = xmalloc((size_t)n * sizeof *sample);
	struct sums sum = sums_new(n, classes);

	for (int64_t i = 0; i < n; i++)
		sample[i] = first + i;
	for (int pass = 0; pass < passes; pass++) {
		struct prediction p;
		f->dropout = (struct dropout){t->spec->model_dropout, t->spec->train_seed,
		                              "mc_dropout", pass, sample};
		predict_once(t, f, pooled, &p);
		add_prediction(&sum, &p);
		prediction_release(&p);
	}
	prediction_init(out, n, classes);
	take_mean(&sum, passes, out);
	free(sum.probability);
	free(sample);
}

static void predict_model(const struct trainer *t, struct tensor *images, int64_t first,
                          struct prediction *out)
{
	struct tape tape;
	struct forward f;

	tape_init(&tape, &backend_onednn);
	tape.recording = false;
	model_begin(&f, &tape, t->model, FORWARD_EVALUATION, trainer_quantization(t));
	struct tensor **pooled = model_pool(t->model, &f, tape_leaf(&tape, images), UINT32_MAX);
	if (t->spec->eval_dropout_samples)
		predict_dropped(t, &f, pooled, images->shape.d[0], first, out);
	else
		predict_once(t, &f, pooled, out);
	free(pooled);
	forward_release(&f);
	tape_release(&tape);
}

static void predict_members(const struct trainer *t, struct tensor *images, int64_t first,
                            struct prediction *out)
{
	int classes = t->model->config.classes;
	int64_t n = images->shape.d[0];
	struct sums sum = sums_new(n, classes);

	for (int i = 0; i < t->members; i++) {
		struct prediction p;
		predict_model(ensemble_member(t, i), images, first, &p);
		add_prediction(&sum, &p);
		prediction_release(&p);
	}
	prediction_init(out, n, classes);
	take_mean(&sum, t->members, out);
	free(sum.probability);
}

void predict(const struct trainer *t, struct tensor *images, int64_t first, struct prediction *out)
{
	(t->members ? predict_members : predict_model)(t, images, first, out);
}

void prediction_release(struct prediction *p)
{
	free(p->logits);
	free(p->score);
	*p = (struct prediction){0};
}
