/* Weight quantizers: from weights and a bit-width to scales, codes and rounded weights.
 *
 * Symmetric uniform (methods.md A3): Q = s clamp(round(W / s), ±Q_p), Q_p = 2^(b-1) - 1, rounding
 * half to even, with the straight-through gradient, zero where clipped; s is held constant unless
 * it is learned.  s = 0 gives Q = 0.  The rows of quantizers[] differ in where s comes from. */
#ifndef QUANT_QUANTIZER_H
#define QUANT_QUANTIZER_H
#include "core/quant/activation.h"

enum { QUANT_BITS_MIN = 2, QUANT_BITS_MAX = 8, FULL_PRECISION_BITS = 32 };

struct scaling;
struct quantizer {
	const char *name; /* "max" */
	const char *help;
	/* Scales of a weight on its tape: shape (1), or (O) per channel (dimension 0). */
	struct tensor *(*scale)(struct tape *t, struct tensor *w, const struct scaling *s,
	                        int bits);
	bool learned; /* `scale` is only where a trained step starts */
};
extern const struct quantizer quantizers[];
extern const int quantizer_count;
const struct quantizer *quantizer_named(const char *name); /* null when unknown */

/* How weights get their scales. */
struct scaling {
	const struct quantizer *quantizer;
	bool per_channel;  /* else one scale per tensor */
	double percentile; /* of |W|: the percentile quantizer's reach; 50 … 100 */
};

/* The bits of each parameter of a model, in its order, and the inputs of its layers. */
struct quantization {
	struct scaling scaling;
	int *bits; /* (count), 0: full precision */
	int *step; /* (count) parameter that is its learned step, or -1; null: nothing is learned */
	int count;
	struct activations activations;
};
void quantization_release(struct quantization *q);

/* Q_b(w), recorded on the tape with its straight-through gradient. */
struct tensor *quantizer_apply(const struct scaling *s, struct tape *t, struct tensor *w, int bits);

/* The scales of w outside any tape, (1) or (O), of its type: the caller's to free. */
struct tensor *quantizer_scale(const struct scaling *s, struct tensor *w, int bits);

/* |Q_b(w) - w|^2, the sum over all elements (methods.md A5); the latter with given scales. */
double quantizer_perturbation(const struct scaling *s, struct tensor *w, int bits);
double quantizer_distance(struct tensor *w, struct tensor *scale, int bits);

/* Integer codes of float weights, one per element, within ±(2^(b-1) - 1): scale * code is Q_b(w)
 * bit for bit. */
void quantizer_codes(struct tensor *w, struct tensor *scale, int bits, int8_t *code);
#endif
