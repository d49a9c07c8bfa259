/* What a Split-Ensemble begins with: groups of classes, and the tree that its file brings. */
#ifndef TRAIN_GROUPING_H
#define TRAIN_GROUPING_H
#include "core/train/trainer.h"

enum { GROUPING_IMAGES = 10000 }; /* at most, training images whose features are clustered */

/* Sets t->subtasks, t->growth and *tree (null: a trunk): those of the checkpoint or of a split
 * start_from, else new groups by split.grouping.  The configuration is that of one network.  All
 * ranks together; the tree is the caller's to free. */
enum outcome grouping_begin(struct trainer *t, const struct model_config *c, struct tree **tree,
                            struct error *e);

/* Weights of one network, in the file, into all of t->model that has its names. */
int grouping_load_trunk(struct trainer *t, const char *path, struct error *e);
#endif
