/* What a sweep would mean: its trials counted and checked, nothing changed. */
#include "coordinator/plan.h"
#include "coordinator/sql.h"
#include "core/base/json.h"
#include "core/base/text.h"
#include "schemas/trial_spec.h"
#include <stdlib.h>
#include <string.h>

/* The identities met so far: a hash table of their first 8 bytes' digits, open addressing. */
struct seen {
	char (*identity)[SHA256_HEX];
	size_t capacity, count;
};

static char *slot_of(const struct seen *s, const char *identity)
{
	size_t at = strtoull((char[]){identity[0], identity[1], identity[2], identity[3],
	                              identity[4], identity[5], identity[6], identity[7], 0},
	                     NULL, 16);

	while (s->identity[at % s->capacity][0] &&
	       strcmp(s->identity[at % s->capacity], identity) != 0)
		at++;
	return s->identity[at % s->capacity];
}

/* Whether it is new. */
static bool seen_add(struct seen *s, const char *identity)
{
	if (2 * s->count >= s->capacity) {
		struct seen larger = {.capacity = s->capacity ? 2 * s->capacity : 64,
		                      .count = s->count};
		larger.identity = xcalloc(larger.capacity, SHA256_HEX);
		for (size_t i = 0; i < s->capacity; i++)
			if (s->identity[i][0])
				memcpy(slot_of(&larger, s->identity[i]), s->identity[i],
				       SHA256_HEX);
		free(s->identity);
		*s = larger;
	}
	char *slot = slot_of(s, identity);
	if (slot[0])
		return false;
	memcpy(slot, identity, SHA256_HEX);
	s->count++;
	return true;
}

struct counting {
	struct sql *db;
	struct seen *seen;
	struct plan *plan;
	struct error *e;
};

static int count_input(void *self, const char *role, const cJSON *trial);

/* -1 with a message when it names a trial to start from that cannot be. */
static int count_trial(const struct counting *c, const cJSON *trial, bool parent)
{
	struct plan *plan = c->plan;
	char identity[SHA256_HEX];
	int64_t start;

	trial_identity(trial, identity);
	if (!seen_add(c->seen, identity))
		return 0;
	bool done = sql_get_int(c->db, 0, "select state = 'done' from trial where identity = ?",
	                        (const char *)identity) == 1;
	plan->distinct += !parent;
	plan->reused += done;
	if (done)
		return 0;
	plan->to_train++;
	plan->parents += parent;
	plan->epochs += (double)trial_epochs(trial);
	if (trial_find_start(c->db, trial, &start, c->e))
		return -1;
	return trial_each_input(trial, count_input, (void *)c);
}

static int count_input(void *self, const char *role, const cJSON *trial)
{
	if (!count_trial(self, trial, true))
		return 0;
	return error_prefix(((const struct counting *)self)->e, "%s",
	                    strcmp(role, "start_from") ? role : "start_from.change");
}

int plan_make(struct sql *db, const struct sweep_spec *sweep, struct study_digests *digests,
              int64_t most, struct plan *plan, struct error *e)
{
	int64_t count = sweep_count(sweep), step = (count + most - 1) / most;
	struct seen seen = {0};
	const struct counting c = {db, &seen, plan, e};
	int status = 0;

	*plan = (struct plan){0};
	for (int64_t i = 0; i * step < count && status == 0; i++) {
		/* Of many, some that differ in every axis: a fixed stride would miss values. */
		int64_t number = i * step + i % step;
		struct error problems = {{0}};
		if (number >= count)
			break;
		cJSON *trial = sweep_trial(sweep, number, &problems);
		if (trial)
			status = trial_resolve(trial, digests, e);
		else if (problems.text[0])
			status = error_set(e, "%s", problems.text);
		if (trial && status == 0)
			status = count_trial(&c, trial, false);
		plan->looked += trial != NULL;
		cJSON_Delete(trial);
	}
	plan->trials = step == 1 ? plan->looked : count;
	free(seen.identity);
	return status;
}

static bool same(const cJSON *a, const cJSON *b)
{
	char *left = a ? json_canonical(a) : NULL, *right = b ? json_canonical(b) : NULL;
	bool equal = left && right ? strcmp(left, right) == 0 : left == right;

	free(left);
	free(right);
	return equal;
}

/* Whether every value of `old` is still there. */
static bool holds_all(const cJSON *old, const cJSON *values)
{
	const cJSON *value = NULL, *other = NULL;

	cJSON_ArrayForEach (value, old) {
		bool found = false;
		cJSON_ArrayForEach (other, values)
			found = found || same(value, other);
		if (!found)
			return false;
	}
	return true;
}

/* More values of a swept field, or more trials of a search that draws them, are what a study grows
 * by; its share of the agents is no part of what it is. */
static bool is_growth(const char *path, const cJSON *old, const cJSON *changed, bool grid)
{
	size_t length = strlen(path);

	if (strcmp(path, "share") == 0)
		return true;
	if (strcmp(path, "search.trials") == 0)
		return !grid && cJSON_IsNumber(old) && cJSON_IsNumber(changed) &&
		       changed->valuedouble > old->valuedouble;
	return grid && strncmp(path, "space.", 6) == 0 && length > 13 &&
	       strcmp(path + length - 7, ".values") == 0 && cJSON_IsArray(old) &&
	       cJSON_IsArray(changed) && holds_all(old, changed);
}

static char *shown(const cJSON *value)
{
	return value ? json_print(value, false) : xstrdup("nothing");
}

static int differ(const char *path, const cJSON *old, const cJSON *changed, bool grid,
                  struct error *e)
{
	const cJSON *member = NULL;
	int count = 0;

	if (same(old, changed) || is_growth(path, old, changed, grid))
		return 0;
	if (!cJSON_IsObject(old) || !cJSON_IsObject(changed)) {
		char *was = shown(old), *is = shown(changed);
		error_append(e, "%s: was %.120s, is %.120s", path, was, is);
		free(was);
		free(is);
		return 1;
	}
	cJSON_ArrayForEach (member, old) {
		char *below = xformat("%s%s%s", path, *path ? "." : "", member->string);
		count += differ(below, member,
		                cJSON_GetObjectItemCaseSensitive(changed, member->string), grid, e);
		free(below);
	}
	cJSON_ArrayForEach (member, changed) {
		if (cJSON_GetObjectItemCaseSensitive(old, member->string))
			continue;
		char *below = xformat("%s%s%s", path, *path ? "." : "", member->string);
		count += differ(below, NULL, member, grid, e);
		free(below);
	}
	return count;
}

int plan_differences(const cJSON *old, const cJSON *changed, struct error *e)
{
	const char *kind = json_text(json_at(old, "search"), "kind", "grid");

	return differ("", old, changed, strcmp(kind, "grid") == 0, e);
}
