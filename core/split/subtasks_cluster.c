/* Balanced k-means of the classes: descents from many starts, by moves and exchanges. */
#include "core/base/random.h"
#include "core/base/text.h"
#include "core/split/subtasks.h"
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* All in squared distances: the squares within a group are the sum of those of its pairs over its
 * size, so that centres need not be known. */
struct clustering {
	int classes, count, low; /* sizes are low or, for `rest` groups, low + 1 */
	const double *far;       /* (classes, classes) squared distances */
	int *group;              /* (classes); -1: none yet */
	int *size;               /* (count) */
	double *pairs;           /* (count) squared distances within it, each pair once */
	double *to;   /* (classes, count) a class's squared distances to a group, summed */
	double total; /* of `pairs` of all classes: the scale of rounding */
};

static double far(const struct clustering *c, int a, int b)
{
	return c->far[a * c->classes + b];
}

static double *to(const struct clustering *c, int class, int group)
{
	return &c->to[class * c->count + group];
}

static double *distances(const double *feature, int classes, int64_t dims)
{
	double *d = xcalloc((size_t)classes * (size_t)classes, sizeof *d);

	for (int a = 0; a < classes; a++)
		for (int b = 0; b < classes; b++)
			for (int64_t i = 0; i < dims; i++)
				d[a * classes + b] +=
				        pow(feature[a * dims + i] - feature[b * dims + i], 2);
	return d;
}

/* One of the classes, with probabilities in proportion to weight[]; without any weight, the first
 * that is not taken (negative). */
static int draw(const double *weight, int classes, double uniform)
{
	double sum = 0;
	int drawn = -1;

	for (int k = 0; k < classes; k++)
		sum += fmax(weight[k], 0);
	double left = uniform * sum;
	for (int k = 0; k < classes && (drawn < 0 || left >= 0); k++)
		if (sum > 0 ? weight[k] > 0 : weight[k] == 0 && drawn < 0) {
			drawn = k; /* the last, should rounding leave something */
			left -= weight[k];
		}
	return drawn;
}

/* k-means++: a centre is drawn in proportion to its squared distance from those before. */
static void draw_centres(const struct clustering *c, const struct random_stream *s, int *centre)
{
	double *near = xcalloc((size_t)c->classes, sizeof *near);

	centre[0] = (int)random_below(s, 0, (uint64_t)c->classes);
	for (int k = 0; k < c->classes; k++)
		near[k] = far(c, k, centre[0]);
	for (int n = 1; n < c->count; n++) {
		near[centre[n - 1]] = -1;
		centre[n] = draw(near, c->classes, random_uniform(s, (uint64_t)n));
		for (int k = 0; k < c->classes; k++)
			near[k] = fmin(near[k], far(c, k, centre[n]));
	}
	free(near);
}

struct pair {
	double far;
	int class, group;
};

static int nearest_first(const void *a, const void *b)
{
	const struct pair *x = a, *y = b;

	if (x->far != y->far)
		return x->far < y->far ? -1 : 1;
	return x->class != y->class ? x->class - y->class : x->group - y->group;
}

/* All classes to their nearest centre that has room, nearest pair first. */
static void fill_groups(struct clustering *c, const int *centre)
{
	int pairs = 0, rest = c->classes - c->low * c->count;
	struct pair *pair = xcalloc((size_t)c->classes * (size_t)c->count, sizeof *pair);

	for (int k = 0; k < c->classes; k++) {
		c->group[k] = -1;
		for (int g = 0; g < c->count; g++)
			pair[pairs++] = (struct pair){far(c, k, centre[g]), k, g};
	}
	memset(c->size, 0, (size_t)c->count * sizeof *c->size);
	qsort(pair, (size_t)pairs, sizeof *pair, nearest_first);
	for (int i = 0; i < pairs; i++) {
		int *size = &c->size[pair[i].group];
		if (c->group[pair[i].class] >= 0 || *size > c->low || (*size == c->low && !rest))
			continue;
		rest -= *size == c->low;
		c->group[pair[i].class] = pair[i].group;
		++*size;
	}
	free(pair);
}

static void sum_up(struct clustering *c)
{
	memset(c->to, 0, (size_t)(c->classes * c->count) * sizeof *c->to);
	memset(c->pairs, 0, (size_t)c->count * sizeof *c->pairs);
	c->total = 0;
	for (int a = 0; a < c->classes; a++)
		for (int b = 0; b < c->classes; b++) {
			*to(c, a, c->group[b]) += far(c, a, b);
			c->total += far(c, a, b) / 2;
			if (c->group[a] == c->group[b])
				c->pairs[c->group[a]] += far(c, a, b) / 2;
		}
}

static double spread(const struct clustering *c)
{
	double sum = 0;

	for (int g = 0; g < c->count; g++)
		sum += c->pairs[g] / c->size[g];
	return sum;
}

static void put(struct clustering *c, int class, int group)
{
	int from = c->group[class];

	c->pairs[from] -= *to(c, class, from);
	c->pairs[group] += *to(c, class, group);
	for (int k = 0; k < c->classes; k++) {
		*to(c, k, from) -= far(c, k, class);
		*to(c, k, group) += far(c, k, class);
	}
	c->size[from]--;
	c->size[group]++;
	c->group[class] = group;
}

/* What the sum of squares gains by a class's move to another group. */
static double gain_of_move(const struct clustering *c, int k, int group)
{
	int from = c->group[k], m = c->size[from], n = c->size[group];
	double before = c->pairs[from] / m + c->pairs[group] / n;

	return before - (c->pairs[from] - *to(c, k, from)) / (m - 1) -
	       (c->pairs[group] + *to(c, k, group)) / (n + 1);
}

static double gain_of_exchange(const struct clustering *c, int a, int b)
{
	int of_a = c->group[a], of_b = c->group[b];

	return (*to(c, a, of_a) - *to(c, b, of_a) + far(c, a, b)) / c->size[of_a] +
	       (*to(c, b, of_b) - *to(c, a, of_b) + far(c, a, b)) / c->size[of_b];
}

/* Improves what can be for one class; whether something could. */
static bool improve(struct clustering *c, int k)
{
	double enough = 1e-12 * c->total;

	for (int g = 0; g < c->count; g++)
		if (c->size[c->group[k]] > c->low && c->size[g] == c->low &&
		    gain_of_move(c, k, g) > enough) {
			put(c, k, g);
			return true;
		}
	for (int j = k + 1; j < c->classes; j++)
		if (c->group[j] != c->group[k] && gain_of_exchange(c, k, j) > enough) {
			int mine = c->group[k];
			put(c, k, c->group[j]);
			put(c, j, mine);
			return true;
		}
	return false;
}

static void descend(struct clustering *c)
{
	bool better = true;

	sum_up(c);
	while (better) {
		better = false;
		for (int k = 0; k < c->classes; k++)
			while (improve(c, k))
				better = true;
	}
	sum_up(c); /* without what rounding has added */
}

/* The groups of the lowest of all descents, into best[classes]. */
static void cluster(struct clustering *c, int64_t seed, int *best)
{
	enum { STARTS = 32 };
	double least = INFINITY;

	for (uint64_t i = 0; i < STARTS; i++) {
		struct random_stream s = random_stream(seed, "subtasks", 1, i);
		int centre[SUBTASKS_MAX];

		draw_centres(c, &s, centre);
		fill_groups(c, centre);
		descend(c);
		if (i == 0 || spread(c) < least - 1e-12 * c->total) {
			least = spread(c);
			memcpy(best, c->group, (size_t)c->classes * sizeof *best);
		}
	}
}

static int check_features(const double *feature, int classes, int64_t dims, struct error *e)
{
	for (int k = 0; k < classes; k++)
		for (int64_t i = 0; i < dims; i++)
			if (!isfinite(feature[k * dims + i]))
				return error_set(e,
				                 "feature %lld of class %d is %g: has it images, "
				                 "has the model diverged?",
				                 (long long)i, k, feature[k * dims + i]);
	return 0;
}

int subtasks_cluster(struct subtasks *s, const double *feature, int classes, int64_t dims,
                     int count, int64_t seed, struct error *e)
{
	*s = (struct subtasks){0};
	if (check_features(feature, classes, dims, e) || subtasks_check_count(classes, count, e))
		return -1;

	size_t n = (size_t)classes, m = (size_t)count;
	double *d = distances(feature, classes, dims);
	int *best = xcalloc(n, sizeof *best);
	struct clustering c = {.classes = classes,
	                       .count = count,
	                       .low = classes / count,
	                       .far = d,
	                       .group = xcalloc(n, sizeof *c.group),
	                       .size = xcalloc(m, sizeof *c.size),
	                       .pairs = xcalloc(m, sizeof *c.pairs),
	                       .to = xcalloc(n * m, sizeof *c.to)};
	cluster(&c, seed, best);
	int status = subtasks_from_groups(s, best, classes, count, NULL, e);
	free(c.to);
	free(c.pairs);
	free(c.size);
	free(c.group);
	free(best);
	free(d);
	return status;
}

double subtasks_spread(const struct subtasks *s, const double *feature, int64_t dims)
{
	double sum = 0;

	for (int g = 0; g < s->count; g++)
		for (int64_t i = 0; i < dims; i++) {
			const int *member = subtasks_members(s, g);
			double mean = 0;
			for (int j = 0; j < s->size[g]; j++)
				mean += feature[member[j] * dims + i] / s->size[g];
			for (int j = 0; j < s->size[g]; j++)
				sum += pow(feature[member[j] * dims + i] - mean, 2);
		}
	return sum;
}
