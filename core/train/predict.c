/* What is said of a batch of images, in inference. */
#include "core/train/predict.h"
#include "core/base/text.h"
#include <stdlib.h>
#include <string.h>

static void keep_logits(struct prediction *out, struct tensor *logits)
{
	size_t bytes = (size_t)shape_count(logits->shape) * sizeof *out->logits;

	*out = (struct prediction){.n = logits->shape.d[0], .classes = (int)logits->shape.d[1]};
	out->logits = xmalloc(bytes);
	memcpy(out->logits, tensor_f32(logits), bytes);
}

void predict(const struct trainer *t, struct tensor *images, struct prediction *out)
{
	struct tape tape;
	struct forward f;

	tape_init(&tape, &backend_onednn);
	tape.recording = false;
	model_begin(&f, &tape, t->model, FORWARD_EVALUATION, trainer_quantization(t));
	keep_logits(out, model_forward(t->model, &f, tape_leaf(&tape, images)));
	forward_release(&f);
	tape_release(&tape);
}

void prediction_release(struct prediction *p)
{
	free(p->logits);
	*p = (struct prediction){0};
}
