/* Which layers are quantized, and what a quantized model costs. */
#ifndef MODELS_COST_H
#define MODELS_COST_H
#include "core/models/model.h"

struct quantization_settings {
	const char *kind;             /* a row of quantizers[]: "max" */
	int weight_bits;              /* 2 … 8; 32: full precision */
	bool per_channel;             /* granularity "channel", else "tensor" */
	bool keep_first, keep_last;   /* first convolution, last linear layer stay full precision */
	double percentile;            /* of kind "percentile" */
	int activation_bits;          /* 4, 6, 8; 0 or 32: inputs of layers stay full precision */
	double activation_percentile; /* of ranges; 100: extremes */
};

/* Chooses the bits of each parameter.  Release with quantization_release. */
int quantization_init(struct quantization *q, const struct model *m,
                      const struct quantization_settings *s, struct error *e);

/* Bytes of the stored model, exactly: for each quantized weight ceil(elements * bits / 8) of packed
 * codes and 4 for each scale; 4 per element of every other parameter and of the running statistics.
 * num_batches_tracked is not counted, nor of a folded model its norms, but for their shifts.  q may
 * be null. */
int64_t model_bytes(const struct model *m, const struct quantization *q);

/* Bit operations for one image of config.image_px: sum over convolutions and linear layers of
 * multiply-accumulates * weight bits * bits of the layer's input; full precision counts as 32
 * bits.  q may be null. */
int64_t model_bit_operations(const struct model *m, const struct quantization *q);

/* What one parameter adds to each of them. */
int64_t parameter_bytes(const struct model *m, const struct quantization *q, int i);
int64_t parameter_bit_operations(const struct model *m, const struct quantization *q, int i);

int64_t model_elements(const struct model *m); /* of all parameters but learned steps */
int64_t model_macs(const struct model *m);     /* multiply-accumulates for one image */
#endif
