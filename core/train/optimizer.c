/* Optimizers: a table of update rules, and the loop that applies one to all parameters. */
#include "core/train/optimizer.h"
#include "core/base/text.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

const struct optimizer_settings optimizer_defaults = {
        .kind = "sgd", .beta = {0.9, 0.999}, .eps = 1e-8};

/* g' = g + decay w;  v = momentum v + g';  w -= rate (nesterov ? g' + momentum v : v). */
static void update_sgd(const struct optimizer_settings *s, double rate, int64_t step, int n,
                       double *w, const double *g, double *const slot[OPTIMIZER_SLOTS])
{
	double *v = slot[0];

#pragma omp simd
	for (int i = 0; i < n; i++) {
		double d = g[i] + s->weight_decay * w[i];

		v[i] = s->momentum * v[i] + d;
		w[i] -= rate * (s->nesterov ? d + s->momentum * v[i] : v[i]);
	}
}

/* Loshchilov & Hutter 2019, algorithm 2, in PyTorch's form: decay by rate * decay. */
static void update_adamw(const struct optimizer_settings *s, double rate, int64_t step, int n,
                         double *w, const double *g, double *const slot[OPTIMIZER_SLOTS])
{
	double *m = slot[0], *v = slot[1];
	double unbias_m = 1 - pow(s->beta[0], (double)step);
	double unbias_v = 1 - pow(s->beta[1], (double)step);

#pragma omp simd
	for (int i = 0; i < n; i++) {
		w[i] -= rate * s->weight_decay * w[i];
		m[i] = s->beta[0] * m[i] + (1 - s->beta[0]) * g[i];
		v[i] = s->beta[1] * v[i] + (1 - s->beta[1]) * g[i] * g[i];
		w[i] -= rate * (m[i] / unbias_m) / (sqrt(v[i] / unbias_v) + s->eps);
	}
}

const struct optimizer_rule optimizer_rules[] = {
        {"sgd",
         "stochastic gradient descent: momentum, Nesterov, weight decay",
         {"momentum"},
         update_sgd},
        {"adamw", "Adam with decoupled weight decay", {"exp_avg", "exp_avg_sq"}, update_adamw},
};
const int optimizer_rule_count = sizeof(optimizer_rules) / sizeof(*optimizer_rules);

static const struct optimizer_rule *rule_named(const char *name)
{
	for (int i = 0; i < optimizer_rule_count; i++)
		if (strcmp(optimizer_rules[i].name, name) == 0)
			return &optimizer_rules[i];
	return NULL;
}

int optimizer_init(struct optimizer *o, const struct optimizer_settings *s,
                   struct parameter_set *parameters, struct error *e)
{
	*o = (struct optimizer){.settings = *s, .rule = rule_named(s->kind)};
	if (!o->rule)
		return error_set(e, "unknown optimizer \"%s\"", s->kind);
	o->parameters = parameters;
	for (int k = 0; k < OPTIMIZER_SLOTS && o->rule->slot[k]; k++) {
		o->state[k] = xcalloc((size_t)parameters->count, sizeof(*o->state[k]));
		for (int i = 0; i < parameters->count; i++) {
			const struct tensor *value = parameters->item[i].value;
			o->state[k][i] = tensor_zeros(value->type, value->shape);
		}
	}
	return 0;
}

void optimizer_release(struct optimizer *o)
{
	for (int k = 0; k < OPTIMIZER_SLOTS && o->state[k]; k++) {
		for (int i = 0; i < o->parameters->count; i++)
			tensor_free(o->state[k][i]);
		free(o->state[k]);
	}
	*o = (struct optimizer){0};
}

static void chunk_load(double *restrict to, const void *values, enum dtype type, int64_t from,
                       int n)
{
	const float *restrict f = (const float *)values + from;

	if (type == F64) {
		memcpy(to, (const double *)values + from, (size_t)n * sizeof(*to));
		return;
	}
#pragma omp simd
	for (int i = 0; i < n; i++)
		to[i] = (double)f[i];
}

static void chunk_store(const double *restrict from, void *values, enum dtype type, int64_t to,
                        int n)
{
	float *restrict f = (float *)values + to;

	if (type == F64) {
		memcpy((double *)values + to, from, (size_t)n * sizeof(*from));
		return;
	}
#pragma omp simd
	for (int i = 0; i < n; i++)
		f[i] = (float)from[i];
}

static int chunk_size(int64_t count, int64_t at)
{
	return (int)(count - at < OPTIMIZER_CHUNK ? count - at : OPTIMIZER_CHUNK);
}

/* Norm of all gradients together: sums of chunks, then of parameters, in order. */
static double total_norm(const struct parameter_set *p, struct tensor *const gradient[])
{
	double total = 0, g[OPTIMIZER_CHUNK];

	for (int i = 0; i < p->count; i++) {
		if (!gradient[i])
			continue;
		int64_t count = shape_count(gradient[i]->shape);
		const void *values = tensor_plain(gradient[i]);
		double sum = 0;

		for (int64_t at = 0; at < count; at += OPTIMIZER_CHUNK) {
			int n = chunk_size(count, at);

			chunk_load(g, values, gradient[i]->type, at, n);
			for (int j = 0; j < n; j++)
				sum += g[j] * g[j];
		}
		total += sum;
	}
	return sqrt(total);
}

/* Where the values of one parameter, its gradient and its state lie. */
struct update {
	const struct optimizer *o;
	enum dtype type;
	void *value, *slot[OPTIMIZER_SLOTS];
	const void *gradient;
	double factor, rate, weight_decay, least;
};

static void update_chunk(const struct update *u, int64_t at, int n)
{
	const struct optimizer *o = u->o;
	struct optimizer_settings settings = o->settings;
	double w[OPTIMIZER_CHUNK], g[OPTIMIZER_CHUNK], s[OPTIMIZER_SLOTS][OPTIMIZER_CHUNK];

	chunk_load(w, u->value, u->type, at, n);
	chunk_load(g, u->gradient, u->type, at, n);
#pragma omp simd
	for (int j = 0; j < n; j++)
		g[j] *= u->factor;
	for (int k = 0; k < OPTIMIZER_SLOTS && u->slot[k]; k++)
		chunk_load(s[k], u->slot[k], u->type, at, n);
	settings.weight_decay = u->weight_decay;
	o->rule->update(&settings, u->rate, o->steps, n, w, g, (double *const[]){s[0], s[1]});
	for (int k = 0; k < OPTIMIZER_SLOTS && u->slot[k]; k++)
		chunk_store(s[k], u->slot[k], u->type, at, n);
#pragma omp simd
	for (int j = 0; j < n; j++)
		w[j] = w[j] < u->least ? u->least : w[j];
	chunk_store(w, u->value, u->type, at, n);
}

/* Elements do not meet, so threads change no bit. */
static void update_parameter(struct optimizer *o, int i, struct tensor *gradient, double factor,
                             double rate)
{
	struct tensor *value = o->parameters->item[i].value;
	bool step = o->parameters->item[i].role == PARAMETER_STEP;
	int64_t count = shape_count(value->shape);
	struct update u = {.o = o,
	                   .type = value->type,
	                   .factor = factor,
	                   .rate = rate,
	                   .weight_decay = step ? 0 : o->settings.weight_decay,
	                   .least = step ? STEP_LEAST : -INFINITY};

	assert(shape_equal(value->shape, gradient->shape) && value->type == gradient->type);
	u.value = tensor_write(value);
	u.gradient = tensor_plain(gradient);
	for (int k = 0; k < OPTIMIZER_SLOTS && o->state[k]; k++)
		u.slot[k] = tensor_write(o->state[k][i]);
#pragma omp parallel for schedule(static) if (count > 64 * OPTIMIZER_CHUNK)
	for (int64_t at = 0; at < count; at += OPTIMIZER_CHUNK)
		update_chunk(&u, at, chunk_size(count, at));
}

double optimizer_step(struct optimizer *o, struct tensor *const gradient[], double rate)
{
	double norm = total_norm(o->parameters, gradient), factor = 1;

	if (o->settings.clip_norm > 0)
		factor = fmin(1, o->settings.clip_norm / (norm + 1e-6));
	o->steps++;
	for (int i = 0; i < o->parameters->count; i++)
		if (gradient[i])
			update_parameter(o, i, gradient[i], factor, rate);
	return norm;
}

void optimizer_reshape(struct optimizer *o, struct parameter_set *parameters,
                       const struct reshape *r)
{
	for (int k = 0; k < OPTIMIZER_SLOTS && o->state[k]; k++)
		o->state[k] = reshape_list(r, parameters->count, o->state[k], o->parameters->count);
	o->parameters = parameters;
}

int optimizer_state_count(const struct optimizer *o)
{
	int slots = 0;

	while (slots < OPTIMIZER_SLOTS && o->state[slots])
		slots++;
	return slots * o->parameters->count;
}

struct tensor *optimizer_state(const struct optimizer *o, int index, char **name)
{
	int slot = index / o->parameters->count, i = index % o->parameters->count;

	assert(index >= 0 && index < optimizer_state_count(o));
	*name = xformat("optimizer.%s.%s", o->rule->slot[slot], o->parameters->item[i].name);
	return o->state[slot][i];
}
