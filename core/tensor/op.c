/* One constructor per op: checks shapes, fills attributes, emits. */
#include "core/tensor/op.h"

/* Emits an op of one output, always wanted. */
static struct tensor *emit(struct tape *t, enum op op, struct tensor *const in[], int in_count,
                           enum dtype type, struct shape s, const struct attr *attr)
{
	return tape_emit(t, op, in, in_count, &s, &type, 1, 1, attr)->out[0];
}

static struct tensor *emit1(struct tape *t, enum op op, struct tensor *x, struct shape s,
                            const struct attr *attr)
{
	return emit(t, op, (struct tensor *[]){x}, 1, x->type, s, attr);
}

static struct tensor *emit2(struct tape *t, enum op op, struct tensor *a, struct tensor *b,
                            struct shape s, const struct attr *attr)
{
	return emit(t, op, (struct tensor *[]){a, b}, 2, a->type, s, attr);
}

struct tensor *op_fill(struct tape *t, enum dtype type, struct shape s, double value)
{
	return emit(t, OP_fill, NULL, 0, type, s, &(struct attr){.alpha = value});
}

/* ---- elementwise ---- */
static int64_t dim_from_end(struct shape s, int i)
{
	return i < s.n ? s.d[s.n - 1 - i] : 1;
}

static struct shape broadcast(struct shape a, struct shape b)
{
	struct shape s = a.n >= b.n ? a : b;

	for (int i = 0; i < s.n; i++) {
		int64_t p = dim_from_end(a, i), q = dim_from_end(b, i);
		assert(p == q || p == 1 || q == 1);
		s.d[s.n - 1 - i] = p == 1 ? q : p;
	}
	return s;
}

static struct tensor *binary(struct tape *t, enum op op, struct tensor *a, struct tensor *b)
{
	assert(a->type == b->type);
	return emit2(t, op, a, b, broadcast(a->shape, b->shape), NULL);
}

static struct tensor *same_shapes(struct tape *t, enum op op, struct tensor *a, struct tensor *b)
{
	assert(a->type == b->type && shape_equal(a->shape, b->shape));
	return emit2(t, op, a, b, a->shape, NULL);
}

static struct tensor *unary(struct tape *t, enum op op, struct tensor *x)
{
	return emit1(t, op, x, x->shape, NULL);
}

struct tensor *op_add(struct tape *t, struct tensor *a, struct tensor *b)
{
	return binary(t, OP_add, a, b);
}

struct tensor *op_sub(struct tape *t, struct tensor *a, struct tensor *b)
{
	return binary(t, OP_sub, a, b);
}

struct tensor *op_mul(struct tape *t, struct tensor *a, struct tensor *b)
{
	return binary(t, OP_mul, a, b);
}

struct tensor *op_scale(struct tape *t, struct tensor *x, double alpha)
{
	return emit1(t, OP_scale, x, x->shape, &(struct attr){.alpha = alpha});
}

struct tensor *op_shift(struct tape *t, struct tensor *x, double alpha)
{
	return emit1(t, OP_shift, x, x->shape, &(struct attr){.alpha = alpha});
}

struct tensor *op_recip(struct tape *t, struct tensor *x)
{
	return unary(t, OP_recip, x);
}

struct tensor *op_exp(struct tape *t, struct tensor *x)
{
	return unary(t, OP_exp, x);
}

struct tensor *op_log(struct tape *t, struct tensor *x)
{
	return unary(t, OP_log, x);
}

struct tensor *op_sqrt(struct tape *t, struct tensor *x)
{
	return unary(t, OP_sqrt, x);
}

struct tensor *op_relu(struct tape *t, struct tensor *x)
{
	return unary(t, OP_relu, x);
}

struct tensor *op_relu_grad(struct tape *t, struct tensor *g, struct tensor *y)
{
	return same_shapes(t, OP_relu_grad, g, y);
}

struct tensor *op_add_relu(struct tape *t, struct tensor *a, struct tensor *b)
{
	return same_shapes(t, OP_add_relu, a, b);
}

/* ---- shape ---- */
struct tensor *op_expand(struct tape *t, struct tensor *x, struct shape s)
{
	assert(shape_equal(broadcast(x->shape, s), s));
	return shape_equal(x->shape, s) ? x : emit1(t, OP_expand, x, s, NULL);
}

struct tensor *op_sum_to(struct tape *t, struct tensor *x, struct shape s)
{
	assert(shape_equal(broadcast(x->shape, s), x->shape));
	return shape_equal(x->shape, s) ? x : emit1(t, OP_sum_to, x, s, NULL);
}

struct tensor *op_sum(struct tape *t, struct tensor *x)
{
	return op_sum_to(t, x, SCALAR);
}

struct tensor *op_mean(struct tape *t, struct tensor *x)
{
	return op_scale(t, op_sum(t, x), 1.0 / (double)shape_count(x->shape));
}

struct tensor *op_square_sum(struct tape *t, struct tensor *x)
{
	return op_sum(t, op_mul(t, x, x));
}

struct tensor *op_reshape(struct tape *t, struct tensor *x, struct shape s)
{
	assert(shape_count(x->shape) == shape_count(s));
	return shape_equal(x->shape, s) ? x : emit1(t, OP_reshape, x, s, NULL);
}

struct tensor *op_permute(struct tape *t, struct tensor *x, const int order[])
{
	struct shape s = {.n = x->shape.n};
	struct attr attr = {0};
	unsigned seen = 0;

	for (int i = 0; i < s.n; i++) {
		attr.order[i] = order[i];
		s.d[i] = x->shape.d[order[i]];
		seen |= 1u << order[i];
	}
	assert(seen == (1u << s.n) - 1);
	return emit1(t, OP_permute, x, s, &attr);
}

/* The small side of slice and place must lie within the large one. */
static struct attr window_attr(struct shape small, struct shape large, const int64_t start[],
                               const int64_t step[])
{
	struct attr attr = {0};

	assert(small.n == large.n);
	for (int i = 0; i < small.n; i++) {
		int64_t last = start[i] + (small.d[i] - 1) * step[i];
		assert(start[i] >= 0 && start[i] < large.d[i] && last >= 0 && last < large.d[i]);
		attr.start[i] = start[i];
		attr.step[i] = step[i];
	}
	return attr;
}

struct tensor *op_slice(struct tape *t, struct tensor *x, const int64_t start[],
                        const int64_t step[], struct shape s)
{
	struct attr attr = window_attr(s, x->shape, start, step);

	return emit1(t, OP_slice, x, s, &attr);
}

struct tensor *op_place(struct tape *t, struct tensor *x, const int64_t start[],
                        const int64_t step[], struct shape s)
{
	struct attr attr = window_attr(x->shape, s, start, step);

	return emit1(t, OP_place, x, s, &attr);
}

struct tensor *op_gather(struct tape *t, struct tensor *x, struct tensor *index)
{
	assert(index->type == I32);
	return emit2(t, OP_gather, x, index, index->shape, NULL);
}

struct tensor *op_scatter(struct tape *t, struct tensor *x, struct tensor *index, struct shape s)
{
	assert(index->type == I32 && shape_equal(x->shape, index->shape));
	return emit2(t, OP_scatter, x, index, s, NULL);
}

/* ---- contractions ---- */
struct tensor *op_matmul(struct tape *t, struct tensor *a, struct tensor *b, bool transpose_a,
                         bool transpose_b)
{
	struct attr attr = {.flag = {transpose_a, transpose_b}};
	struct shape p = a->shape, q = b->shape;

	assert(p.n == 2 && q.n == 2 && a->type == b->type);
	assert(p.d[!transpose_a] == q.d[transpose_b]);
	return emit2(t, OP_matmul, a, b, SHAPE(p.d[transpose_a], q.d[!transpose_b]), &attr);
}

static int64_t window_count(int64_t size, int64_t window, int stride, int pad)
{
	assert(size + 2 * pad >= window && stride > 0);
	return (size + 2 * pad - window) / stride + 1;
}

/* The shape of conv's output; asserts that x and w fit. */
static struct shape conv_shape(struct shape x, struct shape w, const struct attr *a)
{
	assert(x.n == 4 && w.n == 4 && a->groups > 0 && a->pad >= 0);
	assert(x.d[1] == w.d[1] * a->groups && w.d[0] % a->groups == 0);
	return SHAPE(x.d[0], w.d[0], window_count(x.d[2], w.d[2], a->stride, a->pad),
	             window_count(x.d[3], w.d[3], a->stride, a->pad));
}

struct tensor *op_conv(struct tape *t, struct tensor *x, struct tensor *w, int stride, int pad,
                       int groups)
{
	struct attr attr = {.stride = stride, .pad = pad, .groups = groups};

	assert(x->type == w->type);
	return emit2(t, OP_conv, x, w, conv_shape(x->shape, w->shape, &attr), &attr);
}

struct tensor *op_conv_grad_input(struct tape *t, struct tensor *g, struct tensor *w,
                                  struct shape x, int stride, int pad, int groups)
{
	struct attr attr = {.stride = stride, .pad = pad, .groups = groups};

	assert(g->type == w->type && shape_equal(conv_shape(x, w->shape, &attr), g->shape));
	return emit2(t, OP_conv_grad_input, g, w, x, &attr);
}

struct tensor *op_conv_grad_weight(struct tape *t, struct tensor *x, struct tensor *g,
                                   struct shape w, int stride, int pad, int groups)
{
	struct attr attr = {.stride = stride, .pad = pad, .groups = groups};

	assert(x->type == g->type && shape_equal(conv_shape(x->shape, w, &attr), g->shape));
	return emit2(t, OP_conv_grad_weight, x, g, w, &attr);
}

/* ---- pooling ---- */
struct tensor *op_mean_pool(struct tape *t, struct tensor *x)
{
	assert(x->shape.n == 4);
	return emit1(t, OP_mean_pool, x, SHAPE(x->shape.d[0], x->shape.d[1]), NULL);
}

struct tensor *op_mean_unpool(struct tape *t, struct tensor *x, int64_t height, int64_t width)
{
	struct shape s = x->shape;

	assert(s.n == 2);
	return emit1(t, OP_mean_unpool, x, SHAPE(s.d[0], s.d[1], height, width), NULL);
}

struct tensor *op_max_pool(struct tape *t, struct tensor *x, int window, int stride, int pad)
{
	struct attr attr = {.window = window, .stride = stride, .pad = pad};
	struct shape s = x->shape;

	assert(s.n == 4 && pad < window && shape_count(s) <= INT32_MAX);
	s.d[2] = window_count(s.d[2], window, stride, pad);
	s.d[3] = window_count(s.d[3], window, stride, pad);
	return op_gather(t, x,
	                 emit(t, OP_max_pool_index, (struct tensor *[]){x}, 1, I32, s, &attr));
}

/* ---- normalisation ---- */
static void check_channels(const struct tensor *x, const struct tensor *c)
{
	assert(x->shape.n >= 2 && c->type == x->type);
	assert(shape_equal(c->shape, SHAPE(x->shape.d[1])));
}

struct tensor *op_batch_norm(struct tape *t, struct tensor *x, struct tensor *gamma,
                             struct tensor *beta, struct tensor *residual, double eps, bool relu,
                             struct tensor **mean, struct tensor **variance)
{
	struct tensor *in[] = {x, gamma, beta, residual};
	struct shape out[] = {x->shape, gamma->shape, gamma->shape};
	enum dtype type[] = {x->type, x->type, x->type};
	struct attr attr = {.alpha = eps, .flag = {relu}};

	check_channels(x, gamma);
	check_channels(x, beta);
	assert(!residual || shape_equal(residual->shape, x->shape));
	struct node *n = tape_emit(t, OP_batch_norm, in, residual ? 4 : 3, out, type, 3, 7, &attr);
	if (mean)
		*mean = n->out[1];
	if (variance)
		*variance = n->out[2];
	return n->out[0];
}

void op_batch_norm_grad(struct tape *t, struct tensor *g, struct tensor *x, struct tensor *gamma,
                        struct tensor *mean, struct tensor *variance, struct tensor *of_relu,
                        double eps, unsigned wanted, struct tensor *d[4])
{
	struct tensor *in[] = {g, x, gamma, mean, variance, of_relu};
	struct shape out[] = {x->shape, gamma->shape, gamma->shape, x->shape};
	enum dtype type[] = {x->type, x->type, x->type, x->type};
	struct attr attr = {.alpha = eps};

	assert(shape_equal(g->shape, x->shape) && (of_relu || !(wanted >> 3 & 1)));
	assert(!of_relu || shape_equal(of_relu->shape, x->shape) ||
	       shape_equal(of_relu->shape, gamma->shape));
	check_channels(x, gamma);
	check_channels(x, mean);
	check_channels(x, variance);
	struct node *n =
	        tape_emit(t, OP_batch_norm_grad, in, of_relu ? 6 : 5, out, type, 4, wanted, &attr);
	for (int i = 0; i < 4; i++)
		d[i] = n->out[i];
}

void op_batch_norm_grad_grad(struct tape *t, struct tensor *a, struct tensor *g, struct tensor *x,
                             struct tensor *gamma, struct tensor *mean, struct tensor *variance,
                             struct tensor *b, struct tensor *c, struct tensor *of_relu,
                             struct tensor *e, double eps, struct tensor *d[3])
{
	struct tensor *in[] = {a, g, x, gamma, mean, variance, b, c, of_relu, e};
	struct shape out[] = {x->shape, x->shape, gamma->shape};
	enum dtype type[] = {x->type, x->type, x->type};
	int count = 8 + (of_relu != NULL) + (e != NULL);

	assert(shape_equal(a->shape, x->shape) && shape_equal(g->shape, x->shape));
	assert(!e || (shape_equal(e->shape, x->shape) && shape_equal(of_relu->shape, x->shape)));
	for (int i = 3; i < 8; i++)
		check_channels(x, in[i]);
	struct node *n = tape_emit(t, OP_batch_norm_grad_grad, in, count, out, type, 3, 7,
	                           &(struct attr){.alpha = eps});
	for (int i = 0; i < 3; i++)
		d[i] = n->out[i];
}

struct tensor *op_channel_affine(struct tape *t, struct tensor *x, struct tensor *a,
                                 struct tensor *b, struct tensor *residual, bool relu)
{
	struct attr attr = {.flag = {relu}};
	struct tensor *in[] = {x, a, b, residual};

	check_channels(x, a);
	check_channels(x, b);
	assert(!residual || shape_equal(residual->shape, x->shape));
	return emit(t, OP_channel_affine, in, residual ? 4 : 3, x->type, x->shape, &attr);
}

/* ---- classification ---- */
struct tensor *op_softmax(struct tape *t, struct tensor *x)
{
	assert(x->shape.n >= 1);
	return unary(t, OP_softmax, x);
}

struct tensor *op_softmax_grad(struct tape *t, struct tensor *g, struct tensor *p)
{
	return same_shapes(t, OP_softmax_grad, g, p);
}

struct tensor *op_cross_entropy(struct tape *t, struct tensor *logits, struct tensor *label)
{
	assert(logits->shape.n == 2 && label->type == I32);
	assert(shape_equal(label->shape, SHAPE(logits->shape.d[0])));
	return emit2(t, OP_cross_entropy, logits, label, label->shape, NULL);
}

struct tensor *op_one_hot(struct tape *t, struct tensor *label, int64_t classes, enum dtype type)
{
	assert(label->type == I32 && label->shape.n == 1);
	return emit(t, OP_one_hot, &label, 1, type, SHAPE(label->shape.d[0], classes), NULL);
}

/* ---- quantization ---- */
struct tensor *op_abs_max(struct tape *t, struct tensor *x, bool per_channel)
{
	struct attr attr = {.flag = {per_channel}};

	return emit1(t, OP_abs_max, x, SHAPE(per_channel ? x->shape.d[0] : 1), &attr);
}

static struct tensor *quantizer(struct tape *t, enum op op, struct tensor *w, struct tensor *s,
                                int bits, bool learned)
{
	struct attr attr = {.bits = bits, .flag = {learned}};
	int64_t scales = shape_count(s->shape);

	assert(bits >= 2 && bits <= 16 && s->type == w->type && s->shape.n == 1);
	assert(scales == 1 || scales == w->shape.d[0]);
	return emit2(t, op, w, s, w->shape, &attr);
}

struct tensor *op_fake_quantize(struct tape *t, struct tensor *w, struct tensor *s, int bits)
{
	return quantizer(t, OP_fake_quantize, w, s, bits, false);
}

struct tensor *op_in_range(struct tape *t, struct tensor *w, struct tensor *s, int bits)
{
	return quantizer(t, OP_in_range, w, s, bits, false);
}

struct tensor *op_learned_quantize(struct tape *t, struct tensor *w, struct tensor *s, int bits)
{
	return quantizer(t, OP_fake_quantize, w, s, bits, true);
}

struct tensor *op_step_slope(struct tape *t, struct tensor *w, struct tensor *s, int bits)
{
	return quantizer(t, OP_step_slope, w, s, bits, false);
}

static struct attr affine_attr(struct affine a)
{
	assert(a.bits >= 2 && a.bits <= 16 && a.scale > 0 && a.zero >= 0 && a.zero < 1 << a.bits);
	return (struct attr){.alpha = a.scale, .zero = a.zero, .bits = a.bits};
}

struct tensor *op_affine_quantize(struct tape *t, struct tensor *x, struct affine a)
{
	struct attr attr = affine_attr(a);

	return emit1(t, OP_affine_quantize, x, x->shape, &attr);
}

struct tensor *op_affine_quantize_grad(struct tape *t, struct tensor *g, struct tensor *x,
                                       struct affine a)
{
	struct attr attr = affine_attr(a);

	assert(g->type == x->type && shape_equal(g->shape, x->shape));
	return emit2(t, OP_affine_quantize_grad, g, x, x->shape, &attr);
}

struct tensor *op_extremes(struct tape *t, struct tensor *x)
{
	assert(shape_count(x->shape) > 0);
	return emit1(t, OP_extremes, x, SHAPE(2), NULL);
}
