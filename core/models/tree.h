/* How the submodels of a network share its layers: a tree, from one trunk to the heads.
 *
 * At each layer the submodels fall into disjoint sets, one node each; the sets of a layer refine
 * those of the layer before.  A layer is computed once for all submodels of its node.  A plain
 * network is a trunk with one submodel.  Nodes also say which of the backbone's channels are left
 * after pruning. */
#ifndef MODELS_TREE_H
#define MODELS_TREE_H
#include "core/base/json.h"
#include "core/models/backbone.h"

struct tree_node {
	int layer;        /* of the backbone */
	uint32_t members; /* submodels that use it, a bit each */
	int parent;       /* the node whose output it reads; -1: it reads the images */
	int channels;     /* that it gives */
	int *kept;        /* (channels) which of the layer's they are, rising; null: all of them */
};

/* Nodes from the trunk down: each before those that read it, a whole branch before the next one,
 * branches by their least submodels. */
struct tree {
	int submodels, nodes;
	struct tree_node *node;
};

struct tree *tree_trunk(const struct backbone *b, int submodels); /* nothing split or pruned */
struct tree *tree_copy(const struct tree *t);
void tree_free(struct tree *t);

uint32_t tree_all(int submodels); /* the set of all of them */
int tree_least(uint32_t members); /* the least submodel of a set that is not empty */
int tree_at(const struct tree *t, int layer, int submodel); /* the node of a submodel at a layer */
int tree_block_input(const struct tree *t, const struct backbone *b,
                     int node); /* the node whose output is added to that of a node that joins */
int tree_channel(const struct tree_node *n, int i); /* which of the layer's its channel i is */
int tree_position(const struct tree_node *n, int channel); /* the other way; -1: it is gone */

/* From this layer on, no node has submodels on both sides of the cut any more: those that had are
 * two copies. */
void tree_split(struct tree *t, int layer, uint32_t side);

/* Takes channels (of the layer's) out of a node; those that it lacks are passed over.  What
 * reads the node has as many fewer inputs. */
void tree_remove(struct tree *t, int node, int layer_channels, const int *channel, int count);

/* group[node]: nodes of one number have the same channels, since residuals are added along them;
 * returns how many groups there are.  stream[node], which may be null: the residual stream that the
 * node's output is part of, from 1; 0: it is none's. */
int tree_groups(const struct tree *t, const struct backbone *b, int *group, int *stream);

/* Multiply-accumulates of a node for one image, its projection included. */
int64_t tree_node_macs(const struct tree *t, const struct backbone *b, int node);

/* The same of all nodes, and of heads of outputs[submodel] values. */
int64_t tree_macs(const struct tree *t, const struct backbone *b, const int *outputs);

/* [{"layer": "layer3.0.conv2", "members": [0, 1], "kept": [0, 2]}], in the tree's order; "kept"
 * only where channels are gone.  tree_parse fails on anything else, and on sets or channels that do
 * not fit the backbone, naming the node. */
cJSON *tree_json(const struct tree *t, const struct backbone *b);
struct tree *tree_parse(const cJSON *list, const struct backbone *b, int submodels,
                        struct error *e);
#endif
