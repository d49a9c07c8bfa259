/* A model as a problem of bit allocation: which layers, which bits, what each choice costs. */
#ifndef MODELS_LAYER_COSTS_H
#define MODELS_LAYER_COSTS_H
#include "core/models/cost.h"
#include "core/quant/allocation.h"

enum { BUDGET_BYTES, BUDGET_BIT_OPERATIONS };
#define NO_BUDGET INT64_MAX

/* The quantized weights of a model, in its order.  The caller fills in the omegas:
 * candidate[layer * bit_count + c].omega of layer `layer` at bits[c]. */
struct layer_costs {
	int layers, bit_count;
	int *parameter;                         /* (layers) index among the model's */
	int *bits;                              /* (bit_count) fewest first; 32: full precision */
	struct allocation_candidate *candidate; /* (layers, bit_count) uses of both budgets */
	struct allocation_layer *layer;         /* (layers) names are the model's */
	int64_t fixed[ALLOCATION_BUDGETS];      /* what the rest of the model uses */
	int64_t *elements, *scale_bytes;        /* (layers) weights; bytes of the scales */
};

/* Of the weights that q gives bits (whichever: the first and last may be kept at full precision).
 * fixed plus the uses of a choice are model_bytes and model_bit_operations of the model with these
 * bits.  tied: convolutions whose outputs are added up (one residual stream) take the same bits.
 * Fails when there are no bits or no such weights, when bits are no bit-width, and when they do not
 * rise.  The model is borrowed.  Release with layer_costs_release. */
int layer_costs_init(struct layer_costs *c, const struct model *m, const struct quantization *q,
                     const int *bits, int bit_count, bool tied, struct error *e);
void layer_costs_release(struct layer_costs *c);

/* Bytes of the model whose layers have that many bits a weight, which need not be whole: what a
 * uniform bit-width takes, as a budget. */
int64_t layer_costs_bytes_at(const struct layer_costs *c, double average_bits);

/* The best bits within bytes and bit operations of the whole model (NO_BUDGET: any number), as
 * allocation_solve finds them.  Release *a with allocation_release. */
int layer_costs_solve(const struct layer_costs *c, int64_t bytes, int64_t bit_operations,
                      struct allocation *a, struct error *e);

/* Gives the layers the bits that were chosen. */
void layer_costs_apply(const struct layer_costs *c, const struct allocation *a,
                       struct quantization *q);
#endif
