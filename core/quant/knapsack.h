/* Multiple-choice knapsacks: one choice of each item, the least sum of omegas within the limits.
 *
 * What allocation.c asks of CBC and of the exact search, and how it makes the problem small. */
#ifndef QUANT_KNAPSACK_H
#define QUANT_KNAPSACK_H
#include "core/quant/allocation.h"
#include <stdbool.h>

enum { KNAPSACK_BUDGETS = ALLOCATION_BUDGETS };

struct knapsack_choice {
	double omega;
	int64_t use[KNAPSACK_BUDGETS];
	int index; /* the choice's place among the item's choices before any was dropped */
};
struct knapsack_item {
	struct knapsack_choice *choice; /* in order of index */
	int count;
};
struct knapsack {
	struct knapsack_item *item;
	int items, budgets;
	int64_t limit[KNAPSACK_BUDGETS];
};

/* `counts` choices for each item, all zero. */
void knapsack_init(struct knapsack *k, int items, int budgets, const int *counts);
void knapsack_release(struct knapsack *k);

/* The least that all items together can use of a budget. */
int64_t knapsack_least_use(const struct knapsack *k, int budget);

/* Uses as multiples of the budget's unit above the item's least, and without choices that fit no
 * answer or that another one of the item beats: the same answers, smaller numbers.  Every limit
 * must be reachable by itself. */
void knapsack_reduce(struct knapsack *k);

/* Drops choices that cost so much that no answer as good as omega can hold them. */
void knapsack_tighten(struct knapsack *k, double omega);

/* The largest difference of omega between choices of one item. */
double knapsack_spread(const struct knapsack *k);

/* Answers are the index of each item's choice.  Sum of omegas; whether the limits are kept. */
double knapsack_omega(const struct knapsack *k, const int *chosen);
bool knapsack_fits(const struct knapsack *k, const int *chosen);
const struct knapsack_choice *knapsack_chosen(const struct knapsack *k, int item, int index);

/* CBC: an answer that is optimal within its tolerances; fails when there is none. */
int knapsack_optimize(const struct knapsack *k, int *chosen, struct error *e);

/* What a unit of each budget is worth (>= 0): the prices p that give the greatest lower bound
 * sum_i min_c (omega_c + p.use_c) - p.limit. */
void knapsack_prices(const struct knapsack *k, double price[]);

/* Replaces a good answer by the best one, in exact arithmetic: first by omega, then by use, then
 * by earlier choices of earlier items.  Returns the lower bound that it has proved, which is the
 * answer's omega, or less if the search was too large: then chosen is left alone. */
double knapsack_search(const struct knapsack *k, const double price[], int *chosen);
#endif
