/* One trial under way: its data, model, optimizer, position, and what it has to say so far. */
#include "core/train/trainer.h"
#include "core/base/clock.h"
#include "core/base/text.h"
#include "core/train/ensemble.h"
#include "core/train/setup.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PROGRESS_SECONDS 0.5

int64_t trainer_steps_per_epoch(const struct trainer *t)
{
	return (t->train->count + t->spec->train_batch - 1) / t->spec->train_batch;
}

int64_t trainer_updates_per_epoch(const struct trainer *t)
{
	int64_t group = t->spec->train_accumulate;

	return (trainer_steps_per_epoch(t) + group - 1) / group;
}

int64_t trainer_updates(const struct trainer *t)
{
	int64_t done = t->position.epoch_step, group = t->spec->train_accumulate;

	if (!t->train)
		return 0;
	if (done == trainer_steps_per_epoch(t))
		done += group - 1; /* what is left at the end is an update too */
	return t->position.epoch * trainer_updates_per_epoch(t) + done / group;
}

bool trainer_amid_update(const struct trainer *t)
{
	int64_t done = t->position.epoch_step;

	return t->train && done % t->spec->train_accumulate != 0 &&
	       done < trainer_steps_per_epoch(t);
}

const struct quantization *trainer_quantization(const struct trainer *t)
{
	return t->quantized ? &t->quantization : NULL;
}

static struct tensor **tensors_like(const struct parameter_set *s)
{
	struct tensor **like = xcalloc((size_t)s->count, sizeof *like);

	for (int i = 0; i < s->count; i++)
		like[i] = tensor_zeros(F32, s->item[i].value->shape);
	return like;
}

void trainer_make_sums(struct trainer *t)
{
	const struct parameter_set *parameters = &t->model->parameters;
	const struct parameter_set *buffers = &t->model->buffers;

	t->gradient = tensors_like(parameters);
	t->statistics = tensors_like(buffers);
	shard_sum_init(&t->sum, parameter_elements(parameters) + parameter_elements(buffers));
}

static void tensors_free(struct tensor **tensors, int count)
{
	for (int i = 0; tensors && i < count; i++)
		tensor_free(tensors[i]);
	free(tensors);
}

static void free_sums(struct trainer *t)
{
	tensors_free(t->gradient, t->model->parameters.count);
	tensors_free(t->statistics, t->model->buffers.count);
	shard_sum_release(&t->sum);
}

void trainer_reshape(struct trainer *t, const struct tree *tree)
{
	struct reshape r;
	struct model *model = model_reshape(t->model, tree, &r);

	assert(!t->quantized && !trainer_amid_update(t));
	optimizer_reshape(&t->optimizer, &model->parameters, &r);
	average_reshape(&t->average, &r);
	free_sums(t);
	model_free(t->model);
	t->model = model;
	trainer_make_sums(t);
	reshape_release(&r);
}

/* Reading data for the first time can take minutes: say that something is under way. */
static void tell_start(struct trainer *t)
{
	struct progress p = {
	        .phase = "start", .epochs = t->spec->train_epochs, .loss = NAN, .accuracy = NAN};

	if (t->parallel.rank == 0 && t->observer.progress)
		t->observer.progress(t->observer.self, &p);
}

enum outcome trainer_init(struct trainer *t, const cJSON *trial, const struct trial_spec *spec,
                          const struct trial_files *files, const struct observer *observer,
                          const struct parallel *p, struct error *e)
{
	*t = (struct trainer){.trial = trial,
	                      .spec = spec,
	                      .files = *files,
	                      .observer = *observer,
	                      .parallel = *p,
	                      .sample_epoch = -1,
	                      .evaluated_step = -1};
	t->clock = t->checkpoint_clock = t->progress_clock = clock_seconds();
	result_init(&t->result);
	growth_init(&t->growth);
	trial_identity(trial, t->identity);
	tell_start(t);
	enum outcome outcome = setup(t, e);
	t->progress_samples = t->position.train_samples;
	return outcome;
}

void trainer_release(struct trainer *t)
{
	for (int i = 0; i < t->artifacts; i++)
		free((char *)t->artifact[i].path);
	if (t->model)
		free_sums(t);
	ensemble_release(t);
	if (t->optimizer.rule)
		optimizer_release(&t->optimizer);
	if (t->quantized)
		quantization_release(&t->quantization);
	objective_release(&t->objective);
	average_release(&t->average);
	model_free(t->model);
	subtasks_release(&t->subtasks);
	growth_release(&t->growth);
	critical_release(&t->critical);
	evaluation_release(&t->tested);
	evaluation_release(&t->seen_again);
	result_release(&t->result);
	input_release(&t->input);
	dataset_free(t->train);
	dataset_free(t->test);
	dataset_free(t->seen);
	free(t->sample);
	free(t->source);
	free(t->numerics);
	*t = (struct trainer){0};
}

enum order trainer_order(struct trainer *t)
{
	enum order mine = t->observer.order ? t->observer.order(t->observer.self) : ORDER_GO;
	double since = clock_seconds() - t->checkpoint_clock;

	if (t->parallel.rank == 0 && mine < ORDER_CHECKPOINT &&
	    since > 60 * t->spec->checkpoint_minutes)
		mine = ORDER_CHECKPOINT;
	if (t->files.stop_after && t->steps_here >= t->files.stop_after && mine < ORDER_YIELD)
		mine = ORDER_YIELD;
	return (enum order)parallel_agree(&t->parallel, (int)mine);
}

static double last_accuracy(const struct result *r)
{
	for (int i = r->rows - 1; i >= 0; i--)
		if (!strcmp(r->row[i].name, "accuracy"))
			return r->row[i].value;
	return NAN;
}

/* Without training, the images evaluated are the steps. */
void trainer_tell(struct trainer *t, const char *phase)
{
	const struct position *at = &t->position;
	double passed = clock_seconds() - t->progress_clock;
	double done = t->train ? at->train_samples : (double)t->evaluated;
	double all = t->train ? (double)(t->train->count * t->spec->train_epochs)
	                      : (double)t->evaluate_count;

	if (t->parallel.rank || !t->observer.progress || passed < PROGRESS_SECONDS)
		return;
	if (!t->train || !strcmp(phase, "train"))
		t->images_per_second = (done - t->progress_samples) / passed;
	t->progress_clock += passed;
	t->progress_samples = done;
	struct progress p = {
	        .phase = phase,
	        .step = t->train ? at->step : t->evaluated,
	        .steps = t->train ? trainer_steps_per_epoch(t) * t->spec->train_epochs
	                          : t->evaluate_count,
	        .epoch = at->epoch,
	        .epochs = t->spec->train_epochs,
	        .images_per_second = t->images_per_second,
	        .seconds_left = t->images_per_second > 0 ? (all - done) / t->images_per_second : 0,
	        .loss = at->samples > 0 ? at->loss_sum / at->samples : NAN,
	        .accuracy = last_accuracy(&t->result)};
	t->observer.progress(t->observer.self, &p);
}

void trainer_clock(struct trainer *t)
{
	double now = clock_seconds();

	t->position.seconds += now - t->clock;
	t->clock = now;
}

double trainer_peak_bytes(const struct trainer *t)
{
	FILE *status = fopen("/proc/self/status", "r");
	char line[256];
	double peak = 0;

	while (status && fgets(line, sizeof line, status))
		if (sscanf(line, "VmHWM: %lf kB", &peak) == 1)
			break;
	if (status)
		fclose(status);
	double *all = xcalloc((size_t)t->parallel.ranks, sizeof *all), sum = 0;
	all[t->parallel.rank] = peak * 1024;
	parallel_merge(&t->parallel, all, t->parallel.ranks);
	for (int i = 0; i < t->parallel.ranks; i++)
		sum += all[i];
	free(all);
	return sum;
}
