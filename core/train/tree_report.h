/* What a split model has to say of its tree. */
#ifndef TRAIN_TREE_REPORT_H
#define TRAIN_TREE_REPORT_H
#include "core/train/trainer.h"

/* What t's tree costs, relative to one network: multiply-accumulates, heads included. */
double tree_relative_flops(const struct trainer *t);
int64_t one_network_macs(const struct trainer *t); /* of one network of this configuration */

/* Final figures (relative_flops, splits, branches, pruned_channels, least_overlap) and all nodes,
 * heads as the last of them, into t->result. */
void tree_report(struct trainer *t);
#endif
