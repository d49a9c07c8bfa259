/* Evaluation of the (quantized) model on the test set, every rank a part of it. */
#include "core/base/clock.h"
#include "core/base/text.h"
#include "core/train/trainer.h"
#include <math.h>
#include <stdlib.h>

/* One forward pass of samples first … first + n - 1.  Batches are cut alike whatever the number of
 * ranks, since a kernel's bits may depend on the size of its batch. */
static void evaluate_batch(struct trainer *t, int64_t first, int64_t n)
{
	const struct dataset *d = t->test;
	struct tensor *images = tensor_new(F32, SHAPE(n, d->channels, d->height, d->width));
	int64_t *index = xmalloc((size_t)n * sizeof *index);
	int32_t *label = xmalloc((size_t)n * sizeof *label);
	struct tape tape;
	struct forward f;

	for (int64_t i = 0; i < n; i++)
		index[i] = first + i;
	batch_fill(d, index, n, &t->plain, 0, tensor_write(images), label);
	tape_init(&tape, &backend_onednn);
	tape.recording = false;
	model_begin(&f, &tape, t->model, FORWARD_EVALUATION, trainer_quantization(t));
	struct tensor *logits = model_forward(t->model, &f, tape_leaf(&tape, images));
	accuracy_add(&t->accuracy, first, tensor_f32(logits), label, n);
	forward_release(&f);
	tape_release(&tape);
	tensor_free(images);
	free(index);
	free(label);
}

/* What the ranks found, sample by sample, brought to all: each was evaluated by one of them. */
static void merge(struct trainer *t)
{
	struct accuracy *a = &t->accuracy;
	double *all = xcalloc((size_t)a->count * 3, sizeof *all);

	for (int64_t i = 0; i < a->count; i++) {
		all[3 * i] = a->loss[i];
		all[3 * i + 1] = a->predicted[i];
		all[3 * i + 2] = a->label[i];
	}
	parallel_merge(&t->parallel, all, 3 * a->count);
	for (int64_t i = 0; i < a->count; i++) {
		a->loss[i] = all[3 * i];
		a->predicted[i] = (int32_t)all[3 * i + 1];
		a->label[i] = (int32_t)all[3 * i + 2];
	}
	free(all);
}

enum order trainer_evaluate(struct trainer *t)
{
	int64_t size = t->spec->eval_batch, count = t->test->count;
	int64_t batches = (count + size - 1) / size, ranks = t->parallel.ranks;
	double began = clock_seconds();

	accuracy_release(&t->accuracy);
	accuracy_init(&t->accuracy, count, t->model->config.classes);
	t->evaluated_step = -1;
	t->evaluated = 0;
	for (int64_t round = 0; round < (batches + ranks - 1) / ranks; round++) {
		int64_t batch = round * ranks + t->parallel.rank, first = batch * size;
		enum order order = trainer_order(t);
		if (order >= ORDER_YIELD)
			return order;
		if (batch < batches)
			evaluate_batch(t, first, count - first < size ? count - first : size);
		t->evaluated = (round + 1) * ranks * size;
		t->evaluated = t->evaluated < count ? t->evaluated : count;
		trainer_tell(t, "evaluate");
	}
	merge(t);
	t->evaluated_step = t->position.step;
	t->evaluate_seconds = clock_seconds() - began;
	return ORDER_GO;
}
