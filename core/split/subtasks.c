/* Subtasks from groups that are known or drawn, and the rules that all of them keep. */
#include "core/split/subtasks.h"
#include "core/base/random.h"
#include "core/base/text.h"
#include "core/data/class.h"
#include <assert.h>
#include <stdlib.h>

static int check_number(int count, struct error *e)
{
	if (count >= 2 && count <= SUBTASKS_MAX)
		return 0;
	return error_set(e, "%d group%s: a task is cut into 2 to %d", count, count == 1 ? "" : "s",
	                 SUBTASKS_MAX);
}

int subtasks_check_count(int classes, int count, struct error *e)
{
	if (check_number(count, e))
		return -1;
	if (count > classes / CLASSES_LEAST)
		return error_set(e, "%d groups of two classes at least: %d classes make %d at most",
		                 count, classes, classes / CLASSES_LEAST);
	return 0;
}

static void start(struct subtasks *s, int classes, int count)
{
	s->classes = classes;
	s->count = count;
	s->group = xcalloc((size_t)classes, sizeof *s->group);
	s->place = xcalloc((size_t)classes, sizeof *s->place);
	s->member = xcalloc((size_t)classes, sizeof *s->member);
	s->size = xcalloc((size_t)count, sizeof *s->size);
	for (int k = 0; k < classes; k++)
		s->group[k] = -1;
}

void subtasks_release(struct subtasks *s)
{
	free(s->group);
	free(s->place);
	free(s->member);
	free(s->size);
	*s = (struct subtasks){0};
}

static void put(struct subtasks *s, int class, int group)
{
	s->group[class] = group;
	s->place[class] = s->size[group]++;
}

static int first_of(const struct subtasks *s, int submodel)
{
	int first = 0;

	assert(submodel >= 0 && submodel < s->count);
	for (int g = 0; g < submodel; g++)
		first += s->size[g];
	return first;
}

const int *subtasks_members(const struct subtasks *s, int submodel)
{
	return s->member + first_of(s, submodel);
}

/* Fails when some class is in no group; names three of them. */
static int check_all_are_in(const struct subtasks *s, const struct dataset *d, struct error *e)
{
	bool *out = xcalloc((size_t)s->classes, sizeof *out);
	struct text names = {0};
	int missing;

	for (int k = 0; k < s->classes; k++)
		out[k] = s->group[k] < 0;
	missing = class_add_list(&names, d, out, s->classes);
	if (missing)
		error_set(e, "%s %s in no group", names.data, missing > 1 ? "are" : "is");
	text_release(&names);
	free(out);
	return missing ? -1 : 0;
}

static int check_sizes(const struct subtasks *s, int least, const struct dataset *d,
                       struct error *e)
{
	for (int g = 0; g < s->count; g++) {
		struct text name = {0};
		if (s->size[g] == 0)
			return error_set(e, "group %d is empty", g);
		if (s->size[g] >= least)
			continue;
		class_add_name(&name, d, *subtasks_members(s, g));
		error_set(e,
		          "group %d has only %s, which leaves it nothing to tell apart: add a "
		          "class or join two groups",
		          g, name.data);
		text_release(&name);
		return -1;
	}
	return 0;
}

/* The members in order, once all classes are put; checks, and releases what fails. */
static int finish(struct subtasks *s, int least, const struct dataset *d, struct error *e)
{
	int status = check_all_are_in(s, d, e);

	for (int k = 0; status == 0 && k < s->classes; k++)
		s->member[first_of(s, s->group[k]) + s->place[k]] = k;
	if (status == 0)
		status = check_sizes(s, least, d, e);
	if (status)
		subtasks_release(s);
	return status;
}

int subtasks_from_groups(struct subtasks *s, const int *group, int classes, int count,
                         const struct dataset *d, struct error *e)
{
	int number[SUBTASKS_MAX], seen = 0;

	*s = (struct subtasks){0};
	if (subtasks_check_count(classes, count, e))
		return -1;
	start(s, classes, count);
	for (int g = 0; g < count; g++)
		number[g] = -1;
	for (int k = 0; k < classes; k++) {
		assert(group[k] >= 0 && group[k] < count);
		if (number[group[k]] < 0)
			number[group[k]] = seen++;
		put(s, k, number[group[k]]);
	}
	return finish(s, CLASSES_LEAST, d, e);
}

static int already_in(const struct subtasks *s, int class, int group, const struct dataset *d,
                      struct error *e)
{
	struct text name = {0};

	class_add_name(&name, d, class);
	if (s->group[class] == group)
		error_set(e, "%s is twice in group %d", name.data, group);
	else
		error_set(e, "%s is in group %d and in group %d", name.data, s->group[class],
		          group);
	text_release(&name);
	return -1;
}

static int put_listed(struct subtasks *s, const cJSON *list, int group, const struct dataset *d,
                      struct error *e)
{
	const cJSON *item;

	if (!cJSON_IsArray(list))
		return error_set(e, "group %d is no list of classes", group);
	cJSON_ArrayForEach (item, list) {
		int k = class_of_json(d, item, e);
		if (k < 0)
			return error_prefix(e, "group %d", group);
		if (s->group[k] >= 0)
			return already_in(s, k, group, d, e);
		put(s, k, group);
	}
	return cJSON_GetArraySize(list) ? 0 : error_set(e, "group %d is empty", group);
}

int subtasks_from_lists(struct subtasks *s, const cJSON *lists, int least, const struct dataset *d,
                        struct error *e)
{
	const cJSON *list;
	int group = 0, count = cJSON_GetArraySize(lists);

	*s = (struct subtasks){0};
	if (!cJSON_IsArray(lists))
		return error_set(e, "no list of lists of classes");
	if (least == CLASSES_LEAST ? subtasks_check_count(d->classes, count, e)
	                           : check_number(count, e))
		return -1;
	start(s, d->classes, count);
	cJSON_ArrayForEach (list, lists) {
		if (put_listed(s, list, group++, d, e)) {
			subtasks_release(s);
			return -1;
		}
	}
	return finish(s, least, d, e);
}

cJSON *subtasks_to_json(const struct subtasks *s)
{
	cJSON *lists = cJSON_CreateArray();

	for (int g = 0; g < s->count; g++)
		cJSON_AddItemToArray(lists,
		                     cJSON_CreateIntArray(subtasks_members(s, g), s->size[g]));
	return lists;
}

int subtasks_random(struct subtasks *s, int classes, int count, int64_t seed, struct error *e)
{
	struct random_stream stream = random_stream(seed, "subtasks", 0, 0);
	int64_t *order = xcalloc((size_t)classes + 1, sizeof *order);
	int *group = xcalloc((size_t)classes + 1, sizeof *group);

	random_permutation(&stream, order, classes);
	for (int i = 0; count > 0 && i < classes; i++)
		group[order[i]] = i % count;
	int status = subtasks_from_groups(s, group, classes, count, NULL, e);
	free(group);
	free(order);
	return status;
}
