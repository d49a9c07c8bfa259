/* The named streams that golden parameters are rebuilt from. */
#include "core/base/hash.h"
#include "core/base/text.h"
#include "tests/goldens/golden.h"
#include <stdlib.h>
#include <string.h>

struct stream stream_named(int64_t seed, const char *name)
{
	char *key = xformat("%lld:%s", (long long)seed, name);
	struct stream s = {fnv1a(key, strlen(key))};

	free(key);
	return s;
}

double stream_next(struct stream *s)
{
	uint64_t z = s->state += 0x9E3779B97F4A7C15u;

	z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
	z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
	z ^= z >> 31;
	return (double)(z >> 40) * 0x1p-24;
}

void stream_fill(struct tensor *t, int64_t seed, const char *name, double scale, double offset)
{
	struct stream s = stream_named(seed, name);
	void *values = tensor_write(t);

	for (int64_t i = 0, n = shape_count(t->shape); i < n; i++) {
		float v = (float)(offset + scale * (2 * stream_next(&s) - 1));

		if (t->type == F64)
			((double *)values)[i] = v;
		else
			((float *)values)[i] = v;
	}
}

bool shape_parse(const cJSON *array, struct shape *s)
{
	const cJSON *d;

	*s = SCALAR;
	if (!cJSON_IsArray(array) || cJSON_GetArraySize(array) > TENSOR_DIMS)
		return false;
	cJSON_ArrayForEach (d, array) {
		if (!cJSON_IsNumber(d) || d->valuedouble < 1)
			return false;
		s->d[s->n++] = (int64_t)d->valuedouble;
	}
	return true;
}
