/* The tape: makes nodes, runs their kernels, and frees them. */
#include "core/tensor/tape.h"
#include "core/base/text.h"
#include <stdlib.h>
#include <string.h>

const char *const op_name[OP_COUNT] = {
#define OP(name, inputs, outputs, vjp) [OP_##name] = #name,
#include "core/tensor/ops.def"
#undef OP
};

const bool op_repeats[OP_COUNT] = {
        [OP_batch_norm] = true,
        [OP_batch_norm_grad] = true,
        [OP_affine_quantize] = true,
};

static const struct {
	int inputs, outputs;
} op_arity[OP_COUNT] = {
#define OP(name, inputs, outputs, vjp) [OP_##name] = {inputs, outputs},
#include "core/tensor/ops.def"
#undef OP
};

void tape_init(struct tape *t, const struct backend *backend)
{
	*t = (struct tape){.backend = backend, .recording = true};
}

void tape_release(struct tape *t)
{
	tape_rewind(t, 0, NULL, 0);
	free(t->node);
	*t = (struct tape){0};
}

/* ---- nodes ---- */
static struct node *node_push(struct tape *t, enum op op)
{
	struct node *n = xcalloc(1, sizeof *n);

	if (t->count == t->capacity) {
		t->capacity = t->capacity ? 2 * t->capacity : 256;
		t->node = xrealloc(t->node, (size_t)t->capacity * sizeof *t->node);
	}
	n->op = op;
	n->id = t->count;
	t->node[t->count++] = n;
	return n;
}

static void node_attach(struct node *n, int output, struct tensor *x)
{
	assert(!x->node && !x->adjoint);
	x->node = n;
	x->output = output;
	n->out[output] = x;
	if (n->out_count <= output)
		n->out_count = output + 1;
}

void tape_free_node(struct tape *t, int id)
{
	struct node *n = t->node[id];

	if (!n)
		return;
	for (int i = 0; i < n->out_count; i++)
		tensor_free(n->out[i]);
	free(n);
	t->node[id] = NULL;
}

struct tensor *tape_adopt(struct tape *t, struct tensor *value)
{
	node_attach(node_push(t, OP_leaf), 0, value);
	return value;
}

struct tensor *tape_leaf(struct tape *t, struct tensor *value)
{
	return tape_adopt(t, tensor_share(value));
}

bool tape_has(const struct tape *t, const struct tensor *x)
{
	return x->node && x->node->id < t->count && t->node[x->node->id] == x->node;
}

/* ---- rewinding ---- */
int tape_mark(const struct tape *t)
{
	return t->count;
}

/* Frees the outputs of n that are not kept; true when any is kept, and n is then a leaf. */
static bool node_strip(struct node *n, struct tensor **keep, int keep_count)
{
	bool any = false;

	for (int i = 0; i < n->out_count; i++) {
		bool kept = false;
		for (int k = 0; k < keep_count; k++)
			kept |= keep[k] && keep[k] == n->out[i];
		if (!kept) {
			tensor_free(n->out[i]);
			n->out[i] = NULL;
		} else {
			assert(!n->out[i]->repeatable);
		}
		any |= kept;
	}
	n->op = OP_leaf;
	n->in_count = 0;
	return any;
}

void tape_rewind(struct tape *t, int mark, struct tensor **keep, int keep_count)
{
	int live = mark;

	assert(mark >= 0 && mark <= t->count);
	for (int k = 0; k < keep_count; k++)
		assert(!keep[k] || tape_has(t, keep[k]));
	for (int i = mark; i < t->count; i++) {
		struct node *n = t->node[i];
		t->node[i] = NULL;
		if (!n)
			continue;
		if (node_strip(n, keep, keep_count)) {
			n->id = live;
			t->node[live++] = n;
		} else {
			free(n);
		}
	}
	t->count = live;
}

/* ---- running kernels ---- */
static bool touches_f64(const struct node *n)
{
	for (int i = 0; i < n->in_count; i++)
		if (n->in[i]->type == F64)
			return true;
	for (int i = 0; i < n->out_count; i++)
		if (n->out[i] && n->out[i]->type == F64)
			return true;
	return false;
}

static bool run_here(const struct backend *b, struct tape *t, struct node *n)
{
	if (!b->kernel[n->op] || (b->float_only && touches_f64(n)))
		return false;
	if (!b->takes_blocked[n->op])
		for (int i = 0; i < n->in_count; i++)
			tensor_plain(n->in[i]);
	if (!b->kernel[n->op](t, n))
		return false;
	if (b->ran)
		b->ran[n->op]++;
	return true;
}

static void run(struct tape *t, struct node *n);
static void make_again(struct tape *t, struct tensor *x)
{
	if (!tensor_is_clear(x))
		return;
	assert(x->repeatable && "values that nobody can make again");
	run(t, x->node);
}

static void run(struct tape *t, struct node *n)
{
	const struct backend *b = t->backend;

	for (int i = 0; i < n->in_count; i++)
		make_again(t, n->in[i]);
	while (b && !run_here(b, t, n))
		b = b->next;
	assert(b && "no back end has a kernel for this op");
	for (int i = 0; i < n->out_count; i++)
		assert(!n->out[i] || !tensor_is_clear(n->out[i]));
}

void tape_drop(struct tape *t, struct tensor *x)
{
	assert(x->output == 0);
	if (!t->recording || !op_repeats[x->node->op])
		return;
	x->repeatable = true;
	tensor_clear(x);
}

void tape_restore(struct tape *t, struct tensor *x)
{
	make_again(t, x);
	x->repeatable = false;
}

struct node *tape_emit(struct tape *t, enum op op, struct tensor *const in[], int in_count,
                       const struct shape out_shape[], const enum dtype out_type[], int out_count,
                       unsigned wanted, const struct attr *attr)
{
	struct node *n = node_push(t, op);

	assert(in_count <= op_arity[op].inputs && out_count == op_arity[op].outputs);
	n->in_count = in_count;
	n->out_count = out_count;
	if (attr)
		n->attr = *attr;
	for (int i = 0; i < in_count; i++) {
		assert(!t->recording || tape_has(t, in[i]));
		n->in[i] = in[i];
	}
	for (int i = 0; i < out_count; i++) {
		if (!(wanted >> i & 1))
			continue;
		struct tensor *x = xcalloc(1, sizeof *x);
		x->type = out_type[i];
		x->shape = out_shape[i];
		node_attach(n, i, x);
	}
	run(t, n);
	if (!t->recording)
		n->in_count = 0;
	return n;
}
