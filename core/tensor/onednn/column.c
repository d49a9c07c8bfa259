/* The oneDNN column as the tape sees it, and the layout that its kernels share. */
#include "core/tensor/onednn/column.h"
#include "core/tensor/onednn/engine.h"
#include <string.h>

int64_t onednn_ran[OP_COUNT];

const struct backend backend_onednn = {
        .name = "onednn",
        .kernel =
                {
#define KERNEL(op) [OP_##op] = onednn_##op,
#include "core/tensor/onednn/column.def"
#undef KERNEL
                },
        .takes_blocked =
                {
#define KERNEL(op) [OP_##op] = true,
#include "core/tensor/onednn/column.def"
#undef KERNEL
                },
        .float_only = true,
        .ran = onednn_ran,
        .next = &backend_ref,
};

struct layout layout_of(struct shape s)
{
	struct layout l = {.images = s.d[0], .channels = s.d[1], .height = s.d[2], .width = s.d[3]};

	assert(s.n == 4);
	l.block = onednn_block();
	l.groups = (l.channels + l.block - 1) / l.block;
	l.pixels = l.height * l.width;
	l.planes = l.images * l.groups;
	l.count = l.planes * l.pixels * l.block;
	return l;
}

bool node_is_blocked(const struct node *n, struct shape s)
{
	if (s.n != 4)
		return false;
	for (int i = 0; i < n->in_count; i++)
		if (n->in[i]->blocked && shape_equal(n->in[i]->shape, s))
			return true;
	return false;
}

const float *blocked_input(struct tensor *t)
{
	return tensor_blocked(t, onednn_block());
}

float *blocked_output(struct tensor *t)
{
	return tensor_new_blocked(t, onednn_block());
}

bool is_per_channel(struct shape s, struct shape full)
{
	if (shape_count(s) == 1 && s.n <= full.n)
		return true;
	int channel = s.n - 3; /* (C,1,1) or (1,C,1,1) */
	return full.n == 4 && (s.n == 3 || s.n == 4) && s.d[channel] == full.d[1] &&
	       shape_count(s) == full.d[1];
}

struct storage *lanes_of(struct tensor *t, const struct layout *l)
{
	int64_t count = shape_count(t->shape), padded = l->groups * l->block;
	struct storage *s = storage_new((size_t)padded * sizeof(float));
	const float *from = tensor_f32(t);
	float *to = s->data;

	assert(count == 1 || count == l->channels);
	for (int64_t c = 0; c < padded; c++)
		to[c] = c >= l->channels ? 0 : from[count == 1 ? 0 : c];
	return s;
}
