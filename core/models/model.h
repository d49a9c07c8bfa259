/* Models by name: their parameters, buffers, and forward pass. */
#ifndef MODELS_MODEL_H
#define MODELS_MODEL_H
#include "core/nn/forward.h"
#include "core/split/subtasks.h"

enum { MODEL_STAGES = 8 };
enum model_shortcut {
	SHORTCUT_PAD,        /* option A of He et al.: subsample, pad channels with zeros */
	SHORTCUT_PROJECTION, /* option B: 1x1 convolution and batch norm */
};
enum model_stem {
	STEM_CIFAR,    /* 3x3 convolution, stride 1: He et al.'s for CIFAR */
	STEM_SMALL64,  /* 3x3 convolution, stride 1, then 3x3 max pooling, stride 2 */
	STEM_IMAGENET, /* 7x7 convolution, stride 2, then 3x3 max pooling, stride 2 */
	STEMS,
};

/* What comes before the first stage, one row each. */
struct stem {
	const char *name;
	int kernel, stride; /* of the convolution */
	bool pools;         /* 3x3 max pooling, stride 2, after batch norm and ReLU */
	int from_px;        /* what "auto" takes for images of at least this size */
};
extern const struct stem stems[STEMS]; /* by enum model_stem */

/* A residual network: everything that the names and shapes of its parameters depend on. */
struct model_config {
	const char *name; /* for messages and results */
	int stages;
	int blocks[MODEL_STAGES]; /* residual blocks of each stage */
	int width;                /* channels of the first stage; each further stage doubles them */
	bool bottleneck;          /* blocks of 1x1, 3x3, 1x1 (out: 4 times) instead of two 3x3 */
	enum model_stem stem;
	enum model_shortcut shortcut;
	const char *shortcut_name; /* "downsample", "shortcut": layer2.0.downsample.0.weight */
	const char *linear_name;   /* "fc", "linear" */
	int channels;              /* of an image: 3 */
	int image_px;              /* height and width, for counting operations */
	int classes;
	double norm_eps;      /* batch norm: 1e-5 */
	double norm_momentum; /* running = (1 - momentum) running + momentum batch: 0.1 */

	/* Split into submodels: their classes, which must outlive the model, and how they share the
	 * layers (null: all of them).  Null: one network. */
	const struct subtasks *subtasks;
	const struct tree *tree;
};

/* The named models, one row each. */
struct model_row {
	const char *name, *help;
	bool grows; /* its stem "auto" goes by the size of the images; else it is config.stem */
	struct model_config config;
};
extern const struct model_row model_rows[];
extern const int model_row_count;

/* Fills the configuration of a named model: resnet20, resnet50.  shortcut "A" | "B" | null (the
 * model's own).  Fails on unknown names, saying which there are. */
int model_config_named(struct model_config *c, const char *name, int classes, const char *shortcut,
                       struct error *e);

/* Then: images of this height and width, and the stem for them, by name or "auto".  Fails on
 * unknown names. */
int model_config_images(struct model_config *c, int image_px, const char *stem, struct error *e);

struct model {
	struct model_config config;
	struct parameter_set parameters; /* all trainable, in definition order */
	struct parameter_set buffers;    /* running mean, variance of each batch norm, in order */
	struct tree *tree; /* config.tree is this one, where the configuration gave one */
	struct resnet *net;
	bool folded; /* its batch norms are shifts alone (model_fold) */
};

/* Parameter i, or, from parameters.count on, a buffer. */
struct parameter *model_item(const struct model *m, int i);
int model_items(const struct model *m); /* of both */

/* Parameters are zeros until parameter_start(&m->parameters, seed) or model_load; running
 * statistics are 0 and 1.  type is F32 or F64. */
struct model *model_new(const struct model_config *c, enum dtype type);
void model_free(struct model *m);

/* forward_init with the model's parameters and buffers. */
void model_begin(struct forward *f, struct tape *t, const struct model *m, enum forward_mode mode,
                 const struct quantization *q);

/* images (N, channels, H, W), on the tape, of the model's type -> logits (N, classes). */
struct tensor *model_forward(const struct model *m, struct forward *f, struct tensor *images);

/* The same -> (N, C): what the last layer, of submodel 0, reads. */
struct tensor *model_features(const struct model *m, struct forward *f, struct tensor *images);

/* The same -> heads[s] (N, K_s + 1) of the submodels that are wanted, a bit each: logits of its
 * classes, then of the outside.  Of one network the logits are its only head. */
void model_heads(const struct model *m, struct forward *f, struct tensor *images, uint32_t wanted,
                 struct tensor *heads[]);

/* The same in two steps, of which the second may be repeated with other dropout: what heads read,
 * by node (the array is the caller's to free); and the heads. */
struct tensor **model_pool(const struct model *m, struct forward *f, struct tensor *images,
                           uint32_t wanted);
void model_heads_again(const struct model *m, struct forward *f, struct tensor *const pooled[],
                       uint32_t wanted, struct tensor *heads[]);

void model_outputs(const struct model_config *c, int outputs[]); /* K_s + 1 of each submodel */

/* buffer[i] = (1 - momentum) buffer[i] + momentum statistics[i], once per step; statistics as in
 * struct forward, averaged over the shards by the caller. */
void model_update_statistics(struct model *m, struct tensor *const statistics[]);
#endif
