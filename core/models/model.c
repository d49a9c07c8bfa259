/* The table of models, and what all of them share. */
#include "core/models/model.h"
#include "core/base/text.h"
#include "core/models/resnet.h"
#include "core/split/subtask_loss.h"
#include <stdlib.h>
#include <string.h>

const struct stem stems[STEMS] = {
        [STEM_CIFAR] = {"cifar", 3, 1, false, 0},
        [STEM_SMALL64] = {"small64", 3, 1, true, 48},
        [STEM_IMAGENET] = {"imagenet", 7, 2, true, 112},
};

#define CIFAR(model, n)                                                                         \
	{                                                                                       \
		.name = model, .stages = 3, .blocks = {n, n, n}, .width = 16,                   \
		.shortcut = SHORTCUT_PAD, .shortcut_name = "shortcut", .linear_name = "linear", \
		.channels = 3, .image_px = 32, .norm_eps = 1e-5, .norm_momentum = 0.1           \
	}
#define WIDE(model, wide, ...)                                                                     \
	{                                                                                          \
		.name = model, .stages = 4, .blocks = {__VA_ARGS__}, .width = 64,                  \
		.bottleneck = wide, .shortcut = SHORTCUT_PROJECTION,                               \
		.shortcut_name = "downsample", .linear_name = "fc", .channels = 3, .image_px = 32, \
		.norm_eps = 1e-5, .norm_momentum = 0.1                                             \
	}
const struct model_row model_rows[] = {
        {"resnet20", "He et al. for CIFAR: 16, 32, 64 channels, 0.27 M weights", false,
         CIFAR("resnet20", 3)},
        {"resnet32", "the same, 32 layers, 0.46 M weights", false, CIFAR("resnet32", 5)},
        {"resnet44", "the same, 44 layers, 0.66 M weights", false, CIFAR("resnet44", 7)},
        {"resnet56", "the same, 56 layers, 0.85 M weights", false, CIFAR("resnet56", 9)},
        {"resnet18", "64 to 512 channels, 11.2 M weights", true,
         WIDE("resnet18", false, 2, 2, 2, 2)},
        {"resnet34", "the same, 34 layers, 21.3 M weights", true,
         WIDE("resnet34", false, 3, 4, 6, 3)},
        {"resnet50", "bottlenecks of 256 to 2048 channels, stride on the 3x3, 23.5 M weights", true,
         WIDE("resnet50", true, 3, 4, 6, 3)},
};
const int model_row_count = sizeof(model_rows) / sizeof(*model_rows);

static int unknown_model(const char *name, struct error *e)
{
	struct text known = {0};

	for (int i = 0; i < model_row_count; i++)
		text_add(&known, "%s%s", i ? ", " : "", model_rows[i].name);
	error_set(e, "unknown model \"%s\"; known: %s", name, known.data);
	text_release(&known);
	return -1;
}

static int shortcut_named(struct model_config *c, const char *shortcut, struct error *e)
{
	if (!shortcut || strcmp(shortcut, "auto") == 0)
		return 0;
	if (strcmp(shortcut, "A") != 0 && strcmp(shortcut, "B") != 0)
		return error_set(e, "unknown shortcut \"%s\"; known: A, B, auto", shortcut);
	c->shortcut = shortcut[0] == 'A' ? SHORTCUT_PAD : SHORTCUT_PROJECTION;
	return 0;
}

int model_config_named(struct model_config *c, const char *name, int classes, const char *shortcut,
                       struct error *e)
{
	for (int i = 0; i < model_row_count; i++) {
		if (strcmp(model_rows[i].name, name) != 0)
			continue;
		*c = model_rows[i].config;
		c->classes = classes;
		return shortcut_named(c, shortcut, e);
	}
	return unknown_model(name, e);
}

static int unknown_stem(const char *name, struct error *e)
{
	struct text known = {0};

	for (int i = 0; i < STEMS; i++)
		text_add(&known, "%s, ", stems[i].name);
	error_set(e, "unknown stem \"%s\"; known: %sauto", name, known.data);
	text_release(&known);
	return -1;
}

static bool stem_grows(const struct model_config *c)
{
	for (int i = 0; i < model_row_count; i++)
		if (strcmp(model_rows[i].name, c->name) == 0)
			return model_rows[i].grows;
	return false;
}

int model_config_images(struct model_config *c, int image_px, const char *stem, struct error *e)
{
	bool by_size = strcmp(stem, "auto") == 0, found = by_size;

	c->image_px = image_px;
	for (int i = 0; i < STEMS; i++) {
		bool fits = by_size ? stem_grows(c) && image_px >= stems[i].from_px
		                    : strcmp(stems[i].name, stem) == 0;

		if (fits)
			c->stem = (enum model_stem)i;
		found |= fits;
	}
	return found ? 0 : unknown_stem(stem, e);
}

static int submodels_of(const struct model_config *c)
{
	return c->subtasks ? c->subtasks->count : 1;
}

void model_outputs(const struct model_config *c, int outputs[])
{
	if (!c->subtasks)
		outputs[0] = c->classes;
	for (int s = 0; c->subtasks && s < c->subtasks->count; s++)
		outputs[s] = c->subtasks->size[s] + 1; /* and the outside */
}

struct model *model_new(const struct model_config *c, enum dtype type)
{
	assert(c->stages >= 1 && c->stages <= MODEL_STAGES && c->width >= 1 && c->classes >= 1);
	struct model *m = xcalloc(1, sizeof(*m));
	struct builder b = {&m->parameters, &m->buffers, type,
	                    c->norm_eps,    c->image_px, c->image_px};
	int outputs[SUBTASKS_MAX];
	struct backbone backbone;

	m->config = *c;
	backbone_init(&backbone, c);
	m->tree = c->tree ? tree_copy(c->tree) : tree_trunk(&backbone, submodels_of(c));
	m->config.tree = c->tree ? m->tree : NULL;
	backbone_release(&backbone);
	model_outputs(c, outputs);
	m->net = resnet_new(c, m->tree, outputs, &b);
	return m;
}

void model_free(struct model *m)
{
	if (!m)
		return;
	resnet_free(m->net);
	tree_free(m->tree);
	parameter_release(&m->parameters);
	parameter_release(&m->buffers);
	free(m);
}

struct parameter *model_item(const struct model *m, int i)
{
	int parameters = m->parameters.count;

	assert(i >= 0 && i < model_items(m));
	return i < parameters ? &m->parameters.item[i] : &m->buffers.item[i - parameters];
}

int model_items(const struct model *m)
{
	return m->parameters.count + m->buffers.count;
}

void model_begin(struct forward *f, struct tape *t, const struct model *m, enum forward_mode mode,
                 const struct quantization *q)
{
	forward_init(f, t, &m->parameters, &m->buffers, mode, q);
}

struct tensor **model_pool(const struct model *m, struct forward *f, struct tensor *images,
                           uint32_t wanted)
{
	assert(images->shape.n == 4 && images->shape.d[1] == m->config.channels);
	return resnet_pool(m->net, f, images, wanted);
}

void model_heads_again(const struct model *m, struct forward *f, struct tensor *const pooled[],
                       uint32_t wanted, struct tensor *heads[])
{
	resnet_heads(m->net, f, pooled, wanted, heads);
}

void model_heads(const struct model *m, struct forward *f, struct tensor *images, uint32_t wanted,
                 struct tensor *heads[])
{
	struct tensor **pooled = model_pool(m, f, images, wanted);

	model_heads_again(m, f, pooled, wanted, heads);
	free(pooled);
}

struct tensor *model_features(const struct model *m, struct forward *f, struct tensor *images)
{
	return resnet_features(m->net, f, images);
}

struct tensor *model_forward(const struct model *m, struct forward *f, struct tensor *images)
{
	struct tensor *heads[SUBTASKS_MAX];

	model_heads(m, f, images, UINT32_MAX, heads);
	return m->config.subtasks ? subtask_own_logits(f->tape, m->config.subtasks, heads)
	                          : heads[0];
}

static void move_towards(struct tensor *buffer, struct tensor *batch, double momentum)
{
	int64_t n = shape_count(buffer->shape);

	assert(shape_equal(buffer->shape, batch->shape) && buffer->type == batch->type);
	for (int64_t i = 0; i < n; i++) {
		double value =
		        (1 - momentum) * tensor_at(buffer, i) + momentum * tensor_at(batch, i);

		tensor_set(buffer, i, value);
	}
}

void model_update_statistics(struct model *m, struct tensor *const statistics[])
{
	for (int i = 0; i < m->buffers.count; i++)
		move_towards(m->buffers.item[i].value, statistics[i], m->config.norm_momentum);
}
