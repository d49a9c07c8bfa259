/* What is said of a batch of images, in inference. */
#include "core/train/predict.h"
#include "core/base/text.h"
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

static void predict_model(const struct trainer *t, struct tensor *images, struct prediction *out)
{
	struct tensor *heads[SUBTASKS_MAX];
	struct tape tape;
	struct forward f;

	tape_init(&tape, &backend_onednn);
	tape.recording = false;
	model_begin(&f, &tape, t->model, FORWARD_EVALUATION, trainer_quantization(t));
	model_heads(t->model, &f, tape_leaf(&tape, images), UINT32_MAX, heads);
	if (t->subtasks.count) {
		keep_logits(out, subtask_own_logits(&tape, &t->subtasks, heads));
		score_submodels(t, heads, out);
	} else {
		keep_logits(out, heads[0]);
	}
	forward_release(&f);
	tape_release(&tape);
}

/* Sums of class probabilities and of logits, (n, classes) each. */
struct sums {
	double *probability, *logit;
};

static void add_prediction(struct sums *sum, const struct prediction *p)
{
	for (int64_t i = 0; i < p->n; i++) {
		const float *z = p->logits + i * p->classes;
		double most = -INFINITY, total = 0;

		for (int k = 0; k < p->classes; k++)
			most = fmax(most, (double)z[k]);
		for (int k = 0; k < p->classes; k++)
			total += exp((double)z[k] - most);
		for (int k = 0; k < p->classes; k++) {
			sum->probability[i * p->classes + k] += exp((double)z[k] - most) / total;
			sum->logit[i * p->classes + k] += (double)z[k];
		}
	}
}

/* The mean of `count` predictions: logs of mean probabilities; scores of these and mean logits. */
static void take_mean(const struct sums *sum, int count, struct prediction *out)
{
	int64_t all = out->n * out->classes;
	float *raw = xmalloc((size_t)all * sizeof *raw);

	for (int64_t i = 0; i < all; i++) {
		out->logits[i] = (float)log(fmax(sum->probability[i] / count, (double)FLT_MIN));
		raw[i] = (float)(sum->logit[i] / count);
	}
	score_logits(out->logits, raw, out->n, out->classes, out->score);
	free(raw);
}

static void predict_members(const struct trainer *t, struct tensor *images, struct prediction *out)
{
	int classes = t->model->config.classes;
	int64_t n = images->shape.d[0];
	struct sums sum;

	sum.probability = xcalloc(2 * (size_t)(n * classes), sizeof *sum.probability);
	sum.logit = sum.probability + n * classes;
	for (int i = 0; i < t->members; i++) {
		struct prediction p;
		predict_model(ensemble_member(t, i), images, &p);
		add_prediction(&sum, &p);
		prediction_release(&p);
	}
	prediction_init(out, n, classes);
	take_mean(&sum, t->members, out);
	free(sum.probability);
}

void predict(const struct trainer *t, struct tensor *images, struct prediction *out)
{
	(t->members ? predict_members : predict_model)(t, images, out);
}

void prediction_release(struct prediction *p)
{
	free(p->logits);
	free(p->score);
	*p = (struct prediction){0};
}
