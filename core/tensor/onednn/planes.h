/* Sums over planes of the blocked form, that do not depend on the count of threads: each segment of
 * a plane is summed in float, segments are added in double in a fixed order. */
#ifndef ONEDNN_PLANES_H
#define ONEDNN_PLANES_H
#include "core/tensor/onednn/column.h"

/* Planes are cut into segments of at most SEGMENT_PX pixels. */
struct segments {
	int64_t each, total; /* per plane, in all */
};
struct segments segments_of(const struct layout *l);
/* Where segment s of plane p begins, in floats, and its length in pixels. */
int64_t segment_begin(const struct layout *l, int64_t plane, int64_t segment);
int64_t segment_px(const struct layout *l, int64_t segment);

/* sum[c] over images and pixels, for channels c < l->channels. */
void plane_sums(const struct layout *l, const float *x, double *sum);
#endif
