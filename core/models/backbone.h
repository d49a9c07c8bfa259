/* The layers of a residual network in their order: convolutions, each with its norm. */
#ifndef MODELS_BACKBONE_H
#define MODELS_BACKBONE_H
#include "core/models/model.h"

struct backbone_layer {
	char *name;     /* of its convolution: "conv1", "layer3.0.conv2" */
	char *norm;     /* "bn1", "layer3.0.bn2" */
	char *shortcut; /* of the projection that it adds, "layer3.0.downsample"; null: none */
	int kernel, stride;
	int in, out;      /* channels, when nothing is pruned */
	int px;           /* height and width of its output; a pooling stem's, of the pooled one */
	int conv_px;      /* the same before pooling */
	bool opens;       /* first of a block: it reads what the block reads */
	bool joins;       /* last of a block: the block's input is added to its output */
	int block_in;     /* channels of the block's input */
	int block_stride; /* between pixels of the block's input that its output keeps */
};

struct backbone {
	struct backbone_layer *layer;
	int layers;
	int features; /* channels of the last one */
};

void backbone_init(struct backbone *b, const struct model_config *c);
void backbone_release(struct backbone *b);
int backbone_find(const struct backbone *b, const char *name); /* a layer; -1: none */

/* Whether the block that ends here gives another shape than it is given: a stream of residuals
 * begins anew. */
bool backbone_reshapes(const struct backbone_layer *l);

/* Then, without a projection: the block's output k is fed its input's channel k - padding. */
int backbone_padding(const struct backbone_layer *l);
#endif
