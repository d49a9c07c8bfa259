/* Subtasks of whole superclasses, as even in size as these allow. */
#include "core/base/text.h"
#include "core/data/class.h"
#include "core/split/subtasks.h"
#include <stdlib.h>
#include <string.h>

/* Superclasses in the order of their first class; which of them each class has. */
struct superclasses {
	int count;
	int *of;    /* (classes) */
	int *size;  /* (count) classes */
	int *order; /* (count) largest first, of equals the first */
};

static void superclasses_release(struct superclasses *c)
{
	free(c->of);
	free(c->size);
	free(c->order);
}

static void superclasses_init(struct superclasses *c, const char *const *name, int classes)
{
	size_t most = (size_t)classes;

	*c = (struct superclasses){0, xcalloc(most, sizeof *c->of), xcalloc(most, sizeof *c->size),
	                           xcalloc(most, sizeof *c->order)};
	for (int k = 0; k < classes; k++) {
		int j = 0;
		while (j < k && strcmp(name[j], name[k]) != 0)
			j++;
		c->of[k] = j < k ? c->of[j] : c->count++;
		c->size[c->of[k]]++;
	}
	for (int i = 0; i < c->count; i++) {
		int at = i;
		for (; at > 0 && c->size[c->order[at - 1]] < c->size[i]; at--)
			c->order[at] = c->order[at - 1];
		c->order[at] = i;
	}
}

/* The complete greedy search for even sums: the largest that is left goes to each group in turn,
 * the smallest group first, of groups of one size only to the first. */
struct search {
	const struct superclasses *c;
	int groups, classes, steps; /* steps: that are left */
	int sum[SUBTASKS_MAX];
	int *at, *best_at; /* (superclasses) their groups, so far and in the best */
	long squares, best, ideal;
};

static int smallest_above(const struct search *s, int sum)
{
	int best = -1;

	for (int g = 0; g < s->groups; g++)
		if (s->sum[g] > sum && (best < 0 || s->sum[g] < s->sum[best]))
			best = g;
	return best;
}

static void search_from(struct search *s, int depth)
{
	if (depth == s->c->count) {
		s->best = s->squares;
		memcpy(s->best_at, s->at, (size_t)depth * sizeof *s->at);
		return;
	}
	int item = s->c->order[depth], size = s->c->size[item];
	for (int g = smallest_above(s, -1); g >= 0; g = smallest_above(s, s->sum[g])) {
		long more = (long)size * (2 * s->sum[g] + size);
		if (s->best == s->ideal || s->squares + more >= s->best || s->steps-- <= 0)
			return;
		s->at[item] = g;
		s->sum[g] += size;
		s->squares += more;
		search_from(s, depth + 1);
		s->squares -= more;
		s->sum[g] -= size;
	}
}

/* The group of each superclass. */
static void even_groups(const struct superclasses *c, int groups, int classes, int *of)
{
	long low = classes / groups, rest = classes % groups;
	struct search s = {.c = c,
	                   .groups = groups,
	                   .steps = 1000000,
	                   .at = xcalloc((size_t)c->count, sizeof *s.at),
	                   .best_at = of,
	                   .best = (long)classes * classes + 1,
	                   .ideal = (groups - rest) * low * low + rest * (low + 1) * (low + 1)};

	search_from(&s, 0);
	free(s.at);
}

int subtasks_from_superclasses(struct subtasks *s, const char *const *superclass, int count,
                               const struct dataset *d, struct error *e)
{
	struct superclasses c;
	int status = -1;

	*s = (struct subtasks){0};
	if (!superclass)
		return error_set(e, "%s has no superclasses", d->name);
	superclasses_init(&c, superclass, d->classes);
	count = count ? count : c.count;
	int *group = xcalloc((size_t)d->classes, sizeof *group);
	int *of = xcalloc((size_t)d->classes, sizeof *of);
	if (c.count < count)
		error_set(e, "%d superclasses make %d groups at most, not %d", c.count, c.count,
		          count);
	else if (subtasks_check_count(d->classes, count, e) == 0) {
		even_groups(&c, count, d->classes, of);
		for (int k = 0; k < d->classes; k++)
			group[k] = of[c.of[k]];
		status = subtasks_from_groups(s, group, d->classes, count, d, e);
	}
	superclasses_release(&c);
	free(of);
	free(group);
	return status;
}

static int name_superclass(const char **of, int class, const char *name, const struct dataset *d,
                           struct error *e)
{
	if (class < 0)
		return -1;
	if (of[class])
		return error_set(e, "%s is in %s and in %s", d->class_name[class], of[class], name);
	of[class] = name;
	return 0;
}

/* {"superclass": ["class", …]} or {"class": "superclass"}, one member of the object. */
static int read_superclass(const char **of, const cJSON *entry, const struct dataset *d,
                           struct error *e)
{
	const cJSON *item;

	if (cJSON_IsString(entry))
		return name_superclass(of, class_named(d, entry->string, e), entry->valuestring, d,
		                       e);
	if (!cJSON_IsArray(entry))
		return error_set(e, "neither a superclass nor a list of classes");
	cJSON_ArrayForEach (item, entry)
		if (name_superclass(of, class_of_json(d, item, e), entry->string, d, e))
			return -1;
	return 0;
}

static int check_all_are_named(const char **of, const struct dataset *d, struct error *e)
{
	bool *unnamed = xcalloc((size_t)d->classes, sizeof *unnamed);
	struct text names = {0};
	int missing;

	for (int k = 0; k < d->classes; k++)
		unnamed[k] = !of[k];
	missing = class_add_list(&names, d, unnamed, d->classes);
	if (missing)
		error_set(e, "%s %s no superclass", names.data, missing > 1 ? "have" : "has");
	text_release(&names);
	free(unnamed);
	return missing ? -1 : 0;
}

static int read_superclasses(const char **of, const cJSON *json, const struct dataset *d,
                             struct error *e)
{
	const cJSON *entry;

	if (!cJSON_IsObject(json))
		return error_set(e, "no object of superclasses or classes");
	cJSON_ArrayForEach (entry, json)
		if (read_superclass(of, entry, d, e))
			return error_prefix(e, "\"%s\"", entry->string);
	return check_all_are_named(of, d, e);
}

const char **superclasses_of_json(const cJSON *json, const struct dataset *d, struct error *e)
{
	const char **of = xcalloc((size_t)d->classes, sizeof *of);

	if (read_superclasses(of, json, d, e) == 0)
		return of;
	free(of);
	return NULL;
}
