/* Ranks of non-domination, crowding and hypervolume. */
#include "coordinator/sampler/pareto.h"
#include "core/base/text.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

bool pareto_dominates(const double *a, const double *b, int objectives)
{
	bool better = false;

	for (int j = 0; j < objectives; j++) {
		if (a[j] > b[j])
			return false;
		better = better || a[j] < b[j];
	}
	return better;
}

/* Indices by a key of theirs, equal ones by index. */
struct keyed {
	double key, second;
	int64_t index;
};

static int by_key(const void *left, const void *right)
{
	const struct keyed *a = left, *b = right;

	if (a->key != b->key)
		return a->key < b->key ? -1 : 1;
	if (a->second != b->second)
		return a->second < b->second ? -1 : 1;
	return a->index < b->index ? -1 : a->index > b->index;
}

static void keyed_sort(struct keyed *k, int64_t count)
{
	qsort(k, (size_t)count, sizeof *k, by_key);
}

/* Losses in lexicographic order: what dominates another comes before it. */
struct row {
	const double *loss;
	int64_t objectives, index;
};

static int by_losses(const void *left, const void *right)
{
	const struct row *a = left, *b = right;

	for (int64_t j = 0; j < a->objectives; j++)
		if (a->loss[j] != b->loss[j])
			return a->loss[j] < b->loss[j] ? -1 : 1;
	return a->index < b->index ? -1 : a->index > b->index;
}

/* Whether one of those before row `placed`, of this rank, dominates it; the nearest first. */
static bool is_beaten(const struct row *sorted, const int64_t *rank, int64_t placed,
                      int64_t at_rank)
{
	for (int64_t k = placed; k-- > 0;)
		if (rank[sorted[k].index] == at_rank &&
		    pareto_dominates(sorted[k].loss, sorted[placed].loss,
		                     (int)sorted[k].objectives))
			return true;
	return false;
}

void pareto_rank(const double *loss, int64_t count, int objectives, int64_t *rank)
{
	struct row *sorted = xcalloc((size_t)count + 1, sizeof *sorted);
	int64_t ranks = 0;

	for (int64_t i = 0; i < count; i++)
		sorted[i] = (struct row){loss + i * objectives, objectives, i};
	qsort(sorted, (size_t)count, sizeof *sorted, by_losses);
	for (int64_t k = 0; k < count; k++) {
		/* What is beaten in a rank is so in all ranks before: search by halves. */
		int64_t low = 0, high = ranks;
		while (low < high) {
			int64_t middle = (low + high) / 2;
			if (is_beaten(sorted, rank, k, middle))
				low = middle + 1;
			else
				high = middle;
		}
		rank[sorted[k].index] = low;
		ranks += low == ranks;
	}
	free(sorted);
}

void pareto_crowding(const double *loss, const int64_t *rank, int64_t count, int objectives,
                     double *distance)
{
	struct keyed *sorted = xcalloc((size_t)count + 1, sizeof *sorted);

	for (int64_t i = 0; i < count; i++)
		distance[i] = 0;
	for (int j = 0; j < objectives; j++) {
		for (int64_t i = 0; i < count; i++)
			sorted[i] = (struct keyed){(double)rank[i], loss[i * objectives + j], i};
		keyed_sort(sorted, count);
		for (int64_t begin = 0, end; begin < count; begin = end) {
			for (end = begin; end < count && sorted[end].key == sorted[begin].key;)
				end++;
			double range = sorted[end - 1].second - sorted[begin].second;
			distance[sorted[begin].index] = distance[sorted[end - 1].index] = INFINITY;
			for (int64_t k = begin + 1; k < end - 1; k++)
				distance[sorted[k].index] +=
				        range > 0 ? (sorted[k + 1].second - sorted[k - 1].second) /
				                            range
				                  : 0;
		}
	}
	free(sorted);
}

void pareto_order(const double *loss, int64_t count, int objectives, int64_t *order)
{
	struct keyed *sorted = xcalloc((size_t)count + 1, sizeof *sorted);
	double *distance = xcalloc((size_t)count + 1, sizeof *distance);

	for (int64_t i = 0; i < count; i++)
		order[i] = 0;
	if (objectives > 1) {
		pareto_rank(loss, count, objectives, order);
		pareto_crowding(loss, order, count, objectives, distance);
	}
	for (int64_t i = 0; i < count; i++)
		sorted[i] = (struct keyed){(double)order[i],
		                           objectives > 1 ? -distance[i] : loss[i], i};
	keyed_sort(sorted, count);
	for (int64_t i = 0; i < count; i++)
		order[i] = sorted[i].index;
	free(distance);
	free(sorted);
}

/* Below the reference in the first objectives, of points sorted by the last one: each slice between
 * two of them is as thick as they are apart, and as large as those before make it. */
static double volume(const double *const *point, int64_t count, int objectives,
                     const double *reference)
{
	int last = objectives - 1;
	double sum = 0, least = reference[0];

	if (objectives == 1) {
		for (int64_t i = 0; i < count; i++)
			least = fmin(least, point[i][0]);
		return reference[0] - least;
	}
	struct keyed *sorted = xcalloc((size_t)count + 1, sizeof *sorted);
	const double **slice = xcalloc((size_t)count + 1, sizeof *slice);
	for (int64_t i = 0; i < count; i++)
		sorted[i] = (struct keyed){point[i][last], 0, i};
	keyed_sort(sorted, count);
	for (int64_t i = 0; i < count; i++) {
		double top = i + 1 < count ? sorted[i + 1].key : reference[last];
		slice[i] = point[sorted[i].index];
		if (top > sorted[i].key)
			sum += (top - sorted[i].key) * volume(slice, i + 1, last, reference);
	}
	free(slice);
	free(sorted);
	return sum;
}

double pareto_hypervolume(const double *loss, int64_t count, int objectives,
                          const double *reference)
{
	const double **inside = xcalloc((size_t)count + 1, sizeof *inside);
	int64_t kept = 0;
	int j;

	for (int64_t i = 0; i < count; i++) {
		for (j = 0; j < objectives && loss[i * objectives + j] < reference[j]; j++)
			;
		if (j == objectives)
			inside[kept++] = loss + i * objectives;
	}
	double sum = volume(inside, kept, objectives, reference);
	free(inside);
	return sum;
}

/* Moves to the front of order[count], all of one rank, those `wanted` that a greedy choice takes.
 */
static void thin(const double *loss, int64_t *order, int64_t count, int64_t wanted, int objectives)
{
	double *in = xcalloc((size_t)((wanted + 1) * objectives), sizeof *in);
	double *reference = xcalloc((size_t)objectives, sizeof *reference);
	size_t row = (size_t)objectives * sizeof *in;

	for (int j = 0; j < objectives; j++) {
		double least = INFINITY, most = -INFINITY;
		for (int64_t i = 0; i < count; i++) {
			least = fmin(least, loss[order[i] * objectives + j]);
			most = fmax(most, loss[order[i] * objectives + j]);
		}
		reference[j] = most + fmax(2 * (most - least), 1e-12);
	}
	for (int64_t taken = 0; taken < wanted; taken++) {
		double most = -1;
		int64_t best = taken;
		for (int64_t i = taken; i < count; i++) {
			memcpy(in + taken * objectives, loss + order[i] * objectives, row);
			double all = pareto_hypervolume(in, taken + 1, objectives, reference);
			best = all > most ? i : best;
			most = fmax(most, all);
		}
		int64_t chosen = order[best];
		memcpy(in + taken * objectives, loss + chosen * objectives, row);
		order[best] = order[taken];
		order[taken] = chosen;
	}
	free(reference);
	free(in);
}

void pareto_order_by_volume(const double *loss, int64_t count, int objectives, int64_t most,
                            int64_t *order)
{
	int64_t *rank = xcalloc((size_t)count + 1, sizeof *rank), begin, end;

	pareto_order(loss, count, objectives, order);
	if (objectives > 2 && most < count) {
		pareto_rank(loss, count, objectives, rank);
		for (begin = most; begin > 0 && rank[order[begin - 1]] == rank[order[most]];)
			begin--;
		for (end = most; end < count && rank[order[end]] == rank[order[most]];)
			end++;
		thin(loss, order + begin, end - begin, most - begin, objectives);
	}
	free(rank);
}
