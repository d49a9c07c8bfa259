/* Action allocate: a bit-width for each layer within a budget, and an evaluation. */
#include "core/train/allocate.h"
#include "core/base/text.h"
#include "core/models/layer_costs.h"
#include "core/train/curvature.h"
#include "core/train/loop.h"
#include "core/train/measure.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { VECTORS = 8, CANDIDATES = 6, BITS_MOST = QUANT_BITS_MAX - QUANT_BITS_MIN + 1 };
static const int default_bits[CANDIDATES] = {2, 3, 4, 5, 6, 8};

struct choice {
	struct trainer *t;
	struct layer_costs costs;
	struct fisher_sums sums;     /* schemes fisher, fisher_critical */
	double factor[FISHER_KINDS]; /* F = sum of factor times each kind's mean */
	double *hessian, *error;     /* (parameters) scheme hessian */
};

/* ---- what rounding harms ---- */
/* Total trace of the quantized weights: the scale of a loss's information. */
static double total_of(const struct choice *c, enum fisher_kind k)
{
	double sum = 0;

	for (int i = 0; i < c->costs.layers; i++)
		sum += fisher_mean(&c->sums, c->costs.parameter[i], k);
	return sum;
}

/* Of the gradient alpha g_A / sqrt(tr_A) + g_F / sqrt(tr_F), or g_A / sqrt(tr_A) alone. */
static void set_factors(struct choice *c, bool critical)
{
	double alpha = c->t->spec->fisher_alpha, a = total_of(c, FISHER_ALL);
	double f = total_of(c, FISHER_CRITICAL);

	c->factor[FISHER_ALL] = a > 0 ? 1 / a : 0;
	if (!critical)
		return;
	c->factor[FISHER_ALL] *= alpha * alpha;
	c->factor[FISHER_CRITICAL] = f > 0 ? 1 / f : 0;
	c->factor[FISHER_CROSS] = a > 0 && f > 0 ? 2 * alpha / sqrt(a * f) : 0;
}

static int measure_information(struct choice *c, bool critical, struct error *e)
{
	bool sum = !strcmp(c->t->spec->allocate_form, "sum");
	int ended = measure_fisher(c->t, NULL, sum, &c->sums, e);

	if (ended != LOOP_GOES_ON)
		return ended;
	measure_report(c->t, &c->sums);
	set_factors(c, critical);
	return LOOP_GOES_ON;
}

static int measure_nothing(struct choice *c, struct error *e)
{
	return LOOP_GOES_ON;
}

static int measure_overall(struct choice *c, struct error *e)
{
	return measure_information(c, false, e);
}

static int measure_critical(struct choice *c, struct error *e)
{
	return measure_information(c, true, e);
}

static int measure_hessian(struct choice *c, struct error *e)
{
	size_t count = (size_t)c->t->model->parameters.count;

	c->hessian = xcalloc(count, sizeof *c->hessian);
	c->error = xcalloc(count, sizeof *c->error);
	int64_t vectors = c->t->spec->fisher_hessian_vectors;
	return curvature_traces(c->t, NULL, vectors ? vectors : VECTORS, c->hessian, c->error, e);
}

/* Omega of a layer whose weights move by d[0 …]. */
typedef double omega_fn(const struct choice *c, int layer, const double *d, int64_t n);

static double mean_of(const struct choice *c, int parameter)
{
	double sum = 0;

	for (int k = 0; k < FISHER_KINDS; k++)
		if (c->factor[k] != 0)
			sum += c->factor[k] * fisher_mean(&c->sums, parameter, (enum fisher_kind)k);
	return sum;
}

static double square_sum(const double *d, int64_t n)
{
	double sum = 0;

	for (int64_t i = 0; i < n; i++)
		sum += d[i] * d[i];
	return sum;
}

/* sum_j F_j d_j^2, or mean(F) |d|^2 */
static double omega_fisher(const struct choice *c, int layer, const double *d, int64_t n)
{
	int p = c->costs.parameter[layer];
	double sum = 0, images = (double)c->sums.images;

	if (!c->sums.diagonal)
		return mean_of(c, p) / (double)n * square_sum(d, n);
	for (int k = 0; k < FISHER_KINDS; k++)
		for (int64_t i = 0; c->factor[k] != 0 && i < n; i++)
			sum += c->factor[k] * c->sums.diagonal[p * FISHER_KINDS + k][i] / images *
			       d[i] * d[i];
	return sum;
}

static double omega_hessian(const struct choice *c, int layer, const double *d, int64_t n)
{
	double trace = c->hessian[c->costs.parameter[layer]];

	return trace > 0 ? trace / (double)n * square_sum(d, n) : 0;
}

static const struct scheme {
	const char *name;
	int (*measure)(struct choice *c, struct error *e);
	omega_fn *omega; /* null: one width for all */
} schemes[] = {
        {"uniform", measure_nothing, NULL},
        {"fisher", measure_overall, omega_fisher},
        {"fisher_critical", measure_critical, omega_fisher},
        {"hessian", measure_hessian, omega_hessian},
};

static const struct scheme *scheme_of(const struct trainer *t)
{
	for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++)
		if (!strcmp(schemes[i].name, t->spec->allocate_scheme))
			return &schemes[i];
	assert(!"a scheme that the field allows is not in the table");
	return NULL;
}

/* ---- omegas of all layers and candidates ---- */
/* d = Q_b(w) - w */
static double *rounding_of(const struct trainer *t, struct tensor *w, int bits)
{
	int64_t n = shape_count(w->shape);
	double *d = xcalloc((size_t)n, sizeof *d);
	struct tensor *scale = quantizer_scale(&t->quantization.scaling, w, bits);
	struct tape tape;

	tape_init(&tape, &backend_ref);
	tape.recording = false;
	struct tensor *rounded =
	        op_fake_quantize(&tape, tape_leaf(&tape, w), tape_adopt(&tape, scale), bits);
	for (int64_t i = 0; i < n; i++)
		d[i] = tensor_at(rounded, i) - tensor_at(w, i);
	tape_release(&tape);
	return d;
}

static void set_omega(struct choice *c, omega_fn *omega, int layer, int candidate)
{
	const struct parameter *p = &c->t->model->parameters.item[c->costs.parameter[layer]];
	int64_t n = shape_count(p->value->shape);
	int bits = c->costs.bits[candidate];
	double *d = rounding_of(c->t, p->value, bits);
	double value = omega(c, layer, d, n);
	char name[METRIC_NAME_BYTES];

	c->costs.candidate[layer * c->costs.bit_count + candidate].omega = value;
	snprintf(name, sizeof name, "sensitivity_%d", bits);
	result_layer(&c->t->result, p->name, name, value);
	snprintf(name, sizeof name, "perturbation_%d", bits);
	result_layer(&c->t->result, p->name, name, square_sum(d, n));
	free(d);
}

/* ---- the choice ---- */
static int candidates(const struct trial_spec *s, int bits[BITS_MOST])
{
	int count = cJSON_GetArraySize(s->allocate_candidates);

	for (int i = 0; i < count && i < BITS_MOST; i++)
		bits[i] = (int)cJSON_GetArrayItem(s->allocate_candidates, i)->valuedouble;
	if (!count)
		memcpy(bits, default_bits, sizeof default_bits);
	return count ? count : CANDIDATES;
}

/* The budgets of the specification together: the smallest of bytes, and bit operations. */
static int64_t byte_budget(const struct choice *c)
{
	const struct trial_spec *s = c->t->spec;
	int64_t bytes = s->allocate_bytes ? s->allocate_bytes : NO_BUDGET;

	if (s->allocate_average_bits > 0) {
		int64_t average = layer_costs_bytes_at(&c->costs, s->allocate_average_bits);
		bytes = average < bytes ? average : bytes;
	}
	return bytes;
}

static int64_t operation_budget(const struct choice *c)
{
	double most = c->t->spec->allocate_bit_operations;

	return most > 0 ? (int64_t)most : NO_BUDGET;
}

static int64_t uniform_use(const struct layer_costs *costs, int budget, int candidate)
{
	int64_t use = costs->fixed[budget];

	for (int i = 0; i < costs->layers; i++)
		use += costs->candidate[i * costs->bit_count + candidate].use[budget];
	return use;
}

/* The most bits that all layers can have together. */
static int choose_uniform(const struct choice *c, struct allocation *a, struct error *e)
{
	const struct layer_costs *costs = &c->costs;
	int best = -1;

	for (int k = 0; k < costs->bit_count; k++)
		if (uniform_use(costs, BUDGET_BYTES, k) <= byte_budget(c) &&
		    uniform_use(costs, BUDGET_BIT_OPERATIONS, k) <= operation_budget(c))
			best = k;
	if (best < 0)
		return error_set(e,
		                 "allocate: %d bits for every layer take %lld bytes and %lld bit "
		                 "operations, more than the budget",
		                 costs->bits[0], (long long)uniform_use(costs, BUDGET_BYTES, 0),
		                 (long long)uniform_use(costs, BUDGET_BIT_OPERATIONS, 0));
	*a = (struct allocation){.chosen = xcalloc((size_t)costs->layers, sizeof *a->chosen),
	                         .layers = costs->layers};
	for (int i = 0; i < costs->layers; i++)
		a->chosen[i] = best;
	return 0;
}

static void report_choice(const struct choice *c, const struct allocation *a)
{
	const struct layer_costs *costs = &c->costs;
	double bits = 0, elements = 0;

	for (int i = 0; i < costs->layers; i++) {
		bits += (double)costs->elements[i] * costs->bits[a->chosen[i]];
		elements += (double)costs->elements[i];
	}
	result_figure(&c->t->result, "average_bits", bits / elements);
	if (scheme_of(c->t)->omega)
		result_figure(&c->t->result, "omega", a->omega);
	if (byte_budget(c) != NO_BUDGET)
		result_figure(&c->t->result, "budget_bytes", (double)byte_budget(c));
}

/* All ranks have the same numbers and choose the same. */
static int choose(struct choice *c, struct error *e)
{
	omega_fn *omega = scheme_of(c->t)->omega;
	struct allocation a;
	int status;

	for (int i = 0; omega && i < c->costs.layers * c->costs.bit_count; i++)
		set_omega(c, omega, i / c->costs.bit_count, i % c->costs.bit_count);
	status = omega ? layer_costs_solve(&c->costs, byte_budget(c), operation_budget(c), &a, e)
	               : choose_uniform(c, &a, e);
	if (status)
		return -1;
	report_choice(c, &a);
	layer_costs_apply(&c->costs, &a, &c->t->quantization);
	allocation_release(&a);
	return 0;
}

enum outcome allocate_run(struct trainer *t, struct error *e)
{
	struct choice c = {.t = t};
	int bits[BITS_MOST], count = candidates(t->spec, bits), ended;

	if (layer_costs_init(&c.costs, t->model, &t->quantization, bits, count,
	                     t->spec->allocate_ties, e))
		return OUTCOME_ERROR;
	ended = scheme_of(t)->measure(&c, e);
	if (ended == LOOP_GOES_ON && choose(&c, e))
		ended = OUTCOME_ERROR;
	fisher_sums_release(&c.sums);
	free(c.hessian);
	free(c.error);
	layer_costs_release(&c.costs);
	if (ended == LOOP_GOES_ON && trainer_settle(t, e))
		ended = OUTCOME_REFUSE;
	return ended == LOOP_GOES_ON ? train_run(t, e) : (enum outcome)ended;
}
