/* The quantized model in a file: integer codes, scales, and what stayed at full precision. */
#include "core/base/text.h"
#include "core/models/bits.h"
#include "core/models/cost.h"
#include "core/models/fold.h"
#include "core/models/quantized.h"
#include "core/models/split_record.h"
#include "core/models/weights.h"
#include <stdlib.h>
#include <string.h>

/* Values that the writer borrows until it has written. */
struct borrowed {
	void **item;
	int count;
};

static void *lend(struct borrowed *b, size_t bytes)
{
	b->item = xrealloc(b->item, (size_t)(b->count + 1) * sizeof(*b->item));
	return b->item[b->count++] = xmalloc(bytes);
}

static void *lend_copy(struct borrowed *b, struct tensor *t)
{
	size_t bytes = (size_t)shape_count(t->shape) * dtype_bytes(t->type);

	return memcpy(lend(b, bytes), tensor_plain(t), bytes);
}

static void put_named(struct safetensors_writer *w, const char *name, const char *suffix,
                      const char *type, struct shape shape, const void *values)
{
	char *full = xformat("%s%s", name, suffix);

	safetensors_put(w, full, type, shape, values);
	free(full);
}

static void put_codes(struct safetensors_writer *w, const struct quantization *q,
                      const struct model *m, int i, struct borrowed *b)
{
	const struct parameter *p = &m->parameters.item[i];
	struct tensor *scale = quantized_scale(q, m, i);
	int8_t *code = lend(b, (size_t)shape_count(p->value->shape));

	quantizer_codes(p->value, scale, q->bits[i], code);
	put_named(w, p->name, ".codes", "I8", p->value->shape, code);
	put_named(w, p->name, ".scale", "F32", scale->shape, lend_copy(b, scale));
	tensor_free(scale);
}

/* What layer i computes with: input_scale (code - input_zero_point). */
static void put_input(struct safetensors_writer *w, const struct quantization *q,
                      const struct model *m, int i, struct borrowed *b)
{
	const char *name = m->parameters.item[i].name;
	struct affine a = range_affine(activations_range(&q->activations, i), q->activations.bits);
	char *layer = xformat("%.*s", (int)(strlen(name) - strlen("weight")), name);
	float *scale = lend(b, sizeof *scale);
	int32_t *zero = lend(b, sizeof *zero);

	*scale = (float)a.scale;
	*zero = a.zero;
	put_named(w, layer, "input_scale", "F32", SHAPE(1), scale);
	put_named(w, layer, "input_zero_point", "I32", SHAPE(1), zero);
	free(layer);
}

static void put_metadata(struct safetensors_writer *w, const struct model *m,
                         const struct quantization *q)
{
	char *text = bits_text(m, q), *bytes = xformat("%lld", (long long)model_bytes(m, q));
	char *inputs =
	        xformat("%d", q && q->activations.bits ? q->activations.bits : FULL_PRECISION_BITS);

	safetensors_put_metadata(w, "model", m->config.name);
	safetensors_put_metadata(w, "granularity",
	                         q && q->scaling.per_channel ? "channel" : "tensor");
	safetensors_put_metadata(w, "bits", text);
	safetensors_put_metadata(w, "activation_bits", inputs);
	safetensors_put_metadata(w, "model_bytes", bytes);
	split_record_put(m, w);
	if (m->folded)
		safetensors_put_metadata(w, "folded", "true");
	free(inputs);
	free(text);
	free(bytes);
}

/* A parameter or buffer that stays as it is; learned steps are among the scales. */
static void put_plain(struct safetensors_writer *w, const struct model *m, int i)
{
	const struct parameter *p = model_item(m, i);

	if (p->role == PARAMETER_STEP || (m->folded && fold_drops(m, i)))
		return;
	char *name = m->folded ? fold_name(m, i) : xstrdup(p->name);
	safetensors_put_tensor(w, name, p->value);
	free(name);
}

int model_export(const struct model *m, const struct quantization *q, const char *path,
                 struct error *e)
{
	struct safetensors_writer *w = safetensors_writer_new();
	struct borrowed b = {0};
	int result;

	for (int i = 0; i < m->parameters.count; i++) {
		if (q && q->bits[i])
			put_codes(w, q, m, i, &b);
		else
			put_plain(w, m, i);
		if (q && q->activations.bits && q->activations.chosen[i])
			put_input(w, q, m, i, &b);
	}
	for (int i = m->parameters.count; i < model_items(m); i++)
		put_plain(w, m, i);
	put_metadata(w, m, q);
	result = safetensors_write(w, path, e);
	safetensors_writer_free(w);
	for (int i = 0; i < b.count; i++)
		free(b.item[i]);
	free(b.item);
	return result;
}
