/* Residual networks (He et al. 2015), built from a configuration. */
#ifndef MODELS_RESNET_H
#define MODELS_RESNET_H
#include "core/models/model.h"
#include "core/nn/layer.h"

/* Adds its parameters to what b builds, named and ordered as in public checkpoints. */
struct resnet;
struct resnet *resnet_new(const struct model_config *c, struct builder *b);
void resnet_free(struct resnet *r);

/* images (N, channels, H, W) -> logits (N, classes).  While nothing is recorded, values of a block
 * are freed as soon as the next one has run. */
struct tensor *resnet_forward(const struct resnet *r, struct forward *f, struct tensor *images);
#endif
