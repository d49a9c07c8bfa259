/* What layers' inputs range over: calibrated before the first step, moved with every step. */
#include "core/train/calibrate.h"
#include "core/base/text.h"
#include <stdlib.h>
#include <string.h>

#define MOMENTUM 0.01 /* of the moving average, as PyTorch's observer has it */

static bool by_average(const struct trainer *t)
{
	return strcmp(t->spec->quant_activation_range, "average") == 0;
}

bool calibrate_moves(const struct trainer *t)
{
	return t->quantized && t->quantization.activations.bits && by_average(t);
}

/* All ranges move towards what one batch had. */
static void ranges_move(struct quantization *q, const struct range *seen, double momentum)
{
	struct range *r = tensor_write(q->activations.ranges);

	for (int i = 0; i < q->count; i++)
		range_move(&r[i], seen[i], momentum);
}

void calibrate_move(struct trainer *t, const struct range *seen, int64_t batch)
{
	int count = t->quantization.count, shards = t->parallel.shards;
	struct range *all = xcalloc((size_t)count, sizeof *all);
	bool any = false;

	for (int s = 0; s < shards; s++, seen += count) {
		int64_t first, n;
		shard_samples(batch, shards, s, &first, &n);
		for (int i = 0; n > 0 && i < count; i++) {
			all[i].low = any && all[i].low < seen[i].low ? all[i].low : seen[i].low;
			all[i].high =
			        any && all[i].high > seen[i].high ? all[i].high : seen[i].high;
		}
		any |= n > 0;
	}
	ranges_move(&t->quantization, all, MOMENTUM);
	free(all);
}

void calibrate_merge(const struct trainer *t, struct range *seen, int64_t count)
{
	parallel_merge(&t->parallel, &seen->low, 2 * count);
}

static void see_batch(struct trainer *t, const struct dataset *d, int64_t batch, struct range *out)
{
	int64_t size = t->spec->eval_batch, first = batch * size, left = d->count - first;
	struct tensor *images, *labels;
	struct tape tape;
	struct forward f;

	trainer_read(t, d, first, left < size ? left : size, &images, &labels);
	tape_init(&tape, &backend_onednn);
	tape.recording = false;
	model_begin(&f, &tape, t->model, FORWARD_EVALUATION, &t->quantization);
	model_forward(t->model, &f, tape_leaf(&tape, images));
	memcpy(out, f.observed, (size_t)t->quantization.count * sizeof *out);
	forward_release(&f);
	tape_release(&tape);
	tensor_free(images);
	tensor_free(labels);
}

/* Batch after batch, each seen by one rank, moves the ranges: the first sets them. */
static void see_batches(struct trainer *t, const struct dataset *d, int64_t batches)
{
	struct activations *a = &t->quantization.activations;
	int64_t size = t->quantization.count;
	struct range *seen = xcalloc((size_t)(batches * size), sizeof *seen);

	a->calibrating = true;
	for (int64_t b = t->parallel.rank; b < batches; b += t->parallel.ranks)
		see_batch(t, d, b, seen + b * size);
	a->calibrating = false;
	calibrate_merge(t, seen, batches * size);
	for (int64_t b = 0; b < batches; b++)
		ranges_move(&t->quantization, seen + b * size,
		            b == 0          ? 1
		            : by_average(t) ? MOMENTUM
		                            : 1 / (double)(b + 1));
	free(seen);
}

int calibrate(struct trainer *t, struct error *e)
{
	const struct trial_spec *s = t->spec;
	int64_t wanted = s->quant_calibration_batches * s->eval_batch;
	struct dataset *images;

	if (!t->quantized || !t->quantization.activations.bits)
		return 0;
	if (s->data_limit && s->data_limit < wanted)
		wanted = s->data_limit;
	if (trainer_open(t, SPLIT_TRAIN, wanted, &images, e))
		return -1;
	see_batches(t, images, (images->count + s->eval_batch - 1) / s->eval_batch);
	dataset_free(images);
	return 0;
}
