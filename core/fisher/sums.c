/* Empirical Fisher information of a model's parameters, from one gradient per image. */
#include "core/fisher/sums.h"
#include "core/base/random.h"
#include "core/base/text.h"
#include "core/tensor/onednn/per_image.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

_Static_assert((int)FISHER_KINDS == (int)PER_IMAGE_PRODUCTS, "one product per kind");

const char *const fisher_kind_name[FISHER_KINDS] = {"fisher_all", "fisher_critical",
                                                    "fisher_cross"};

void fisher_sums_init(struct fisher_sums *s, const struct model *m, bool diagonal)
{
	size_t count = (size_t)m->parameters.count * FISHER_KINDS;

	*s = (struct fisher_sums){.parameters = m->parameters.count,
	                          .sum = xcalloc(count, sizeof *s->sum),
	                          .square = xcalloc(count, sizeof *s->square)};
	if (!diagonal)
		return;
	s->diagonal = xcalloc(count, sizeof *s->diagonal);
	for (size_t i = 0; i < count; i++) {
		struct tensor *w = m->parameters.item[i / FISHER_KINDS].value;
		s->diagonal[i] = xcalloc((size_t)shape_count(w->shape), sizeof(double));
	}
}

void fisher_sums_release(struct fisher_sums *s)
{
	for (int i = 0; s->diagonal && i < s->parameters * FISHER_KINDS; i++)
		free(s->diagonal[i]);
	free(s->diagonal);
	free(s->sum);
	free(s->square);
	*s = (struct fisher_sums){0};
}

double fisher_mean(const struct fisher_sums *s, int parameter, enum fisher_kind k)
{
	return s->sum[parameter * FISHER_KINDS + (int)k] / (double)s->images;
}

double fisher_error(const struct fisher_sums *s, int parameter, enum fisher_kind k)
{
	double n = (double)s->images, mean = fisher_mean(s, parameter, k);
	double square = s->square[parameter * FISHER_KINDS + (int)k] - n * mean * mean;

	return n > 1 ? sqrt(fmax(square, 0) / (n - 1) / n) : NAN;
}

/* ---- one batch ---- */
struct batch {
	const struct model *model;
	struct forward forward;
	struct tensor **adjoint[PER_IMAGE_LOSSES]; /* (uses) of what each layer gave; null: none */
	int64_t images;
	double *product; /* (parameters, images, 3) */
	struct fisher_sums *sums;
};

static void draw_labels(struct tensor *probability, const struct fisher_labels *from,
                        struct tensor *labels)
{
	int64_t n = probability->shape.d[0], classes = probability->shape.d[1];
	int32_t *to = tensor_write(labels);

	for (int64_t i = 0; i < n; i++) {
		struct random_stream r =
		        random_stream(from->seed, "fisher.label", (uint64_t)(from->first + i), 0);
		double left = random_uniform(&r, 0);
		int32_t k = 0;
		while (k < classes - 1 && (left -= tensor_at(probability, i * classes + k)) >= 0)
			k++;
		to[i] = k;
	}
}

/* Adjoints of all that layers gave, for the sum of the images' losses. */
static struct tensor **adjoints(struct batch *b, struct tensor *losses)
{
	int uses = b->forward.uses;
	struct tensor **out = xcalloc((size_t)uses, sizeof *out);
	struct tensor **wrt = xcalloc((size_t)uses, sizeof *wrt);
	struct tape *t = b->forward.tape;

	for (int u = 0; u < uses; u++)
		wrt[u] = b->forward.use[u].out;
	tape_grad(t, op_sum(t, losses), wrt, uses, out, GRAD_KEEP);
	free(wrt);
	return out;
}

static void batch_forward(struct batch *b, const struct critical *c, struct tensor *images,
                          struct tensor *labels, const struct fisher_labels *from)
{
	struct tape *t = b->forward.tape;
	struct tensor *own = tensor_copy(labels);
	struct tensor *logits = model_forward(b->model, &b->forward, tape_leaf(t, images));

	if (from->sampled)
		draw_labels(op_softmax(t, logits), from, own);
	b->adjoint[0] = adjoints(b, op_cross_entropy(t, logits, tape_leaf(t, own)));
	if (c && c->count)
		b->adjoint[1] = adjoints(b, critical_cross_entropy(t, logits, own, c));
	tensor_free(own);
}

static struct per_image_use use_of(const struct batch *b, int u)
{
	const struct layer_use *l = &b->forward.use[u];

	tape_restore(b->forward.tape, l->in); /* read below, not by an op */
	return (struct per_image_use){
	        .x = l->in,
	        .g = {b->adjoint[0][u], b->adjoint[1] ? b->adjoint[1][u] : NULL},
	        .stride = l->stride,
	        .pad = l->pad};
}

/* Where what belongs to a parameter goes. */
static struct per_image_sums sums_of(const struct batch *b, int parameter)
{
	struct per_image_sums s = {b->product + parameter * b->images * FISHER_KINDS, {0}};
	int kinds = b->adjoint[1] ? FISHER_KINDS : 1;

	for (int k = 0; b->sums->diagonal && k < kinds; k++)
		s.diagonal[k] = b->sums->diagonal[parameter * FISHER_KINDS + k];
	return s;
}

static void add_conv(struct batch *b, const int *use, int uses, const struct per_image_use *p)
{
	int weight = b->forward.use[use[0]].parameter[0];
	struct per_image_sums s = sums_of(b, weight);

	per_image_conv(p, uses, b->forward.used[weight]->shape, &s);
}

static void add_linear(struct batch *b, const int *use, int uses, const struct per_image_use *p)
{
	const int *parameter = b->forward.use[use[0]].parameter;
	struct per_image_sums weight = sums_of(b, parameter[0]);

	per_image_linear(p, uses, &weight);
	if (parameter[1] >= 0) {
		struct per_image_sums bias = sums_of(b, parameter[1]);
		per_image_bias(p, uses, &bias);
	}
}

/* Running mean, and 1 / sqrt(running variance + eps): (2, C). */
static double *norm_constants(const struct batch *b, const struct layer_use *l)
{
	struct tensor *mean = b->forward.buffers->item[l->buffer[0]].value;
	struct tensor *variance = b->forward.buffers->item[l->buffer[1]].value;
	int64_t channels = shape_count(mean->shape);
	double *v = xcalloc((size_t)(2 * channels), sizeof *v);

	for (int64_t c = 0; c < channels; c++) {
		v[c] = tensor_at(mean, c);
		v[channels + c] = 1 / sqrt(tensor_at(variance, c) + l->eps);
	}
	return v;
}

static void add_norm(struct batch *b, const int *use, int uses, const struct per_image_use *p)
{
	const struct layer_use *l = &b->forward.use[use[0]];
	struct per_image_norm *n = xcalloc((size_t)uses, sizeof *n);
	struct per_image_sums scale = sums_of(b, l->parameter[0]);
	struct per_image_sums shift = sums_of(b, l->parameter[1]);
	double *constants = norm_constants(b, l);

	for (int i = 0; i < uses; i++)
		n[i] = (struct per_image_norm){
		        .use = p[i],
		        .y = b->forward.use[use[i]].relu ? b->forward.use[use[i]].out : NULL,
		        .mean = constants,
		        .r = constants + l->in->shape.d[1]};
	per_image_norm(n, uses, &scale, &shift);
	free(constants);
	free(n);
}

typedef void add_fn(struct batch *b, const int *use, int uses, const struct per_image_use *p);
static add_fn *const add_layer[] = {
        [LAYER_CONV] = add_conv, [LAYER_LINEAR] = add_linear, [LAYER_NORM] = add_norm};

/* The layer of use `first`, with all its later uses. */
static void add_uses(struct batch *b, int first)
{
	const struct layer_use *l = b->forward.use;
	struct per_image_use *p = xcalloc((size_t)b->forward.uses, sizeof *p);
	int *use = xcalloc((size_t)b->forward.uses, sizeof *use), uses = 0;

	for (int u = first; u < b->forward.uses; u++)
		if (l[u].parameter[0] == l[first].parameter[0]) {
			p[uses] = use_of(b, u);
			use[uses++] = u;
		}
	add_layer[l[first].kind](b, use, uses, p);
	free(use);
	free(p);
}

static bool used_before(const struct forward *f, int use)
{
	for (int u = 0; u < use; u++)
		if (f->use[u].parameter[0] == f->use[use].parameter[0])
			return true;
	return false;
}

static void batch_collect(struct batch *b, double *total)
{
	struct fisher_sums *s = b->sums;

	for (int p = 0; p < s->parameters; p++)
		for (int64_t i = 0; i < b->images * FISHER_KINDS; i++) {
			double v = b->product[p * b->images * FISHER_KINDS + i];
			int64_t at = p * FISHER_KINDS + i % FISHER_KINDS;
			if (!parameter_varies(&b->model->parameters.item[p]))
				continue;
			s->sum[at] += v;
			s->square[at] += v * v;
			if (total)
				total[i] += v;
		}
	s->images += b->images;
}

void fisher_sums_add(struct fisher_sums *s, const struct model *m, const struct quantization *q,
                     const struct critical *c, struct tensor *images, struct tensor *labels,
                     const struct fisher_labels *from, double *total)
{
	struct batch b = {.model = m, .images = images->shape.d[0], .sums = s};
	size_t count = (size_t)(s->parameters * b.images * FISHER_KINDS);
	struct tape t;

	if (total)
		memset(total, 0, (size_t)b.images * FISHER_KINDS * sizeof *total);
	b.product = xcalloc(count, sizeof *b.product);
	tape_init(&t, &backend_onednn);
	model_begin(&b.forward, &t, m, FORWARD_EVALUATION, q);
	b.forward.note_uses = true;
	batch_forward(&b, c, images, labels, from);
	for (int u = 0; u < b.forward.uses; u++)
		if (!used_before(&b.forward, u))
			add_uses(&b, u);
	batch_collect(&b, total);
	free(b.adjoint[0]);
	free(b.adjoint[1]);
	free(b.product);
	forward_release(&b.forward);
	tape_release(&t);
}
