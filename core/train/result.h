/* What a trial has to say: metrics per epoch, final figures, figures per category and per layer,
 * points of its loss landscape, nodes of its tree. */
#ifndef TRAIN_RESULT_H
#define TRAIN_RESULT_H
#include "core/base/error.h"
#include "core/base/json.h"
#include <stdint.h>

enum { METRIC_NAME_BYTES = 32 };
struct metric_row {
	char name[METRIC_NAME_BYTES];
	int64_t step, epoch; /* steps done and epochs finished when it was measured */
	double value;        /* NaN: not a number, null in JSON */
};

/* The JSON is as the messages of schemas/wire.def carry it. */
struct result {
	struct metric_row *row; /* (rows), in the order they were measured */
	int rows, capacity;
	cJSON *figures;    /* {metric: number} */
	cJSON *categories; /* [{category, name, metric, value}] */
	cJSON *layers;     /* [{layer, metric, value}] */
	cJSON *landscape;  /* [{slice, x, y, metric, value}] */
	cJSON *ood;        /* [{set, score, metric, value}] */
	cJSON *curves;     /* [{set, score, curve, x, y}] */
	cJSON *tree;       /* [{node, parent, layer, members, channels, width, macs}] */
};
void result_init(struct result *r);
void result_release(struct result *r);

/* Each adds one: a metric at a step, a final figure, a figure of a category, of a layer. */
void result_row(struct result *r, const char *name, int64_t step, int64_t epoch, double value);
void result_figure(struct result *r, const char *metric, double value);
void result_category(struct result *r, int category, const char *name, const char *metric,
                     double value);
void result_layer(struct result *r, const char *layer, const char *metric, double value);

/* Adds a point of a slice through the loss landscape: the metric ("loss", "critical_loss") at the
 * weights moved by x along the slice's first direction and y along its second.  Slices "random" and
 * "hessian" are lines (y = 0), "random_plane" and "hessian_plane" planes; (0, 0): unmoved. */
void result_landscape(struct result *r, const char *slice, double x, double y, const char *metric,
                      double value);

/* Adds a figure of how a score tells the test images from an OOD set, and a point of a curve of the
 * two: "roc" (false and true positive rate), "density_in", "density_out" (score, share of images).
 */
void result_ood(struct result *r, const char *set, const char *score, const char *metric,
                double value);
void result_curve(struct result *r, const char *set, const char *score, const char *curve, double x,
                  double y);
void result_forget_ood(struct result *r); /* both */

/* Adds a node of a split model's tree, in the tree's order: its parent (-1: none), the submodels
 * that use it ("0,2"), how many of the layer's `width` channels are left, its multiply-accumulates.
 */
void result_node(struct result *r, int node, int parent, const char *layer, const char *members,
                 int channels, int width, double macs);

/* Rows first … rows - 1 as [{name, step, epoch, value}]; the caller's to delete. */
cJSON *result_rows(const struct result *r, int first);

/* Replaces the rows by those of such a list.  Fails on anything else, naming the element. */
int result_rows_load(struct result *r, const cJSON *list, struct error *e);

/* How a trial ended: OUTCOME(NAME, name, exit status, meaning).  The names are those of
 * outcome.json and of the messages. */
#define OUTCOMES(OUTCOME)                                                                          \
	OUTCOME(DONE, "done", 0, "finished")                                                       \
	OUTCOME(YIELD, "yield", 0, "stopped with a checkpoint, to be resumed")                     \
	OUTCOME(RUNG, "rung", 0, "trained as far as it was let, with a checkpoint, to be resumed") \
	OUTCOME(STOPPED, "stopped", 0, "stopped because nobody wants it any more")                 \
	OUTCOME(DIVERGED, "diverged", 1, "the loss is no number any more")                         \
	OUTCOME(OUT_OF_MEMORY, "out_of_memory", 1, "the system gave no more memory")               \
	OUTCOME(ERROR, "error", 1, "the trial's own error")                                        \
	OUTCOME(REFUSE, "refuse", 1, "this machine cannot run it: data, disk, version")            \
	OUTCOME(INPUT_LOST, "input_lost", 1, "the checkpoint it starts from is absent or damaged") \
	OUTCOME(CHECKPOINT_BAD, "checkpoint_bad", 1,                                               \
	        "its own checkpoint is damaged or of another trial")
enum outcome {
#define OUTCOME(name, text, status, meaning) OUTCOME_##name,
	OUTCOMES(OUTCOME)
#undef OUTCOME
	        OUTCOME_COUNT
};
extern const char *const outcome_name[OUTCOME_COUNT]; /* "done" */
extern const char *const outcome_meaning[OUTCOME_COUNT];
extern const int outcome_status[OUTCOME_COUNT]; /* exit status of the program */
#endif
