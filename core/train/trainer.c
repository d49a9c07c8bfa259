/* One trial under way: its data, model, optimizer, position, and what it has to say so far. */
#include "core/train/trainer.h"
#include "core/base/clock.h"
#include "core/base/file.h"
#include "core/base/text.h"
#include "core/data/source.h"
#include "core/models/fold.h"
#include "core/models/quantized.h"
#include "core/models/weights.h"
#include "core/tensor/onednn/onednn.h"
#include "core/train/calibrate.h"
#include "core/train/checkpoint.h"
#include "core/train/grouping.h"
#include "core/train/splitting.h"
#include "core/train/start.h"
#include <math.h>
#include <omp.h>
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

/* Where the data lies, and that it is the data which the specification means. */
static int find_data(struct trainer *t, struct error *e)
{
	const struct trial_spec *s = t->spec;
	char *roots = t->files.data ? xstrdup(t->files.data) : source_roots();
	char *found = source_find(s->data_name, s->data_path, roots, e);
	char digest[SHA256_HEX];

	free(roots);
	if (!found)
		return -1;
	t->source = *found ? found : NULL;
	if (!*found)
		free(found);
	if (!s->data_digest || t->parallel.rank)
		return 0;
	if (source_digest(s->data_name, t->source, digest, e))
		return -1;
	if (strcmp(digest, s->data_digest))
		return error_set(e,
		                 "data set %s: the digest of %s is %.12s…, the trial wants %.12s…",
		                 s->data_name, t->source ? t->source : "the built-in set", digest,
		                 s->data_digest);
	return 0;
}

int trainer_open(struct trainer *t, enum split split, int64_t limit, struct dataset **out,
                 struct error *e)
{
	const struct trial_spec *s = t->spec;
	struct dataset_request request = {.name = s->data_name,
	                                  .source = t->source,
	                                  .split = split,
	                                  .limit = limit,
	                                  .cache = t->files.cache ? t->files.cache : s->data_cache,
	                                  .seed = s->data_seed,
	                                  .image_size_px = (int)s->data_image_size};
	int status = t->parallel.rank == 0 ? dataset_open(&request, out, e) : 0;

	if (parallel_outcome(&t->parallel, status, e))
		return -1;
	status = t->parallel.rank ? dataset_open(&request, out, e) : 0;
	return parallel_outcome(&t->parallel, status, e);
}

static int read_channels(const cJSON *list, const char *path, float out[DATASET_CHANNELS],
                         struct error *e)
{
	if (!list)
		return 0;
	if (cJSON_GetArraySize(list) != DATASET_CHANNELS)
		return error_set(e, "%s: %d numbers, not %d: one per channel", path,
		                 cJSON_GetArraySize(list), DATASET_CHANNELS);
	for (int c = 0; c < DATASET_CHANNELS; c++)
		out[c] = (float)cJSON_GetArrayItem(list, c)->valuedouble;
	return 0;
}

static bool chooses_bits(const struct trial_spec *s)
{
	return strcmp(s->action, "allocate") == 0;
}

/* Training images that the trial looks at besides training on them: enough for all it measures. */
static int64_t measured_images(const struct trial_spec *s)
{
	bool maps = !strcmp(s->action, "landscape");
	bool measures = !strcmp(s->action, "fisher") || chooses_bits(s);
	bool clusters = s->split_submodels && !strcmp(s->split_grouping, "cluster");
	const int64_t wanted[] = {s->eval_train_images, clusters ? GROUPING_IMAGES : 0, maps ? s->landscape_images : 0,
	                          measures ? s->fisher_images : 0,
	                          maps || measures ? s->fisher_hessian_images : 0};
	int64_t most = 0;

	for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
		most = wanted[i] > most ? wanted[i] : most;
	return most;
}

static int open_data(struct trainer *t, struct error *e)
{
	const struct trial_spec *s = t->spec;
	const char *augment = s->data_augment;

	if (trainer_open(t, SPLIT_TEST, s->data_test_limit, &t->test, e))
		return -1;
	if (s->train_epochs > 0) {
		if (trainer_open(t, SPLIT_TRAIN, s->data_limit, &t->train, e))
			return -1;
		t->sample = xmalloc((size_t)t->train->count * sizeof *t->sample);
	}
	if (measured_images(s) && trainer_open(t, SPLIT_TRAIN, measured_images(s), &t->seen, e))
		return -1;
	if (critical_init(&t->critical, s->critical_categories, s->critical_group, t->test, e))
		return -1;
	t->plain = augment_none(t->test);
	if (read_channels(s->data_mean, "data.mean", t->plain.mean, e) ||
	    read_channels(s->data_std, "data.std", t->plain.std, e))
		return -1;
	t->augment = t->plain;
	t->augment.seed = s->train_seed;
	t->augment.crop_padding_px = strstr(augment, "crop") ? (int)s->data_crop_padding : 0;
	t->augment.flip = strstr(augment, "flip") != NULL;
	if (t->train)
		input_init(&t->input, t->train, &t->augment);
	return 0;
}

static void make_objective(struct trainer *t)
{
	const struct trial_spec *s = t->spec;

	t->objective =
	        (struct objective){.term = {.lambda = s->fisher_regularizer,
	                                    .difference = strcmp(s->fisher_form, "difference") == 0,
	                                    .radius = s->fisher_radius},
	                           .smoothing = s->train_label_smoothing,
	                           .distill = s->distill_weight,
	                           .temperature = s->distill_temperature};
	if (t->critical.count && strcmp(s->fisher_loss, "all") != 0)
		t->objective.critical = &t->critical;
	if (!t->subtasks.count)
		return;
	t->objective.subtasks = &t->subtasks;
	t->objective.subtask = (struct subtask_objective){
	        .beta = s->split_beta,
	        .samples_per_class =
	                t->train ? (double)t->train->count / t->train->classes : 1,
	        .lambda = s->split_lambda,
	        .one_hot = !strcmp(s->split_targets, "one_hot")};
}

static int configure(const struct trainer *t, struct model_config *c, struct error *e)
{
	const struct trial_spec *s = t->spec;
	int classes = s->data_classes ? (int)s->data_classes : t->test->classes;
	const char *shortcut = strcmp(s->model_shortcut, "auto") ? s->model_shortcut : NULL;

	if (classes < t->test->classes)
		return error_set(e, "data.classes is %d, but %s has %d classes", classes,
		                 s->data_name, t->test->classes);
	if (model_config_named(c, s->model_name, classes, shortcut, e) ||
	    model_config_images(c, t->test->height, s->model_stem, e))
		return -1;
	if (s->model_width)
		c->width = (int)s->model_width;
	return 0;
}

static enum outcome make_model(struct trainer *t, struct error *e)
{
	struct model_config c;
	struct tree *tree = NULL;

	if (configure(t, &c, e))
		return OUTCOME_ERROR;
	if (t->spec->split_submodels) {
		enum outcome begun = grouping_begin(t, &c, &tree, e);
		if (begun != OUTCOME_DONE)
			return begun;
		c.subtasks = &t->subtasks;
		c.tree = tree;
	}
	t->model = model_new(&c, F32);
	tree_free(tree);
	parameter_start(&t->model->parameters, t->spec->train_seed);
	make_objective(t);
	return OUTCOME_DONE;
}

static int make_quantization(struct trainer *t, struct error *e)
{
	const struct trial_spec *s = t->spec;
	bool by_percentile = strcmp(s->quant_activation_range, "percentile") == 0;
	bool later = !strcmp(s->quant_bits, "input") || chooses_bits(s);
	struct quantization_settings q = {
	        .kind = s->quant_scale,
	        .weight_bits = later ? QUANT_BITS_MAX : (int)s->quant_weight_bits,
	        .per_channel = !strcmp(s->quant_granularity, "channel"),
	        .keep_first = s->quant_keep_first,
	        .keep_last = s->quant_keep_last,
	        .percentile = s->quant_percentile,
	        .activation_bits = (int)s->quant_activation_bits,
	        .activation_percentile = by_percentile ? s->quant_percentile : 100};
	t->quantized = q.weight_bits != 0 || q.activation_bits != 0; /* 32 was made 0 */
	if (!t->quantized)
		return 0;
	if (quantization_init(&t->quantization, t->model, &q, e))
		return -1;
	quantized_learn(&t->quantization, t->model);
	t->quantization.activations.moving = calibrate_moves(t);
	return 0;
}

static int make_schedule(struct trainer *t, struct error *e)
{
	const struct trial_spec *s = t->spec;
	const cJSON *milestone;

	t->schedule = (struct schedule){.kind = s->train_schedule,
	                                .rate = s->train_lr,
	                                .warmup_epochs = s->train_warmup_epochs,
	                                .gamma = s->train_gamma};
	if (cJSON_GetArraySize(s->train_milestones) > SCHEDULE_MILESTONES)
		return error_set(e, "train.milestones: at most %d are allowed",
		                 SCHEDULE_MILESTONES);
	cJSON_ArrayForEach (milestone, s->train_milestones) {
		t->schedule.milestone[t->schedule.milestone_count++] = milestone->valuedouble;
	}
	if (!s->train_milestones) {
		t->schedule.milestone_count = 2;
		t->schedule.milestone[0] = 0.5 * (double)s->train_epochs;
		t->schedule.milestone[1] = 0.75 * (double)s->train_epochs;
	}
	return s->train_epochs ? schedule_check(&t->schedule, e) : 0;
}

static struct tensor **tensors_like(const struct parameter_set *s)
{
	struct tensor **like = xcalloc((size_t)s->count, sizeof *like);

	for (int i = 0; i < s->count; i++)
		like[i] = tensor_zeros(F32, s->item[i].value->shape);
	return like;
}

/* Room for what a step gathers for each parameter and buffer. */
static void make_sums(struct trainer *t)
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
	make_sums(t);
	reshape_release(&r);
}

static int make_optimizer(struct trainer *t, struct error *e)
{
	const struct trial_spec *s = t->spec;
	struct optimizer_settings settings = optimizer_defaults;

	settings.kind = s->train_optimizer;
	settings.momentum = s->train_momentum;
	settings.nesterov = s->train_nesterov;
	settings.beta[0] = s->train_beta1;
	settings.beta[1] = s->train_beta2;
	settings.weight_decay = s->train_weight_decay;
	settings.clip_norm = s->train_clip_norm;
	average_init(&t->average, t->model, s->train_epochs ? s->train_ema_decay : 0);
	make_sums(t);
	if (make_schedule(t, e))
		return -1;
	return optimizer_init(&t->optimizer, &settings, &t->model->parameters, e);
}

int trainer_settle(struct trainer *t, struct error *e)
{
	if (t->quantized)
		quantized_start(&t->quantization, t->model);
	if (t->files.resume && !chooses_bits(t->spec))
		return 0; /* the checkpoint had the rest */
	average_start(&t->average, t->model);
	return t->quantized ? calibrate(t, e) : 0;
}

static enum outcome prepare(struct trainer *t, struct error *e)
{
	const struct trial_spec *s = t->spec;

	int shards = s->train_epochs ? (int)s->train_shards : t->parallel.ranks;

	if (parallel_divide(&t->parallel, shards, e))
		return OUTCOME_ERROR;
	omp_set_dynamic(0);
	omp_set_num_threads((int)s->train_threads);
	t->numerics = xstrdup(onednn_numerics_class((int)s->train_threads));
	int found = folder_make(t->files.folder, e) || find_data(t, e) ? -1 : 0;
	if (parallel_outcome(&t->parallel, found, e) || open_data(t, e))
		return OUTCOME_REFUSE;
	enum outcome made = make_model(t, e);
	if (made != OUTCOME_DONE)
		return made;
	if (splitting_check(t, e) || make_quantization(t, e) || make_optimizer(t, e))
		return OUTCOME_ERROR;
	if (t->files.resume && checkpoint_resume(t, t->files.resume, e))
		return OUTCOME_CHECKPOINT_BAD;
	enum outcome loaded = start_load(t, e);
	if (loaded == OUTCOME_DONE && s->quant_fold_batch_norm)
		model_fold(t->model);
	if (loaded != OUTCOME_DONE)
		return loaded;
	return chooses_bits(s) || !trainer_settle(t, e) ? OUTCOME_DONE : OUTCOME_REFUSE;
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
	*t = (struct trainer){.spec = spec,
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
	enum outcome outcome = prepare(t, e);
	t->progress_samples = t->position.train_samples;
	return outcome;
}

void trainer_release(struct trainer *t)
{
	for (int i = 0; i < t->artifacts; i++)
		free((char *)t->artifact[i].path);
	if (t->model)
		free_sums(t);
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
	accuracy_release(&t->accuracy);
	accuracy_release(&t->seen_accuracy);
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
