/* Puts parameters on a tape, quantized, for one pass through a model. */
#include "core/nn/forward.h"
#include "core/base/random.h"
#include "core/base/text.h"
#include <stdlib.h>

static struct tensor *used_tensor(struct forward *f, const struct quantization *q, int i)
{
	if (!q || q->bits[i] == 0)
		return f->raw[i];
	if (q->step && q->step[i] >= 0)
		return op_learned_quantize(f->tape, f->raw[i], f->raw[q->step[i]], q->bits[i]);
	return quantizer_apply(&q->scaling, f->tape, f->raw[i], q->bits[i]);
}

struct tensor *forward_input(struct forward *f, int weight, struct tensor *x)
{
	const struct activations *a = f->quantization ? &f->quantization->activations : NULL;

	if (!a || !a->bits || !a->chosen[weight])
		return x;
	if (f->observed)
		f->observed[weight] = range_of(x, a->percentile);
	if (a->calibrating)
		return x;
	return op_affine_quantize(f->tape, x, range_affine(activations_range(a, weight), a->bits));
}

static bool is_observed(const struct activations *a, enum forward_mode mode)
{
	return a->bits && (a->calibrating || (a->moving && mode == FORWARD_TRAINING));
}

void forward_init(struct forward *f, struct tape *t, const struct parameter_set *parameters,
                  const struct parameter_set *buffers, enum forward_mode mode,
                  const struct quantization *q)
{
	size_t count = (size_t)parameters->count;

	assert(!q || q->count == parameters->count);
	*f = (struct forward){
	        .tape = t,
	        .mode = mode,
	        .parameters = parameters,
	        .buffers = buffers,
	        .quantization = q,
	        .raw = xcalloc(count, sizeof(*f->raw)),
	        .used = xcalloc(count, sizeof(*f->used)),
	        .statistics = xcalloc((size_t)buffers->count, sizeof(*f->statistics)),
	};
	if (q && is_observed(&q->activations, mode))
		f->observed = xcalloc(count, sizeof(*f->observed));
	for (int i = 0; i < parameters->count; i++)
		f->raw[i] = tape_leaf(t, parameters->item[i].value);
	for (int i = 0; i < parameters->count; i++)
		f->used[i] = used_tensor(f, q, i);
}

void forward_move(struct forward *f, struct tensor *const direction[], double scale)
{
	struct tape *t = f->tape;

	for (int i = 0; i < f->parameters->count; i++)
		if (direction[i])
			f->used[i] = op_add(t, f->used[i],
			                    op_scale(t, tape_leaf(t, direction[i]), scale));
}

struct tensor *forward_drop(struct forward *f, struct tensor *x, int head)
{
	const struct dropout *d = &f->dropout;
	int64_t images = x->shape.d[0], channels = x->shape.d[1];

	if (d->rate == 0)
		return x;
	struct tensor *mask = tensor_zeros(x->type, x->shape);
	for (int64_t i = 0; i < images; i++) {
		struct random_stream s = random_stream(d->seed, d->purpose, (uint64_t)d->round,
		                                       (uint64_t)d->sample[i]);
		for (int64_t k = 0; k < channels; k++)
			if (random_uniform(&s, (uint64_t)head << 32 | (uint64_t)k) >= d->rate)
				tensor_set(mask, i * channels + k, 1 / (1 - d->rate));
	}
	return op_mul(f->tape, x, tape_adopt(f->tape, mask));
}

void forward_note(struct forward *f, struct layer_use use)
{
	if (!f->note_uses)
		return;
	f->use = xrealloc(f->use, (size_t)(f->uses + 1) * sizeof(*f->use));
	f->use[f->uses++] = use;
}

void forward_release(struct forward *f)
{
	for (int i = 0; f->statistics && i < f->buffers->count; i++)
		tensor_free(f->statistics[i]);
	free(f->statistics);
	free(f->observed);
	free(f->raw);
	free(f->used);
	free(f->use);
	*f = (struct forward){0};
}
