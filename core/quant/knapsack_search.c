/* Multiple-choice knapsacks: the exact optimum, once a good answer is known.
 *
 * Item after item, the list of all partial answers that can still become as good as the known one
 * is kept, without those that another one beats.  What a partial answer can become is bounded by
 * pricing the budgets (Lagrange): for any prices p >= 0,
 *   omega so far + p.use so far + sum over later items of min_c (omega_c + p.use_c) - p.limit
 * is no more than the omega of any full answer that it is part of and that keeps the limits.
 * Near the right prices few partial answers pass.
 *
 * Omegas are whole numbers of 128 bits here, on a grid 2^-100 times the largest: sums of doubles
 * without rounding, so that equal means equal in whichever order they are added. */
#include "core/base/text.h"
#include "core/quant/knapsack.h"
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef __int128 wide;
enum { GRID_BITS = 100, LARGEST_BITS = 116 };
enum { MOST_IN_LIST = 1 << 20, MOST_NODES = 1 << 24 };

/* How a partial answer came about: its last choice, and the node of the rest. */
struct node {
	int32_t parent, index;
};
struct partial {
	wide omega;
	int64_t use[KNAPSACK_BUDGETS];
	int32_t node; /* nodes of one list are in order of earlier choices of earlier items */
};

struct search {
	const struct knapsack *k;
	int exponent; /* omega = whole number * 2^exponent */
	wide price[KNAPSACK_BUDGETS];
	wide known; /* omega of the known answer */
	wide *rest; /* (items + 1) least priced omega of the items from here on */
	int64_t *rest_use[KNAPSACK_BUDGETS]; /* (items + 1) least use of them */
	struct node *node;
	int nodes, node_capacity;
	struct partial *list, *next;
	int count;
};

static wide whole(const struct search *s, double omega)
{
	return (wide)rint(ldexp(omega, -s->exponent));
}

static wide priced(const struct search *s, wide omega, const int64_t *use)
{
	for (int b = 0; b < s->k->budgets; b++)
		omega += s->price[b] * use[b];
	return omega;
}

static void set_grid(struct search *s)
{
	double largest = 0;
	int exponent;

	for (int i = 0; i < s->k->items; i++)
		for (int c = 0; c < s->k->item[i].count; c++)
			largest = fmax(largest, fabs(s->k->item[i].choice[c].omega));
	frexp(largest, &exponent);
	s->exponent = exponent - GRID_BITS;
}

/* Any prices are right; those that would overflow are left out. */
static void set_prices(struct search *s, const double *price)
{
	for (int b = 0; b < s->k->budgets; b++) {
		double p = ldexp(price[b], -s->exponent);

		if (p * ((double)s->k->limit[b] + 1) < ldexp(1, LARGEST_BITS))
			s->price[b] = (wide)rint(p);
	}
}

static wide least_priced(const struct search *s, const struct knapsack_item *item)
{
	wide least = 0;

	for (int c = 0; c < item->count; c++) {
		wide w = priced(s, whole(s, item->choice[c].omega), item->choice[c].use);

		if (c == 0 || w < least)
			least = w;
	}
	return least;
}

/* The bounds of what is left, from the last item back. */
static void set_rest(struct search *s)
{
	const struct knapsack *k = s->k;

	s->rest = xcalloc((size_t)k->items + 1, sizeof(*s->rest));
	for (int b = 0; b < k->budgets; b++)
		s->rest[k->items] -= s->price[b] * k->limit[b];
	for (int i = k->items - 1; i >= 0; i--)
		s->rest[i] = s->rest[i + 1] + least_priced(s, &k->item[i]);
}

static void set_rest_use(struct search *s, int budget)
{
	const struct knapsack *k = s->k;
	int64_t *rest = xcalloc((size_t)k->items + 1, sizeof(*rest));

	for (int i = k->items - 1; i >= 0; i--) {
		int64_t least = INT64_MAX;

		for (int c = 0; c < k->item[i].count; c++)
			if (k->item[i].choice[c].use[budget] < least)
				least = k->item[i].choice[c].use[budget];
		rest[i] = rest[i + 1] + least;
	}
	s->rest_use[budget] = rest;
}

static void search_init(struct search *s, const struct knapsack *k, const double *price,
                        const int *chosen)
{
	*s = (struct search){.k = k, .count = 1};
	set_grid(s);
	set_prices(s, price);
	set_rest(s);
	for (int b = 0; b < k->budgets; b++)
		set_rest_use(s, b);
	for (int i = 0; i < k->items; i++)
		s->known += whole(s, knapsack_chosen(k, i, chosen[i])->omega);
	s->list = xcalloc(1, sizeof(*s->list));
	s->list[0].node = -1;
}

static void search_release(struct search *s)
{
	free(s->rest);
	for (int b = 0; b < KNAPSACK_BUDGETS; b++)
		free(s->rest_use[b]);
	free(s->node);
	free(s->list);
	free(s->next);
}

static int add_node(struct search *s, int parent, int index)
{
	if (s->nodes == s->node_capacity) {
		s->node_capacity = s->node_capacity ? 2 * s->node_capacity : 1024;
		s->node = xrealloc(s->node, (size_t)s->node_capacity * sizeof(*s->node));
	}
	s->node[s->nodes] = (struct node){parent, index};
	return s->nodes++;
}

/* Whether items from `item` on can make this an answer as good as the known one. */
static bool hopeful(const struct search *s, const struct partial *p, int item)
{
	for (int b = 0; b < s->k->budgets; b++)
		if (p->use[b] + s->rest_use[b][item] > s->k->limit[b])
			return false;
	return priced(s, p->omega, p->use) + s->rest[item] <= s->known;
}

/* All hopeful ways to go on with this item, into next; false when they are too many. */
static bool expand(struct search *s, int item, int *count)
{
	const struct knapsack_item *it = &s->k->item[item];

	s->next = xrealloc(s->next, (size_t)s->count * (size_t)it->count * sizeof(*s->next));
	*count = 0;
	for (int i = 0; i < s->count; i++)
		for (int c = 0; c < it->count; c++) {
			struct partial p = s->list[i];

			p.omega += whole(s, it->choice[c].omega);
			for (int b = 0; b < s->k->budgets; b++)
				p.use[b] += it->choice[c].use[b];
			if (!hopeful(s, &p, item + 1))
				continue;
			if (*count == MOST_IN_LIST || s->nodes == MOST_NODES)
				return false;
			p.node = add_node(s, p.node, it->choice[c].index);
			s->next[(*count)++] = p;
		}
	return true;
}

static int by_worth(const void *a, const void *b)
{
	const struct partial *x = a, *y = b;

	if (x->omega != y->omega)
		return x->omega < y->omega ? -1 : 1;
	for (int i = 0; i < KNAPSACK_BUDGETS; i++)
		if (x->use[i] != y->use[i])
			return x->use[i] < y->use[i] ? -1 : 1;
	return x->node < y->node ? -1 : 1;
}

static int by_node(const void *a, const void *b)
{
	const struct partial *x = a, *y = b;

	return x->node < y->node ? -1 : 1;
}

/* Steps that no one has passed below yet: use[0] rising, use[1] falling. */
struct stair {
	int64_t use[KNAPSACK_BUDGETS];
};

/* Whether the stairs hold a step with no more of either use; else this becomes one. */
static bool below_stairs(struct stair *stair, int *steps, const int64_t *use)
{
	int low = 0, high = *steps, end;

	while (low < high) { /* the steps before `low` have use[0] <= this */
		int middle = (low + high) / 2;

		if (stair[middle].use[0] <= use[0])
			low = middle + 1;
		else
			high = middle;
	}
	if (low > 0 && stair[low - 1].use[1] <= use[1])
		return true;
	if (low > 0 && stair[low - 1].use[0] == use[0])
		low--;
	for (end = low; end < *steps && stair[end].use[1] >= use[1]; end++)
		continue;
	memmove(stair + low + 1, stair + end, (size_t)(*steps - end) * sizeof(*stair));
	*steps += 1 - (end - low);
	stair[low] = (struct stair){{use[0], use[1]}};
	return false;
}

/* Of those that took as many items: drops what another one beats, whatever follows. */
static void prune(struct search *s, int count)
{
	struct stair *stair = xcalloc((size_t)count + 1, sizeof(*stair));
	int steps = 0, kept = 0;

	qsort(s->next, (size_t)count, sizeof(*s->next), by_worth);
	for (int i = 0; i < count; i++)
		if (!below_stairs(stair, &steps, s->next[i].use))
			s->next[kept++] = s->next[i];
	qsort(s->next, (size_t)kept, sizeof(*s->next), by_node);
	free(stair);

	struct partial *list = s->list;
	s->list = s->next;
	s->next = list;
	s->count = kept;
}

static bool take_item(struct search *s, int item)
{
	int count;

	if (!expand(s, item, &count))
		return false;
	prune(s, count);
	assert(s->count > 0); /* the known answer is among them, or what beats it */
	return true;
}

static void read_best(const struct search *s, int *chosen)
{
	const struct partial *best = &s->list[0];

	for (int i = 1; i < s->count; i++)
		if (by_worth(&s->list[i], best) < 0)
			best = &s->list[i];
	for (int i = s->k->items - 1, n = best->node; i >= 0; n = s->node[n].parent, i--)
		chosen[i] = s->node[n].index;
}

double knapsack_search(const struct knapsack *k, const double price[], int *chosen)
{
	struct search s;
	double bound;
	int i = 0;

	search_init(&s, k, price, chosen);
	bound = ldexp((double)s.rest[0], s.exponent);
	while (i < k->items && take_item(&s, i))
		i++;
	if (i == k->items) {
		read_best(&s, chosen);
		bound = knapsack_omega(k, chosen);
	}
	search_release(&s);
	return bound;
}
