/* The element types of safetensors, and the conversion of their values. */
#include "core/tensor/safetensors_type.h"
#include "core/tensor/safetensors.h"
#include <math.h>
#include <string.h>

#define READ_AS(type)                                \
	static double at_##type(const void *element) \
	{                                            \
		type v;                              \
		memcpy(&v, element, sizeof(v));      \
		return (double)v;                    \
	}
READ_AS(double)
READ_AS(float)
READ_AS(int64_t)
READ_AS(int32_t)
READ_AS(int16_t)
READ_AS(uint64_t)
READ_AS(uint32_t)
READ_AS(uint16_t)
READ_AS(uint8_t)
READ_AS(int8_t)

static double at_half(const void *element)
{
	uint16_t h;
	memcpy(&h, element, sizeof(h));
	int exponent = h >> 10 & 31, fraction = h & 1023;
	double size = exponent == 31  ? (fraction ? (double)NAN : (double)INFINITY)
	              : exponent == 0 ? ldexp(fraction, -24)
	                              : ldexp(fraction + 1024, exponent - 25);

	return h >> 15 ? -size : size;
}

static double at_bfloat(const void *element)
{
	uint16_t h;
	memcpy(&h, element, sizeof(h));
	uint32_t bits = (uint32_t)h << 16;

	return at_float(&bits);
}

/* The upper byte of a half. */
static double at_float8_e5m2(const void *element)
{
	uint16_t h = (uint16_t)(*(const uint8_t *)element << 8);

	return at_half(&h);
}

/* No infinities, and one NaN of each sign (OCP 8-bit floating point). */
static double at_float8_e4m3(const void *element)
{
	uint8_t b = *(const uint8_t *)element;
	int exponent = b >> 3 & 15, fraction = b & 7;
	double size = (b & 127) == 127 ? (double)NAN
	              : exponent == 0  ? ldexp(fraction, -9)
	                               : ldexp(fraction + 8, exponent - 10);

	return b >> 7 ? -size : size;
}

static const struct safetensors_type types[] = {
        {"F64", 8, at_double},   {"F32", 4, at_float},           {"F16", 2, at_half},
        {"BF16", 2, at_bfloat},  {"I64", 8, at_int64_t},         {"I32", 4, at_int32_t},
        {"U8", 1, at_uint8_t},   {"I8", 1, at_int8_t},           {"U64", 8, at_uint64_t},
        {"U32", 4, at_uint32_t}, {"U16", 2, at_uint16_t},        {"I16", 2, at_int16_t},
        {"BOOL", 1, at_uint8_t}, {"F8_E5M2", 1, at_float8_e5m2}, {"F8_E4M3", 1, at_float8_e4m3},
};

const struct safetensors_type *safetensors_type_named(const char *name)
{
	for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++)
		if (strcmp(types[i].name, name) == 0)
			return &types[i];
	return NULL;
}

double safetensor_at(const struct safetensor *s, int64_t index)
{
	const struct safetensors_type *t = safetensors_type_named(s->type);

	assert(index >= 0 && index < s->count);
	return t->at((const char *)s->data + (size_t)index * t->bytes);
}

/* What a value becomes in a tensor's type; false when it does not fit. */
static bool store(void *values, enum dtype type, int64_t i, double v)
{
	switch (type) {
	case F64: ((double *)values)[i] = v; return true;
	case F32: ((float *)values)[i] = (float)v; return true;
	case I32:
		if (!(v >= INT32_MIN && v <= INT32_MAX && v == floor(v)))
			return false;
		((int32_t *)values)[i] = (int32_t)v;
		return true;
	default:
		if (!(v >= 0 && v <= UINT8_MAX && v == floor(v)))
			return false;
		((uint8_t *)values)[i] = (uint8_t)v;
		return true;
	}
}

int safetensor_read(const struct safetensor *s, struct tensor *t, struct error *e)
{
	const struct safetensors_type *type = safetensors_type_named(s->type);
	void *values = tensor_write(t);

	assert(s->count == shape_count(t->shape));
	for (int64_t i = 0; i < s->count; i++) {
		double v = type->at((const char *)s->data + (size_t)i * type->bytes);

		if (!store(values, t->type, i, v))
			return error_set(e, "tensor \"%.200s\": element %lld = %.17g does not fit",
			                 s->name, (long long)i, v);
	}
	return 0;
}
