/* Builds a classifier from a golden manifest. */
#include "tests/goldens/classifier_model.h"
#include "core/base/text.h"
#include "core/models/cost.h"
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

static const cJSON *parameters_of(const struct golden *g)
{
	return cJSON_GetObjectItemCaseSensitive(g->manifest, "parameters");
}

/* The first parameter whose name fits the pattern, with this many dimensions. */
static const cJSON *find_like(const struct golden *g, const char *pattern, int dimensions)
{
	const cJSON *p;

	cJSON_ArrayForEach (p, parameters_of(g))
		if (fnmatch(pattern, json_text(p, "name", ""), 0) == 0 &&
		    cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(p, "shape")) == dimensions)
			return p;
	return NULL;
}

/* How the manifest calls linear layer and shortcut, seen in the names of its parameters. */
static void config_names(const struct golden *g, struct model_config *c)
{
	c->linear_name = find_like(g, "linear.weight", 2) ? "linear" : "fc";
	c->shortcut_name = find_like(g, "layer*.shortcut.0.weight", 4) ? "shortcut" : "downsample";
	c->shortcut = find_like(g, "layer*.0.weight", 4) ? SHORTCUT_PROJECTION : SHORTCUT_PAD;
}

static int config_parse(const struct golden *g, struct shape images, struct model_config *c,
                        struct error *e)
{
	const cJSON *model = cJSON_GetObjectItemCaseSensitive(g->manifest, "model"), *n;
	const cJSON *norm = cJSON_GetObjectItemCaseSensitive(model, "batch_norm");
	const cJSON *stem = find_like(g, "conv1.weight", 4);
	struct shape kernel;

	*c = (struct model_config){.name = json_text(model, "name", "model")};
	cJSON_ArrayForEach (n, cJSON_GetObjectItemCaseSensitive(model, "blocks"))
		if (c->stages < MODEL_STAGES)
			c->blocks[c->stages++] = n->valueint;
	c->width = (int)json_int(model, "width", 0);
	c->classes = (int)json_int(model, "classes", 0);
	c->bottleneck = strcmp(json_text(model, "block", "basic"), "bottleneck") == 0;
	c->norm_eps = json_real(norm, "eps", 1e-5);
	c->norm_momentum = json_real(norm, "momentum", 0.1);
	c->channels = (int)images.d[1];
	if (!stem || !shape_parse(cJSON_GetObjectItemCaseSensitive(stem, "shape"), &kernel))
		return error_set(e, "no conv1.weight");
	const char *said = json_text(model, "stem", NULL);
	if (model_config_images(c, (int)images.d[2],
	                        said               ? said
	                        : kernel.d[2] == 7 ? "imagenet"
	                                           : "cifar",
	                        e))
		return -1;
	config_names(g, c);
	if (c->stages < 1 || c->width < 1 || c->classes < 1)
		return error_set(e, "model without blocks, width or classes");
	return 0;
}

static struct parameter *find_anywhere(struct model *m, const char *name)
{
	int i = parameter_find(&m->parameters, name);

	if (i >= 0)
		return &m->parameters.item[i];
	i = parameter_find(&m->buffers, name);
	return i >= 0 ? &m->buffers.item[i] : NULL;
}

static int rebuild(const struct golden *g, struct model *m, struct error *e)
{
	int64_t seed = json_int(g->manifest, "seed", 0);
	int count = 0;
	const cJSON *item;

	cJSON_ArrayForEach (item, parameters_of(g)) {
		const char *name = json_text(item, "name", "");
		struct parameter *p = find_anywhere(m, name);
		struct shape s;

		if (!p)
			return error_set(e, "the model has no %s", name);
		if (!shape_parse(cJSON_GetObjectItemCaseSensitive(item, "shape"), &s) ||
		    !shape_equal(s, p->value->shape))
			return error_set(e, "%s has another shape in the model", name);
		stream_fill(p->value, seed, name, json_real(item, "scale", 1),
		            json_real(item, "offset", 0));
		p->trainable = json_bool(item, "trainable", true);
		count++;
	}
	if (count != m->parameters.count + m->buffers.count)
		return error_set(e, "the manifest has %d parameters, the model %d", count,
		                 m->parameters.count + m->buffers.count);
	return 0;
}

struct model *classifier_model(const struct golden *g, struct shape images, struct error *e)
{
	struct model_config c;
	struct model *m;

	if (config_parse(g, images, &c, e))
		return NULL;
	m = model_new(&c, g->precision->type);
	if (rebuild(g, m, e) == 0)
		return m;
	model_free(m);
	return NULL;
}

/* A layer by its own name or by that of its weight. */
static int find_layer(const struct model *m, const char *name)
{
	int i = parameter_find(&m->parameters, name);

	if (i < 0) {
		char *weight = xformat("%s.weight", name);
		i = parameter_find(&m->parameters, weight);
		free(weight);
	}
	return i;
}

static int keep_only(const cJSON *names, const struct model *m, int bits, struct quantization *q,
                     struct error *e)
{
	const cJSON *name;

	memset(q->bits, 0, (size_t)q->count * sizeof(*q->bits));
	cJSON_ArrayForEach (name, names) {
		int i = cJSON_IsString(name) ? find_layer(m, name->valuestring) : -1;

		if (i < 0)
			return error_set(e, "quantizer.layers: the model has no %s",
			                 cJSON_IsString(name) ? name->valuestring : "such layer");
		q->bits[i] = bits;
	}
	return 0;
}

int classifier_quantization(const cJSON *quantizer, const struct model *m, struct quantization *q,
                            struct error *e)
{
	const cJSON *layers = cJSON_GetObjectItemCaseSensitive(quantizer, "layers");
	const char *words = cJSON_IsString(layers) ? layers->valuestring : "";
	struct quantization_settings s = {
	        .kind = "max",
	        .weight_bits = (int)json_int(quantizer, "weight_bits", 0),
	        .per_channel = strcmp(json_text(quantizer, "granularity", ""), "channel") == 0,
	        .keep_first = strstr(words, "first") != NULL,
	        .keep_last = strstr(words, "last") != NULL,
	};

	if (strncmp(json_text(quantizer, "kind", "symmetric"), "symmetric", 9) != 0)
		return error_set(e, "quantizer of an unknown kind");
	if (quantization_init(q, m, &s, e))
		return -1;
	return cJSON_IsArray(layers) ? keep_only(layers, m, s.weight_bits, q, e) : 0;
}
