/* Who shares a layer with whom, and where a branch is to be split (methods.md B4).
 *
 * A backbone with n submodels is one partition of them per layer, in the backbone's order.  Each
 * refines the one before: what has parted does not meet again.  So the partitions make a tree, and
 * its branches are the runs of layers that one and the same set of submodels shares.
 *
 *     layer      0          1          2            3
 *     parts      {0,1,2}    {0,1,2}    {0,1},{2}    {0},{1},{2}
 *     branches   {0,1,2}, layers 0 and 1;  {0,1}, layer 2;  {2}, 2 and 3;  {0}, 3;  {1}, 3      */
#ifndef SPLIT_PARTITION_H
#define SPLIT_PARTITION_H
#include "core/base/text.h"
#include "core/split/subtasks.h"

struct partition {
	int submodels;
	int part[SUBTASKS_MAX]; /* the least submodel of the part that submodel i belongs to */
};
struct partition partition_whole(int submodels);                     /* all in one part */
uint32_t partition_members(const struct partition *p, int submodel); /* its part, a mask */
int partition_count(const struct partition *p);                      /* parts */
bool partition_equal(const struct partition *a, const struct partition *b);
bool partition_refines(const struct partition *fine, const struct partition *coarse);
void partition_divide(struct partition *p, uint32_t apart);       /* each part: in apart, or not */
void partition_print(struct text *to, const struct partition *p); /* "{0,1,2,4},{3}" */
void members_print(struct text *to, uint32_t members);            /* "0,1,2,4" */

/* The layers where something parts: "layer3.0.conv2 -> {0,1,2,4},{3}; layer3.1.conv1 -> …". */
void partition_log(struct text *to, const struct partition *layer, const char *const *name,
                   int layers);

/* A branch is to become two from this layer on. */
struct branch_split {
	int layer;
	uint32_t branch;  /* the submodels that share it */
	uint32_t apart;   /* those of them that get a copy of their own */
	double threshold; /* the layer's minimal cutting threshold for this branch */
};
enum { SPLITS_MAX = SUBTASKS_MAX }; /* branches of two or more are fewer than submodels */

/* The splits of one round into found[SPLITS_MAX], in the order of layers; returns how many.  Each
 * branch of two or more submodels is cut at its earliest layer whose minimal cutting threshold is
 * below `threshold`, by overlap[layer] (n, n; null: this layer is not looked at), of which only
 * entries within a branch are read.  A cut above divides what lies below it too, and no set of
 * submodels is divided twice in a round: such a branch waits for the next. */
int split_find(const struct partition *layer, int layers, const double *const *overlap,
               double threshold, struct branch_split *found);

/* The partitions afterwards: from split->layer on, `apart` is apart. */
void split_apply(struct partition *layer, int layers, const struct branch_split *split);
#endif
