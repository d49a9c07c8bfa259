/* Looks a convolution up in plan.def. */
#include "core/tensor/onednn/plan.h"
#include "core/tensor/onednn/onednn.h"
#include "core/tensor/onednn/winograd.h"

enum { ANY = -1 };

static const struct row {
	int block, direction;
	int64_t window, stride, channels;
	enum conv_algorithm algorithm;
} rows[] = {
#define PLAN(block, direction, window, stride, channels, algorithm) \
	{block, direction, window, stride, channels, algorithm},
#include "core/tensor/onednn/plan.def"
#undef PLAN
};

static bool row_fits(const struct row *r, const struct conv_key *k)
{
	return (!r->block || r->block == onednn_block()) &&
	       (r->direction == ANY || r->direction == (int)k->direction) &&
	       (!r->window || (r->window == k->window[0] && r->window == k->window[1])) &&
	       (!r->stride || r->stride == k->stride) && k->channels_in >= r->channels &&
	       k->channels_out >= r->channels &&
	       (r->algorithm != CONV_WINOGRAD || winograd_works(k));
}

enum conv_algorithm plan_algorithm(const struct conv_key *k)
{
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		if (row_fits(&rows[i], k))
			return rows[i].algorithm;
	return CONV_DIRECT;
}
