/* Multiple-choice knapsacks as mixed-integer programs, for CBC.
 *
 * Items that are alike in every number share their columns, which then count how many of them take
 * a choice: otherwise CBC would try all ways to exchange them. */
#include "core/base/text.h"
#include "core/quant/knapsack.h"
#include <assert.h>
#include <coin/Cbc_C_Interface.h>
#include <math.h>
#include <stdlib.h>

/* Objective and budgets are scaled to numbers up to these: CBC's tolerances are absolute. */
static const double largest_cost = 1e4, largest_use = 1e3;

/* What a search may cost; after that the best answer so far is taken. */
enum { NODES = 20000 };

struct program {
	const struct knapsack *k;
	Cbc_Model *model;
	int *kin;    /* (items) the first item that is alike, which has the columns */
	int *column; /* (items) the first of its choices */
};

static bool alike(const struct knapsack *k, const struct knapsack_item *a,
                  const struct knapsack_item *b)
{
	if (a->count != b->count)
		return false;
	for (int c = 0; c < a->count; c++) {
		const struct knapsack_choice *x = &a->choice[c], *y = &b->choice[c];

		if (x->omega != y->omega || x->index != y->index)
			return false;
		for (int i = 0; i < k->budgets; i++)
			if (x->use[i] != y->use[i])
				return false;
	}
	return true;
}

static int first_alike(const struct knapsack *k, int item)
{
	for (int i = 0; i < item; i++)
		if (alike(k, &k->item[i], &k->item[item]))
			return i;
	return item;
}

static int kin_count(const struct program *p, int item)
{
	int count = 0;

	for (int i = item; i < p->k->items; i++)
		count += p->kin[i] == item;
	return count;
}

static double use_scale(const struct knapsack *k, int budget)
{
	int64_t most = 1;

	for (int i = 0; i < k->items; i++)
		for (int c = 0; c < k->item[i].count; c++)
			if (k->item[i].choice[c].use[budget] > most)
				most = k->item[i].choice[c].use[budget];
	return largest_use / (double)most;
}

/* The columns of an item, and the row that has its kin take one choice each. */
static void add_item(struct program *p, int item, double cost_scale)
{
	const struct knapsack_item *it = &p->k->item[item];
	int count = kin_count(p, item);
	int *column = xcalloc((size_t)it->count, sizeof(*column));
	double *one = xcalloc((size_t)it->count, sizeof(*one));

	p->column[item] = Cbc_getNumCols(p->model);
	for (int c = 0; c < it->count; c++) {
		column[c] = p->column[item] + c;
		one[c] = 1;
		Cbc_addCol(p->model, "", 0, count,
		           (it->choice[c].omega - it->choice[0].omega) * cost_scale, true, 0, NULL,
		           NULL);
	}
	Cbc_addRow(p->model, "", it->count, column, one, 'E', count);
	free(column);
	free(one);
}

static void add_budget(struct program *p, int budget, int64_t limit)
{
	const struct knapsack *k = p->k;
	int columns = Cbc_getNumCols(p->model), n = 0;
	int *column = xcalloc((size_t)columns, sizeof(*column));
	double *use = xcalloc((size_t)columns, sizeof(*use)), scale = use_scale(k, budget);

	for (int i = 0; i < k->items; i++)
		for (int c = 0; p->kin[i] == i && c < k->item[i].count; c++, n++) {
			column[n] = p->column[i] + c;
			use[n] = scale * (double)k->item[i].choice[c].use[budget];
		}
	Cbc_addRow(p->model, "", n, column, use, 'L', scale * (double)limit);
	free(column);
	free(use);
}

static void program_init(struct program *p, const struct knapsack *k, const int64_t *limit)
{
	double spread = knapsack_spread(k);

	*p = (struct program){.k = k, .model = Cbc_newModel()};
	p->kin = xcalloc((size_t)k->items, sizeof(*p->kin));
	p->column = xcalloc((size_t)k->items, sizeof(*p->column));
	for (int i = 0; i < k->items; i++)
		p->kin[i] = first_alike(k, i);
	for (int i = 0; i < k->items; i++)
		if (p->kin[i] == i)
			add_item(p, i, spread > 0 ? largest_cost / spread : 1);
	for (int b = 0; b < k->budgets; b++)
		add_budget(p, b, limit[b]);
	Cbc_setObjSense(p->model, 1);
}

static void program_release(struct program *p)
{
	Cbc_deleteModel(p->model);
	free(p->kin);
	free(p->column);
}

static void program_solve(struct program *p)
{
	Cbc_setLogLevel(p->model, 0);
	Cbc_setParameter(p->model, "log", "0");
	Cbc_setParameter(p->model, "threads", "0");
	Cbc_setParameter(p->model, "increment", "1e-9");
	Cbc_setAllowableGap(p->model, 0);
	Cbc_setAllowableFractionGap(p->model, 0);
	Cbc_setMaximumNodes(p->model, NODES);
	Cbc_solve(p->model);
}

/* Deals the counts of the columns out to the kin, smaller index first. */
static void read_answer(const struct program *p, const double *solution, int *chosen)
{
	const struct knapsack *k = p->k;
	int *left = xcalloc((size_t)Cbc_getNumCols(p->model), sizeof(*left));

	for (int i = 0; i < Cbc_getNumCols(p->model); i++)
		left[i] = (int)lround(solution[i]);
	for (int i = 0; i < k->items; i++) {
		int *take = left + p->column[p->kin[i]], c = 0;

		while (c < k->item[i].count - 1 && take[c] == 0)
			c++;
		take[c]--;
		chosen[i] = k->item[i].choice[c].index;
	}
	free(left);
}

/* 1 when CBC found an answer within these limits, up to its tolerances. */
static int optimize_within(const struct knapsack *k, const int64_t *limit, int *chosen)
{
	struct program p;
	const double *solution;

	program_init(&p, k, limit);
	program_solve(&p);
	solution = Cbc_bestSolution(p.model);
	if (!solution && Cbc_isProvenOptimal(p.model))
		solution = Cbc_getColSolution(p.model);
	if (solution)
		read_answer(&p, solution, chosen);
	program_release(&p);
	return solution != NULL;
}

/* Takes off a limit what an answer exceeds it by. */
static void lower_limits(const struct knapsack *k, const int *chosen, int64_t *limit)
{
	for (int b = 0; b < k->budgets; b++) {
		int64_t over = -k->limit[b];

		for (int i = 0; i < k->items; i++)
			over += knapsack_chosen(k, i, chosen[i])->use[b];
		limit[b] -= over > 0 ? over : 0;
	}
}

/* A row may be off by CBC's tolerance; whole numbers tell, and then a little less is asked for.
 * What that leaves out, the exact search comes back to. */
int knapsack_optimize(const struct knapsack *k, int *chosen, struct error *e)
{
	enum { TRIES = 20 };
	int64_t limit[KNAPSACK_BUDGETS];

	for (int b = 0; b < KNAPSACK_BUDGETS; b++)
		limit[b] = k->limit[b];
	for (int i = 0; i < TRIES; i++) {
		if (!optimize_within(k, limit, chosen))
			return error_set(e, "no choice of bits fits all budgets at once");
		if (knapsack_fits(k, chosen))
			return 0;
		lower_limits(k, chosen, limit);
	}
	return error_set(e, "CBC found no choice of bits that keeps the budgets exactly");
}
