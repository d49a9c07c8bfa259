/* Overlaps of submodels in a layer that they share, and the cut between those that need the least
 * of each other's weights (methods.md B4, equations 5 and 6). */
#ifndef SPLIT_OVERLAP_H
#define SPLIT_OVERLAP_H
#include "core/tensor/tensor.h"

/* Equation 5: |w dL_i/dw| over its sum in the layer, into saliency[] (double, one per weight); all
 * zero when the sum is.  What is no number counts as zero. */
void saliency_of_layer(struct tensor *weight, struct tensor *gradient, double *saliency);

/* mask[i] = 1 for the floor(fraction * count), at least one, of largest saliency; of equals those
 * of lower index.  Returns how many. */
int64_t saliency_mask(const double *saliency, int64_t count, double fraction, uint8_t *mask);

/* J = |a and b| / |a or b|; 1 when both are empty. */
double mask_overlap(const uint8_t *a, const uint8_t *b, int64_t count);

/* The overlaps (n, n) of the masks of `members`, whose gradients of one layer's weight are given
 * (null for others).  1 on the diagonal; 0 for who is no member. */
void overlap_of_layer(struct tensor *weight, struct tensor *const gradient[], int submodels,
                      uint32_t members, double fraction, double *overlap);

/* Equation 6: of all two-sided partitions of `members`, the one whose largest overlap across is
 * least; that is the least edge of the maximum spanning tree.  Of equals the one whose side without
 * the least member is least as a mask.  Fewer than two members: nothing apart, an infinite
 * threshold. */
struct cut {
	double threshold; /* minimal cutting threshold: the largest overlap across */
	uint32_t apart;   /* the side without the least member */
};
struct cut overlap_cut(const double *overlap, int submodels, uint32_t members);
#endif
