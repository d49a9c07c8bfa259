/* A moving average of a model's weights and running statistics, as timm's ModelEmaV2. */
#include "core/train/average.h"
#include "core/base/text.h"
#include <stdlib.h>
#include <string.h>

void average_init(struct average *a, const struct model *m, double decay)
{
	*a = (struct average){.decay = decay};
	if (decay == 0)
		return;
	a->count = model_items(m);
	a->value = xcalloc((size_t)a->count, sizeof(*a->value));
	for (int i = 0; i < a->count; i++)
		a->value[i] = tensor_zeros(F32, model_item(m, i)->value->shape);
}

void average_release(struct average *a)
{
	for (int i = 0; i < a->count; i++)
		tensor_free(a->value[i]);
	free(a->value);
	*a = (struct average){0};
}

void average_start(struct average *a, const struct model *m)
{
	for (int i = 0; i < a->count; i++) {
		size_t bytes = (size_t)shape_count(a->value[i]->shape) * sizeof(float);

		memcpy(tensor_write(a->value[i]), tensor_f32(model_item(m, i)->value), bytes);
	}
}

static void update(struct tensor *value, struct tensor *latest, double decay)
{
	int64_t n = shape_count(value->shape);
	const float *from = tensor_f32(latest);
	float *to = tensor_write(value);

	for (int64_t k = 0; k < n; k++)
		to[k] = (float)(decay * (double)to[k] + (1 - decay) * (double)from[k]);
}

void average_update(struct average *a, const struct model *m)
{
	for (int i = 0; i < a->count; i++)
		update(a->value[i], model_item(m, i)->value, a->decay);
}

void average_swap(struct average *a, struct model *m)
{
	for (int i = 0; i < a->count; i++) {
		struct parameter *p = model_item(m, i);
		struct tensor *before = p->value;

		p->value = a->value[i];
		a->value[i] = before;
	}
}

void average_settle(struct average *a, struct model *m)
{
	average_swap(a, m);
	average_release(a);
}

void average_reshape(struct average *a, const struct reshape *r)
{
	if (!a->count)
		return;
	a->value = reshape_list(r, r->items, a->value, a->count);
	a->count = r->items;
}

struct tensor *average_value(const struct average *a, const struct model *m, int index, char **name)
{
	assert(index >= 0 && index < a->count);
	*name = xformat("trawl.average.%s", model_item(m, index)->name);
	return a->value[index];
}
