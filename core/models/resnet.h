/* Residual networks (He et al. 2015) whose submodels share their layers as a tree says. */
#ifndef MODELS_RESNET_H
#define MODELS_RESNET_H
#include "core/models/tree.h"
#include "core/nn/layer.h"

/* Adds its parameters to what b builds.  Those on the way of submodel 0 are named and ordered as in
 * public checkpoints; those of another branch come under "branches.I.", I being its least submodel.
 * outputs[s] values come out of submodel s.  The heads of more than one are "fc.S.weight". */
struct resnet;
struct resnet *resnet_new(const struct model_config *c, const struct tree *tree, const int *outputs,
                          struct builder *b);
void resnet_free(struct resnet *r);

/* images (N, channels, H, W) -> means over the image (N, features), by node, of the leaves that a
 * wanted submodel uses, a bit each; the array is the caller's to free.  While nothing is recorded,
 * values are freed as soon as all that reads them has run. */
struct tensor **resnet_pool(const struct resnet *r, struct forward *f, struct tensor *images,
                            uint32_t wanted);

/* These -> heads[s] (N, outputs[s]) for each submodel that is wanted; others stay as they are. */
void resnet_heads(const struct resnet *r, struct forward *f, struct tensor *const pooled[],
                  uint32_t wanted, struct tensor *heads[]);

/* What submodel 0's head reads: means over the image, (N, features). */
struct tensor *resnet_features(const struct resnet *r, struct forward *f, struct tensor *images);

/* Where a parameter or buffer has its place: the submodel's head, else the node; its slot there;
 * and the nodes whose channels are its dimensions 0 and 1 (-1: not a node's). */
enum resnet_slot {
	SLOT_CONV,
	SLOT_NORM, /* scale, shift, mean, variance */
	SLOT_SHORTCUT_CONV = SLOT_NORM + 4,
	SLOT_SHORTCUT_NORM,
	SLOT_HEAD = SLOT_SHORTCUT_NORM + 4, /* weight, bias */
};
struct resnet_place {
	int node, head, slot, rows, columns;
};

/* place[i] of parameter i, and from `parameters` on, of the buffers. */
void resnet_places(const struct resnet *r, int parameters, struct resnet_place *place);
#endif
