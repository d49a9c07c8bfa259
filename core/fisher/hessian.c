/* The Hessian of a model's loss, through exact products with vectors. */
#include "core/fisher/hessian.h"
#include "core/base/text.h"
#include <stdlib.h>

/* v as a leaf of the model's type. */
static struct tensor *leaf_of(struct tape *t, struct tensor *v, enum dtype type)
{
	if (v->type == type)
		return tape_leaf(t, v);
	struct tensor *wide = tensor_new(type, v->shape);
	tensor_to_f64(v, tensor_write(wide));
	return tape_adopt(t, wide);
}

static struct tensor *summed_loss(const struct model *m, struct forward *f,
                                  const struct critical *c, struct tensor *images,
                                  struct tensor *labels)
{
	struct tape *t = f->tape;
	struct tensor *logits = model_forward(m, f, tape_leaf(t, images));

	if (!c)
		return op_sum(t, op_cross_entropy(t, logits, tape_leaf(t, labels)));
	return op_sum(t, critical_cross_entropy(t, logits, labels, c));
}

/* <gradient of y, v>, that can be differentiated; wrt and g are (count), v their directions. */
static struct tensor *slope(struct tape *t, struct tensor *y, struct tensor **wrt,
                            struct tensor *const v[], int count)
{
	struct tensor **g = xcalloc((size_t)count, sizeof *g), *sum = NULL;

	tape_grad(t, y, wrt, count, g, GRAD_RECORD);
	for (int i = 0; i < count; i++) {
		struct tensor *along = op_sum(t, op_mul(t, g[i], leaf_of(t, v[i], g[i]->type)));
		sum = sum ? op_add(t, sum, along) : along;
	}
	free(g);
	return sum;
}

static void add_to(double *out, struct tensor *t)
{
	for (int64_t i = 0; i < shape_count(t->shape); i++)
		out[i] += tensor_at(t, i);
}

void hessian_product(const struct model *m, const struct quantization *q, const struct critical *c,
                     const struct backend *backend, struct tensor *images, struct tensor *labels,
                     const struct direction *v, double *const out[])
{
	size_t all = (size_t)v->count;
	struct tensor **wrt = xcalloc(all, sizeof *wrt), **along = xcalloc(all, sizeof *along);
	struct tensor **product = xcalloc(all, sizeof *product);
	int count = 0;
	struct tape t;
	struct forward f;

	tape_init(&t, backend);
	model_begin(&f, &t, m, FORWARD_EVALUATION, q);
	for (int i = 0; i < v->count; i++)
		if (v->part[i]) {
			wrt[count] = f.used[i];
			along[count++] = v->part[i];
		}
	struct tensor *loss = summed_loss(m, &f, c, images, labels);
	tape_grad(&t, slope(&t, loss, wrt, along, count), wrt, count, product, GRAD_CONSUME);
	count = 0;
	for (int i = 0; i < v->count; i++)
		if (v->part[i])
			add_to(out[i], product[count++]);
	forward_release(&f);
	tape_release(&t);
	free(wrt);
	free(along);
	free(product);
}
