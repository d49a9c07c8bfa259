/* A model as a problem of bit allocation: which layers, which bits, what each choice costs. */
#include "core/models/layer_costs.h"
#include "core/base/text.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static int check_bits(const int *bits, int count, struct error *e)
{
	if (count < 1)
		return error_set(e, "no bit-widths to choose from");
	for (int c = 0; c < count; c++) {
		bool possible = (bits[c] >= QUANT_BITS_MIN && bits[c] <= QUANT_BITS_MAX) ||
		                bits[c] == FULL_PRECISION_BITS;

		if (!possible)
			return error_set(e, "weights of %d bits: %d to %d are possible, or %d",
			                 bits[c], QUANT_BITS_MIN, QUANT_BITS_MAX,
			                 FULL_PRECISION_BITS);
		if (c > 0 && bits[c] <= bits[c - 1])
			return error_set(e, "bit-widths to choose from must rise: %d after %d",
			                 bits[c], bits[c - 1]);
	}
	return 0;
}

static int stored_bits(int bits)
{
	return bits == FULL_PRECISION_BITS ? 0 : bits;
}

/* Fills in a layer, with q's bits of it as they come; they are left as they were. */
static void add_layer(struct layer_costs *c, const struct model *m, struct quantization *q, int i,
                      bool tied)
{
	const struct parameter *p = &m->parameters.item[i];
	struct allocation_candidate *candidate = c->candidate + c->layers * c->bit_count;
	int before = q->bits[i];

	for (int k = 0; k < c->bit_count; k++) {
		q->bits[i] = stored_bits(c->bits[k]);
		candidate[k].use[BUDGET_BYTES] = parameter_bytes(m, q, i);
		candidate[k].use[BUDGET_BIT_OPERATIONS] = parameter_bit_operations(m, q, i);
	}
	c->elements[c->layers] = shape_count(p->value->shape);
	q->bits[i] = 8;
	c->scale_bytes[c->layers] = parameter_bytes(m, q, i) - c->elements[c->layers];
	q->bits[i] = before;
	c->parameter[c->layers] = i;
	c->layer[c->layers] = (struct allocation_layer){p->name, tied ? p->stream - 1 : -1,
	                                                c->bit_count, candidate};
	c->fixed[BUDGET_BYTES] -= parameter_bytes(m, q, i);
	c->fixed[BUDGET_BIT_OPERATIONS] -= parameter_bit_operations(m, q, i);
	c->layers++;
}

static void reserve(struct layer_costs *c, size_t layers)
{
	size_t count = (size_t)c->bit_count;

	c->parameter = xcalloc(layers, sizeof(*c->parameter));
	c->bits = xcalloc(count, sizeof(*c->bits));
	c->candidate = xcalloc(layers * count, sizeof(*c->candidate));
	c->layer = xcalloc(layers, sizeof(*c->layer));
	c->elements = xcalloc(layers, sizeof(*c->elements));
	c->scale_bytes = xcalloc(layers, sizeof(*c->scale_bytes));
}

int layer_costs_init(struct layer_costs *c, const struct model *m, const struct quantization *q,
                     const int *bits, int bit_count, bool tied, struct error *e)
{
	struct quantization mine = *q; /* with bits that may be changed */

	*c = (struct layer_costs){.bit_count = bit_count};
	if (check_bits(bits, bit_count, e))
		return -1;
	mine.bits = xcalloc((size_t)q->count, sizeof(*mine.bits));
	memcpy(mine.bits, q->bits, (size_t)q->count * sizeof(*mine.bits));
	reserve(c, (size_t)q->count);
	memcpy(c->bits, bits, (size_t)bit_count * sizeof(*bits));
	c->fixed[BUDGET_BYTES] = model_bytes(m, q);
	c->fixed[BUDGET_BIT_OPERATIONS] = model_bit_operations(m, q);
	for (int i = 0; i < q->count; i++)
		if (q->bits[i])
			add_layer(c, m, &mine, i, tied);
	free(mine.bits);
	return c->layers ? 0 : error_set(e, "%s: no layer is quantized", m->config.name);
}

void layer_costs_release(struct layer_costs *c)
{
	free(c->parameter);
	free(c->bits);
	free(c->candidate);
	free(c->layer);
	free(c->elements);
	free(c->scale_bytes);
	*c = (struct layer_costs){0};
}

int64_t layer_costs_bytes_at(const struct layer_costs *c, double average_bits)
{
	int64_t bytes = c->fixed[BUDGET_BYTES];

	for (int i = 0; i < c->layers; i++)
		bytes += c->scale_bytes[i] +
		         (int64_t)ceil((double)c->elements[i] * average_bits / 8);
	return bytes;
}

int layer_costs_solve(const struct layer_costs *c, int64_t bytes, int64_t bit_operations,
                      struct allocation *a, struct error *e)
{
	const struct allocation_budget budget[ALLOCATION_BUDGETS] = {
	        [BUDGET_BYTES] = {"bytes", bytes, c->fixed[BUDGET_BYTES]},
	        [BUDGET_BIT_OPERATIONS] = {"bit operations", bit_operations,
	                                   c->fixed[BUDGET_BIT_OPERATIONS]},
	};
	struct allocation_problem p = {c->layer, c->layers, budget, ALLOCATION_BUDGETS};

	return allocation_solve(a, &p, e);
}

void layer_costs_apply(const struct layer_costs *c, const struct allocation *a,
                       struct quantization *q)
{
	for (int i = 0; i < c->layers; i++)
		q->bits[c->parameter[i]] = stored_bits(c->bits[a->chosen[i]]);
}
