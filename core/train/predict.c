/* What is said of a batch of images, in inference. */
#include "core/train/predict.h"
#include "core/base/text.h"
#include "core/split/subtask_score.h"
#include <stdlib.h>
#include <string.h>

static void keep_logits(struct prediction *out, struct tensor *logits)
{
	size_t bytes = (size_t)shape_count(logits->shape) * sizeof *out->logits;

	*out = (struct prediction){.n = logits->shape.d[0], .classes = (int)logits->shape.d[1]};
	out->logits = xmalloc(bytes);
	memcpy(out->logits, tensor_f32(logits), bytes);
	out->score = xcalloc((size_t)(out->n * SCORES), sizeof *out->score);
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

void predict(const struct trainer *t, struct tensor *images, struct prediction *out)
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

void prediction_release(struct prediction *p)
{
	free(p->logits);
	free(p->score);
	*p = (struct prediction){0};
}
