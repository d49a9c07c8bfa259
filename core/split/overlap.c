/* Saliencies become masks, masks overlaps, and overlaps a cut. */
#include "core/split/overlap.h"
#include "core/base/text.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

void saliency_of_layer(struct tensor *weight, struct tensor *gradient, double *saliency)
{
	int64_t count = shape_count(weight->shape);
	double sum = 0;

	assert(shape_equal(weight->shape, gradient->shape));
	for (int64_t i = 0; i < count; i++) {
		double s = fabs(tensor_at(weight, i) * tensor_at(gradient, i));
		saliency[i] = isfinite(s) ? s : 0;
		sum += saliency[i];
	}
	for (int64_t i = 0; i < count && sum > 0; i++)
		saliency[i] /= sum;
}

/* Doubles that are not negative are ordered as their bits are. */
static uint64_t bits_of(double saliency)
{
	uint64_t bits;

	memcpy(&bits, &saliency, sizeof bits);
	return bits;
}

/* The bits of the keep-th largest, sixteen at a time from above; *ties becomes how many of those
 * equal to it are among the keep.  Linear in count, whatever the values. */
static uint64_t largest_bits(const double *saliency, int64_t count, int64_t keep, int64_t *ties)
{
	enum { DIGIT = 16, DIGITS = 1 << DIGIT };
	int64_t *have = xmalloc(DIGITS * sizeof *have);
	uint64_t found = 0, known = 0;

	for (int shift = 64 - DIGIT; shift >= 0; shift -= DIGIT) {
		uint64_t digit = DIGITS - 1;

		memset(have, 0, DIGITS * sizeof *have);
		for (int64_t i = 0; i < count; i++) {
			uint64_t bits = bits_of(saliency[i]);
			have[bits >> shift & (DIGITS - 1)] += (bits & known) == found;
		}
		for (; have[digit] < keep; digit--)
			keep -= have[digit];
		found |= digit << shift;
		known |= (uint64_t)(DIGITS - 1) << shift;
	}
	*ties = keep;
	free(have);
	return found;
}

int64_t saliency_mask(const double *saliency, int64_t count, double fraction, uint8_t *mask)
{
	int64_t keep = (int64_t)(fraction * (double)count + 1e-9), ties;

	assert(count > 0 && fraction >= 0 && fraction <= 1);
	keep = keep > 0 ? keep : 1;
	uint64_t least = largest_bits(saliency, count, keep, &ties);
	for (int64_t i = 0; i < count; i++) {
		uint64_t bits = bits_of(saliency[i]);
		mask[i] = bits > least || (bits == least && ties-- > 0);
	}
	return keep;
}

double mask_overlap(const uint8_t *a, const uint8_t *b, int64_t count)
{
	int64_t both = 0, either = 0;

	for (int64_t i = 0; i < count; i++) {
		both += a[i] & b[i];
		either += a[i] | b[i];
	}
	return either ? (double)both / (double)either : 1;
}

void overlap_of_layer(struct tensor *weight, struct tensor *const gradient[], int submodels,
                      uint32_t members, double fraction, double *overlap)
{
	int64_t count = shape_count(weight->shape);
	double *saliency = xmalloc((size_t)count * sizeof *saliency);
	uint8_t *mask = xcalloc((size_t)submodels, (size_t)count);

	memset(overlap, 0, (size_t)(submodels * submodels) * sizeof *overlap);
	for (int a = 0; a < submodels; a++) {
		if (!(members >> a & 1))
			continue;
		saliency_of_layer(weight, gradient[a], saliency);
		saliency_mask(saliency, count, fraction, mask + a * count);
		for (int b = 0; b <= a; b++)
			if (members >> b & 1)
				overlap[a * submodels + b] = overlap[b * submodels + a] =
				        mask_overlap(mask + a * count, mask + b * count, count);
	}
	free(mask);
	free(saliency);
}

/* The least edge of the maximum spanning tree of members, by Prim's algorithm. */
static double least_edge(const double *overlap, int n, uint32_t members)
{
	uint32_t inside = members & -members;
	double least = INFINITY;

	while (inside != members) {
		double most = -INFINITY;
		int next = -1;
		for (int a = 0; a < n; a++)
			for (int b = 0; b < n; b++)
				if ((inside >> a & 1) && (members & ~inside) >> b & 1 &&
				    overlap[a * n + b] > most) {
					most = overlap[a * n + b];
					next = b;
				}
		assert(next >= 0); /* an overlap that is no number */
		inside |= 1u << next;
		least = fmin(least, most);
	}
	return least;
}

/* All members that one is joined to by overlaps above the threshold. */
static uint32_t joined_to(const double *overlap, int n, uint32_t members, int one, double threshold)
{
	uint32_t inside = 1u << one, before;

	do {
		before = inside;
		for (int a = 0; a < n; a++)
			for (int b = 0; (before >> a & 1) && b < n; b++)
				if ((members >> b & 1) && overlap[a * n + b] > threshold)
					inside |= 1u << b;
	} while (inside != before);
	return inside;
}

/* Partitions with the least value cut no overlap above it: their sides are made of whole sets that
 * such overlaps join, and any of these sets but the least member's is a side.  A union of sets is
 * larger as a mask than each, so the one looked for is a single set. */
struct cut overlap_cut(const double *overlap, int submodels, uint32_t members)
{
	struct cut cut = {least_edge(overlap, submodels, members), 0};
	uint32_t rest = members;

	assert(submodels <= 32 && members);
	rest &= ~joined_to(overlap, submodels, members, __builtin_ctz(members), cut.threshold);
	while (rest) {
		uint32_t set =
		        joined_to(overlap, submodels, members, __builtin_ctz(rest), cut.threshold);
		cut.apart = cut.apart && cut.apart < set ? cut.apart : set;
		rest &= ~set;
	}
	return cut;
}
