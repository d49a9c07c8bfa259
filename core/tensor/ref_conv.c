/* Reference kernels: convolution and its two adjoints, as matrix products.
 *
 * For one image and group, `columns` is (channels R S, P Q): column (p,q) holds the window of the
 * image that output pixel (p,q) sees, zeros where it reaches over the edge.  With the group's
 * weight w (outputs, channels R S) and output y (outputs, P Q): y = w columns,   adjoint of columns
 * = w^T g,   adjoint of w = g columns^T. */
#ifndef REAL
#include "core/tensor/ref.h"
#include <string.h>

struct conv {
	int64_t images, channels, height, width; /* per group */
	int64_t outputs, r, s, p, q;             /* per group */
	int64_t window, pixels;                  /* channels r s, p q */
	int groups, stride, pad;
};

static struct conv conv_of(const struct node *n, struct shape x, struct shape w, struct shape y)
{
	struct conv c = {.images = x.d[0],
	                 .height = x.d[2],
	                 .width = x.d[3],
	                 .r = w.d[2],
	                 .s = w.d[3],
	                 .p = y.d[2],
	                 .q = y.d[3],
	                 .groups = n->attr.groups,
	                 .stride = n->attr.stride,
	                 .pad = n->attr.pad};

	c.channels = x.d[1] / c.groups;
	c.outputs = w.d[0] / c.groups;
	c.window = c.channels * c.r * c.s;
	c.pixels = c.p * c.q;
	return c;
}

/* The range of outputs [*from, *to) that see an input in [0, size) at `offset` = tap - pad. */
static void seen(int64_t offset, int64_t size, int64_t outputs, int stride, int64_t *from,
                 int64_t *to)
{
	*from = offset >= 0 ? 0 : (-offset + stride - 1) / stride;
	*to = size - offset <= 0 ? 0 : (size - offset - 1) / stride + 1;
	*to = *to < outputs ? *to : outputs;
	*from = *from < *to ? *from : *to;
}

#define REAL    double
#define NAME(f) f##_f64
#include "core/tensor/ref_conv.c"
#undef REAL
#undef NAME
#define REAL    float
#define NAME(f) f##_f32
#include "core/tensor/ref_conv.c"

KERNEL(conv)
KERNEL(conv_grad_input)
KERNEL(conv_grad_weight)

#else /* once per type */

/* Row k of columns, what tap k = (channel, r, s) sees, read from the image … */
static void NAME(tap_gather)(const struct conv *c, const REAL *x, int64_t k, REAL *row)
{
	int64_t r = k / c->s % c->r - c->pad, s = k % c->s - c->pad, i0, i1, j0, j1;

	x += k / (c->r * c->s) * c->height * c->width;
	seen(r, c->height, c->p, c->stride, &i0, &i1);
	seen(s, c->width, c->q, c->stride, &j0, &j1);
	if (i0 || j0 || i1 < c->p || j1 < c->q)
		memset(row, 0, (size_t)c->pixels * sizeof *row);
	for (int64_t i = i0; i < i1; i++) {
		const REAL *from = x + (i * c->stride + r) * c->width + s;
		if (c->stride == 1)
			for (int64_t j = j0; j < j1; j++)
				row[i * c->q + j] = from[j];
		else
			for (int64_t j = j0; j < j1; j++)
				row[i * c->q + j] = from[j * c->stride];
	}
}

/* … and added to it. */
static void NAME(tap_scatter)(const struct conv *c, REAL *x, int64_t k, const REAL *row)
{
	int64_t r = k / c->s % c->r - c->pad, s = k % c->s - c->pad, i0, i1, j0, j1;

	x += k / (c->r * c->s) * c->height * c->width;
	seen(r, c->height, c->p, c->stride, &i0, &i1);
	seen(s, c->width, c->q, c->stride, &j0, &j1);
	for (int64_t i = i0; i < i1; i++) {
		REAL *to = x + (i * c->stride + r) * c->width + s;
		for (int64_t j = j0; j < j1; j++)
			to[j * c->stride] += row[i * c->q + j];
	}
}

static void NAME(gather_columns)(const struct conv *c, const REAL *x, REAL *columns)
{
	for (int64_t k = 0; k < c->window; k++)
		NAME(tap_gather)(c, x, k, columns + k * c->pixels);
}

static void NAME(scatter_columns)(const struct conv *c, REAL *x, const REAL *columns)
{
	for (int64_t k = 0; k < c->window; k++)
		NAME(tap_scatter)(c, x, k, columns + k * c->pixels);
}

static void NAME(conv)(struct node *n)
{
	struct conv c = conv_of(n, n->in[0]->shape, n->in[1]->shape, n->out[0]->shape);
	const REAL *x = tensor_plain(n->in[0]), *w = tensor_plain(n->in[1]);
	REAL *y = tensor_new_plain(n->out[0]);
	struct storage *columns = storage_new((size_t)(c.window * c.pixels) * sizeof(REAL));

	memset(y, 0, (size_t)shape_count(n->out[0]->shape) * sizeof *y);
	for (int64_t i = 0; i < c.images * c.groups; i++) {
		int64_t group = i % c.groups;
		NAME(gather_columns)(&c, x + i * c.channels * c.height * c.width, columns->data);
		GEMM(c.outputs, c.pixels, c.window, w + group * c.outputs * c.window, columns->data,
		     y + i * c.outputs * c.pixels);
	}
	storage_free(columns);
}

static void NAME(conv_grad_input)(struct node *n)
{
	struct conv c = conv_of(n, n->out[0]->shape, n->in[1]->shape, n->in[0]->shape);
	const REAL *g = tensor_plain(n->in[0]), *w = tensor_plain(n->in[1]);
	REAL *x = tensor_new_plain(n->out[0]);
	size_t bytes = (size_t)(c.window * c.pixels) * sizeof(REAL);
	struct storage *columns = storage_new(bytes);
	struct storage *turned = storage_new((size_t)(c.window * c.outputs) * sizeof(REAL));

	memset(x, 0, (size_t)shape_count(n->out[0]->shape) * sizeof *x);
	for (int64_t i = 0; i < c.images * c.groups; i++) {
		int64_t group = i % c.groups;
		TRANSPOSE(c.outputs, c.window, w + group * c.outputs * c.window, turned->data);
		memset(columns->data, 0, bytes);
		GEMM(c.window, c.pixels, c.outputs, turned->data, g + i * c.outputs * c.pixels,
		     columns->data);
		NAME(scatter_columns)(&c, x + i * c.channels * c.height * c.width, columns->data);
	}
	storage_free(columns);
	storage_free(turned);
}

static void NAME(conv_grad_weight)(struct node *n)
{
	struct conv c = conv_of(n, n->in[0]->shape, n->out[0]->shape, n->in[1]->shape);
	const REAL *x = tensor_plain(n->in[0]), *g = tensor_plain(n->in[1]);
	REAL *w = tensor_new_plain(n->out[0]);
	size_t bytes = (size_t)(c.window * c.pixels) * sizeof(REAL);
	struct storage *columns = storage_new(bytes), *turned = storage_new(bytes);

	memset(w, 0, (size_t)shape_count(n->out[0]->shape) * sizeof *w);
	for (int64_t i = 0; i < c.images * c.groups; i++) {
		int64_t group = i % c.groups;
		NAME(gather_columns)(&c, x + i * c.channels * c.height * c.width, columns->data);
		TRANSPOSE(c.window, c.pixels, columns->data, turned->data);
		GEMM(c.outputs, c.window, c.pixels, g + i * c.outputs * c.pixels, turned->data,
		     w + group * c.outputs * c.window);
	}
	storage_free(columns);
	storage_free(turned);
}
#endif
