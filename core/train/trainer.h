/* One trial under way: its data, model, optimizer, position, and what it has to say so far. */
#ifndef TRAIN_TRAINER_H
#define TRAIN_TRAINER_H
#include "core/data/batch.h"
#include "core/models/cost.h"
#include "core/train/average.h"
#include "core/train/evaluate.h"
#include "core/train/growth.h"
#include "core/train/input.h"
#include "core/train/objective.h"
#include "core/train/optimizer.h"
#include "core/train/parallel.h"
#include "core/train/result.h"
#include "core/train/schedule.h"
#include "schemas/trial_spec.h"

/* What a rank is asked to do at the next step boundary; the largest of all ranks' wins. */
enum order { ORDER_GO, ORDER_CHECKPOINT, ORDER_YIELD, ORDER_STOP };

/* Where the training is, as checkpoints keep it.  Sums are over the epoch under way; figures that
 * are measured, not computed, come last. */
struct position {
	int64_t step;       /* batches trained on */
	int64_t epoch;      /* epochs finished, evaluation included */
	int64_t epoch_step; /* batches of the epoch under way */
	double loss_sum;    /* cross-entropy over its samples */
	double correct, samples;
	double trace_sum;     /* Fisher-trace term R times samples; 0 without regularizer */
	double epoch_seconds; /* training time of the epoch under way */
	double train_seconds, train_samples; /* of all epochs */
	double seconds;                      /* everything, all attempts */
};

struct progress {
	const char *phase; /* "start" "train" "evaluate" */
	int64_t step, steps, epoch, epochs;
	double images_per_second; /* over about the last second */
	double seconds_left;      /* of training, at this speed; 0: unknown */
	double loss, accuracy;    /* of the epoch so far; of the last evaluation; NaN: none yet */
};

/* A file that was written: a checkpoint or an artifact. */
struct written {
	const char *name; /* "checkpoint" "weights" "quantized" "fisher" */
	const char *path;
	char sha256[SHA256_HEX];
	int64_t bytes;
};

/* Who is told.  All are called on rank 0 only, but `order`, which every rank is asked. */
struct observer {
	void *self;
	enum order (*order)(void *self);
	void (*progress)(void *self, const struct progress *p);
	void (*metrics)(void *self, const struct result *r, int first); /* rows from `first` on */
	void (*checkpoint)(void *self, const struct written *file, const struct position *p,
	                   const struct result *r); /* all rows up to it */
};

/* What a trial is given besides its specification; null where absent. */
struct trial_files {
	const char *folder; /* where checkpoints and results are written; made if absent */
	const char *input;  /* weights to start from: the parent's */
	const char *member[MEMBERS_MAX]; /* weights of an ensemble's members */
	const char *resume;              /* own checkpoint */
	const char *data;                /* folders to look for data in, separated by colons */
	const char *cache;               /* folder of the data cache */
	bool keep_all;                   /* leave old checkpoints to somebody else */
	int64_t stop_after;              /* yield after so many steps of this run; 0: not */
	int64_t until_epoch; /* end with outcome rung once so many are trained; 0: not */
};

enum { CHECKPOINTS_KEPT = 16 };

struct trainer {
	const cJSON *trial; /* as given; spec is what it says */
	const struct trial_spec *spec;
	struct trial_files files;
	struct observer observer;
	struct parallel parallel;
	char identity[SHA256_HEX];
	char *numerics;

	char *source;                 /* folder or archive of the data; null: generated */
	struct dataset *train, *test; /* train is null at zero epochs */
	struct dataset *seen; /* training images to measure on, not augmented; null: none wanted */
	struct augment augment, plain;
	struct input input; /* of the training set */
	int64_t *sample;    /* (train->count) the order of sample_epoch */
	int64_t sample_epoch;

	struct subtasks subtasks; /* of a Split-Ensemble; count 0: one network */
	struct growth growth;     /* of its tree, model->tree */
	struct model *model;
	struct member **member; /* (members) of an ensemble: what is evaluated in place of model */
	int members;
	struct average average; /* of the model over time: what is evaluated and kept */
	struct quantization quantization;
	bool quantized;
	struct critical critical; /* count 0: none */
	struct objective objective;
	struct optimizer optimizer;
	struct schedule schedule;
	struct shard_sum sum;       /* gradients, then batch statistics, of a shard */
	struct tensor **gradient;   /* (parameters) of the update under way, as far as it is */
	struct tensor **statistics; /* (buffers) */

	struct position position;
	struct result result;
	struct evaluation tested;     /* the last of the test set */
	struct evaluation seen_again; /* of eval.train_images training images; empty: none */
	int64_t evaluated;            /* images of the evaluation under way, all ranks */
	int64_t evaluate_count;       /* of so many */
	int64_t evaluated_step;       /* at which it was made; -1: never */
	double evaluate_seconds;      /* what it took */

	int64_t kept[CHECKPOINTS_KEPT]; /* steps of the checkpoints in the folder, oldest first */
	int kept_count;
	int64_t steps_here;                      /* batches trained on in this run */
	double clock, checkpoint_clock;          /* seconds: last look, last checkpoint */
	double progress_clock, progress_samples; /* since the last progress */
	double images_per_second;
	struct written artifact[3]; /* (artifacts) weights, quantized export, Fisher diagonal */
	int artifacts;
};

/* Reads data, makes the model, loads what it starts from or resumes.  All ranks together.  On
 * failure the outcome says what kind it is.  Release with trainer_release, after a failure too. */
enum outcome trainer_init(struct trainer *t, const cJSON *trial, const struct trial_spec *spec,
                          const struct trial_files *files, const struct observer *observer,
                          const struct parallel *p, struct error *e);
void trainer_release(struct trainer *t);

/* What depends on the bits, once they are known: learned steps start, inputs' ranges are
 * calibrated, the moving average begins.  trainer_init does so unless the action chooses the bits.
 */
int trainer_settle(struct trainer *t, struct error *e);

/* A part of the trial's data set, at most `limit` images (0: all).  All ranks together: rank 0
 * opens first and builds the cache where there is none.  Free with dataset_free. */
int trainer_open(struct trainer *t, enum split split, int64_t limit, struct dataset **out,
                 struct error *e);

/* The model goes on in the shape of another tree, and all that is kept for its parameters with it:
 * exact copies where it was split, without the channels that were taken out. */
void trainer_reshape(struct trainer *t, const struct tree *tree);
void trainer_make_sums(struct trainer *t); /* room for what a step gathers, for t's model */

/* Batches; the last one of an epoch may be partial, it counts. */
int64_t trainer_steps_per_epoch(const struct trainer *t);
/* The same of updates, one for train.accumulate batches; and how many were made. */
int64_t trainer_updates_per_epoch(const struct trainer *t);
int64_t trainer_updates(const struct trainer *t);
bool trainer_amid_update(const struct trainer *t); /* some of its batches are done, not all */
const struct quantization *trainer_quantization(const struct trainer *t); /* null: none */

/* The next batch of the epoch, and an update when it completes one.  -1: the loss or gradient is
 * not finite. */
int trainer_step(struct trainer *t);

/* What t's quantized model, or the average where there is one, says of the images of d: every rank
 * a part, asking for orders in between.  Returns the order that interrupted it, or ORDER_GO when
 * *out is complete on all ranks. */
enum order trainer_evaluate_set(struct trainer *t, const struct dataset *d, struct evaluation *out);

/* Evaluates the quantized model on the test set, every rank a part; asks for orders in between.
 * Returns the order that interrupted it, or ORDER_GO when t->tested is complete. */
enum order trainer_evaluate(struct trainer *t);

/* The same on eval.train_images training images into t->seen_again; none: nothing to do. */
enum order trainer_evaluate_seen(struct trainer *t);

/* Samples index[0 … n - 1] of d, not augmented, as the next. */
void trainer_read_samples(const struct trainer *t, const struct dataset *d, const int64_t *index,
                          int64_t n, struct tensor **images, struct tensor **labels);

/* Samples first … first + n - 1 of d, not augmented: images (n, C, H, W) F32, labels I32 (n); the
 * caller's to free. */
void trainer_read(const struct trainer *t, const struct dataset *d, int64_t first, int64_t n,
                  struct tensor **images, struct tensor **labels);

/* The order of all ranks together, this rank's clock included. */
enum order trainer_order(struct trainer *t);
void trainer_tell(struct trainer *t, const char *phase); /* progress, about twice a second */
void trainer_clock(struct trainer *t);                   /* adds what passed to position.seconds */
double trainer_peak_bytes(const struct trainer *t);      /* resident at most, all ranks */
#endif
