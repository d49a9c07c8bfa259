/* The element types of safetensors, one row each. */
#ifndef TENSOR_SAFETENSORS_TYPE_H
#define TENSOR_SAFETENSORS_TYPE_H
#include <stddef.h>

struct safetensors_type {
	const char *name;
	size_t bytes;
	double (*at)(const void *element); /* little-endian, maybe not aligned */
};
const struct safetensors_type *safetensors_type_named(const char *name); /* null when unknown */
#endif
