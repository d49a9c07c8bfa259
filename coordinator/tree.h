/* The tree of a split model as a person sees it: a line per branch, from the trunk to the heads. */
#ifndef COORDINATOR_TREE_H
#define COORDINATOR_TREE_H
#include "coordinator/rows.h"

/* A run of layers that one and the same set of submodels uses. */
struct branch {
	const char *members;      /* "0,2" */
	const char *first, *last; /* layers */
	int parent;               /* branch; -1: none */
	int depth;
	int layers, first_layer; /* how many, and how many come before it on its way */
	double channels, width;  /* sums over its layers: left, and before pruning */
	int narrowest, widest;   /* channels of a layer */
	double macs;             /* heads excluded */
	int outputs;             /* of the head that reads it; 0: other branches read it */
	bool is_last;            /* of its parent's branches */
};
struct branches {
	struct branch *item; /* in the tree's order */
	int count;
	double macs; /* of all, heads included */
};

/* From rows (node, parent, layer, members, channels, width, macs) in order of node, which must
 * outlive it. */
void branches_init(struct branches *b, const struct rows *nodes);
void branches_release(struct branches *b);

/* Draws them: lines and bars of box characters or of ASCII. */
void branches_draw(const struct branches *b, bool unicode, bool bold, struct text *out);
#endif
