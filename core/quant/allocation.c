/* Mixed precision: layers and ties to a knapsack, its answer back to layers. */
#include "core/quant/allocation.h"
#include "core/base/text.h"
#include "core/quant/knapsack.h"
#include <assert.h>
#include <math.h>
#include <stdlib.h>

/* Sums over layers must fit 64 bits. */
static const int64_t largest_use = INT64_C(1) << 48;

static int check_candidate(const struct allocation_layer *l, int c, int budgets, struct error *e)
{
	if (!isfinite(l->candidate[c].omega))
		return error_set(e, "%s: the sensitivity of candidate %d is no number", l->name, c);
	for (int b = 0; b < budgets; b++)
		if (l->candidate[c].use[b] < 0 || l->candidate[c].use[b] > largest_use)
			return error_set(e, "%s: candidate %d uses %lld of a budget, not 0 to %lld",
			                 l->name, c, (long long)l->candidate[c].use[b],
			                 (long long)largest_use);
	return 0;
}

static int check_layer(const struct allocation_problem *p, int layer, struct error *e)
{
	const struct allocation_layer *l = &p->layer[layer];

	if (l->count < 1)
		return error_set(e, "%s: no bit-widths to choose from", l->name);
	for (int c = 0; c < l->count; c++)
		if (check_candidate(l, c, p->budgets, e))
			return -1;
	return 0;
}

/* The first layer tied to this one: itself, when alone. */
static int tie_leader(const struct allocation_problem *p, int layer)
{
	int tie = p->layer[layer].tie;

	for (int i = 0; tie >= 0 && i < layer; i++)
		if (p->layer[i].tie == tie)
			return i;
	return layer;
}

static int check(const struct allocation_problem *p, struct error *e)
{
	assert(p->budgets >= 0 && p->budgets <= ALLOCATION_BUDGETS);
	if (p->layers < 1)
		return error_set(e, "no layers to choose bits for");
	for (int i = 0; i < p->layers; i++) {
		const struct allocation_layer *l = &p->layer[i],
		                              *leader = &p->layer[tie_leader(p, i)];

		if (check_layer(p, i, e))
			return -1;
		if (l->count != leader->count)
			return error_set(e,
			                 "%s has %d bit-widths to choose from, %s, tied to it, %d",
			                 leader->name, leader->count, l->name, l->count);
	}
	return 0;
}

/* The item of each layer; returns how many there are. */
static int number_items(const struct allocation_problem *p, int *item)
{
	int items = 0;

	for (int i = 0; i < p->layers; i++) {
		int leader = tie_leader(p, i);

		item[i] = leader == i ? items++ : item[leader];
	}
	return items;
}

static void add_layer(struct knapsack *k, const struct allocation_layer *l, int item)
{
	for (int c = 0; c < l->count; c++) {
		struct knapsack_choice *choice = &k->item[item].choice[c];

		choice->omega += l->candidate[c].omega;
		for (int b = 0; b < k->budgets; b++)
			choice->use[b] += l->candidate[c].use[b];
	}
}

static void make_knapsack(struct knapsack *k, const struct allocation_problem *p, const int *item,
                          int items)
{
	int *counts = xcalloc((size_t)items, sizeof(*counts));

	for (int i = 0; i < p->layers; i++)
		counts[item[i]] = p->layer[i].count;
	knapsack_init(k, items, p->budgets, counts);
	free(counts);
	for (int i = 0; i < p->layers; i++)
		add_layer(k, &p->layer[i], item[i]);
	for (int b = 0; b < p->budgets; b++)
		k->limit[b] = p->budget[b].limit - p->budget[b].fixed;
}

static int check_budgets(const struct allocation_problem *p, const struct knapsack *k,
                         struct error *e)
{
	for (int b = 0; b < p->budgets; b++) {
		int64_t least = knapsack_least_use(k, b);

		if (least > k->limit[b])
			return error_set(
			        e, "a budget of %lld %s is too small: the least possible is %lld",
			        (long long)p->budget[b].limit, p->budget[b].unit,
			        (long long)(least + p->budget[b].fixed));
	}
	return 0;
}

/* CBC again and again, as long as knowing an answer makes the differences between those that are
 * left much smaller: its tolerances are relative to the largest. */
static int optimize(struct knapsack *k, int *chosen, struct error *e)
{
	double before, after = knapsack_spread(k);
	int *found = xcalloc((size_t)k->items, sizeof(*found));
	int result = knapsack_optimize(k, chosen, e);

	do {
		before = after;
		if (result == 0)
			knapsack_tighten(k, knapsack_omega(k, chosen));
		after = knapsack_spread(k);
		if (result || after > before / 64)
			break;
		if (knapsack_optimize(k, found, NULL) == 0 &&
		    knapsack_omega(k, found) < knapsack_omega(k, chosen))
			for (int i = 0; i < k->items; i++)
				chosen[i] = found[i];
	} while (after > 0);
	free(found);
	return result;
}

/* gap: by how much the answer's omega may be above the least. */
static int solve(struct knapsack *k, int *chosen, double *gap, struct error *e)
{
	double price[KNAPSACK_BUDGETS] = {0};

	knapsack_reduce(k);
	for (int i = 0; i < k->items; i++)
		if (k->item[i].count == 0)
			return error_set(e, "no choice of bits fits all budgets at once");
	if (optimize(k, chosen, e))
		return -1;
	knapsack_prices(k, price);
	double bound = knapsack_search(k, price, chosen);
	*gap = knapsack_omega(k, chosen) - bound;
	return 0;
}

static void set_answer(struct allocation *a, const struct allocation_problem *p, const int *item,
                       const int *chosen)
{
	for (int b = 0; b < p->budgets; b++)
		a->used[b] = p->budget[b].fixed;
	for (int i = 0; i < p->layers; i++) {
		const struct allocation_candidate *c = &p->layer[i].candidate[chosen[item[i]]];

		a->chosen[i] = chosen[item[i]];
		a->omega += c->omega;
		for (int b = 0; b < p->budgets; b++)
			a->used[b] += c->use[b];
	}
}

int allocation_solve(struct allocation *a, const struct allocation_problem *p, struct error *e)
{
	*a = (struct allocation){0};
	if (check(p, e))
		return -1;

	struct knapsack k;
	int *item = xcalloc((size_t)p->layers, sizeof(*item)), items = number_items(p, item);
	int *chosen = xcalloc((size_t)items, sizeof(*chosen)), result = -1;
	double gap = 0;

	a->layers = p->layers;
	a->chosen = xcalloc((size_t)p->layers, sizeof(*a->chosen));
	make_knapsack(&k, p, item, items);
	if (check_budgets(p, &k, e) == 0 && solve(&k, chosen, &gap, e) == 0) {
		set_answer(a, p, item, chosen);
		a->bound = a->omega - gap;
		result = 0;
	}
	knapsack_release(&k);
	free(chosen);
	free(item);
	return result;
}

void allocation_release(struct allocation *a)
{
	free(a->chosen);
	*a = (struct allocation){0};
}
