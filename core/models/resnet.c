/* Residual networks: a stem, stages of blocks, mean over the image, a linear layer. */
#include "core/models/resnet.h"
#include "core/base/text.h"
#include <stdlib.h>

enum { BLOCK_CONVS = 3 };

/* A kind of block: kernels of its convolutions, which of them strides, and how many times the
 * stage's width comes out. */
struct block_kind {
	int convs, kernel[BLOCK_CONVS], strided, expansion;
};
static const struct block_kind basic = {2, {3, 3}, 0, 1};
static const struct block_kind bottleneck = {3, {1, 3, 1}, 1, 4};

struct block {
	int convs;
	struct conv conv[BLOCK_CONVS];
	struct batch_norm norm[BLOCK_CONVS];
	int in, out, stride;
	bool projected;
	struct conv shortcut_conv;
	struct batch_norm shortcut_norm;
};

struct resnet {
	const struct stem *stem;
	struct conv conv1;
	struct batch_norm norm1;
	struct block *block;
	int block_count;
	struct linear linear;
};

static struct conv named_conv(struct builder *b, char *name, int in, int out, int kernel,
                              int stride)
{
	struct conv c = conv_add(b, name, in, out, kernel, stride);
	free(name);
	return c;
}

static struct batch_norm named_norm(struct builder *b, char *name, int channels)
{
	struct batch_norm n = batch_norm_add(b, name, channels);
	free(name);
	return n;
}

static void block_project(struct block *k, const struct model_config *c, struct builder *b,
                          const char *prefix)
{
	k->projected = true;
	k->shortcut_conv = named_conv(b, xformat("%s.%s.0", prefix, c->shortcut_name), k->in,
	                              k->out, 1, k->stride);
	k->shortcut_norm = named_norm(b, xformat("%s.%s.1", prefix, c->shortcut_name), k->out);
}

static struct block block_build(const struct model_config *c, struct builder *b, const char *prefix,
                                int in, int width, int stride)
{
	const struct block_kind *kind = c->bottleneck ? &bottleneck : &basic;
	struct block k = {.convs = kind->convs, .in = in, .stride = stride};
	struct builder before = *b; /* the shortcut begins at the same image */
	int last = kind->convs - 1;

	k.out = width * kind->expansion;
	for (int i = 0; i <= last; i++) {
		int from = i == 0 ? in : width, to = i == last ? k.out : width;

		k.conv[i] = named_conv(b, xformat("%s.conv%d", prefix, i + 1), from, to,
		                       kind->kernel[i], i == kind->strided ? stride : 1);
		k.norm[i] = named_norm(b, xformat("%s.bn%d", prefix, i + 1), to);
	}
	if (c->shortcut == SHORTCUT_PROJECTION && (stride != 1 || in != k.out))
		block_project(&k, c, &before, prefix);
	return k;
}

static void stem_build(struct resnet *r, const struct model_config *c, struct builder *b)
{
	r->stem = &stems[c->stem];
	r->conv1 = conv_add(b, "conv1", c->channels, c->width, r->stem->kernel, r->stem->stride);
	r->norm1 = batch_norm_add(b, "bn1", c->width);
	if (r->stem->pools) {
		b->height = (b->height - 1) / 2 + 1;
		b->width = (b->width - 1) / 2 + 1;
	}
}

/* Adds the blocks of a stage that gets `in` channels; returns how many it gives. */
static int stage_build(struct resnet *r, const struct model_config *c, struct builder *b, int stage,
                       int in)
{
	for (int i = 0; i < c->blocks[stage]; i++) {
		char *prefix = xformat("layer%d.%d", stage + 1, i);
		int stride = stage > 0 && i == 0 ? 2 : 1;
		struct block k = block_build(c, b, prefix, in, c->width << stage, stride);

		free(prefix);
		r->block[r->block_count++] = k;
		in = k.out;
	}
	return in;
}

/* Outputs that are added up are one stream.  It begins with the stem; another one begins where the
 * shape changes, with the block's output and its projection. */
static void mark_streams(const struct resnet *r, struct parameter *item)
{
	int stream = 1;

	item[r->conv1.weight].stream = stream;
	for (int i = 0; i < r->block_count; i++) {
		const struct block *k = &r->block[i];

		stream += k->stride != 1 || k->in != k->out;
		item[k->conv[k->convs - 1].weight].stream = stream;
		if (k->projected)
			item[k->shortcut_conv.weight].stream = stream;
	}
}

struct resnet *resnet_new(const struct model_config *c, struct builder *b)
{
	struct resnet *r = xcalloc(1, sizeof(*r));
	int blocks = 0, channels = c->width;

	for (int s = 0; s < c->stages; s++)
		blocks += c->blocks[s];
	r->block = xcalloc((size_t)blocks, sizeof(*r->block));
	stem_build(r, c, b);
	for (int s = 0; s < c->stages; s++)
		channels = stage_build(r, c, b, s, channels);
	r->linear = linear_add(b, c->linear_name, channels, c->classes);
	mark_streams(r, b->parameters->item);
	return r;
}

void resnet_free(struct resnet *r)
{
	if (!r)
		return;
	free(r->block);
	free(r);
}

/* Option A: every stride-th pixel, with zero channels before and after. */
static struct tensor *shortcut_pad(const struct block *k, struct tape *t, struct tensor *x)
{
	const int64_t *d = x->shape.d;
	int64_t h = (d[2] - 1) / k->stride + 1, w = (d[3] - 1) / k->stride + 1;
	const int64_t zero[4] = {0}, one[4] = {1, 1, 1, 1};
	const int64_t step[4] = {1, 1, k->stride, k->stride};
	const int64_t start[4] = {0, (k->out - k->in) / 2, 0, 0};

	x = op_slice(t, x, zero, step, SHAPE(d[0], d[1], h, w));
	return op_place(t, x, start, one, SHAPE(d[0], k->out, h, w));
}

static struct tensor *shortcut_forward(const struct block *k, struct forward *f, struct tensor *x)
{
	if (k->projected) {
		x = conv_forward(&k->shortcut_conv, f, x);
		return batch_norm_forward(&k->shortcut_norm, f, x, NULL, false);
	}
	if (k->stride != 1 || k->in != k->out)
		return shortcut_pad(k, f->tape, x);
	return x;
}

static struct tensor *block_forward(const struct block *k, struct forward *f, struct tensor *x)
{
	int last = k->convs - 1;
	struct tensor *y = conv_forward(&k->conv[0], f, x);

	for (int i = 0; i < last; i++) {
		struct tensor *z = batch_norm_forward(&k->norm[i], f, y, NULL, true);

		y = conv_forward(&k->conv[i + 1], f, z);
		tape_drop(f->tape, z);
	}
	return batch_norm_forward(&k->norm[last], f, y, shortcut_forward(k, f, x), true);
}

static struct tensor *stem_forward(const struct resnet *r, struct forward *f, struct tensor *x)
{
	x = conv_forward(&r->conv1, f, x);
	x = batch_norm_forward(&r->norm1, f, x, NULL, true);
	return r->stem->pools ? op_max_pool(f->tape, x, 3, 2, 1) : x;
}

static void forget(struct tape *t, int mark, struct tensor *x)
{
	if (!t->recording)
		tape_rewind(t, mark, &x, 1);
}

struct tensor *resnet_forward(const struct resnet *r, struct forward *f, struct tensor *images)
{
	int mark = tape_mark(f->tape);
	struct tensor *x = stem_forward(r, f, images);

	for (int i = 0; i < r->block_count; i++) {
		forget(f->tape, mark, x);
		x = block_forward(&r->block[i], f, x);
	}
	return linear_forward(&r->linear, f, op_mean_pool(f->tape, x));
}
