/* Sums to one value per channel or to a scalar, their adjoint, and mean pooling. */
#include "core/base/text.h"
#include "core/tensor/onednn/planes.h"
#include <stdlib.h>

bool onednn_sum_to(struct tape *t, struct node *n)
{
	struct tensor *x = n->in[0], *y = n->out[0];

	if (!x->blocked || !is_per_channel(y->shape, x->shape))
		return false;
	struct layout l = layout_of(x->shape);
	double *sum = xcalloc((size_t)l.channels, sizeof *sum), all = 0;
	int64_t count = shape_count(y->shape);

	plane_sums(&l, blocked_input(x), sum);
	float *out = tensor_new_plain(y);
	for (int64_t c = 0; c < l.channels; c++) {
		all += sum[c];
		if (count > 1)
			out[c] = (float)sum[c];
	}
	if (count == 1)
		out[0] = (float)all;
	free(sum);
	return true;
}

/* One value per lane over a plane. */
CLONES static void fill_plane(float *restrict y, const float *value, int64_t pixels, int block)
{
	for (int64_t p = 0; p < pixels; p++)
		for (int l = 0; l < block; l++)
			y[p * block + l] = value[l];
}

/* Per channel only: those are activations.  Scalars may be for weights, that stay plain. */
bool onednn_expand(struct tape *t, struct node *n)
{
	struct tensor *x = n->in[0], *y = n->out[0];

	if (!is_per_channel(x->shape, y->shape) || shape_count(x->shape) == 1)
		return false;
	struct layout l = layout_of(y->shape);
	struct storage *lanes = lanes_of(x, &l);
	const float *value = lanes->data;
	float *out = blocked_output(y);
	int64_t size = l.pixels * l.block;

#pragma omp parallel for schedule(static) if (l.count > SMALL)
	for (int64_t i = 0; i < l.planes; i++)
		fill_plane(out + i * size, value + i % l.groups * l.block, l.pixels, l.block);
	storage_free(lanes);
	return true;
}

bool onednn_mean_pool(struct tape *t, struct node *n)
{
	struct tensor *x = n->in[0], *y = n->out[0];

	if (!x->blocked)
		return false;
	/* Each image is an image group of its own: sums per (image, channel). */
	struct layout l = layout_of(x->shape), one = l;
	const float *in = blocked_input(x);
	float *out = tensor_new_plain(y);
	double *sum = xcalloc((size_t)l.channels, sizeof *sum);

	one.images = 1;
	one.planes = l.groups;
	one.count = l.groups * l.pixels * l.block;
	for (int64_t i = 0; i < l.images; i++) {
		plane_sums(&one, in + i * one.count, sum);
		for (int64_t c = 0; c < l.channels; c++)
			out[i * l.channels + c] = (float)(sum[c] / (double)l.pixels);
	}
	free(sum);
	return true;
}

bool onednn_mean_unpool(struct tape *t, struct node *n)
{
	struct tensor *x = n->in[0], *y = n->out[0];
	struct layout l = layout_of(y->shape);
	const float *in = tensor_f32(x);
	float *out = blocked_output(y), scale = 1 / (float)l.pixels;

#pragma omp parallel for schedule(static) if (l.count > SMALL)
	for (int64_t i = 0; i < l.planes; i++) {
		float value[LANES_MAX] = {0};
		int64_t first = i % l.groups * l.block;
		for (int64_t c = first; c < l.channels && c < first + l.block; c++)
			value[c - first] = in[i / l.groups * l.channels + c] * scale;
		fill_plane(out + i * l.pixels * l.block, value, l.pixels, l.block);
	}
	return true;
}
