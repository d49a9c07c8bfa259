/* Two sides compared: trials in groups that match, and what was measured in each. */
#include "coordinator/compare.h"
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static void tally_release(struct tally *t)
{
	for (int i = 0; i < t->names; i++)
		free(t->name[i]);
	free(t->name);
	free(t->sample);
}

void comparison_release(struct comparison *c)
{
	for (int side = 0; side < SIDES; side++) {
		free(c->title[side]);
		free(c->trial[side]);
		free(c->group_of[side]);
	}
	for (int g = 0; g < c->groups; g++)
		free(c->group[g].key);
	free(c->group);
	free(c->shown);
	tally_release(&c->metric);
	tally_release(&c->accuracy);
	tally_release(&c->train_accuracy);
	cJSON_Delete(c->specification);
	*c = (struct comparison){0};
}

static int find_group(struct comparison *c, const char *key)
{
	for (int g = 0; g < c->groups; g++)
		if (!strcmp(c->group[g].key, key))
			return g;
	c->group = xrealloc(c->group, ((size_t)c->groups + 1) * sizeof *c->group);
	c->group[c->groups] = (struct group){.key = xstrdup(key)};
	return c->groups++;
}

void comparison_trial(struct comparison *c, int side, int64_t trial, const char *key)
{
	size_t n = (size_t)c->members[side]++;

	assert(!c->metric.names && !c->accuracy.names && !c->train_accuracy.names);
	assert(!n || c->trial[side][n - 1] < trial);
	c->trial[side] = xrealloc(c->trial[side], (n + 1) * sizeof *c->trial[side]);
	c->group_of[side] = xrealloc(c->group_of[side], (n + 1) * sizeof *c->group_of[side]);
	c->trial[side][n] = trial;
	c->group_of[side][n] = find_group(c, key);
	c->group[c->group_of[side][n]].trials[side]++;
}

/* Names come in runs: the last one is looked at first. */
static int find_name(const struct comparison *c, struct tally *t, const char *name)
{
	for (int i = t->names - 1; i >= 0; i--)
		if (!strcmp(t->name[i], name))
			return i;
	size_t each = (size_t)c->groups * SIDES, n = (size_t)t->names;
	t->name = xrealloc(t->name, (n + 1) * sizeof *t->name);
	t->name[n] = xstrdup(name);
	t->sample = xrealloc(t->sample, (n + 1) * each * sizeof *t->sample);
	memset(t->sample + n * each, 0, each * sizeof *t->sample);
	return t->names++;
}

struct sample *comparison_sample(const struct comparison *c, const struct tally *t, int name,
                                 int group, int side)
{
	return &t->sample[((size_t)name * (size_t)c->groups + (size_t)group) * SIDES +
	                  (size_t)side];
}

static int by_number(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return x < y ? -1 : x > y;
}

void comparison_value(struct comparison *c, struct tally *t, const char *name, int side,
                      int64_t trial, double value)
{
	const int64_t *found = c->members[side]
	                               ? bsearch(&trial, c->trial[side], (size_t)c->members[side],
	                                         sizeof trial, by_number)
	                               : NULL;

	if (!found || !isfinite(value))
		return;
	int group = c->group_of[side][found - c->trial[side]], i = find_name(c, t, name);
	sample_add(comparison_sample(c, t, i, group, side), value);
}

bool comparison_matched(const struct comparison *c, int group)
{
	return c->group[group].trials[0] && c->group[group].trials[1];
}

struct estimate comparison_overall(const struct comparison *c, const struct tally *t, int name,
                                   int side)
{
	size_t most = (size_t)c->groups * SIDES + 1;
	const struct sample **sample = xcalloc(most, sizeof *sample);
	double *weight = xcalloc(most, sizeof *weight);
	int count = 0, matched = 0;

	for (int g = 0; g < c->groups; g++) {
		const struct sample *a = comparison_sample(c, t, name, g, 0), *b = a + 1;
		if (!a->count || !b->count)
			continue;
		matched++;
		if (side != 1) {
			weight[count] = side == SIDES ? -1 : 1;
			sample[count++] = a;
		}
		if (side != 0) {
			weight[count] = 1;
			sample[count++] = b;
		}
	}
	for (int i = 0; i < count; i++)
		weight[i] /= matched;
	struct estimate e =
	        matched ? estimate_sum(sample, weight, count) : (struct estimate){NAN, NAN};
	free(sample);
	free(weight);
	return e;
}
