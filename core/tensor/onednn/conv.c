/* Convolution, its gradient to the input and to the weights, by the algorithm of plan.def. */
#include "core/tensor/onednn/conv.h"
#include "core/tensor/onednn/column.h"
#include "core/tensor/onednn/engine.h"
#include "core/tensor/onednn/plan.h"
#include "core/tensor/onednn/winograd.h"
#include <omp.h>
#include <string.h>

static struct conv_key key_of(enum conv_direction direction, const struct attr *a, struct shape x,
                              struct shape w, struct shape y)
{
	return (struct conv_key){
	        .direction = direction,
	        .images = x.d[0],
	        .channels_in = x.d[1],
	        .channels_out = y.d[1],
	        .groups = a->groups,
	        .in = {x.d[2], x.d[3]},
	        .out = {y.d[2], y.d[3]},
	        .window = {w.d[2], w.d[3]},
	        .stride = a->stride,
	        .pad = a->pad,
	        .threads = omp_get_max_threads(),
	};
}

static void set(dnnl_memory_t memory, void *data)
{
	onednn_must(dnnl_memory_set_data_handle(memory, data), "memory");
}

static void reorder(struct conv_primitive *p, dnnl_memory_t from, dnnl_memory_t to)
{
	dnnl_exec_arg_t arg[] = {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}};

	onednn_must(dnnl_primitive_execute(p->reorder, onednn_stream(), 2, arg), "weight reorder");
}

static void execute(struct conv_primitive *p)
{
	static const int id[][3] = {
	        [CONV_FORWARD] = {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST},
	        [CONV_GRAD_INPUT] = {DNNL_ARG_DIFF_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DIFF_DST},
	        [CONV_GRAD_WEIGHT] = {DNNL_ARG_SRC, DNNL_ARG_DIFF_WEIGHTS, DNNL_ARG_DIFF_DST},
	};
	const int *i = id[p->key.direction];
	struct storage *scratch = storage_new(p->scratch_bytes ? p->scratch_bytes : 1);
	dnnl_exec_arg_t arg[] = {
	        {i[0], p->image},
	        {i[1], p->weight},
	        {i[2], p->result},
	        {DNNL_ARG_SCRATCHPAD, p->scratch},
	};

	set(p->scratch, scratch->data);
	onednn_must(dnnl_primitive_execute(p->primitive, onednn_stream(), 4, arg), "convolution");
	storage_free(scratch);
}

/* ---- channels that fill no block ---- */

/* oneDNN's fast kernels want whole blocks of channels, and blocked tensors have them: lanes beyond
 * the channels are zero.  So a convolution of odd widths is one of whole blocks, with zeros among
 * its weights.  Photographs, which stay plain, are left as they are. */
static struct conv_key key_of_blocks(struct conv_key k)
{
	int64_t block = onednn_block();

	if (k.groups > 1 || k.channels_in <= CONV_PHOTO_CHANNELS)
		return k;
	k.channels_in = (k.channels_in + block - 1) / block * block;
	k.channels_out = (k.channels_out + block - 1) / block * block;
	return k;
}

/* Rows of weights (O, C, window) between a plain tensor and one of whole blocks. */
static void copy_weights(const struct conv_key *from, const float *w, const struct conv_key *to,
                         float *out)
{
	int64_t window = from->window[0] * from->window[1];
	int64_t rows =
	        from->channels_out < to->channels_out ? from->channels_out : to->channels_out;
	int64_t columns = from->channels_in < to->channels_in ? from->channels_in : to->channels_in;

	for (int64_t o = 0; o < rows; o++)
		memcpy(out + o * to->channels_in * window, w + o * from->channels_in * window,
		       (size_t)(columns * window) * sizeof *w);
}

static struct storage *weights_new(const struct conv_key *k)
{
	size_t bytes = (size_t)(k->channels_out * k->channels_in * k->window[0] * k->window[1]) *
	               sizeof(float);
	struct storage *s = storage_new(bytes);

	memset(s->data, 0, bytes);
	return s;
}

/* Runs p with the weights w, plain: read, or for the weight gradient written. */
static void run_with_weight(struct conv_primitive *p, void *w)
{
	bool gradient = p->key.direction == CONV_GRAD_WEIGHT;
	struct storage *preferred = p->reorder ? storage_new(p->weight_bytes) : NULL;

	set(p->weight_plain, w);
	set(p->weight, preferred ? preferred->data : w);
	if (preferred && !gradient)
		reorder(p, p->weight_plain, p->weight);
	execute(p);
	if (preferred && gradient)
		reorder(p, p->weight, p->weight_plain);
	storage_free(preferred);
}

static void run_direct(struct conv_primitive *p, float *image, float *weight, float *result)
{
	set(p->image, image);
	set(p->result, result);
	run_with_weight(p, weight);
}

/* What a node reads and writes, each in the form that its algorithm takes. */
struct operands {
	struct tensor *image, *weight, *result;
	enum conv_direction direction; /* names the one that is written */
};

static void *operand(struct tensor *t, bool written, bool blocked)
{
	if (written)
		return blocked ? blocked_output(t) : tensor_new_plain(t);
	return blocked ? (void *)blocked_input(t) : (void *)tensor_plain(t);
}

/* The same with whole blocks, where they have a fast kernel for blocked tensors. */
static bool convolve_blocks(const struct conv_key *k, struct operands o)
{
	struct conv_key whole = key_of_blocks(*k);
	bool winograd = plan_algorithm(&whole) == CONV_WINOGRAD;
	struct conv_primitive *p;

	if (!memcmp(&whole, k, sizeof whole))
		return false;
	p = winograd ? NULL : conv_primitive(&whole);
	if (!winograd && !(p && p->image_blocked && p->result_blocked))
		return false;
	float *image = operand(o.image, k->direction == CONV_GRAD_INPUT, true);
	float *result = operand(o.result, k->direction == CONV_FORWARD, true);
	float *weight = operand(o.weight, k->direction == CONV_GRAD_WEIGHT, false);
	struct storage *padded = weights_new(&whole);

	if (k->direction != CONV_GRAD_WEIGHT)
		copy_weights(k, weight, &whole, padded->data);
	if (winograd)
		winograd_run(&whole, image, padded->data, result);
	else
		run_direct(p, image, padded->data, result);
	if (k->direction == CONV_GRAD_WEIGHT)
		copy_weights(&whole, padded->data, k, weight);
	storage_free(padded);
	return true;
}

static bool convolve(const struct node *n, struct operands o)
{
	struct conv_key k =
	        key_of(o.direction, &n->attr, o.image->shape, o.weight->shape, o.result->shape);
	struct conv_primitive *p = NULL;
	bool winograd = plan_algorithm(&k) == CONV_WINOGRAD;

	if (!winograd && convolve_blocks(&k, o))
		return true;
	if (!winograd && !(p = conv_primitive(&k)))
		return false;
	float *image =
	        operand(o.image, k.direction == CONV_GRAD_INPUT, winograd || p->image_blocked);
	float *result =
	        operand(o.result, k.direction == CONV_FORWARD, winograd || p->result_blocked);
	float *weight = operand(o.weight, k.direction == CONV_GRAD_WEIGHT, false);
	if (winograd) {
		winograd_run(&k, image, weight, result);
		return true;
	}
	run_direct(p, image, weight, result);
	return true;
}

void plan_run(const struct conv_key *k, enum conv_algorithm algorithm, float *image, float *weight,
              float *result)
{
	if (algorithm == CONV_WINOGRAD)
		winograd_run(k, image, weight, result);
	else
		run_direct(conv_primitive(k), image, weight, result);
}

bool onednn_conv(struct tape *t, struct node *n)
{
	return convolve(n, (struct operands){n->in[0], n->in[1], n->out[0], CONV_FORWARD});
}

bool onednn_conv_grad_input(struct tape *t, struct node *n)
{
	return convolve(n, (struct operands){n->out[0], n->in[1], n->in[0], CONV_GRAD_INPUT});
}

bool onednn_conv_grad_weight(struct tape *t, struct node *n)
{
	return convolve(n, (struct operands){n->in[0], n->out[0], n->in[1], CONV_GRAD_WEIGHT});
}
