/* Critical categories: who they are, and the logits and labels of telling them from the others. */
#include "core/eval/critical.h"
#include "core/base/text.h"
#include "core/data/class.h"
#include <stdlib.h>
#include <string.h>

static int critical_add(struct critical *c, const struct dataset *d, int k, struct error *e)
{
	if (c->place[k] >= 0)
		return error_set(e, "critical.categories: %s is named twice", d->class_name[k]);
	c->place[k] = c->count;
	c->index[c->count++] = k;
	return 0;
}

static int add_listed(struct critical *c, const cJSON *list, const struct dataset *d,
                      struct error *e)
{
	const cJSON *item;

	cJSON_ArrayForEach (item, list) {
		int k = class_of_json(d, item, e);
		if (k < 0)
			return error_prefix(e, "critical.categories");
		if (critical_add(c, d, k, e))
			return -1;
	}
	return 0;
}

static int no_group(const char *group, const struct dataset *d, struct error *e)
{
	struct text known = {0};

	for (int k = 0; d->group_name && k < d->classes; k++) {
		bool seen = false;
		for (int j = 0; j < k; j++)
			seen |= strcmp(d->group_name[j], d->group_name[k]) == 0;
		if (!seen)
			text_add(&known, "%s%s", k ? ", " : "", d->group_name[k]);
	}
	error_set(e, "critical.group: %s has no group \"%s\" (%s)", d->name, group,
	          known.data ? known.data : "none at all: name critical.categories");
	text_release(&known);
	return -1;
}

static int add_group(struct critical *c, const char *group, const struct dataset *d,
                     struct error *e)
{
	for (int k = 0; d->group_name && k < d->classes; k++)
		if (strcmp(d->group_name[k], group) == 0 && critical_add(c, d, k, e))
			return -1;
	return c->count ? 0 : no_group(group, d, e);
}

int critical_init(struct critical *c, const cJSON *categories, const char *group,
                  const struct dataset *d, struct error *e)
{
	size_t classes = (size_t)d->classes;
	int status;

	*c = (struct critical){.classes = d->classes};
	if (cJSON_GetArraySize(categories) == 0 && !group)
		return 0;
	c->index = xcalloc(classes, sizeof *c->index);
	c->place = xcalloc(classes, sizeof *c->place);
	for (size_t k = 0; k < classes; k++)
		c->place[k] = -1;
	status = group ? add_group(c, group, d, e) : add_listed(c, categories, d, e);
	if (status == 0 && c->count == c->classes)
		status = error_set(
		        e, "critical categories: all %d of %s are critical, which leaves no others",
		        c->classes, d->name);
	if (status)
		critical_release(c);
	for (size_t k = 0; c->place && k < classes; k++)
		c->place[k] = c->place[k] < 0 ? c->count : c->place[k];
	return status;
}

void critical_release(struct critical *c)
{
	free(c->index);
	free(c->place);
	*c = (struct critical){0};
}

/* Of the categories that are not critical, the one with the largest logit. */
static int largest_other(const struct critical *c, struct tensor *logits, int64_t row)
{
	int best = -1;
	double most = 0;

	for (int k = 0; k < c->classes; k++) {
		double z = tensor_at(logits, row + k);
		if (c->place[k] == c->count && (best < 0 || z > most)) {
			best = k;
			most = z;
		}
	}
	return best;
}

struct tensor *critical_logits(struct tape *t, struct tensor *logits, const struct critical *c)
{
	int64_t n = logits->shape.d[0], width = c->count + 1;
	struct tensor *index = tensor_new(I32, SHAPE(n, width));
	int32_t *at = tensor_write(index);

	assert(logits->shape.n == 2 && logits->shape.d[1] == c->classes && c->count > 0);
	for (int64_t i = 0; i < n; i++) {
		int64_t row = i * c->classes;
		for (int k = 0; k < c->count; k++)
			*at++ = (int32_t)(row + c->index[k]);
		*at++ = (int32_t)(row + largest_other(c, logits, row));
	}
	return op_gather(t, logits, tape_adopt(t, index));
}

struct tensor *critical_labels(struct tensor *labels, const struct critical *c)
{
	int64_t n = shape_count(labels->shape);
	struct tensor *out = tensor_new(I32, labels->shape);
	int32_t *to = tensor_write(out);

	for (int64_t i = 0; i < n; i++)
		to[i] = c->place[tensor_i32(labels)[i]];
	return out;
}

struct tensor *critical_cross_entropy(struct tape *t, struct tensor *logits, struct tensor *labels,
                                      const struct critical *c)
{
	struct tensor *places = tape_adopt(t, critical_labels(labels, c));

	return op_cross_entropy(t, critical_logits(t, logits, c), places);
}

struct critical_figures critical_figures(const struct critical *c, const struct accuracy *a)
{
	double seen[2] = {0}, right[2] = {0}, task = 0;

	for (int64_t i = 0; i < a->count; i++) {
		int label = a->label[i] - 1, predicted = a->predicted[i] - 1;
		if (label < 0)
			continue;
		int other = c->place[label] == c->count;
		seen[other]++;
		right[other] += label == predicted;
		task += predicted < c->classes && c->place[label] == c->place[predicted];
	}
	return (struct critical_figures){right[0] / seen[0], right[1] / seen[1],
	                                 task / (seen[0] + seen[1])};
}
