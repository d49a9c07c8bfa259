/* Residual networks: a stem, blocks, mean over the image, linear heads; each node of a tree one
 * convolution with its norm. */
#include "core/models/resnet.h"
#include "core/base/text.h"
#include <stdlib.h>
#include <string.h>

/* A node at work. */
struct layer {
	struct conv conv;
	struct batch_norm norm;
	bool pools;            /* the stem's max pooling follows */
	bool joins, projected; /* a shortcut is added; through a convolution and norm */
	struct conv shortcut_conv;
	struct batch_norm shortcut_norm;
	int in, out; /* channels of the block's input and of the output; where it joins */
	int block_stride;
	struct tensor *select;   /* (out, in, 1, 1) of 0 and 1: the shortcut of pruned channels */
	int parent, block_input; /* nodes that it reads; -1: images, none */
	int last_reader;         /* the last node that reads it; itself: only heads do */
};

struct resnet {
	int submodels, layers; /* nodes */
	struct layer *layer;   /* (layers) */
	uint32_t *members;     /* (layers) */
	int *leaf;             /* (submodels) the node that its head reads */
	struct linear *head;   /* (submodels) */
};

/* ---- building ---- */
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

/* "" for the way of submodel 0, "branches.3." for another. */
static char *branch_prefix(const struct tree_node *n)
{
	int least = tree_least(n->members);

	return least ? xformat("branches.%d.", least) : xstrdup("");
}

/* Option A where channels are pruned: output k is the input's channel k - pad, if both are there.
 */
static struct tensor *select_new(const struct tree_node *out, const struct tree_node *in, int pad,
                                 enum dtype type)
{
	struct tensor *s = tensor_zeros(type, SHAPE(out->channels, in->channels, 1, 1));

	for (int k = 0; k < out->channels; k++) {
		int from = tree_position(in, tree_channel(out, k) - pad);
		if (from >= 0)
			tensor_set(s, (int64_t)k * in->channels + from, 1);
	}
	return s;
}

static void add_shortcut(struct layer *l, const struct tree *t, const struct backbone_layer *row,
                         int node, const char *prefix, struct builder *b)
{
	const struct tree_node *n = &t->node[node], *from = &t->node[l->block_input];

	l->joins = true;
	l->in = from->channels;
	l->out = n->channels;
	l->block_stride = row->block_stride;
	if (row->shortcut) {
		l->projected = true;
		l->shortcut_conv = named_conv(b, xformat("%s%s.0", prefix, row->shortcut), l->in,
		                              l->out, 1, l->block_stride);
		l->shortcut_norm = named_norm(b, xformat("%s%s.1", prefix, row->shortcut), l->out);
	} else if (backbone_reshapes(row) && (n->kept || from->kept)) {
		l->select = select_new(n, from, backbone_padding(row), b->type);
	}
}

/* Sizes at a node are those at the nodes that it reads: they are set anew for each. */
static void add_node(struct resnet *r, const struct model_config *c, const struct backbone *back,
                     const struct tree *t, int node, struct builder *b)
{
	const struct tree_node *n = &t->node[node];
	const struct backbone_layer *row = &back->layer[n->layer];
	struct layer *l = &r->layer[node];
	char *prefix = branch_prefix(n);
	int parent = n->parent;

	l->parent = parent;
	l->block_input = row->joins ? tree_block_input(t, back, node) : -1;
	l->pools = parent < 0 && stems[c->stem].pools;
	b->height = b->width = parent < 0 ? c->image_px : back->layer[t->node[parent].layer].px;
	l->conv = named_conv(b, xformat("%s%s", prefix, row->name),
	                     parent < 0 ? row->in : t->node[parent].channels, n->channels,
	                     row->kernel, row->stride);
	l->norm = named_norm(b, xformat("%s%s", prefix, row->norm), n->channels);
	if (row->joins) {
		b->height = b->width = back->layer[t->node[l->block_input].layer].px;
		add_shortcut(l, t, row, node, prefix, b);
	}
	free(prefix);
	r->members[node] = n->members;
	l->last_reader = node;
	if (parent >= 0)
		r->layer[parent].last_reader = node;
	if (l->block_input >= 0 && r->layer[l->block_input].last_reader < node)
		r->layer[l->block_input].last_reader = node;
}

static void mark_streams(const struct resnet *r, const struct tree *t, const struct backbone *back,
                         struct parameter *item)
{
	int *group = xcalloc((size_t)t->nodes, sizeof *group);
	int *stream = xcalloc((size_t)t->nodes, sizeof *stream);

	tree_groups(t, back, group, stream);
	for (int i = 0; i < t->nodes; i++) {
		item[r->layer[i].conv.weight].stream = stream[i];
		if (r->layer[i].projected)
			item[r->layer[i].shortcut_conv.weight].stream = stream[i];
	}
	free(group);
	free(stream);
}

struct resnet *resnet_new(const struct model_config *c, const struct tree *tree, const int *outputs,
                          struct builder *b)
{
	struct resnet *r = xcalloc(1, sizeof *r);
	struct backbone back;

	backbone_init(&back, c);
	r->submodels = tree->submodels;
	r->layers = tree->nodes;
	r->layer = xcalloc((size_t)r->layers, sizeof *r->layer);
	r->members = xcalloc((size_t)r->layers, sizeof *r->members);
	r->leaf = xcalloc((size_t)r->submodels, sizeof *r->leaf);
	r->head = xcalloc((size_t)r->submodels, sizeof *r->head);
	for (int i = 0; i < r->layers; i++)
		add_node(r, c, &back, tree, i, b);
	for (int s = 0; s < r->submodels; s++) {
		char *name = r->submodels == 1 ? xstrdup(c->linear_name)
		                               : xformat("%s.%d", c->linear_name, s);

		r->leaf[s] = tree_at(tree, back.layers - 1, s);
		r->head[s] = linear_add(b, name, tree->node[r->leaf[s]].channels, outputs[s]);
		free(name);
	}
	mark_streams(r, tree, &back, b->parameters->item);
	backbone_release(&back);
	return r;
}

void resnet_free(struct resnet *r)
{
	if (!r)
		return;
	for (int i = 0; i < r->layers; i++)
		tensor_free(r->layer[i].select);
	free(r->layer);
	free(r->members);
	free(r->leaf);
	free(r->head);
	free(r);
}

/* ---- running ---- */

/* Option A: every stride-th pixel, with zero channels before and after. */
static struct tensor *shortcut_pad(const struct layer *l, struct tape *t, struct tensor *x)
{
	const int64_t *d = x->shape.d;
	int64_t h = (d[2] - 1) / l->block_stride + 1, w = (d[3] - 1) / l->block_stride + 1;
	const int64_t zero[4] = {0}, one[4] = {1, 1, 1, 1};
	const int64_t step[4] = {1, 1, l->block_stride, l->block_stride};
	const int64_t start[4] = {0, (l->out - l->in) / 2, 0, 0};

	x = op_slice(t, x, zero, step, SHAPE(d[0], d[1], h, w));
	return op_place(t, x, start, one, SHAPE(d[0], l->out, h, w));
}

static struct tensor *shortcut_forward(const struct layer *l, struct forward *f, struct tensor *x)
{
	if (l->projected) {
		x = conv_forward(&l->shortcut_conv, f, x);
		return batch_norm_forward(&l->shortcut_norm, f, x, NULL, false);
	}
	if (l->select)
		return op_conv(f->tape, x, tape_leaf(f->tape, l->select), l->block_stride, 0, 1);
	if (l->block_stride != 1 || l->in != l->out)
		return shortcut_pad(l, f->tape, x);
	return x;
}

/* What a node gives, from what it reads.  What is inside a block can be made again from its norm,
 * and is dropped once its last reader has run. */
static struct tensor *layer_forward(const struct resnet *r, int node, struct forward *f,
                                    struct tensor *images, struct tensor *const out[])
{
	const struct layer *l = &r->layer[node];
	const struct layer *parent = l->parent < 0 ? NULL : &r->layer[l->parent];
	struct tensor *x = parent ? out[l->parent] : images, *shortcut = NULL;
	struct tensor *y = conv_forward(&l->conv, f, x);

	if (parent && !parent->joins && parent->last_reader == node)
		tape_drop(f->tape, x);
	if (l->joins)
		shortcut = shortcut_forward(l, f, out[l->block_input]);
	y = batch_norm_forward(&l->norm, f, y, shortcut, true);
	return l->pools ? op_max_pool(f->tape, y, 3, 2, 1) : y;
}

/* Frees all that no further node, and no head, reads. */
static void forget(const struct resnet *r, struct tape *t, int mark, int node,
                   struct tensor *const out[], struct tensor *const pooled[])
{
	struct tensor **keep;
	int count = 0;

	if (t->recording)
		return;
	keep = xcalloc(2 * (size_t)r->layers, sizeof *keep);
	for (int i = 0; i <= node; i++) {
		if (out[i] && r->layer[i].last_reader > node)
			keep[count++] = out[i];
		if (pooled[i])
			keep[count++] = pooled[i];
	}
	tape_rewind(t, mark, keep, count);
	free(keep);
}

static bool is_leaf(const struct resnet *r, int node)
{
	return r->layer[node].last_reader == node;
}

struct tensor **resnet_pool(const struct resnet *r, struct forward *f, struct tensor *images,
                            uint32_t wanted)
{
	struct tensor **out = xcalloc((size_t)r->layers, sizeof *out);
	struct tensor **pooled = xcalloc((size_t)r->layers, sizeof *pooled);
	int mark = tape_mark(f->tape);

	for (int i = 0; i < r->layers; i++) {
		if (!(r->members[i] & wanted))
			continue;
		out[i] = layer_forward(r, i, f, images, out);
		if (is_leaf(r, i))
			pooled[i] = op_mean_pool(f->tape, out[i]);
		if (r->layer[i].joins || r->layer[i].parent < 0)
			forget(r, f->tape, mark, i, out, pooled);
	}
	free(out);
	return pooled;
}

void resnet_heads(const struct resnet *r, struct forward *f, struct tensor *const pooled[],
                  uint32_t wanted, struct tensor *heads[])
{
	for (int s = 0; s < r->submodels; s++)
		if (wanted >> s & 1)
			heads[s] = linear_forward(&r->head[s], f,
			                          forward_drop(f, pooled[r->leaf[s]], s));
}

struct tensor *resnet_features(const struct resnet *r, struct forward *f, struct tensor *images)
{
	struct tensor **pooled = resnet_pool(r, f, images, 1);
	struct tensor *features = pooled[r->leaf[0]];

	free(pooled);
	return features;
}

/* ---- places ---- */
static void place_norm(const struct batch_norm *n, int parameters, struct resnet_place at,
                       struct resnet_place *place)
{
	const int item[] = {n->scale, n->shift, parameters + n->mean, parameters + n->variance};

	at.columns = -1;
	for (int i = 0; i < 4; i++, at.slot++)
		place[item[i]] = at;
}

void resnet_places(const struct resnet *r, int parameters, struct resnet_place *place)
{
	for (int i = 0; i < r->layers; i++) {
		const struct layer *l = &r->layer[i];
		struct resnet_place at = {i, -1, SLOT_CONV, i, l->parent};

		place[l->conv.weight] = at;
		at.slot = SLOT_NORM;
		place_norm(&l->norm, parameters, at, place);
		if (!l->projected)
			continue;
		place[l->shortcut_conv.weight] =
		        (struct resnet_place){i, -1, SLOT_SHORTCUT_CONV, i, l->block_input};
		at.slot = SLOT_SHORTCUT_NORM;
		place_norm(&l->shortcut_norm, parameters, at, place);
	}
	for (int s = 0; s < r->submodels; s++) {
		place[r->head[s].weight] = (struct resnet_place){-1, s, SLOT_HEAD, -1, r->leaf[s]};
		place[r->head[s].bias] = (struct resnet_place){-1, s, SLOT_HEAD + 1, -1, -1};
	}
}
