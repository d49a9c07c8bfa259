/* The reference back end: its table, and the walk over operands that its kernels share. */
#include "core/tensor/ref.h"

static int64_t ran[OP_COUNT];
#define ref_leaf NULL
const struct backend backend_ref = {.name = "ref",
                                    .ran = ran,
                                    .kernel = {
#define OP(name, inputs, outputs, vjp) [OP_##name] = ref_##name,
#include "core/tensor/ops.def"
#undef OP
                                    }};

bool ref_is_f64(const struct node *n)
{
	int i = 0;

	while (!n->out[i])
		i++;
	assert(n->out[i]->type == F64 || n->out[i]->type == F32);
	return n->out[i]->type == F64;
}

void strides_of(struct shape s, int64_t stride[])
{
	int64_t step = 1;

	for (int i = s.n - 1; i >= 0; i--) {
		stride[i] = step;
		step *= s.d[i];
	}
}

void strides_aligned(struct shape small, struct shape s, int64_t stride[])
{
	int64_t step = 1;

	for (int i = s.n - 1, j = small.n - 1; i >= 0; i--, j--) {
		int64_t d = j >= 0 ? small.d[j] : 1;
		stride[i] = d == 1 ? 0 : step;
		step *= d;
	}
}

/* Whether dimension i (inner, of `size`) continues what the walk's last dimension does. */
static bool merges(const struct walk *w, int last, int64_t size, int64_t *const stride[], int i,
                   int operands)
{
	for (int k = 0; k < operands; k++)
		if (w->outer[k][last] != stride[k][i] * size)
			return false;
	return true;
}

void walk_init(struct walk *w, struct shape s, int64_t *const stride[], int operands)
{
	*w = (struct walk){.length = 1, .rows = 1};
	for (int i = 0; i < s.n; i++) {
		if (s.d[i] == 1)
			continue;
		bool merge = w->n && merges(w, w->n - 1, s.d[i], stride, i, operands);
		int at = merge ? w->n - 1 : w->n++;
		w->d[at] = merge ? w->d[at] * s.d[i] : s.d[i];
		for (int k = 0; k < operands; k++)
			w->outer[k][at] = stride[k][i];
	}
	if (w->n) {
		w->n--;
		w->length = w->d[w->n];
		for (int k = 0; k < operands; k++)
			w->step[k] = w->outer[k][w->n];
	}
	for (int i = 0; i < w->n; i++)
		w->rows *= w->d[i];
}

void walk_next(struct walk *w)
{
	for (int i = w->n - 1; i >= 0; i--) {
		for (int k = 0; k < OPERANDS; k++)
			w->offset[k] += w->outer[k][i];
		if (++w->at[i] < w->d[i])
			return;
		for (int k = 0; k < OPERANDS; k++)
			w->offset[k] -= w->outer[k][i] * w->d[i];
		w->at[i] = 0;
	}
}
