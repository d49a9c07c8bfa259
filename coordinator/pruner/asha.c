/* Successive halving without waiting, and Hyperband's brackets of it. */
#include "coordinator/pruner/pruner.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum pruner_kind pruner_kind_of(const char *name)
{
	static const char *const names[] = {"none", "median", "asha", "hyperband"};

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (strcmp(names[i], name) == 0)
			return (enum pruner_kind)i;
	return PRUNER_NONE;
}

int64_t pruner_rung(const struct pruner *p, int64_t bracket, int64_t epochs, int64_t after)
{
	int64_t rung = p->least;

	if (p->kind != PRUNER_ASHA && p->kind != PRUNER_HYPERBAND)
		return 0;
	for (int64_t k = 0; rung < epochs && (k < bracket || rung <= after); k++)
		rung *= p->eta;
	return rung < epochs ? rung : 0;
}

/* Largest b with least * eta^b <= epochs, and one. */
static int64_t brackets(const struct pruner *p, int64_t epochs)
{
	int64_t count = 1;

	for (int64_t rung = p->least; rung <= epochs / p->eta; rung *= p->eta)
		count++;
	return count;
}

/* Of one cycle, ceil(B / (s + 1) * eta^s) with s = B - 1 - b. */
static int64_t bracket_size(const struct pruner *p, int64_t count, int64_t bracket)
{
	int64_t power = 1, s = count - 1 - bracket;

	for (int64_t i = 0; i < s; i++)
		power *= p->eta;
	return (count * power + s) / (s + 1);
}

int64_t pruner_bracket(const struct pruner *p, int64_t epochs, int64_t number)
{
	int64_t count = brackets(p, epochs), cycle = 0, bracket = 0;

	if (p->kind != PRUNER_HYPERBAND)
		return 0;
	for (int64_t b = 0; b < count; b++)
		cycle += bracket_size(p, count, b);
	for (int64_t place = number % cycle; place >= bracket_size(p, count, bracket); bracket++)
		place -= bracket_size(p, count, bracket);
	return bracket;
}

static int by_value(const void *left, const void *right)
{
	const struct pruner_entry *a = left, *b = right;

	if (isnan(a->value) != isnan(b->value))
		return isnan(a->value) ? 1 : -1;
	if (!isnan(a->value) && a->value != b->value)
		return a->value > b->value ? -1 : 1;
	return a->trial < b->trial ? -1 : a->trial > b->trial;
}

int64_t pruner_promote(const struct pruner *p, struct pruner_entry *entry, int64_t count,
                       bool complete)
{
	int64_t best = count / p->eta;

	for (int64_t i = 0; i < count && !p->maximizes; i++)
		entry[i].value = -entry[i].value;
	qsort(entry, (size_t)count, sizeof *entry, by_value);
	for (int64_t i = 0; i < count && !p->maximizes; i++)
		entry[i].value = -entry[i].value;
	return complete && best < 1 && count ? 1 : best;
}

bool pruner_stops(const struct pruner *p, int64_t rank, int64_t count)
{
	int64_t best = count / p->eta;

	return rank > (best > 1 ? best : 1);
}
