/* Gradients: walks the tape downwards and passes adjoints from outputs to inputs.
 *
 * When the gradient is not recorded, each adjoint is a loose tensor (a share of the storage that a
 * vjp made) held by the tensor it belongs to, and all nodes of a vjp are rewound as soon as it
 * returns.  When it is recorded, adjoints are values on the tape and live as long as it does. */
#include "core/base/text.h"
#include "core/tensor/op.h"
#include <stdlib.h>

struct walk {
	struct tape *t;
	enum grad_mode mode;
	int count;       /* nodes below this id are walked */
	int from;        /* where the walk begins */
	bool *is_wrt;    /* by id */
	bool *need;      /* a differentiable path leads here from wrt: adjoints are wanted */
	bool *dependent; /* any path leads here from another of wrt */
};

static void walk_init(struct walk *w, struct tensor **wrt, int count)
{
	struct tape *t = w->t;

	w->is_wrt = xcalloc((size_t)w->count + 1, sizeof *w->is_wrt);
	w->need = xcalloc((size_t)w->count + 1, sizeof *w->need);
	w->dependent = xcalloc((size_t)w->count + 1, sizeof *w->dependent);
	for (int k = 0; k < count; k++) {
		assert(tape_has(t, wrt[k]));
		w->is_wrt[wrt[k]->node->id] = true;
	}
	for (int i = 0; i < w->count; i++) {
		struct node *n = t->node[i];
		for (int k = 0; n && k < n->in_count; k++) {
			int j = n->in[k]->node->id;
			w->need[i] |= w->need[j] && op_vjp[n->op];
			w->dependent[i] |= w->dependent[j] || w->is_wrt[j];
		}
		w->need[i] |= w->is_wrt[i];
	}
}

static void walk_release(struct walk *w)
{
	free(w->is_wrt);
	free(w->need);
	free(w->dependent);
}

static void adjoint_drop(struct walk *w, struct tensor *x)
{
	if (w->mode != GRAD_RECORD)
		tensor_free(x->adjoint);
	x->adjoint = NULL;
}

/* Adds d to the adjoint of x: in the order of the walk, so that bits repeat. */
static void adjoint_add(struct walk *w, struct tensor *x, struct tensor *d)
{
	assert(shape_equal(x->shape, d->shape) && x->type == d->type);
	if (x->adjoint)
		d = op_add(w->t, x->adjoint, d);
	adjoint_drop(w, x);
	x->adjoint = w->mode == GRAD_RECORD ? d : tensor_share(d);
}

static void pass_on(struct walk *w, struct node *n)
{
	struct tensor *g[OP_OUTPUTS] = {0}, *d[OP_INPUTS] = {0};
	bool wanted[OP_INPUTS] = {0}, any = false;
	int mark = tape_mark(w->t);

	for (int i = 0; i < n->out_count; i++) {
		g[i] = n->out[i] ? n->out[i]->adjoint : NULL;
		any |= g[i] != NULL;
	}
	for (int k = 0; k < n->in_count; k++)
		wanted[k] = w->need[n->in[k]->node->id];
	if (any && n->in_count && op_vjp[n->op])
		op_vjp[n->op](w->t, n, g, wanted, d);
	for (int k = 0; k < n->in_count; k++)
		if (d[k] && wanted[k])
			adjoint_add(w, n->in[k], d[k]);
	if (w->mode != GRAD_RECORD)
		tape_rewind(w->t, mark, NULL, 0);
}

/* Nothing of this walk reads x any more, nor its adjoint: other walks may have theirs under way. */
static void passed(struct walk *w, struct tensor *x, bool met)
{
	if (x->repeatable && w->mode != GRAD_CONSUME)
		tensor_clear(x);
	if (!met)
		return;
	if (x->adjoint && w->mode == GRAD_RECORD && x->adjoint->output == 0)
		tape_drop(w->t, x->adjoint);
	adjoint_drop(w, x);
}

static void node_done(struct walk *w, struct node *n)
{
	bool met = w->need[n->id] || n->id == w->from;

	if (!w->is_wrt[n->id])
		for (int k = 0; k < n->out_count; k++)
			if (n->out[k])
				passed(w, n->out[k], met);
	if (w->mode != GRAD_CONSUME || !w->dependent[n->id])
		return;
	if (w->is_wrt[n->id])
		n->in_count = 0; /* its inputs may go, it stays */
	else
		tape_free_node(w->t, n->id);
}

static void walk_down(struct walk *w)
{
	for (int i = w->count - 1; i >= 0; i--) {
		struct node *n = w->t->node[i];
		if (n && w->need[i])
			pass_on(w, n);
		if (n)
			node_done(w, n);
	}
}

static struct tensor *collect(struct walk *w, struct tensor *wrt)
{
	struct tensor *d = wrt->adjoint;

	if (!d)
		return op_fill(w->t, wrt->type, wrt->shape, 0);
	tape_restore(w->t, d);
	return w->mode == GRAD_RECORD ? d : tape_leaf(w->t, d);
}

void tape_vjp(struct tape *t, struct tensor *y, struct tensor *adjoint, struct tensor **wrt,
              int count, struct tensor **out, enum grad_mode mode)
{
	struct walk w = {.t = t, .mode = mode, .count = t->count, .from = y->node->id};
	bool recording = t->recording;

	assert(tape_has(t, y) && (mode != GRAD_RECORD || (recording && tape_has(t, adjoint))));
	walk_init(&w, wrt, count);
	t->recording = mode == GRAD_RECORD;
	adjoint_add(&w, y, adjoint);
	walk_down(&w);
	for (int k = 0; k < count; k++)
		out[k] = collect(&w, wrt[k]);
	for (int k = 0; k < count; k++)
		adjoint_drop(&w, wrt[k]);
	t->recording = recording;
	walk_release(&w);
}

void tape_grad(struct tape *t, struct tensor *y, struct tensor **wrt, int count,
               struct tensor **out, enum grad_mode mode)
{
	assert(shape_count(y->shape) == 1);
	tape_vjp(t, y, op_fill(t, y->type, y->shape, 1), wrt, count, out, mode);
}
