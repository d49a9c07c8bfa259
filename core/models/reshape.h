/* A model in the shape of another tree: exact copies where it was split, slices where it was
 * pruned.
 */
#ifndef MODELS_RESHAPE_H
#define MODELS_RESHAPE_H
#include "core/models/tree.h"

/* Where the values of an item of the new model come from. */
struct reshape_item {
	int source;         /* item of the old model */
	int *row, *column;  /* which of its rows and columns (dimensions 0 and 1); null: all */
	struct shape shape; /* of the new item */
};
struct reshape {
	int items;
	struct reshape_item *item; /* (items) parameters, then buffers, of the new model */
};

/* The new model, with m's values; r says how, for all else that is kept for each item.  The tree's
 * sets must refine m's, and its channels be among m's.  m must have no learned steps. */
struct model *model_reshape(const struct model *m, const struct tree *tree, struct reshape *r);
void reshape_release(struct reshape *r);

/* A tensor shaped as the source of `item`, in the item's own shape; the caller's to free. */
struct tensor *reshape_tensor(const struct reshape *r, int item, struct tensor *old);

/* The same of the first `count` items, for a list with a tensor for each item of the old model,
 * which had old_count and is freed. */
struct tensor **reshape_list(const struct reshape *r, int count, struct tensor **old,
                             int old_count);
#endif
