/* The tree of a split model as bands from the images to the heads. */
#ifndef COORDINATOR_PLOT_BRANCHES_H
#define COORDINATOR_PLOT_BRANCHES_H
#include "coordinator/plot/figure.h"
#include "coordinator/tree.h"

/* Layers from left to right, submodels one above the other; each branch a band over those that use
 * it, in each layer as high as the share of its channels that is left.  rows as branches_init has
 * them. */
void branches_plot(struct figure *f, const struct branches *b, const struct rows *nodes,
                   const char *title);
#endif
