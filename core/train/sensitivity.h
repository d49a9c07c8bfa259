/* What each submodel's loss says of the weights that it uses: gradients of layers that it shares,
 * and the importance of filters. */
#ifndef TRAIN_SENSITIVITY_H
#define TRAIN_SENSITIVITY_H
#include "core/train/trainer.h"

struct sensitivity {
	int submodels, nodes;
	int *conv, *shortcut; /* (nodes) parameters: a node's convolution, its projection or -1 */
	/* (submodels) all that one has, one after the other: gradient and importance point into it.
	 */
	double **figure;
	/* (submodels, nodes); null where the submodel does not use the node, and gradients also
	 * where no other does. */
	double **gradient;   /* of the convolution's weight, summed over the batches */
	double **importance; /* (channels) of filters, summed over the batches (equation 7) */
};

/* Over split.batches batches of the epoch's images (all, where it has fewer), not augmented, in
 * training mode.  Ranks take batches in turn: the sums do not depend on them.  LOOP_GOES_ON, or an
 * outcome when an order came in between.  Release in either case. */
int sensitivity_measure(struct sensitivity *s, struct trainer *t, struct error *e);
void sensitivity_release(struct sensitivity *s);
#endif
