/* The quantized weights of a model: their scales, and the learned steps among its parameters. */
#ifndef MODELS_QUANTIZED_H
#define MODELS_QUANTIZED_H
#include "core/models/model.h"

/* Where the quantizer learns its steps (LSQ), adds a parameter "<layer>.weight_step" of role
 * PARAMETER_STEP, (1) or (O), for each weight that has bits; its value is 0, no step yet.  Nothing
 * to do for other quantizers. */
void quantized_learn(struct quantization *q, struct model *m);

/* Gives each step that has none yet (0) the one that its quantizer starts with, by the weights as
 * they are now; at least STEP_LEAST. */
void quantized_start(const struct quantization *q, struct model *m);

/* Forgets the steps of weights for which `bits` (one per parameter) differs from q's: a step of 8
 * bits is none for 2. */
void quantized_forget(const struct quantization *q, struct model *m, const int *bits);

/* The scales in use of parameter i, which has bits: learned, or by its quantizer.  (1) or (O), the
 * caller's to free. */
struct tensor *quantized_scale(const struct quantization *q, const struct model *m, int i);
#endif
