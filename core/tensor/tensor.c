/* Tensors: shapes, their two forms in memory, and reading and writing their values. */
#include "core/base/text.h"
#include "core/tensor/tape.h"
#include <stdlib.h>
#include <string.h>

static int64_t reorders;

int64_t shape_count(struct shape s)
{
	int64_t count = 1;

	for (int i = 0; i < s.n; i++)
		count *= s.d[i];
	return count;
}

bool shape_equal(struct shape a, struct shape b)
{
	if (a.n != b.n)
		return false;
	for (int i = 0; i < a.n; i++)
		if (a.d[i] != b.d[i])
			return false;
	return true;
}

size_t shape_blocked_count(struct shape s, int block)
{
	assert(s.n == 4 && block > 0);
	return (size_t)(s.d[0] * ((s.d[1] + block - 1) / block) * s.d[2] * s.d[3]) * (size_t)block;
}

size_t dtype_bytes(enum dtype type)
{
	static const size_t bytes[DTYPE_COUNT] = {[F64] = 8, [F32] = 4, [I32] = 4, [U8] = 1};

	assert((unsigned)type < DTYPE_COUNT);
	return bytes[type];
}

static size_t plain_bytes(const struct tensor *t)
{
	return (size_t)shape_count(t->shape) * dtype_bytes(t->type);
}

static struct tensor *tensor_bare(enum dtype type, struct shape shape)
{
	struct tensor *t = xcalloc(1, sizeof *t);

	assert(shape.n >= 0 && shape.n <= TENSOR_DIMS);
	for (int i = 0; i < shape.n; i++)
		assert(shape.d[i] >= 0);
	t->type = type;
	t->shape = shape;
	return t;
}

struct tensor *tensor_new(enum dtype type, struct shape shape)
{
	struct tensor *t = tensor_bare(type, shape);

	t->plain = storage_new(plain_bytes(t));
	return t;
}

struct tensor *tensor_from(enum dtype type, struct shape shape, const void *values)
{
	struct tensor *t = tensor_new(type, shape);

	memcpy(t->plain->data, values, plain_bytes(t));
	return t;
}

struct tensor *tensor_zeros(enum dtype type, struct shape shape)
{
	struct tensor *t = tensor_new(type, shape);

	memset(t->plain->data, 0, plain_bytes(t));
	return t;
}

struct tensor *tensor_copy(struct tensor *t)
{
	return tensor_from(t->type, t->shape, tensor_plain(t));
}

struct tensor *tensor_share(const struct tensor *t)
{
	struct tensor *copy = tensor_bare(t->type, t->shape);

	copy->plain = storage_share(t->plain);
	copy->blocked = storage_share(t->blocked);
	copy->block = t->block;
	return copy;
}

static void drop_blocked(struct tensor *t)
{
	storage_free(t->blocked);
	t->blocked = NULL;
	t->block = 0;
}

void tensor_clear(struct tensor *t)
{
	drop_blocked(t);
	storage_free(t->plain);
	t->plain = NULL;
}

bool tensor_is_clear(const struct tensor *t)
{
	return !t->plain && !t->blocked;
}

void tensor_free(struct tensor *t)
{
	if (!t)
		return;
	tensor_clear(t);
	tensor_free(t->adjoint);
	memset(t, 0xa5, sizeof *t);
	free(t);
}

void *tensor_new_plain(struct tensor *t)
{
	assert(!t->plain && !t->blocked);
	t->plain = storage_new(plain_bytes(t));
	return t->plain->data;
}

void *tensor_new_blocked(struct tensor *t, int block)
{
	assert(!t->plain && !t->blocked && t->type == F32);
	t->blocked = storage_new(shape_blocked_count(t->shape, block) * sizeof(float));
	t->block = block;
	return t->blocked->data;
}

/* ---- forms ----
 * One group of `lanes` channels at a time: (lanes, pixels) on the plain side, (pixels, block) on
 * the blocked one. */
static void group_to_plain(float *plain, const float *blocked, int64_t lanes, int64_t pixels, int b)
{
	for (int64_t c = 0; c < lanes; c++)
		for (int64_t i = 0; i < pixels; i++)
			plain[c * pixels + i] = blocked[i * b + c];
}

static void group_to_blocked(float *blocked, const float *plain, int64_t lanes, int64_t pixels,
                             int b)
{
	for (int64_t i = 0; i < pixels; i++) {
		for (int64_t c = 0; c < lanes; c++)
			blocked[i * b + c] = plain[c * pixels + i];
		for (int64_t c = lanes; c < b; c++)
			blocked[i * b + c] = 0;
	}
}

static void reorder(struct tensor *t, int block, bool to_plain)
{
	float *plain = t->plain->data, *blocked = t->blocked->data;
	int64_t channels = t->shape.d[1], pixels = t->shape.d[2] * t->shape.d[3];
	int64_t groups = (channels + block - 1) / block;

	for (int64_t n = 0; n < t->shape.d[0]; n++)
		for (int64_t g = 0; g < groups; g++) {
			int64_t left = channels - g * block, lanes = left < block ? left : block;
			float *p = plain + (n * channels + g * block) * pixels;
			float *b = blocked + (n * groups + g) * pixels * block;
			if (to_plain)
				group_to_plain(p, b, lanes, pixels, block);
			else
				group_to_blocked(b, p, lanes, pixels, block);
		}
	reorders++;
}

const void *tensor_plain(struct tensor *t)
{
	if (!t->plain) {
		assert(t->blocked);
		t->plain = storage_new(plain_bytes(t));
		reorder(t, t->block, true);
	}
	return t->plain->data;
}

const float *tensor_blocked(struct tensor *t, int block)
{
	assert(t->type == F32);
	if (t->blocked && t->block == block)
		return t->blocked->data;
	tensor_plain(t);
	drop_blocked(t);
	t->blocked = storage_new(shape_blocked_count(t->shape, block) * sizeof(float));
	t->block = block;
	reorder(t, block, false);
	return t->blocked->data;
}

void *tensor_write(struct tensor *t)
{
	tensor_plain(t);
	drop_blocked(t);
	if (t->plain->references > 1) {
		struct storage *own = storage_new(plain_bytes(t));
		memcpy(own->data, t->plain->data, plain_bytes(t));
		storage_free(t->plain);
		t->plain = own;
	}
	return t->plain->data;
}

int64_t tensor_reorders(void)
{
	return reorders;
}

/* ---- values ---- */
static double value_at(const void *data, enum dtype type, int64_t i)
{
	switch (type) {
	case F64: return ((const double *)data)[i];
	case F32: return (double)((const float *)data)[i];
	case I32: return ((const int32_t *)data)[i];
	default: return ((const uint8_t *)data)[i];
	}
}

double tensor_at(struct tensor *t, int64_t index)
{
	assert(index >= 0 && index < shape_count(t->shape));
	return value_at(tensor_plain(t), t->type, index);
}

void tensor_set(struct tensor *t, int64_t index, double value)
{
	assert(index >= 0 && index < shape_count(t->shape) && (t->type == F64 || t->type == F32));
	if (t->type == F64)
		((double *)tensor_write(t))[index] = value;
	else
		((float *)tensor_write(t))[index] = (float)value;
}

double tensor_square_sum(struct tensor *t)
{
	double sum = 0;

	for (int64_t i = 0, n = shape_count(t->shape); i < n; i++)
		sum += tensor_at(t, i) * tensor_at(t, i);
	return sum;
}

void tensor_to_f64(struct tensor *t, double *out)
{
	const void *data = tensor_plain(t);

	for (int64_t i = 0, n = shape_count(t->shape); i < n; i++)
		out[i] = value_at(data, t->type, i);
}
