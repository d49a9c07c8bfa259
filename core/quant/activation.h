/* Quantized activations: what the inputs of layers range over, and the affine codes for it. */
#ifndef QUANT_ACTIVATION_H
#define QUANT_ACTIVATION_H
#include "core/tensor/op.h"

/* What one layer's input ranges over. */
struct range {
	double low, high;
};

/* The inputs of a model's layers, by the parameter that is the layer's weight. */
struct activations {
	int bits;              /* 0: inputs stay as they are, and nothing below counts */
	double percentile;     /* a range ends at this percentile of the values, and begins at that
	                        * of their negatives; 100: from the least to the largest */
	bool calibrating;      /* inputs are looked at and not quantized */
	bool moving;           /* ranges follow the batches of training */
	bool *chosen;          /* (count) the input of this layer is quantized */
	struct tensor *ranges; // (count, 2), F64: a struct range each
};
struct range activations_range(const struct activations *a, int weight);

/* The range of x alone.  The two percentiles are elements of x (percentile_of). */
struct range range_of(struct tensor *x, double percentile);

/* The range so far moves towards a batch's by `momentum`; in PyTorch's
 * MovingAverageMinMaxObserver the first batch replaces it and then momentum is 0.01. */
void range_move(struct range *r, struct range batch, double momentum);

/* Codes for a range, widened to hold 0, which is exactly a code: scale = (high - low) / (2^b - 1)
 * but at least 2^-23, zero = -round(low / scale) (PyTorch's affine quint8 for 8 bits). */
struct affine range_affine(struct range r, int bits);
#endif
