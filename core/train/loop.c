/* The training loop: epochs of updates, an evaluation after each, checkpoints, and the figures. */
#include "core/train/loop.h"
#include "core/base/clock.h"
#include "core/base/file.h"
#include "core/base/text.h"
#include "core/models/quantized.h"
#include "core/models/weights.h"
#include "core/train/checkpoint.h"
#include "core/train/ensemble.h"
#include "core/train/outside.h"
#include "core/train/splitting.h"
#include "core/train/tree_report.h"
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static int save(struct trainer *t, struct error *e)
{
	if (checkpoint_save(t, e))
		return OUTCOME_REFUSE; /* a full disk is this machine's fault, not the trial's */
	return LOOP_GOES_ON;
}

int loop_obey(struct trainer *t, enum order order, struct error *e)
{
	int ended = LOOP_GOES_ON;

	if (order == ORDER_STOP) {
		error_set(e, "stopped at step %lld as ordered", (long long)t->position.step);
		return OUTCOME_STOPPED;
	}
	if (order >= ORDER_CHECKPOINT)
		ended = save(t, e);
	if (order == ORDER_YIELD && ended == LOOP_GOES_ON) {
		error_set(e, "stopped at step %lld with a checkpoint", (long long)t->position.step);
		ended = OUTCOME_YIELD;
	}
	return ended;
}

/* The rest of the epoch under way. */
static int train_epoch(struct trainer *t, struct error *e)
{
	struct position *at = &t->position;
	int64_t steps = trainer_steps_per_epoch(t);

	if (t->sample_epoch != at->epoch)
		epoch_order(t->spec->train_seed, at->epoch, t->sample, t->train->count);
	t->sample_epoch = at->epoch;
	while (at->epoch_step < steps) {
		int ended = loop_obey(t, trainer_order(t), e);
		if (ended != LOOP_GOES_ON)
			return ended;
		double began = clock_seconds();
		if (trainer_step(t)) {
			error_set(e, "diverged at step %lld, epoch %lld: the loss is not finite",
			          (long long)at->step + 1, (long long)at->epoch + 1);
			return OUTCOME_DIVERGED;
		}
		at->epoch_seconds += clock_seconds() - began;
		at->train_seconds += clock_seconds() - began;
		trainer_tell(t, "train");
	}
	return LOOP_GOES_ON;
}

static int evaluate(struct trainer *t, struct error *e)
{
	enum order order = trainer_evaluate(t);

	return order == ORDER_GO ? LOOP_GOES_ON : loop_obey(t, order, e);
}

static int evaluate_seen(struct trainer *t, struct error *e)
{
	enum order order = trainer_evaluate_seen(t);

	return order == ORDER_GO ? LOOP_GOES_ON : loop_obey(t, order, e);
}

static void report_tested(struct trainer *t, int64_t epoch)
{
	const struct accuracy *a = &t->tested.calibration.accuracy;

	result_row(&t->result, "accuracy", t->position.step, epoch, accuracy_top1(a));
	result_row(&t->result, "test_loss", t->position.step, epoch, accuracy_loss(a));
}

/* The epoch's metrics, and the position after it. */
static void close_epoch(struct trainer *t)
{
	struct position *at = &t->position;
	struct result *r = &t->result;
	int64_t last = trainer_updates(t) - 1, epoch = at->epoch + 1;
	int first = r->rows;

	trainer_clock(t);
	result_row(r, "loss", at->step, epoch, at->loss_sum / at->samples);
	result_row(r, "train_accuracy", at->step, epoch, at->correct / at->samples);
	if (t->spec->fisher_regularizer > 0)
		result_row(r, "fisher_trace", at->step, epoch, at->trace_sum / at->samples);
	if (t->subtasks.count)
		result_row(r, "relative_flops", at->step, epoch, tree_relative_flops(t));
	if (t->evaluated_step == at->step)
		report_tested(t, epoch);
	result_row(r, "learning_rate", at->step, epoch,
	           schedule_rate(&t->schedule, last, trainer_updates_per_epoch(t),
	                         (double)t->spec->train_epochs));
	result_row(r, "images_per_second", at->step, epoch, at->samples / at->epoch_seconds);
	result_row(r, "seconds", at->step, epoch, at->seconds);
	at->epoch = epoch;
	at->epoch_step = 0;
	at->loss_sum = at->correct = at->samples = at->trace_sum = at->epoch_seconds = 0;
	if (t->parallel.rank == 0 && t->observer.metrics)
		t->observer.metrics(t->observer.self, r, first);
}

static bool evaluation_due(const struct trainer *t)
{
	int64_t epoch = t->position.epoch + 1;

	return epoch % t->spec->eval_every == 0 || epoch == t->spec->train_epochs;
}

/* Where studies compare their trials before they let some go on. */
static bool at_rung(const struct trainer *t, struct error *e)
{
	const struct position *at = &t->position;

	if (!t->files.until_epoch || at->epoch < t->files.until_epoch || at->epoch_step)
		return false;
	error_set(e, "trained for %lld epochs, as far as it was let", (long long)at->epoch);
	return true;
}

static int train(struct trainer *t, struct error *e)
{
	while (t->position.epoch < t->spec->train_epochs) {
		if (at_rung(t, e))
			return OUTCOME_RUNG;
		int ended = train_epoch(t, e);
		if (ended == LOOP_GOES_ON)
			ended = splitting_look(t, e);
		if (ended == LOOP_GOES_ON && evaluation_due(t))
			ended = evaluate(t, e);
		if (ended != LOOP_GOES_ON)
			return ended;
		close_epoch(t);
		ended = save(t, e);
		if (ended != LOOP_GOES_ON)
			return ended;
	}
	return LOOP_GOES_ON;
}

/* Zero epochs have metrics too: one point, at step 0. */
static void report_evaluation(struct trainer *t)
{
	struct result *r = &t->result;

	report_tested(t, 0);
	if (t->parallel.rank == 0 && t->observer.metrics)
		t->observer.metrics(t->observer.self, r, 0);
}

/* How far rounding moves a weight, and the mean of its scales. */
static void report_scale(struct trainer *t, int i, int bits)
{
	const struct parameter *p = &t->model->parameters.item[i];
	struct tensor *scale = quantized_scale(&t->quantization, t->model, i);
	int64_t n = shape_count(scale->shape);
	double sum = 0;

	for (int64_t k = 0; k < n; k++)
		sum += tensor_at(scale, k);
	result_layer(&t->result, p->name, "perturbation",
	             quantizer_distance(p->value, scale, bits));
	result_layer(&t->result, p->name, "scale", sum / (double)n);
	tensor_free(scale);
}

static void report_layers(struct trainer *t)
{
	const struct quantization *q = trainer_quantization(t);
	struct parameter_set *s = &t->model->parameters;

	for (int i = 0; i < s->count; i++) {
		struct parameter *p = &s->item[i];
		int bits = q && q->bits[i] ? q->bits[i] : FULL_PRECISION_BITS;
		if (!parameter_quantizable(p))
			continue;
		result_layer(&t->result, p->name, "bits", bits);
		result_layer(&t->result, p->name, "elements", (double)shape_count(p->value->shape));
		if (bits < FULL_PRECISION_BITS)
			report_scale(t, i, bits);
	}
}

/* What the critical categories suffer: their images alone, and the task of telling them apart. */
static void report_critical(struct trainer *t)
{
	struct result *r = &t->result;
	struct critical_figures f = critical_figures(&t->critical, &t->tested.calibration.accuracy);

	result_figure(r, "critical_accuracy", f.accuracy);
	result_figure(r, "critical_task_accuracy", f.task_accuracy);
	result_figure(r, "others_accuracy", f.others_accuracy);
}

static void report_categories(struct trainer *t, const struct accuracy *a, const char *metric)
{
	for (int k = 0; k < t->test->classes; k++)
		result_category(&t->result, k, t->test->class_name[k], metric,
		                accuracy_of_class(a, k, NULL));
}

/* Which submodel tells a category from its like: groups may be drawn, or clusters. */
static void report_submodels(struct trainer *t)
{
	for (int k = 0; k < t->test->classes; k++)
		result_category(&t->result, k, t->test->class_name[k], "submodel",
		                t->subtasks.group[k]);
}

static double bytes_of(const struct trainer *t)
{
	return (double)model_bytes(t->model, trainer_quantization(t));
}

static double bit_operations_of(const struct trainer *t)
{
	return (double)model_bit_operations(t->model, trainer_quantization(t));
}

static double parameters_of(const struct trainer *t)
{
	return (double)model_elements(t->model);
}

static double macs_of(const struct trainer *t)
{
	return (double)model_macs(t->model);
}

static void report_cost(struct trainer *t)
{
	struct result *r = &t->result;

	result_figure(r, "model_bytes", ensemble_sum(t, bytes_of));
	result_figure(r, "bit_operations", ensemble_sum(t, bit_operations_of));
	result_figure(r, "parameters", ensemble_sum(t, parameters_of));
	result_figure(r, "macs", ensemble_sum(t, macs_of));
}

static void report_final(struct trainer *t)
{
	struct position *at = &t->position;
	struct result *r = &t->result;
	double rate = at->train_seconds > 0 ? at->train_samples / at->train_seconds
	                                    : (double)t->test->count / t->evaluate_seconds;

	trainer_clock(t);
	result_figure(r, "accuracy", accuracy_top1(&t->tested.calibration.accuracy));
	result_figure(r, "loss", accuracy_loss(&t->tested.calibration.accuracy));
	result_figure(r, "ece", calibration_error(&t->tested.calibration, CALIBRATION_BINS));
	result_figure(r, "brier", calibration_brier(&t->tested.calibration));
	result_figure(r, "test_images", (double)t->test->count);
	for (int i = 0; i < r->rows; i++) /* the last epoch's */
		if (!strcmp(r->row[i].name, "train_accuracy"))
			result_figure(r, "train_accuracy", r->row[i].value);
		else if (!strcmp(r->row[i].name, "loss"))
			result_figure(r, "train_loss", r->row[i].value);
	report_cost(t);
	result_figure(r, "epochs", (double)at->epoch);
	result_figure(r, "steps", (double)at->step);
	result_figure(r, "seconds", at->seconds);
	result_figure(r, "images_per_second", rate);
	if (t->train)
		result_figure(r, "input_wait_seconds", t->input.wait_seconds);
	result_figure(r, "peak_memory_bytes", trainer_peak_bytes(t));
	report_categories(t, &t->tested.calibration.accuracy, "accuracy");
	if (t->critical.count)
		report_critical(t);
	if (t->seen_again.calibration.accuracy.count) {
		double seen = accuracy_top1(&t->seen_again.calibration.accuracy);
		result_figure(r, "train_eval_accuracy", seen);
		result_figure(r, "generalization_gap",
		              seen - accuracy_top1(&t->tested.calibration.accuracy));
		report_categories(t, &t->seen_again.calibration.accuracy, "train_accuracy");
	}
	if (t->members)
		return;
	report_layers(t);
	if (t->subtasks.count) {
		report_submodels(t);
		tree_report(t);
	}
}

int loop_add_artifact(struct trainer *t, const char *name, char *path, struct error *e)
{
	struct written *w = &t->artifact[t->artifacts++];

	*w = (struct written){.name = name, .path = path, .bytes = file_bytes(path)};
	return sha256_file(path, w->sha256, e);
}

static int write_artifacts(struct trainer *t, struct error *e)
{
	char *path = path_join(t->files.folder, "weights.safetensors");

	if (checkpoint_save_final(t, path, e)) {
		free(path);
		return -1;
	}
	if (loop_add_artifact(t, "weights", path, e))
		return -1;
	if (!t->quantized)
		return 0;
	path = path_join(t->files.folder, "quantized.safetensors");
	if (model_export(t->model, &t->quantization, path, e)) {
		free(path);
		return -1;
	}
	return loop_add_artifact(t, "quantized", path, e);
}

enum outcome train_run(struct trainer *t, struct error *e)
{
	int ended = train(t, e), status = 0;

	if (ended == LOOP_GOES_ON && t->evaluated_step != t->position.step)
		ended = evaluate(t, e); /* zero epochs, or resumed after the last */
	if (ended == LOOP_GOES_ON)
		ended = evaluate_seen(t, e);
	if (ended == LOOP_GOES_ON)
		ended = outside_evaluate(t, e);
	if (ended != LOOP_GOES_ON)
		return (enum outcome)ended;
	average_settle(&t->average, t->model);
	if (t->spec->train_epochs == 0)
		report_evaluation(t);
	report_final(t);
	if (t->parallel.rank == 0 && !t->members)
		status = write_artifacts(t, e);
	if (parallel_outcome(&t->parallel, status, e))
		return OUTCOME_REFUSE;
	return OUTCOME_DONE;
}
