/* Batches: which samples an epoch visits in which order, and their augmented, normalised pixels.
 *
 * Everything random is a function of (seed, epoch, sample index) alone, never of the batch that a
 * sample happens to be in, of ranks or of threads. */
#ifndef DATA_BATCH_H
#define DATA_BATCH_H
#include "core/data/dataset.h"
#include <stdbool.h>

/* As torchvision's RandomCrop(size, padding), RandomHorizontalFlip, ToTensor, Normalize, in that
 * order: the 8-bit image is padded with zeros (black) before it is normalised. */
struct augment {
	float mean[DATASET_CHANNELS], std[DATASET_CHANNELS]; /* of values in 0 … 1 */
	int crop_padding_px; /* zeros on each side, then a random crop of the old size; 0: no crop
	                      */
	bool flip;           /* left to right, with probability 1/2 */
	int64_t seed;        /* train.seed */
};

/* The normalisation of the kind of d, and no augmentation: what evaluation uses. */
struct augment augment_none(const struct dataset *d);

/* The order in which an epoch (from 0) visits the samples: order[position] = sample, a permutation.
 */
void epoch_order(int64_t seed, int64_t epoch, int64_t *order, int64_t count);

/* Fills images (n, C, H, W) with ((x / 255) - mean) / std of samples index[0 … n-1], and labels
 * (n), which may be null. */
void batch_fill(const struct dataset *d, const int64_t *index, int64_t n, const struct augment *a,
                int64_t epoch, float *images, int32_t *labels);
#endif
