/* What a trial needs before it can begin: data, model, quantization, optimizer, and their state. */
#include "core/train/setup.h"
#include "core/base/file.h"
#include "core/base/text.h"
#include "core/data/source.h"
#include "core/models/fold.h"
#include "core/models/quantized.h"
#include "core/tensor/onednn/onednn.h"
#include "core/train/calibrate.h"
#include "core/train/checkpoint.h"
#include "core/train/grouping.h"
#include "core/train/splitting.h"
#include "core/train/start.h"
#include <omp.h>
#include <stdlib.h>
#include <string.h>

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
	const int64_t wanted[] = {s->eval_train_images, clusters ? GROUPING_IMAGES : 0,
	                          maps ? s->landscape_images : 0, measures ? s->fisher_images : 0,
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
	        .samples_per_class = t->train ? (double)t->train->count / t->train->classes : 1,
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
	trainer_make_sums(t);
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

enum outcome setup(struct trainer *t, struct error *e)
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
