/* Evaluation of the (quantized) model on the images of a set, every rank a part of them. */
#include "core/base/clock.h"
#include "core/base/text.h"
#include "core/train/predict.h"
#include <stdlib.h>
#include <string.h>

void trainer_read_samples(const struct trainer *t, const struct dataset *d, const int64_t *index,
                          int64_t n, struct tensor **images, struct tensor **labels)
{
	*images = tensor_new(F32, SHAPE(n, d->channels, d->height, d->width));
	*labels = tensor_new(I32, SHAPE(n));
	batch_fill(d, index, n, &t->plain, 0, tensor_write(*images), tensor_write(*labels));
}

void trainer_read(const struct trainer *t, const struct dataset *d, int64_t first, int64_t n,
                  struct tensor **images, struct tensor **labels)
{
	int64_t *index = xmalloc((size_t)n * sizeof *index);

	for (int64_t i = 0; i < n; i++)
		index[i] = first + i;
	trainer_read_samples(t, d, index, n, images, labels);
	free(index);
}

/* What is said of samples first … first + n - 1.  Batches are cut alike whatever the number of
 * ranks, since a kernel's bits may depend on the size of its batch. */
static void evaluate_batch(struct trainer *t, const struct dataset *d, struct evaluation *out,
                           int64_t first, int64_t n)
{
	struct tensor *images, *labels;
	struct prediction p;

	trainer_read(t, d, first, n, &images, &labels);
	predict(t, images, first, &p);
	double *logits = xmalloc((size_t)(n * p.classes) * sizeof *logits);
	for (int64_t i = 0; i < n * p.classes; i++)
		logits[i] = (double)p.logits[i];
	calibration_add(&out->calibration, first, logits, tensor_i32(labels), n);
	free(logits);
	memcpy(out->score + first * SCORES, p.score, (size_t)(n * SCORES) * sizeof *p.score);
	prediction_release(&p);
	tensor_free(images);
	tensor_free(labels);
}

static void evaluation_init(struct evaluation *e, int64_t count, int classes)
{
	calibration_init(&e->calibration, count, classes);
	e->score = xcalloc((size_t)(count * SCORES), sizeof *e->score);
}

void evaluation_release(struct evaluation *e)
{
	calibration_release(&e->calibration);
	free(e->score);
	*e = (struct evaluation){0};
}

/* What the ranks found, sample by sample, brought to all: each was evaluated by one of them. */
static void merge(struct trainer *t, struct evaluation *e)
{
	struct calibration *c = &e->calibration;
	int64_t count = c->accuracy.count;
	double *whole = xcalloc((size_t)count * 2, sizeof *whole);

	for (int64_t i = 0; i < count; i++) {
		whole[2 * i] = c->accuracy.predicted[i];
		whole[2 * i + 1] = c->accuracy.label[i];
	}
	parallel_merge(&t->parallel, whole, 2 * count);
	for (int64_t i = 0; i < count; i++) {
		c->accuracy.predicted[i] = (int32_t)whole[2 * i];
		c->accuracy.label[i] = (int32_t)whole[2 * i + 1];
	}
	free(whole);
	parallel_merge(&t->parallel, c->accuracy.loss, count);
	parallel_merge(&t->parallel, c->confidence, count);
	parallel_merge(&t->parallel, c->brier, count);
	parallel_merge(&t->parallel, e->score, count * SCORES);
}

static enum order evaluate_model(struct trainer *t, const struct dataset *d, struct evaluation *out)
{
	int64_t size = t->spec->eval_batch, count = d->count;
	int64_t batches = (count + size - 1) / size, ranks = t->parallel.ranks;

	evaluation_release(out);
	evaluation_init(out, count, t->model->config.classes);
	t->evaluated = 0;
	t->evaluate_count = count;
	for (int64_t round = 0; round < (batches + ranks - 1) / ranks; round++) {
		int64_t batch = round * ranks + t->parallel.rank, first = batch * size;
		enum order order = trainer_order(t);
		if (order >= ORDER_YIELD)
			return order;
		if (batch < batches)
			evaluate_batch(t, d, out, first,
			               count - first < size ? count - first : size);
		t->evaluated = (round + 1) * ranks * size;
		t->evaluated = t->evaluated < count ? t->evaluated : count;
		trainer_tell(t, "evaluate");
	}
	merge(t, out);
	return ORDER_GO;
}

enum order trainer_evaluate_set(struct trainer *t, const struct dataset *d, struct evaluation *out)
{
	average_swap(&t->average, t->model);
	enum order order = evaluate_model(t, d, out);
	average_swap(&t->average, t->model);
	return order;
}

enum order trainer_evaluate(struct trainer *t)
{
	double began = clock_seconds();

	t->evaluated_step = -1;
	enum order order = trainer_evaluate_set(t, t->test, &t->tested);
	if (order != ORDER_GO)
		return order;
	t->evaluated_step = t->position.step;
	t->evaluate_seconds = clock_seconds() - began;
	return ORDER_GO;
}

enum order trainer_evaluate_seen(struct trainer *t)
{
	int64_t wanted = t->spec->eval_train_images;

	if (!wanted)
		return ORDER_GO;
	struct dataset part = *t->seen; /* more may be there, for what else is measured */
	part.count = part.count < wanted ? part.count : wanted;
	return trainer_evaluate_set(t, &part, &t->seen_again);
}
