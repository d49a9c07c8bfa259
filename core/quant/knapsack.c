/* Multiple-choice knapsacks: what can be left out before anything is solved. */
#include "core/quant/knapsack.h"
#include "core/base/text.h"
#include <assert.h>
#include <math.h>
#include <stdlib.h>

void knapsack_init(struct knapsack *k, int items, int budgets, const int *counts)
{
	assert(items > 0 && budgets >= 0 && budgets <= KNAPSACK_BUDGETS);
	*k = (struct knapsack){.items = items, .budgets = budgets};
	k->item = xcalloc((size_t)items, sizeof(*k->item));
	for (int i = 0; i < items; i++) {
		struct knapsack_item *item = &k->item[i];

		item->count = counts[i];
		item->choice = xcalloc((size_t)counts[i], sizeof(*item->choice));
		for (int c = 0; c < counts[i]; c++)
			item->choice[c].index = c;
	}
}

void knapsack_release(struct knapsack *k)
{
	for (int i = 0; i < k->items; i++)
		free(k->item[i].choice);
	free(k->item);
	*k = (struct knapsack){0};
}

static int64_t least_use(const struct knapsack_item *item, int budget)
{
	int64_t least = item->choice[0].use[budget];

	for (int c = 1; c < item->count; c++)
		if (item->choice[c].use[budget] < least)
			least = item->choice[c].use[budget];
	return least;
}

int64_t knapsack_least_use(const struct knapsack *k, int budget)
{
	int64_t sum = 0;

	for (int i = 0; i < k->items; i++)
		sum += least_use(&k->item[i], budget);
	return sum;
}

static int64_t common_divisor(int64_t a, int64_t b)
{
	while (b) {
		int64_t rest = a % b;

		a = b;
		b = rest;
	}
	return a;
}

/* Subtracts what every choice of an item uses; returns what all the rest is a multiple of. */
static int64_t subtract_least(struct knapsack *k, int budget)
{
	int64_t unit = 0, most = 0; /* that all items together can use */

	for (int i = 0; i < k->items; i++) {
		int64_t least = least_use(&k->item[i], budget), largest = 0;

		for (int c = 0; c < k->item[i].count; c++) {
			int64_t *use = &k->item[i].choice[c].use[budget];

			*use -= least;
			unit = common_divisor(unit, *use);
			largest = *use > largest ? *use : largest;
		}
		most += largest;
	}
	if (most < k->limit[budget])
		k->limit[budget] = most;
	return unit;
}

static void rebase(struct knapsack *k, int budget)
{
	k->limit[budget] -= knapsack_least_use(k, budget);
	assert(k->limit[budget] >= 0);

	int64_t unit = subtract_least(k, budget);
	if (unit == 0)
		return;
	k->limit[budget] /= unit;
	for (int i = 0; i < k->items; i++)
		for (int c = 0; c < k->item[i].count; c++)
			k->item[i].choice[c].use[budget] /= unit;
}

static bool too_large(const struct knapsack *k, const struct knapsack_choice *c)
{
	for (int b = 0; b < k->budgets; b++)
		if (c->use[b] > k->limit[b])
			return true;
	return false;
}

/* Whatever the other items take, a is at least as good an answer as c. */
static bool beats(const struct knapsack *k, const struct knapsack_choice *a,
                  const struct knapsack_choice *c)
{
	bool less = a->omega < c->omega;

	if (a->omega > c->omega)
		return false;
	for (int b = 0; b < k->budgets; b++) {
		if (a->use[b] > c->use[b])
			return false;
		less = less || a->use[b] < c->use[b];
	}
	return less || a->index < c->index;
}

static bool beaten(const struct knapsack *k, const struct knapsack_item *item, int c)
{
	for (int a = 0; a < item->count; a++)
		if (a != c && beats(k, &item->choice[a], &item->choice[c]))
			return true;
	return false;
}

/* Keeps the choices that are marked, in their order. */
static void keep(struct knapsack_item *item, const bool *marked)
{
	int kept = 0;

	for (int c = 0; c < item->count; c++)
		if (marked[c])
			item->choice[kept++] = item->choice[c];
	item->count = kept;
}

static void drop_beaten(struct knapsack *k, struct knapsack_item *item)
{
	bool *marked = xcalloc((size_t)item->count, sizeof(*marked));

	for (int c = 0; c < item->count; c++)
		marked[c] = !too_large(k, &item->choice[c]) && !beaten(k, item, c);
	keep(item, marked);
	free(marked);
}

void knapsack_reduce(struct knapsack *k)
{
	for (int b = 0; b < k->budgets; b++)
		rebase(k, b);
	for (int i = 0; i < k->items; i++)
		drop_beaten(k, &k->item[i]);
}

static double least_omega(const struct knapsack_item *item)
{
	double least = item->choice[0].omega;

	for (int c = 1; c < item->count; c++)
		least = fmin(least, item->choice[c].omega);
	return least;
}

void knapsack_tighten(struct knapsack *k, double omega)
{
	double room = omega, rounding = fabs(omega);

	for (int i = 0; i < k->items; i++) {
		room -= least_omega(&k->item[i]);
		rounding += fabs(least_omega(&k->item[i]));
	}
	room += 1e-12 * rounding;
	for (int i = 0; i < k->items; i++) {
		struct knapsack_item *item = &k->item[i];
		bool *marked = xcalloc((size_t)item->count, sizeof(*marked));

		for (int c = 0; c < item->count; c++)
			marked[c] = item->choice[c].omega - least_omega(item) <= room;
		keep(item, marked);
		free(marked);
	}
}

double knapsack_spread(const struct knapsack *k)
{
	double spread = 0;

	for (int i = 0; i < k->items; i++)
		for (int c = 0; c < k->item[i].count; c++)
			spread =
			        fmax(spread, k->item[i].choice[c].omega - least_omega(&k->item[i]));
	return spread;
}

const struct knapsack_choice *knapsack_chosen(const struct knapsack *k, int item, int index)
{
	const struct knapsack_item *it = &k->item[item];

	for (int c = 0; c < it->count; c++)
		if (it->choice[c].index == index)
			return &it->choice[c];
	assert(!"a choice of the item");
	return NULL;
}

double knapsack_omega(const struct knapsack *k, const int *chosen)
{
	double sum = 0;

	for (int i = 0; i < k->items; i++)
		sum += knapsack_chosen(k, i, chosen[i])->omega;
	return sum;
}

bool knapsack_fits(const struct knapsack *k, const int *chosen)
{
	for (int b = 0; b < k->budgets; b++) {
		int64_t use = 0;

		for (int i = 0; i < k->items; i++)
			use += knapsack_chosen(k, i, chosen[i])->use[b];
		if (use > k->limit[b])
			return false;
	}
	return true;
}
