/* The Fisher-trace regularizer: its value, and the gradient of a loss that has it as a term. */
#include "core/fisher/regularizer.h"
#include "core/base/text.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Whether there is a gradient to tensor i of f->raw or f->used: what is trainable, but with respect
 * to Q(W) a learned step is none of its own. */
static bool wanted(const struct forward *f, struct tensor **of, int i)
{
	const struct parameter *p = &f->parameters->item[i];

	return of == f->raw ? p->trainable : parameter_varies(p);
}

/* The wanted tensors of a forward pass, in the order of its parameters. */
static int collect(const struct forward *f, struct tensor **of, struct tensor **wrt)
{
	int count = 0;

	for (int i = 0; i < f->parameters->count; i++)
		if (wanted(f, of, i))
			wrt[count++] = of[i];
	return count;
}

/* Such a list again as one entry per parameter: null where it is not wanted. */
static void spread(const struct forward *f, struct tensor **of, struct tensor **from,
                   struct tensor **out)
{
	for (int i = 0; i < f->parameters->count; i++)
		out[i] = wanted(f, of, i) ? *from++ : NULL;
}

/* Gradients of y with respect to f->used and f->raw; either may be null: not wanted. */
static void gradients(struct forward *f, struct tensor *y, struct tensor **used,
                      struct tensor **raw, enum grad_mode mode)
{
	size_t all = 2 * (size_t)f->parameters->count;
	struct tensor **wrt = xcalloc(all, sizeof(*wrt)), **g = xcalloc(all, sizeof(*g));
	int first = used ? collect(f, f->used, wrt) : 0;
	int count = first + (raw ? collect(f, f->raw, wrt + first) : 0);

	tape_grad(f->tape, y, wrt, count, g, mode);
	if (used)
		spread(f, f->used, g, used);
	if (raw)
		spread(f, f->raw, g + first, raw);
	free(wrt);
	free(g);
}

struct tensor *fisher_regularizer(struct forward *f, struct tensor *loss)
{
	int count = f->parameters->count;
	struct tensor **g = xcalloc((size_t)count, sizeof(*g));
	struct tensor *sum = NULL;

	gradients(f, loss, g, NULL, GRAD_RECORD);
	for (int i = 0; i < count; i++) {
		if (!g[i])
			continue;
		struct tensor *square = op_square_sum(f->tape, g[i]);
		sum = sum ? op_add(f->tape, sum, square) : square;
	}
	assert(sum);
	free(g);
	return sum;
}

void loss_gradient(struct forward *f, struct losses l, double lambda, struct tensor **out,
                   double *regularizer)
{
	struct tensor *loss = l.loss;
	double r = 0;

	if (lambda != 0) {
		struct tensor *trace = fisher_regularizer(f, l.term);

		r = tensor_at(trace, 0);
		loss = op_add(f->tape, loss, op_scale(f->tape, trace, lambda));
	}
	if (regularizer)
		*regularizer = r;
	gradients(f, loss, NULL, out, GRAD_CONSUME);
}

/* ---- by a finite difference ---- */
/* What a difference needs of a pass, one entry per parameter. */
struct slopes {
	struct tensor **used; /* gradient of the term with respect to Q(W) */
	struct tensor **raw;  /* the same to W, and once moved */
	struct tensor **moved;
	int count;
};

/* Gradient of the term where the parameters have moved by `step` times s->used; other tape. */
static void slopes_move(struct slopes *s, struct forward *f, struct tape *t, double step,
                        losses_fn *again, void *self)
{
	struct forward moved;

	tape_init(t, f->tape->backend);
	forward_init(&moved, t, f->parameters, f->buffers, f->mode, f->quantization);
	forward_move(&moved, s->used, step);
	gradients(&moved, again(self, &moved).term, NULL, s->moved, GRAD_CONSUME);
	forward_release(&moved);
}

/* out += factor (moved - raw) */
static void slopes_add(const struct slopes *s, struct tape *t, double factor, struct tensor **out)
{
	t->recording = false;
	for (int i = 0; i < s->count; i++)
		if (out[i]) {
			struct tensor *h = op_sub(t, tape_leaf(t, s->moved[i]), s->raw[i]);
			out[i] = op_add(t, out[i], op_scale(t, h, factor));
		}
}

static struct slopes slopes_new(int count)
{
	struct tensor **all = xcalloc(3 * (size_t)count, sizeof(*all));

	return (struct slopes){all, all + count, all + 2 * count, count};
}

void loss_gradient_difference(struct forward *f, struct losses l, const struct regularizer *r,
                              losses_fn *again, void *self, struct tensor **out,
                              double *regularizer)
{
	struct slopes s = slopes_new(f->parameters->count);
	struct tape moved;
	double square = 0;

	gradients(f, l.term, s.used, s.raw, l.term == l.loss ? GRAD_CONSUME : GRAD_KEEP);
	if (l.term == l.loss)
		memcpy(out, s.raw, (size_t)s.count * sizeof(*out));
	else
		gradients(f, l.loss, NULL, out, GRAD_CONSUME);
	for (int i = 0; i < s.count; i++)
		square += s.used[i] ? tensor_square_sum(s.used[i]) : 0;
	if (regularizer)
		*regularizer = square;
	if (square > 0 && isfinite(square)) {
		double length = sqrt(square);
		slopes_move(&s, f, &moved, r->radius / length, again, self);
		slopes_add(&s, f->tape, r->lambda * 2 * length / r->radius, out);
		tape_release(&moved);
	}
	free(s.used);
}
