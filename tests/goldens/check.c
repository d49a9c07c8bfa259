/* Errors by the definition of goldens/README.md, gathered by family and held to limits. */
#include "core/base/text.h"
#include "tests/goldens/golden.h"
#include <fnmatch.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct family {
	char *name;
	double largest; /* |expect|_2 of its largest member */
	double error;   /* the worst so far */
	char *worst;    /* its member */
	bool seen, integer, number;
};

/* "expect/<family>/<member>" or "expect/<family>". */
static const char expect[] = "expect/";

static bool is_expected(const struct safetensor *s)
{
	return strncmp(s->name, expect, strlen(expect)) == 0;
}

static char *family_of(const struct safetensor *s)
{
	const char *from = s->name + strlen(expect);

	return xformat("%.*s", (int)strcspn(from, "/"), from);
}

static double norm(const struct safetensor *s)
{
	double sum = 0;

	for (int64_t i = 0; i < s->count; i++)
		sum += safetensor_at(s, i) * safetensor_at(s, i);
	return sqrt(sum);
}

static struct family *find_family(const struct golden *g, const char *name)
{
	for (int i = 0; i < g->family_count; i++)
		if (strcmp(g->family[i].name, name) == 0)
			return &g->family[i];
	return NULL;
}

static struct family *add_family(struct golden *g, char *name)
{
	struct family *f = find_family(g, name);

	if (f) {
		free(name);
		return f;
	}
	g->family = xrealloc(g->family, (size_t)(g->family_count + 1) * sizeof(*g->family));
	f = &g->family[g->family_count++];
	*f = (struct family){.name = name};
	return f;
}

void golden_init(struct golden *g, const char *name, const cJSON *manifest,
                 const struct safetensors *tensors, const struct precision *precision)
{
	size_t count = tensors ? (size_t)safetensors_count(tensors) : 0;

	*g = (struct golden){.name = name,
	                     .manifest = manifest,
	                     .tensors = tensors,
	                     .precision = precision,
	                     .checked = xcalloc(count + 1, sizeof(*g->checked))};
	for (int i = 0; i < (int)count; i++) {
		const struct safetensor *s = safetensors_item(tensors, i);

		if (!is_expected(s))
			continue;
		struct family *f = add_family(g, family_of(s));
		f->largest = fmax(f->largest, norm(s));
		f->integer = s->type[0] == 'I' || s->type[0] == 'U';
	}
}

void golden_release(struct golden *g)
{
	for (int i = 0; i < g->family_count; i++) {
		free(g->family[i].name);
		free(g->family[i].worst);
	}
	free(g->family);
	free(g->checked);
}

bool golden_wants(const struct golden *g, const char *family_pattern)
{
	for (int i = 0; i < g->family_count; i++)
		if (fnmatch(family_pattern, g->family[i].name, 0) == 0)
			return true;
	return false;
}

static int find_expected(const struct golden *g, const char *family, const char *member)
{
	char *name = xformat("%s%s%s%s", expect, family, member ? "/" : "", member ? member : "");
	int found = -1;

	for (int i = 0; g->tensors && i < safetensors_count(g->tensors) && found < 0; i++)
		if (strcmp(safetensors_item(g->tensors, i)->name, name) == 0)
			found = i;
	free(name);
	return found;
}

/* |got - expect|_2 / max(|expect|_2, 1e-4 largest); infinite when sizes differ or a NaN is there,
 * and for integers as soon as one differs. */
static double array_error(const struct family *f, const struct safetensor *s, const double *got,
                          int64_t count)
{
	double sum = 0, below = fmax(norm(s), 1e-4 * f->largest);

	if (count != s->count)
		return INFINITY;
	for (int64_t i = 0; i < count; i++)
		sum += pow(got[i] - safetensor_at(s, i), 2);
	if (isnan(sum) || (f->integer && sum != 0))
		return INFINITY;
	return sum == 0 ? 0 : sqrt(sum) / below;
}

static void note_error(struct family *f, const char *member, double error)
{
	if (!f->seen || error > f->error) {
		f->error = error;
		free(f->worst);
		f->worst = xstrdup(member ? member : "");
	}
	f->seen = true;
}

void golden_check(struct golden *g, const char *family, const char *member, const double *got,
                  int64_t count)
{
	int index = find_expected(g, family, member);
	struct family *f = find_family(g, family);

	if (index < 0)
		return;
	g->checked[index] = true;
	note_error(f, member, array_error(f, safetensors_item(g->tensors, index), got, count));
}

void golden_check_number(struct golden *g, const char *family, const char *member, double got,
                         double expect_number, double least)
{
	struct family *f = add_family(g, xstrdup(family));
	double far = fabs(got - expect_number), below = fmax(fabs(expect_number), least);

	f->number = true;
	note_error(f, member, isnan(far) ? INFINITY : far == 0 ? 0 : far / below);
}

void golden_check_tensor(struct golden *g, const char *family, const char *member,
                         struct tensor *got)
{
	int64_t count = shape_count(got->shape);
	double *values = xcalloc((size_t)count + 1, sizeof(*values));

	tensor_to_f64(got, values);
	golden_check(g, family, member, values, count);
	free(values);
}

static bool is_derivative(const char *family)
{
	return !fnmatch("*grad*", family, 0) || !fnmatch("fisher*", family, 0) ||
	       !fnmatch("trace_*", family, 0);
}

static double limit_of(const struct golden *g, const struct family *f)
{
	const cJSON *reference =
	        cJSON_GetObjectItemCaseSensitive(g->manifest, "float32_error_of_reference");

	if (f->integer)
		return 0;
	if (f->number || g->precision->type == F64)
		return json_real(g->manifest, "tolerance", 1e-8);
	if (is_derivative(f->name))
		return 0.2;
	return fmax(1e-4, 20 * json_real(reference, f->name, 0));
}

void golden_report(struct golden *g)
{
	int seen = 0;

	for (int i = 0; i < g->family_count; i++) {
		const struct family *f = &g->family[i];
		double limit = limit_of(g, f);
		bool ok = f->seen && f->error <= limit;

		if (!f->seen)
			continue;
		seen++;
		printf("%-18s %-6s %-22s %9.2e %8.1e %s%s%s\n", g->name, g->precision->name,
		       f->name, f->error, limit, ok ? "ok" : "FAIL", ok ? "" : " at ",
		       ok ? "" : f->worst);
		g->bad += !ok;
	}
	for (int i = 0; g->tensors && i < safetensors_count(g->tensors); i++) {
		const struct safetensor *s = safetensors_item(g->tensors, i);

		if (!is_expected(s) || g->checked[i])
			continue;
		printf("%-18s %-6s %-22s         -        - FAIL nothing computes it\n", g->name,
		       g->precision->name, s->name + strlen(expect));
		g->bad++;
	}
	if (!seen && !g->bad) {
		printf("%-18s %-6s FAIL nothing is expected\n", g->name, g->precision->name);
		g->bad++;
	}
}
