/* Sums over planes of the blocked form. */
#include "core/tensor/onednn/planes.h"

struct segments segments_of(const struct layout *l)
{
	int64_t each = (l->pixels + SEGMENT_PX - 1) / SEGMENT_PX;

	return (struct segments){each, each * l->planes};
}

int64_t segment_begin(const struct layout *l, int64_t plane, int64_t segment)
{
	return (plane * l->pixels + segment * SEGMENT_PX) * l->block;
}

int64_t segment_px(const struct layout *l, int64_t segment)
{
	int64_t left = l->pixels - segment * SEGMENT_PX;

	return left < SEGMENT_PX ? left : SEGMENT_PX;
}

INLINE void sum_block(float *restrict sum, const float *x, int64_t pixels, int block)
{
	float s[4][LANES_MAX] = {0};
	int64_t p = 0;

	for (; p + 4 <= pixels; p += 4)
		for (int k = 0; k < 4; k++)
			for (int l = 0; l < block; l++)
				s[k][l] += x[(p + k) * block + l];
	for (; p < pixels; p++)
		for (int l = 0; l < block; l++)
			s[0][l] += x[p * block + l];
	for (int l = 0; l < block; l++)
		sum[l] = (s[0][l] + s[1][l]) + (s[2][l] + s[3][l]);
}

CLONES static void sum_segment(float *restrict sum, const float *x, int64_t pixels, int block)
{
	if (block == 8)
		sum_block(sum, x, pixels, 8);
	else
		sum_block(sum, x, pixels, 16);
}

void plane_sums(const struct layout *l, const float *x, double *sum)
{
	struct segments s = segments_of(l);
	struct storage *partial = storage_new((size_t)(s.total * l->block) * sizeof(float));
	float *part = partial->data;

#pragma omp parallel for schedule(static) if (l->count > SMALL)
	for (int64_t i = 0; i < s.total; i++)
		sum_segment(part + i * l->block, x + segment_begin(l, i / s.each, i % s.each),
		            segment_px(l, i % s.each), l->block);
	for (int64_t c = 0; c < l->channels; c++) {
		sum[c] = 0;
		for (int64_t n = 0; n < l->images; n++)
			for (int64_t k = 0; k < s.each; k++) {
				int64_t plane = n * l->groups + c / l->block;
				sum[c] += (double)
				        part[(plane * s.each + k) * l->block + c % l->block];
			}
	}
	storage_free(partial);
}
