/* Golden optimizer cases: steps of each rule on parameters and gradients from named streams. */
#include "core/train/optimizer.h"
#include "core/base/text.h"
#include "tests/goldens/golden.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int rebuild(struct golden *g, struct parameter_set *p, struct error *e)
{
	int64_t seed = json_int(g->manifest, "seed", 0);
	const cJSON *item;

	cJSON_ArrayForEach (item, cJSON_GetObjectItemCaseSensitive(g->manifest, "parameters")) {
		const char *name = json_text(item, "name", "");
		struct shape s;

		if (!shape_parse(cJSON_GetObjectItemCaseSensitive(item, "shape"), &s))
			return error_set(e, "parameter %s: no shape", name);
		int i = parameter_add(p, xstrdup(name), PARAMETER_BIAS, g->precision->type, s);
		stream_fill(p->item[i].value, seed, name, json_real(item, "scale", 1),
		            json_real(item, "offset", 0));
	}
	return p->count ? 0 : error_set(e, "no parameters");
}

/* The rule that a case's name begins with: "sgd_nesterov" is sgd. */
static const char *rule_of(const char *name)
{
	for (int i = 0; i < optimizer_rule_count; i++) {
		const char *rule = optimizer_rules[i].name;
		size_t n = strlen(rule);

		if (strncmp(name, rule, n) == 0 && (name[n] == '_' || name[n] == 0))
			return rule;
	}
	return name;
}

static struct optimizer_settings settings_of(const cJSON *c, const cJSON *defaults)
{
	const cJSON *betas = cJSON_GetObjectItemCaseSensitive(c, "betas");
	struct optimizer_settings s = optimizer_defaults;

	if (!betas)
		betas = cJSON_GetObjectItemCaseSensitive(defaults, "betas");
	s.kind = json_text(c, "kind", rule_of(c->string));
	s.momentum = json_real(c, "momentum", s.momentum);
	s.nesterov = json_bool(c, "nesterov", false);
	s.weight_decay = json_real(c, "weight_decay", 0);
	s.eps = json_real(c, "eps", json_real(defaults, "eps", s.eps));
	s.clip_norm = json_real(c, "clip_norm", 0);
	for (int i = 0; i < 2 && cJSON_GetArraySize(betas) == 2; i++)
		s.beta[i] = cJSON_GetArrayItem(betas, i)->valuedouble;
	return s;
}

/* "g<step>.<parameter>, scale 0.5, offset 0": in the streams <parameter> is its index. */
static double gradient_number(const struct golden *g, const char *key, double otherwise)
{
	const char *at = strstr(json_text(g->manifest, "gradients", ""), key);

	return at ? strtod(at + strlen(key), NULL) : otherwise;
}

static void make_gradients(struct golden *g, const struct parameter_set *p, int step,
                           struct tensor **gradient)
{
	for (int i = 0; i < p->count; i++) {
		char *name = xformat("g%d.%d", step, i);

		gradient[i] = tensor_new(g->precision->type, p->item[i].value->shape);
		stream_fill(gradient[i], json_int(g->manifest, "seed", 0), name,
		            gradient_number(g, "scale", 0.5), gradient_number(g, "offset", 0));
		free(name);
	}
}

static void run_step(struct golden *g, const cJSON *c, struct optimizer *o, int step)
{
	struct parameter_set *p = o->parameters;
	struct tensor **gradient = xcalloc((size_t)p->count, sizeof(*gradient));

	make_gradients(g, p, step, gradient);
	optimizer_step(o, gradient, json_real(c, "lr", 0));
	for (int i = 0; i < p->count; i++) {
		char *name = xformat("%s.step%d.%s", c->string, step, p->item[i].name);

		golden_check_tensor(g, name, NULL, p->item[i].value);
		free(name);
		tensor_free(gradient[i]);
	}
	free(gradient);
}

static int run_case(struct golden *g, const cJSON *c, struct error *e)
{
	struct optimizer_settings s =
	        settings_of(c, cJSON_GetObjectItemCaseSensitive(g->manifest, "defaults"));
	struct parameter_set p = {0};
	struct optimizer o = {0};
	int result = rebuild(g, &p, e) || optimizer_init(&o, &s, &p, e) ? -1 : 0;

	for (int step = 0; !result && step < json_int(g->manifest, "steps", 0); step++)
		run_step(g, c, &o, step);
	optimizer_release(&o);
	parameter_release(&p);
	return result;
}

int optimizer_run(struct golden *g, struct error *e)
{
	const cJSON *c;

	cJSON_ArrayForEach (c, cJSON_GetObjectItemCaseSensitive(g->manifest, "cases"))
		if (run_case(g, c, e))
			return error_prefix(e, "case %s", c->string);
	return 0;
}
