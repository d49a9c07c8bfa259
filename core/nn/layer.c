/* Convolution, batch norm and linear layers on named parameters. */
#include "core/nn/layer.h"
#include "core/base/text.h"

struct conv conv_add(struct builder *b, const char *prefix, int in, int out, int kernel, int stride)
{
	int weight = parameter_add(b->parameters, xformat("%s.weight", prefix), PARAMETER_CONV,
	                           b->type, SHAPE(out, in, kernel, kernel));

	b->height = (b->height - 1) / stride + 1;
	b->width = (b->width - 1) / stride + 1;
	b->parameters->item[weight].macs =
	        (int64_t)out * in * kernel * kernel * b->height * b->width;
	return (struct conv){.weight = weight, .stride = stride, .pad = kernel / 2};
}

struct batch_norm batch_norm_add(struct builder *b, const char *prefix, int channels)
{
	struct shape s = SHAPE(channels);
	struct parameter_set *p = b->parameters, *u = b->buffers;

	return (struct batch_norm){
	        .scale = parameter_add(p, xformat("%s.weight", prefix), PARAMETER_NORM_SCALE,
	                               b->type, s),
	        .shift = parameter_add(p, xformat("%s.bias", prefix), PARAMETER_NORM_SHIFT, b->type,
	                               s),
	        .mean = parameter_add(u, xformat("%s.running_mean", prefix), PARAMETER_NORM_MEAN,
	                              b->type, s),
	        .variance = parameter_add(u, xformat("%s.running_var", prefix),
	                                  PARAMETER_NORM_VARIANCE, b->type, s),
	        .eps = b->norm_eps,
	};
}

struct linear linear_add(struct builder *b, const char *prefix, int in, int out)
{
	struct parameter_set *p = b->parameters;
	struct linear l;

	l.weight = parameter_add(p, xformat("%s.weight", prefix), PARAMETER_LINEAR, b->type,
	                         SHAPE(out, in));
	l.bias = parameter_add(p, xformat("%s.bias", prefix), PARAMETER_BIAS, b->type, SHAPE(out));
	p->item[l.weight].macs = (int64_t)in * out;
	p->item[l.bias].fan_in = in;
	return l;
}

struct tensor *conv_forward(const struct conv *c, struct forward *f, struct tensor *x)
{
	struct tensor *in = forward_input(f, c->weight, x); /* quantized, or x */
	struct tensor *y = op_conv(f->tape, in, f->used[c->weight], c->stride, c->pad, 1);

	forward_note(f, (struct layer_use){.kind = LAYER_CONV,
	                                   .parameter = {c->weight, -1},
	                                   .stride = c->stride,
	                                   .pad = c->pad,
	                                   .in = in,
	                                   .out = y});
	if (in != x)
		tape_drop(f->tape, in);
	return y;
}

/* The batch's mean, and its variance times n / (n - 1), where the tape's life does not matter. */
static void statistics_collect(const struct batch_norm *n, struct forward *f, struct tensor *mean,
                               struct tensor *variance, int64_t count)
{
	struct tensor *unbiased = tensor_copy(variance);
	double factor = count > 1 ? (double)count / (double)(count - 1) : 1;

	for (int64_t i = 0, c = shape_count(unbiased->shape); i < c; i++) {
		if (unbiased->type == F64)
			((double *)tensor_write(unbiased))[i] *= factor;
		else
			((float *)tensor_write(unbiased))[i] *= (float)factor;
	}
	assert(!f->statistics[n->mean]);
	f->statistics[n->mean] = tensor_copy(mean);
	f->statistics[n->variance] = unbiased;
}

static struct tensor *norm_by_batch(const struct batch_norm *n, struct forward *f, struct tensor *x,
                                    struct tensor *residual, bool relu)
{
	struct tensor *mean, *variance; // (C)
	struct tensor *y = op_batch_norm(f->tape, x, f->used[n->scale], f->used[n->shift], residual,
	                                 n->eps, relu, &mean, &variance);

	statistics_collect(n, f, mean, variance, x->shape.d[0] * x->shape.d[2] * x->shape.d[3]);
	return y;
}

static struct tensor *norm_by_running(const struct batch_norm *n, struct forward *f,
                                      struct tensor *x, struct tensor *residual, bool relu)
{
	struct tape *t = f->tape;
	struct tensor *mean = tape_leaf(t, f->buffers->item[n->mean].value);
	struct tensor *variance = tape_leaf(t, f->buffers->item[n->variance].value);
	struct tensor *deviation = op_sqrt(t, op_shift(t, variance, n->eps));
	struct tensor *a = op_mul(t, f->used[n->scale], op_recip(t, deviation));
	struct tensor *b = op_sub(t, f->used[n->shift], op_mul(t, mean, a));

	struct tensor *y = op_channel_affine(t, x, a, b, residual, relu);

	forward_note(f, (struct layer_use){.kind = LAYER_NORM,
	                                   .parameter = {n->scale, n->shift},
	                                   .buffer = {n->mean, n->variance},
	                                   .eps = n->eps,
	                                   .relu = relu,
	                                   .in = x,
	                                   .out = y});
	return y;
}

struct tensor *batch_norm_forward(const struct batch_norm *n, struct forward *f, struct tensor *x,
                                  struct tensor *residual, bool relu)
{
	return f->mode == FORWARD_TRAINING ? norm_by_batch(n, f, x, residual, relu)
	                                   : norm_by_running(n, f, x, residual, relu);
}

struct tensor *linear_forward(const struct linear *l, struct forward *f, struct tensor *x)
{
	struct tape *t = f->tape;
	struct tensor *bias = f->used[l->bias]; // (O)

	x = forward_input(f, l->weight, x);
	struct tensor *y = op_matmul(t, x, f->used[l->weight], false, true);
	y = op_add(t, y, op_reshape(t, bias, SHAPE(1, bias->shape.d[0])));
	forward_note(f, (struct layer_use){.kind = LAYER_LINEAR,
	                                   .parameter = {l->weight, l->bias},
	                                   .in = x,
	                                   .out = y});
	return y;
}
