/* One step: gradients of the batch's shards, summed in the fixed tree, and the optimizer when they
 * complete an update. */
#include "core/base/text.h"
#include "core/train/calibrate.h"
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What a shard adds to the epoch's figures. */
enum { FIGURE_LOSS, FIGURE_CORRECT, FIGURE_TRACE, FIGURES };

struct shard {
	struct tensor *images; // (n, channels, height, width)
	struct tensor *label;  // (n), I32
	const int64_t *sample; /* (n) */
	int64_t n;
	float weight;         /* its share of the batch's samples */
	struct range *inputs; /* (parameters) what layers' inputs ranged over; null: not wanted */
};

/* Of the batch of a step of the epoch: the last one may be smaller. */
static int64_t batch_samples(const struct trainer *t, int64_t epoch_step)
{
	int64_t left = t->train->count - epoch_step * t->spec->train_batch;

	return left < t->spec->train_batch ? left : t->spec->train_batch;
}

static void shard_read(struct shard *s, struct trainer *t, int64_t first, int64_t n, int64_t batch)
{
	s->n = n;
	s->sample = t->sample + first;
	s->weight = (float)((double)n / (double)batch);
	input_take(&t->input, t->sample + first, n, t->position.epoch, &s->images, &s->label);
}

/* Orders what this rank computes after a shard of this batch; nothing after the epoch's last. */
static void order_next(struct trainer *t, int shard)
{
	const struct parallel *p = &t->parallel;
	int64_t steps = trainer_steps_per_epoch(t), start, n;

	shard++;
	for (int64_t i = t->position.epoch_step; i < steps; i++, shard = p->first_shard)
		for (; shard < p->first_shard + p->count; shard++) {
			shard_samples(batch_samples(t, i), p->shards, shard, &start, &n);
			if (n == 0)
				continue;
			start += i * t->spec->train_batch;
			input_order(&t->input, t->sample + start, n, t->position.epoch);
			return;
		}
}

static void shard_release(struct shard *s)
{
	tensor_free(s->images);
	tensor_free(s->label);
}

static double count_correct(struct tensor *logits, const int32_t *label)
{
	int64_t n = logits->shape.d[0], classes = logits->shape.d[1];
	const float *z = tensor_f32(logits);
	double correct = 0;

	for (int64_t i = 0; i < n; i++, z += classes) {
		int64_t best = 0;
		for (int64_t k = 1; k < classes; k++)
			best = z[k] > z[best] ? k : best;
		correct += best == label[i];
	}
	return correct;
}

static void add_weighted(float **to, struct tensor *values, float weight)
{
	int64_t n = shape_count(values->shape);
	const float *v = tensor_f32(values);
	float *out = *to;

	for (int64_t i = 0; i < n; i++)
		out[i] = weight * v[i];
	*to += n;
}

/* Forward and backward of one shard: its weighted gradients and statistics into out, in the order
 * of parameters and buffers. */
static void shard_gradient(struct trainer *t, struct shard *s, float *out, double *figure)
{
	int parameters = t->model->parameters.count, buffers = t->model->buffers.count;
	struct tensor **gradient = xcalloc((size_t)parameters, sizeof *gradient);
	struct batch_pass pass;
	struct tape tape;
	struct forward f;
	double trace = 0;

	tape_init(&tape, &backend_onednn);
	batch_pass_init(&pass, &t->objective, t->model, s->images, s->label);
	pass.dropout = (struct dropout){t->spec->model_dropout, t->spec->train_seed, "dropout",
	                                t->position.epoch, s->sample};
	model_begin(&f, &tape, t->model, FORWARD_TRAINING, trainer_quantization(t));
	struct losses losses = batch_losses(&pass, &f);
	for (int64_t i = 0; i < s->n; i++)
		figure[FIGURE_LOSS] += (double)tensor_f32(pass.cross_entropy)[i];
	figure[FIGURE_CORRECT] = count_correct(pass.logits, tensor_i32(s->label));
	if (s->inputs)
		memcpy(s->inputs, f.observed, (size_t)parameters * sizeof *s->inputs);
	objective_gradient(&pass, &f, losses, gradient, &trace);
	figure[FIGURE_TRACE] = trace * (double)s->n;
	for (int i = 0; i < parameters; i++)
		add_weighted(&out, gradient[i], s->weight);
	for (int i = 0; i < buffers; i++)
		add_weighted(&out, f.statistics[i], s->weight);
	forward_release(&f);
	tape_release(&tape);
	batch_pass_release(&pass);
	free(gradient);
}

/* The sums of all shards, from the flat vector into the tensors. */
static void scatter_sum(struct tensor **to, int count, const float **from)
{
	for (int i = 0; i < count; i++) {
		int64_t n = shape_count(to[i]->shape);
		memcpy(tensor_write(to[i]), *from, (size_t)n * sizeof(float));
		*from += n;
	}
}

/* The same times the batch's share of its update, and added to what that has already. */
static void scatter_share(struct tensor **to, int count, const float **from, float share,
                          bool first)
{
	for (int i = 0; i < count; i++) {
		int64_t n = shape_count(to[i]->shape);
		float *out = tensor_write(to[i]);

		for (int64_t k = 0; k < n; k++)
			out[k] = (first ? 0 : out[k]) + share * (*from)[k];
		*from += n;
	}
}

/* The batch's gradients into those of its update, which may have more batches. */
static void take_gradient(struct trainer *t, const float **sum, int64_t batch)
{
	int64_t at = t->position.epoch_step, group = t->spec->train_accumulate;
	int64_t first = at / group * group * t->spec->train_batch;
	int64_t most = group * t->spec->train_batch, left = t->train->count - first;
	int64_t samples = left < most ? left : most;
	int count = t->model->parameters.count;

	if (samples == batch)
		scatter_sum(t->gradient, count, sum);
	else
		scatter_share(t->gradient, count, sum, (float)((double)batch / (double)samples),
		              at % group == 0);
}

/* This rank's shards of the batch `first` … `first + batch - 1`; figures (shards, FIGURES), inputs
 * (shards, parameters) or null. */
static void sum_shards(struct trainer *t, int64_t first, int64_t batch, double *figures,
                       struct range *inputs)
{
	const struct parallel *p = &t->parallel;

	for (int i = p->first_shard; i < p->first_shard + p->count; i++) {
		struct shard shard = {.inputs = inputs ? inputs + i * t->model->parameters.count
		                                       : NULL};
		float *out = shard_sum_next(&t->sum);
		int64_t start, n;
		shard_samples(batch, p->shards, i, &start, &n);
		if (n > 0) {
			shard_read(&shard, t, first + start, n, batch);
			order_next(t, i);
			shard_gradient(t, &shard, out, figures + i * FIGURES);
			shard_release(&shard);
		} else {
			memset(out, 0, (size_t)t->sum.count * sizeof *out);
		}
		shard_sum_push(&t->sum);
	}
}

/* The optimizer's step, at the rate of the update that the batches so far complete. */
static int update(struct trainer *t)
{
	double rate = schedule_rate(&t->schedule, trainer_updates(t) - 1,
	                            trainer_updates_per_epoch(t), (double)t->spec->train_epochs);

	return isfinite(optimizer_step(&t->optimizer, t->gradient, rate)) ? 0 : -1;
}

int trainer_step(struct trainer *t)
{
	struct position *at = &t->position;
	const struct parallel *p = &t->parallel;
	int64_t first = at->epoch_step * t->spec->train_batch;
	int64_t batch = batch_samples(t, at->epoch_step);
	int64_t ranges = (int64_t)p->shards * t->model->parameters.count;
	double *figures = xcalloc((size_t)p->shards * FIGURES, sizeof *figures);
	struct range *inputs = NULL;
	double total[FIGURES] = {0};

	assert(batch > 0);
	if (calibrate_moves(t))
		inputs = xcalloc((size_t)ranges, sizeof *inputs);
	sum_shards(t, first, batch, figures, inputs);
	const float *sum = shard_sum_total(&t->sum, p);
	parallel_merge(p, figures, (int64_t)p->shards * FIGURES);
	for (int i = 0; i < p->shards * FIGURES; i++)
		total[i % FIGURES] += figures[i];
	free(figures);
	take_gradient(t, &sum, batch);
	scatter_sum(t->statistics, t->model->buffers.count, &sum);
	at->epoch_step++;
	if (!isfinite(total[FIGURE_LOSS]) || (!trainer_amid_update(t) && update(t))) {
		free(inputs);
		return -1;
	}
	model_update_statistics(t->model, t->statistics);
	if (calibrate_moves(t)) {
		calibrate_merge(t, inputs, ranges);
		calibrate_move(t, inputs, batch);
	}
	free(inputs);
	if (!trainer_amid_update(t))
		average_update(&t->average, t->model);
	at->loss_sum += total[FIGURE_LOSS];
	at->correct += total[FIGURE_CORRECT];
	at->trace_sum += total[FIGURE_TRACE];
	at->samples += (double)batch;
	at->train_samples += (double)batch;
	at->step++;
	t->steps_here++;
	return 0;
}
