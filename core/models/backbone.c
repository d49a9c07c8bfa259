/* The layers of a residual network in their order, from its configuration. */
#include "core/models/backbone.h"
#include "core/base/text.h"
#include <stdlib.h>
#include <string.h>

enum { BLOCK_CONVS = 3 };

/* A kind of block: kernels of its convolutions, which of them strides, and how many times the
 * stage's width comes out. */
struct block_kind {
	int convs, kernel[BLOCK_CONVS], strided, expansion;
};
static const struct block_kind basic = {2, {3, 3}, 0, 1};
static const struct block_kind bottleneck = {3, {1, 3, 1}, 1, 4};

static int after_stride(int px, int stride)
{
	return (px - 1) / stride + 1;
}

static void add_stem(struct backbone *b, const struct model_config *c)
{
	const struct stem *s = &stems[c->stem];
	int px = after_stride(c->image_px, s->stride);

	b->layer[b->layers++] = (struct backbone_layer){.name = xstrdup("conv1"),
	                                                .norm = xstrdup("bn1"),
	                                                .kernel = s->kernel,
	                                                .stride = s->stride,
	                                                .in = c->channels,
	                                                .out = c->width,
	                                                .conv_px = px,
	                                                .px = s->pools ? after_stride(px, 2) : px};
}

bool backbone_reshapes(const struct backbone_layer *l)
{
	return l->joins && (l->block_stride != 1 || l->block_in != l->out);
}

int backbone_padding(const struct backbone_layer *l)
{
	return (l->out - l->block_in) / 2;
}

static void add_block(struct backbone *b, const struct model_config *c, const char *prefix,
                      int width, int stride)
{
	const struct block_kind *kind = c->bottleneck ? &bottleneck : &basic;
	int last = kind->convs - 1, block_in = b->layer[b->layers - 1].out;

	for (int i = 0; i <= last; i++) {
		const struct backbone_layer *before = &b->layer[b->layers - 1];
		int step = i == kind->strided ? stride : 1, px = after_stride(before->px, step);

		b->layer[b->layers++] =
		        (struct backbone_layer){.name = xformat("%s.conv%d", prefix, i + 1),
		                                .norm = xformat("%s.bn%d", prefix, i + 1),
		                                .kernel = kind->kernel[i],
		                                .stride = step,
		                                .in = before->out,
		                                .out = i == last ? width * kind->expansion : width,
		                                .px = px,
		                                .conv_px = px,
		                                .opens = i == 0,
		                                .joins = i == last,
		                                .block_in = block_in,
		                                .block_stride = stride};
	}
	struct backbone_layer *l = &b->layer[b->layers - 1];
	if (c->shortcut == SHORTCUT_PROJECTION && backbone_reshapes(l))
		l->shortcut = xformat("%s.%s", prefix, c->shortcut_name);
}

void backbone_init(struct backbone *b, const struct model_config *c)
{
	int blocks = 0;

	for (int s = 0; s < c->stages; s++)
		blocks += c->blocks[s];
	*b = (struct backbone){
	        .layer = xcalloc((size_t)(1 + blocks * BLOCK_CONVS), sizeof *b->layer)};
	add_stem(b, c);
	for (int s = 0; s < c->stages; s++)
		for (int i = 0; i < c->blocks[s]; i++) {
			char *prefix = xformat("layer%d.%d", s + 1, i);

			add_block(b, c, prefix, c->width << s, s > 0 && i == 0 ? 2 : 1);
			free(prefix);
		}
	b->features = b->layer[b->layers - 1].out;
}

void backbone_release(struct backbone *b)
{
	for (int i = 0; i < b->layers; i++) {
		free(b->layer[i].name);
		free(b->layer[i].norm);
		free(b->layer[i].shortcut);
	}
	free(b->layer);
	*b = (struct backbone){0};
}

int backbone_find(const struct backbone *b, const char *name)
{
	for (int i = 0; i < b->layers; i++)
		if (!strcmp(b->layer[i].name, name))
			return i;
	return -1;
}
