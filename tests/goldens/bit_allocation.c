/* Golden bit allocations: multiple-choice knapsacks given as tables of cost and use. */
#include "core/base/text.h"
#include "core/quant/allocation.h"
#include "tests/goldens/golden.h"
#include <math.h>
#include <stdlib.h>

/* A case as the solver takes it; cost and use keep the manifest's numbers. */
struct instance {
	int rows, columns;
	double *cost, *use; /* (rows, columns) */
	double limit;
	int *tie;                               /* (rows) the first row tied to this one */
	struct allocation_candidate *candidate; /* (rows, columns) */
	struct allocation_layer *layer;         /* (rows) */
};

static void instance_release(struct instance *x)
{
	free(x->cost);
	free(x->use);
	free(x->tie);
	free(x->candidate);
	free(x->layer);
}

static int read_table(const cJSON *c, const char *key, const struct instance *x, double *table,
                      struct error *e)
{
	const cJSON *row, *number, *rows = cJSON_GetObjectItemCaseSensitive(c, key);
	int count = 0;

	cJSON_ArrayForEach (row, rows) {
		if (cJSON_GetArraySize(row) != x->columns)
			return error_set(e, "%s: rows of different lengths", key);
		cJSON_ArrayForEach (number, row)
			table[count++] = number->valuedouble;
	}
	return count == x->rows * x->columns ? 0 : error_set(e, "%s: not a row per layer", key);
}

static void join(struct instance *x, int a, int b)
{
	int first = x->tie[a] < x->tie[b] ? x->tie[a] : x->tie[b], other = x->tie[a] + x->tie[b];

	other -= first;
	for (int i = 0; i < x->rows; i++)
		if (x->tie[i] == other)
			x->tie[i] = first;
}

static int read_ties(const cJSON *c, struct instance *x, struct error *e)
{
	const cJSON *group, *row;

	for (int i = 0; i < x->rows; i++)
		x->tie[i] = i;
	cJSON_ArrayForEach (group, cJSON_GetObjectItemCaseSensitive(c, "ties"))
		cJSON_ArrayForEach (row, group) {
			if (row->valuedouble < 0 || row->valuedouble >= x->rows)
				return error_set(e, "ties: there is no row %g", row->valuedouble);
			join(x, (int)group->child->valuedouble, (int)row->valuedouble);
		}
	return 0;
}

static bool all_whole(const struct instance *x, double scale)
{
	for (int i = 0; i < x->rows * x->columns; i++)
		if (x->use[i] * scale != floor(x->use[i] * scale))
			return false;
	return true;
}

/* Uses need not be whole: counts of the smallest power of two that they are multiples of, or of
 * what still fits. */
static double use_scale(const struct instance *x)
{
	double scale = 1, most = x->limit;

	for (int i = 0; i < x->rows * x->columns; i++)
		most = fmax(most, x->use[i]);
	while (!all_whole(x, scale) && most * scale < 0x1p46)
		scale *= 2;
	return scale;
}

/* Where uses had to be rounded up, by less than one each, the limit gives way by as much. */
static int64_t scaled_limit(const struct instance *x, double scale)
{
	return (int64_t)floor(x->limit * scale) + (all_whole(x, scale) ? 0 : x->rows);
}

static void make_layers(struct instance *x, double scale)
{
	for (int i = 0; i < x->rows; i++) {
		struct allocation_candidate *candidate = x->candidate + i * x->columns;

		for (int c = 0; c < x->columns; c++) {
			candidate[c].omega = x->cost[i * x->columns + c];
			candidate[c].use[0] = (int64_t)ceil(x->use[i * x->columns + c] * scale);
		}
		x->layer[i] = (struct allocation_layer){"row", x->tie[i], x->columns, candidate};
	}
}

static int instance_read(struct instance *x, const cJSON *c, struct error *e)
{
	const cJSON *cost = cJSON_GetObjectItemCaseSensitive(c, "cost");
	size_t count;

	x->rows = cJSON_GetArraySize(cost);
	x->columns = x->rows ? cJSON_GetArraySize(cost->child) : 0;
	count = (size_t)x->rows * (size_t)x->columns;
	x->cost = xcalloc(count + 1, sizeof(*x->cost));
	x->use = xcalloc(count + 1, sizeof(*x->use));
	x->tie = xcalloc((size_t)x->rows + 1, sizeof(*x->tie));
	x->candidate = xcalloc(count + 1, sizeof(*x->candidate));
	x->layer = xcalloc((size_t)x->rows + 1, sizeof(*x->layer));
	x->limit = json_real(c, "limit", 0);
	if (read_table(c, "cost", x, x->cost, e) || read_table(c, "use", x, x->use, e) ||
	    read_ties(c, x, e))
		return -1;
	return 0;
}

/* What an answer costs by the manifest's own numbers; NaN when it is against the rules. */
static double cost_of(const struct instance *x, const int *chosen)
{
	double cost = 0, use = 0;

	for (int i = 0; i < x->rows; i++) {
		if (chosen[i] != chosen[x->tie[i]])
			return NAN;
		cost += x->cost[i * x->columns + chosen[i]];
		use += x->use[i * x->columns + chosen[i]];
	}
	return use <= x->limit * (1 + 1e-12) ? cost : NAN;
}

static int run_instance(struct golden *g, const cJSON *c, struct instance *x, struct error *e)
{
	if (instance_read(x, c, e))
		return -1;

	double scale = use_scale(x), dearest = 0;
	const cJSON *expect = cJSON_GetObjectItemCaseSensitive(c, "expect_cost");
	struct allocation_budget budget = {"units", scaled_limit(x, scale), 0};
	struct allocation_problem p = {x->layer, x->rows, &budget, 1};
	struct allocation a;
	bool possible = cJSON_IsNumber(expect); /* null: no answer keeps the limit */

	make_layers(x, scale);
	for (int i = 0; i < x->rows * x->columns; i++)
		dearest = fmax(dearest, fabs(x->cost[i]));
	int result = allocation_solve(&a, &p, e);
	if (result && !possible)
		golden_check_number(g, json_text(c, "name", "?"), NULL, 0, 0, 1);
	else if (!result)
		golden_check_number(g, json_text(c, "name", "?"), NULL, cost_of(x, a.chosen),
		                    possible ? expect->valuedouble : NAN, 1e-15 * dearest);
	allocation_release(&a);
	return possible ? result : 0;
}

int bit_allocation_run(struct golden *g, struct error *e)
{
	const cJSON *c, *cases = cJSON_GetObjectItemCaseSensitive(g->manifest, "cases");

	if (cJSON_GetArraySize(cases) == 0)
		return error_set(e, "no cases");
	cJSON_ArrayForEach (c, cases) {
		struct instance x = {0};
		int result = run_instance(g, c, &x, e);

		instance_release(&x);
		if (result)
			return error_prefix(e, "case %s", json_text(c, "name", "?"));
	}
	return 0;
}
