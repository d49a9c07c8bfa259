/* Weight quantizers: from weights and a bit-width to scales, codes and rounded weights.
 *
 * Symmetric uniform (methods.md A3): s = max|W| / (2^(b-1) - 1), Q = s round(W / s), rounding half
 * to even, with the straight-through gradient and s held constant.  s = 0 gives Q = 0. */
#ifndef QUANT_QUANTIZER_H
#define QUANT_QUANTIZER_H
#include "core/tensor/op.h"

enum { QUANT_BITS_MIN = 2, QUANT_BITS_MAX = 8, FULL_PRECISION_BITS = 32 };

struct quantizer {
	const char *name; /* "symmetric" */
	const char *help;
	/* Scales of a weight on its tape: shape (1), or (O) per channel (dimension 0). */
	struct tensor *(*scale)(struct tape *t, struct tensor *w, int bits, bool per_channel);
};
extern const struct quantizer quantizers[];
extern const int quantizer_count;
const struct quantizer *quantizer_named(const char *name); /* null when unknown */

/* The bits of each parameter of a model, in its order. */
struct quantization {
	const struct quantizer *quantizer;
	bool per_channel;
	int *bits; /* (count), 0: full precision */
	int count;
};
void quantization_release(struct quantization *q);

/* Q_b(w), recorded on the tape with its straight-through gradient. */
struct tensor *quantizer_apply(const struct quantizer *q, struct tape *t, struct tensor *w,
                               int bits, bool per_channel);

/* |Q_b(w) - w|^2, the sum over all elements (methods.md A5). */
double quantizer_perturbation(const struct quantizer *q, struct tensor *w, int bits,
                              bool per_channel);

/* Integer codes (one per element of w, within ±(2^(b-1) - 1)) and float scales (1, or O per
 * channel) of float weights: scale * code is Q_b(w) bit for bit. */
void quantizer_codes(const struct quantizer *q, struct tensor *w, int bits, bool per_channel,
                     int8_t *code, float *scale);
#endif
