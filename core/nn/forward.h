/* One pass of a batch (or a shard of it) through a model: its parameters on a tape, and the mode.
 */
#ifndef NN_FORWARD_H
#define NN_FORWARD_H
#include "core/nn/parameter.h"
#include "core/quant/quantizer.h"
#include "core/tensor/op.h"

enum forward_mode {
	FORWARD_TRAINING,   /* batch norm by the batch's statistics, which are collected */
	FORWARD_EVALUATION, /* batch norm by the running statistics */
};

/* One layer at work in a pass: what it read and what it gave. */
enum layer_kind { LAYER_CONV, LAYER_LINEAR, LAYER_NORM };
struct layer_use {
	enum layer_kind kind;
	int parameter[2]; /* weight and bias, or -1; a norm's scale and shift */
	int buffer[2];    /* a norm's running mean and variance */
	double eps;       /* a norm's */
	int stride, pad;  /* a convolution's */
	bool relu;        /* out is max(0, ·): of a norm */
	struct tensor *in, *out;
};

/* Dropout of what the last layer reads: element k of image i is dropped, or divided by 1 - rate, as
 * a number says that is a function of (seed, purpose, round, sample[i], head, k) alone. */
struct dropout {
	double rate; /* 0: none */
	int64_t seed;
	const char *purpose;
	int64_t round;         /* epoch, or pass */
	const int64_t *sample; /* (images) */
};

struct forward {
	struct tape *tape;
	enum forward_mode mode;
	const struct parameter_set *parameters, *buffers;
	const struct quantization *quantization; /* null: full precision */
	struct range
	        *observed;   /* (parameters) what layers' inputs ranged over; null: not looked at */
	struct tensor **raw; /* (parameters) leaves W: what an optimizer updates */
	struct tensor **used; /* (parameters) what layers compute with: Q(W), or W itself */
	struct tensor *
	        *statistics; /* (buffers) training mode: the batch's mean and unbiased
	                      * variance, outside the tape, shaped as the buffers; else null */
	struct dropout dropout;
	struct layer_use *use; /* (uses) in the order of the pass; only while `note_uses` */
	int uses;
	bool note_uses;
};

/* The input x of the layer whose weight is parameter `weight`, quantized where it is to be; looked
 * at first where ranges are calibrated or move. */
struct tensor *forward_input(struct forward *f, int weight, struct tensor *x);

/* Puts the parameters on the tape, quantized as `q` says (null: full precision).  They must not be
 * written before the tape is rewound or released. */
void forward_init(struct forward *f, struct tape *t, const struct parameter_set *parameters,
                  const struct parameter_set *buffers, enum forward_mode mode,
                  const struct quantization *q);
/* used[i] += scale * direction[i], where direction[i] is not null: a step taken after quantization.
 * Directions are of the parameters' shapes, on no tape or another; gradients pass through. */
void forward_move(struct forward *f, struct tensor *const direction[], double scale);
/* x (N, C) of head `head`, with f's dropout. */
struct tensor *forward_drop(struct forward *f, struct tensor *x, int head);
void forward_note(struct forward *f, struct layer_use use); /* a layer says what it did */
void forward_release(struct forward *f); /* also frees the statistics; the tape stays */
#endif
