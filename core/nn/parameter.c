/* Sets of named parameters and their starting values. */
#include "core/nn/parameter.h"
#include "core/base/random.h"
#include "core/base/text.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const bool starts_at_one[] = {
        [PARAMETER_NORM_SCALE] = true,
        [PARAMETER_NORM_VARIANCE] = true,
};

static bool role_starts_at_one(enum parameter_role role)
{
	return role < sizeof(starts_at_one) / sizeof(*starts_at_one) && starts_at_one[role];
}

static void fill(struct tensor *t, double value)
{
	for (int64_t i = 0, n = shape_count(t->shape); i < n; i++)
		tensor_set(t, i, value);
}

int parameter_add(struct parameter_set *s, char *name, enum parameter_role role, enum dtype type,
                  struct shape shape)
{
	assert(type == F32 || type == F64);
	if (s->count == s->capacity) {
		s->capacity = s->capacity ? 2 * s->capacity : 64;
		s->item = xrealloc(s->item, (size_t)s->capacity * sizeof(*s->item));
	}
	struct tensor *value = tensor_zeros(type, shape);
	if (role_starts_at_one(role))
		fill(value, 1.0);
	s->item[s->count] =
	        (struct parameter){.name = name, .role = role, .value = value, .trainable = true};
	return s->count++;
}

int parameter_find(const struct parameter_set *s, const char *name)
{
	for (int i = 0; i < s->count; i++)
		if (strcmp(s->item[i].name, name) == 0)
			return i;
	return -1;
}

int64_t parameter_elements(const struct parameter_set *s)
{
	int64_t total = 0;
	for (int i = 0; i < s->count; i++)
		total += shape_count(s->item[i].value->shape);
	return total;
}

void parameter_release(struct parameter_set *s)
{
	for (int i = 0; i < s->count; i++) {
		free(s->item[i].name);
		tensor_free(s->item[i].value);
	}
	free(s->item);
	*s = (struct parameter_set){0};
}

static void start_normal(struct tensor *t, const struct random_stream *r, double deviation)
{
	for (int64_t i = 0, n = shape_count(t->shape); i < n; i++)
		tensor_set(t, i, deviation * random_normal(r, (uint64_t)i));
}

static void start_uniform(struct tensor *t, const struct random_stream *r, double bound)
{
	for (int64_t i = 0, n = shape_count(t->shape); i < n; i++)
		tensor_set(t, i, bound * (2 * random_uniform(r, (uint64_t)i) - 1));
}

static void start(struct parameter *p, int64_t seed)
{
	struct random_stream r = random_stream(seed, "init", random_name(p->name), 0);
	const int64_t *d = p->value->shape.d;

	switch (p->role) {
	case PARAMETER_CONV:
		start_normal(p->value, &r, sqrt(2.0 / (double)(d[0] * d[2] * d[3])));
		break;
	case PARAMETER_LINEAR: start_uniform(p->value, &r, 1 / sqrt((double)d[1])); break;
	case PARAMETER_BIAS: start_uniform(p->value, &r, 1 / sqrt((double)p->fan_in)); break;
	default: fill(p->value, role_starts_at_one(p->role) ? 1.0 : 0.0);
	}
}

void parameter_start(struct parameter_set *s, int64_t seed)
{
	for (int i = 0; i < s->count; i++)
		start(&s->item[i], seed);
}

bool parameter_quantizable(const struct parameter *p)
{
	return p->role == PARAMETER_CONV || p->role == PARAMETER_LINEAR;
}

bool parameter_varies(const struct parameter *p)
{
	return p->trainable && p->role != PARAMETER_STEP;
}
