/* Who goes on: rules that compare trials before their end.  Pure; prune.c keeps the books.
 *
 * A rung is a number of epochs at which trials of a study are compared.  There a trial either waits
 * until it is among the best of those that came so far (mode promote), or ends at once when it is
 * not (mode stop). */
#ifndef PRUNER_PRUNER_H
#define PRUNER_PRUNER_H
#include <stdbool.h>
#include <stdint.h>

enum pruner_kind { PRUNER_NONE, PRUNER_MEDIAN, PRUNER_ASHA, PRUNER_HYPERBAND };

struct pruner {
	enum pruner_kind kind;
	bool promotes;   /* else: stops */
	bool maximizes;  /* a larger value is better */
	int64_t least;   /* epochs of the first rung; median: none is judged before */
	int64_t eta;     /* one in so many goes on; rungs are that much farther apart */
	int64_t startup; /* median: trials that have ended before any is judged */
};

/* By name; PRUNER_NONE for one that is not known. */
enum pruner_kind pruner_kind_of(const char *name);

/* Asynchronous successive halving (Li et al., "A system for massively parallel hyperparameter
 * tuning", 2020): rungs at least * eta^(bracket + k) epochs, k = 0, 1, …, below `epochs`, the
 * trial's own.  The first of them beyond `after`, or 0: to its end. */
int64_t pruner_rung(const struct pruner *p, int64_t bracket, int64_t epochs, int64_t after);

/* Hyperband (Li et al. 2018), with asynchronous brackets: B = floor(log_eta(epochs / least)) + 1 of
 * them, of which bracket b starts with rung least * eta^b.  Trials fall to brackets by their
 * number, in a cycle that gives bracket b ceil(B / (B - b) * eta^(B - 1 - b)) of them: about the
 * same epochs each.  0 for the other kinds. */
int64_t pruner_bracket(const struct pruner *p, int64_t epochs, int64_t number);

/* One trial at a rung; values that are no numbers come last. */
struct pruner_entry {
	int64_t trial;
	double value;
	bool judged; /* already, to go on or not */
	bool gone;   /* failed since, or was cancelled */
};

/* Which go on: the best n / eta of the n at the rung; of a complete rung, to which none can come
 * any more, one at least.  Equal values: the earlier trial.  Sorts the entries, the best first, and
 * says how many of the first go on. */
int64_t pruner_promote(const struct pruner *p, struct pruner_entry *entry, int64_t count,
                       bool complete);

/* Mode stop: whether the trial with this value, which is the `rank`th best (from 1) of the `count`
 * that came to the rung so far, ends: it is not among the best max(1, count / eta). */
bool pruner_stops(const struct pruner *p, int64_t rank, int64_t count);

/* Whether a trial ends whose best value so far is worse than the median of what `count` trials that
 * have ended had at the same epoch; others[] is sorted.  Golovin et al., "Google Vizier" (2017), as
 * in Optuna. */
bool pruner_median_stops(const struct pruner *p, int64_t epoch, double best, double *others,
                         int64_t count);
#endif
