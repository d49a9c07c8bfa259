/* Mixed precision (methods.md A5): a bit-width for each layer, chosen exactly.
 *
 * Minimises sum_i Omega_i(c_i) over one candidate c_i of each layer, under budgets of model bytes,
 * bit operations, or both: a multiple-choice knapsack.  CBC finds the optimum within its
 * tolerances; a search over what could still be better then makes it exact.
 *
 * What decides between equal sums: the least use of the first budget, then of the second, then, at
 * the first layer where two answers differ, the earlier candidate (the fewer bits). */
#ifndef QUANT_ALLOCATION_H
#define QUANT_ALLOCATION_H
#include "core/base/error.h"
#include <stdint.h>

enum { ALLOCATION_BUDGETS = 2 };

struct allocation_candidate {
	double omega;                    /* what the loss is expected to rise by */
	int64_t use[ALLOCATION_BUDGETS]; /* of each budget, >= 0 */
};
struct allocation_layer {
	const char *name;
	int tie;   /* layers with the same number >= 0 take the same candidate; -1: alone */
	int count; /* of candidates, the same for tied layers */
	const struct allocation_candidate *candidate; /* fewest bits first */
};
struct allocation_budget {
	const char *unit; /* "bytes", "bit operations" */
	int64_t limit;
	int64_t fixed; /* what the rest of the model uses of it, whatever is chosen */
};
struct allocation_problem {
	const struct allocation_layer *layer;
	int layers;
	const struct allocation_budget *budget;
	int budgets; /* 0 … ALLOCATION_BUDGETS */
};

struct allocation {
	int *chosen; /* (layers) candidates */
	int layers;
	double omega; /* the sum over layers */
	double bound; /* no answer has less: omega, when it is proved to be the best */
	int64_t used[ALLOCATION_BUDGETS]; /* fixed included */
};

/* Fails on no layers, a layer without candidates, an omega that is no number, ties of layers with
 * different counts, and on a budget below the least possible use, which it names.  The answer
 * depends on the problem alone.  Only if the search would take more than some hundred megabytes
 * (very many sums that are nearly equal) is bound below omega: the answer is then CBC's, and what
 * decides between equal sums is not promised.  Release with allocation_release. */
int allocation_solve(struct allocation *a, const struct allocation_problem *p, struct error *e);
void allocation_release(struct allocation *a);
#endif
