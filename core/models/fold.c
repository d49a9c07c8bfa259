/* Batch norms folded into the convolutions before them, for models that are only evaluated. */
#include "core/models/fold.h"
#include "core/base/text.h"
#include <math.h>
#include <string.h>

/* A convolution's weight and its norm, by their places among parameters and buffers. */
struct pair {
	struct tensor *weight, *scale, *shift, *mean, *variance;
};

static struct pair pair_of(struct model *m, int norm, int first)
{
	struct parameter *p = m->parameters.item + first, *b = m->buffers.item + 2 * norm;

	assert(first >= 1 && p[-1].role == PARAMETER_CONV && p[1].role == PARAMETER_NORM_SHIFT);
	assert(b[0].role == PARAMETER_NORM_MEAN && b[1].role == PARAMETER_NORM_VARIANCE);
	return (struct pair){p[-1].value, p[0].value, p[1].value, b[0].value, b[1].value};
}

/* As the type adds, so that of a norm once cleared it is 1. */
static double deviation(const struct model *m, struct tensor *variance, int64_t channel)
{
	double v = tensor_at(variance, channel), eps = m->config.norm_eps;

	return variance->type == F32 ? (double)sqrtf((float)v + (float)eps) : sqrt(v + eps);
}

static void fold_channel(const struct model *m, const struct pair *p, int64_t channel)
{
	int64_t n = shape_count(p->weight->shape) / p->weight->shape.d[0], at = channel * n;
	double factor = tensor_at(p->scale, channel) / deviation(m, p->variance, channel);
	double shift = tensor_at(p->shift, channel) - factor * tensor_at(p->mean, channel);

	for (int64_t i = at; i < at + n; i++)
		tensor_set(p->weight, i, factor * tensor_at(p->weight, i));
	tensor_set(p->shift, channel, shift);
}

static void clear_channel(const struct model *m, const struct pair *p, int64_t channel)
{
	tensor_set(p->scale, channel, 1);
	tensor_set(p->mean, channel, 0);
	tensor_set(p->variance, channel, 1 - m->config.norm_eps);
	assert(deviation(m, p->variance, channel) == 1);
}

typedef void channel_fn(const struct model *m, const struct pair *p, int64_t channel);

static void each_channel(struct model *m, channel_fn *f)
{
	int norm = 0;

	for (int i = 0; i < m->parameters.count; i++) {
		if (m->parameters.item[i].role != PARAMETER_NORM_SCALE)
			continue;
		struct pair p = pair_of(m, norm++, i);
		for (int64_t c = 0; c < shape_count(p.scale->shape); c++)
			f(m, &p, c);
	}
}

void fold_clear_norms(struct model *m)
{
	each_channel(m, clear_channel);
}

void model_fold(struct model *m)
{
	each_channel(m, fold_channel);
	fold_clear_norms(m);
	m->folded = true;
}

bool fold_drops(const struct model *m, int i)
{
	enum parameter_role role = model_item(m, i)->role;

	return role == PARAMETER_NORM_SCALE || role == PARAMETER_NORM_MEAN ||
	       role == PARAMETER_NORM_VARIANCE;
}

char *fold_name(const struct model *m, int i)
{
	const struct parameter *p = model_item(m, i);

	if (p->role != PARAMETER_NORM_SHIFT)
		return xstrdup(p->name);
	const char *weight = model_item(m, i - 2)->name;
	return xformat("%.*sbias", (int)(strlen(weight) - strlen("weight")), weight);
}
