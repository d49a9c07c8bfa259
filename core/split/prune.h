/* Which filters go, until a whole tree costs no more than a budget (methods.md B5). */
#ifndef SPLIT_PRUNE_H
#define SPLIT_PRUNE_H
#include "core/models/tree.h"

struct prune {
	const struct backbone *backbone;
	const int *outputs; /* (submodels) of the heads */
	int64_t budget;     /* multiply-accumulates for one image */
	int multiple; /* channels go by so many; widths stay multiples of it, and above zero */
	/* score[group][channel of the layer]: whose is lowest goes first (groups as tree_groups
	 * numbers them); not read where the channel is gone.  Null: all alike. */
	double *const *score;
};

/* Takes channels out of t until it is within the budget: again and again, from the group whose next
 * `multiple` channels have the lowest scores (the largest of them counts; of equals the first group
 * and the first channel).  The last step is the lowest of those that land within 1 % of the budget,
 * or else the one that lands nearest below it.  A channel to which a shortcut without weights
 * brings something stays, so that a pruned model is the same model with those filters zero. Returns
 * how many channels went; t may stay above the budget when nothing is left that can go. */
int prune_tree(struct tree *t, const struct prune *p);

/* What t would cost with every group at its least width. */
int64_t prune_least(const struct tree *t, const struct prune *p);
#endif
