/* Every differentiable op: its gradient, and the gradient of its gradient, against differences.
 *
 * Order 1 differentiates S1 = <w, y + y^2> for y = f(x) and fixed weights w.  Order k + 1
 * differentiates S(k+1) = <w, d + d^2> summed over the gradients d of Sk.  Differences are central,
 * of four points, in double.  Inputs lie well away from kinks, which each row asserts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/gradcheck_rows.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ORDERS = 3 };
static const double STEP = 2e-3, TOLERANCE = 1e-6, FLOOR = 1e-3;
static T *weights; /* (WEIGHTS) */

/* ---- the scalars and their differences ---- */
typedef T *build_fn(struct tape *t, T **x);

/* <w, y + y^2> */
static T *weigh(struct tape *t, T *y)
{
	int64_t n = shape_count(y->shape);
	T *w = op_slice(t, tape_leaf(t, weights), (int64_t[]){0}, (int64_t[]){1}, SHAPE(n));
	T *flat = op_reshape(t, y, SHAPE(n));

	assert_true(n <= WEIGHTS);
	return op_sum(t, op_mul(t, w, op_add(t, flat, op_mul(t, flat, flat))));
}

static T *scalar(struct tape *t, T **x, int count, build_fn *build, int order)
{
	T *d[INPUTS], *sum = NULL;

	if (order == 1)
		return weigh(t, build(t, x));
	tape_grad(t, scalar(t, x, count, build, order - 1), x, count, d, GRAD_RECORD);
	for (int i = 0; i < count; i++) {
		T *part = weigh(t, d[i]);
		sum = sum ? op_add(t, sum, part) : part;
	}
	return sum;
}

static double evaluate(T **value, int count, build_fn *build, int order)
{
	struct tape t;
	T *x[INPUTS];

	tape_init(&t, &backend_ref);
	for (int i = 0; i < count; i++)
		x[i] = tape_leaf(&t, value[i]);
	double result = tensor_at(scalar(&t, x, count, build, order), 0);
	tape_release(&t);
	return result;
}

static double difference(T **value, int i, int64_t j, const struct row *r, int order)
{
	static const double at[4] = {2, 1, -1, -2}, weight[4] = {-1, 8, -8, 1};
	build_fn *build = r->frozen ? r->frozen : r->build;
	double keep = tensor_at(value[i], j), sum = 0;

	for (int k = 0; k < 4; k++) {
		((double *)tensor_write(value[i]))[j] = keep + at[k] * STEP;
		sum += weight[k] * evaluate(value, r->count, build, order);
	}
	((double *)tensor_write(value[i]))[j] = keep;
	return sum / (12 * STEP);
}

/* Analytic gradients of the scalar of `order`, loose: the caller frees them. */
static void analytic(T **value, const struct row *r, int order, T **gradient)
{
	struct tape t;
	T *x[INPUTS], *d[INPUTS];
	bool met = false;

	tape_init(&t, &backend_ref);
	for (int i = 0; i < r->count; i++)
		x[i] = tape_leaf(&t, value[i]);
	T *s = scalar(&t, x, r->count, r->build, order);
	for (int i = 0; i < t.count; i++)
		met |= t.node[i]->op == r->op;
	assert_true(met);
	tape_grad(&t, s, x, r->count, d, GRAD_CONSUME);
	for (int i = 0; i < r->count; i++)
		gradient[i] = tensor_copy(d[i]);
	tape_release(&t);
}

static double largest(T **x, int count)
{
	double most = 0;

	for (int i = 0; i < count; i++)
		for (int64_t j = 0; j < shape_count(x[i]->shape); j++)
			most = fmax(most, fabs(tensor_at(x[i], j)));
	return most;
}

/* Worst error over all elements; those below FLOOR of the largest count as that. */
static double worst_error(T **value, const struct row *r, int order)
{
	T *gradient[INPUTS];
	double worst = 0;

	analytic(value, r, order, gradient);
	double floor = FLOOR * largest(gradient, r->count) + 1e-9;
	for (int i = 0; i < r->count; i++) {
		for (int64_t j = 0; j < shape_count(value[i]->shape); j++) {
			double got = tensor_at(gradient[i], j);
			double want = difference(value, i, j, r, order);
			worst = fmax(worst, fabs(got - want) / fmax(floor, fabs(want)));
		}
	}
	for (int i = 0; i < r->count; i++)
		tensor_free(gradient[i]);
	return worst;
}

/* ---- tests ---- */
static double uniform(uint64_t *state)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return (double)(*state >> 11) * 0x1p-53;
}

static T *input(const struct row *r, int i, uint64_t *state)
{
	T *x = tensor_new(F64, r->in[i]);
	double *values = tensor_write(x);

	for (int64_t j = 0; j < shape_count(r->in[i]); j++) {
		double size = 0.3 + uniform(state);
		values[j] = r->positive || uniform(state) < 0.6 ? size : -size;
	}
	return x;
}

static void gradients_match_differences(void **state)
{
	const struct row *r = *state;
	uint64_t seed = 7;
	T *value[INPUTS];
	double worst[ORDERS];

	for (int i = 0; i < r->count; i++)
		value[i] = input(r, i, &seed);
	printf("%-28s", r->name);
	for (int order = 1; order <= ORDERS; order++) {
		worst[order - 1] = worst_error(value, r, order);
		printf("  order %d %.1e", order, worst[order - 1]);
	}
	printf("\n");
	for (int i = 0; i < r->count; i++)
		tensor_free(value[i]);
	for (int order = 1; order <= ORDERS; order++)
		assert_true(worst[order - 1] < TOLERANCE);
}

static void every_differentiable_op_has_a_row(void **state)
{
	for (int op = 0; op < OP_COUNT; op++) {
		bool found = !op_vjp[op];
		for (int i = 0; i < ROWS; i++)
			found |= rows[i].op == (enum op)op;
		if (!found)
			fail_msg("no row for %s", op_name[op]);
	}
}

static void make_weights(void)
{
	uint64_t seed = 11;

	weights = tensor_new(F64, SHAPE(WEIGHTS));
	for (int i = 0; i < WEIGHTS; i++)
		((double *)tensor_write(weights))[i] = 0.3 + uniform(&seed);
}

int main(void)
{
	struct CMUnitTest test[ROWS + 1] = {cmocka_unit_test(every_differentiable_op_has_a_row)};

	make_weights();
	for (int i = 0; i < ROWS; i++)
		test[i + 1] = (struct CMUnitTest){.name = rows[i].name,
		                                  .test_func = gradients_match_differences,
		                                  .initial_state = (void *)&rows[i]};
	int failed = cmocka_run_group_tests(test, NULL, NULL);
	tensor_free(weights);
	return failed;
}
