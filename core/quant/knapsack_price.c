/* Multiple-choice knapsacks: the best prices of the budgets (Lagrange multipliers). */
#include "core/quant/knapsack.h"
#include <math.h>

/* The lower bound that prices give. */
static double bound_at(const struct knapsack *k, const double *price)
{
	double sum = 0;

	for (int i = 0; i < k->items; i++) {
		double least = INFINITY;

		for (int c = 0; c < k->item[i].count; c++) {
			const struct knapsack_choice *choice = &k->item[i].choice[c];
			double w = choice->omega;

			for (int b = 0; b < k->budgets; b++)
				w += price[b] * (double)choice->use[b];
			least = w < least ? w : least;
		}
		sum += least;
	}
	for (int b = 0; b < k->budgets; b++)
		sum -= price[b] * (double)k->limit[b];
	return sum;
}

/* The bound is concave in every price, and so is its greatest value over the first `budget` prices
 * in the next one: a third of the range goes at each step.  A unit is never worth more than the
 * largest difference of omega. */
static double best_bound(const struct knapsack *k, int budget, double dearest, double *price)
{
	enum { STEPS = 120 };
	double low = 0, high = dearest;

	if (budget < 0)
		return bound_at(k, price);
	for (int i = 0; i < STEPS; i++) {
		double left = low + (high - low) / 3, right = high - (high - low) / 3;

		price[budget] = left;
		double at_left = best_bound(k, budget - 1, dearest, price);
		price[budget] = right;
		double at_right = best_bound(k, budget - 1, dearest, price);
		if (at_left < at_right)
			low = left;
		else
			high = right;
	}
	price[budget] = low;
	return best_bound(k, budget - 1, dearest, price);
}

void knapsack_prices(const struct knapsack *k, double price[])
{
	best_bound(k, k->budgets - 1, knapsack_spread(k), price);
}
