/* How far the tree of a Split-Ensemble has grown: what checkpoints and results keep of it. */
#ifndef TRAIN_GROWTH_H
#define TRAIN_GROWTH_H
#include "core/models/model.h"

struct growth {
	int64_t looked;     /* epochs finished when splits were last looked for; 0: never yet */
	int splits, pruned; /* branches split, channels taken out so far */
	double least;       /* the least threshold that would have cut a branch at the last look;
	                       NaN: none was looked for */
	char *least_layer;  /* where; null: nowhere */
};
void growth_init(struct growth *g);
void growth_release(struct growth *g);

/* {"groups": [[class, …], …], "tree": as tree_json, "looked", "splits", "pruned", "least",
 * "least_layer"}, on one line; the caller's to free. */
char *growth_text(const struct growth *g, const struct model *m);

/* Reads that: the subtasks of a task of `classes`, the growth and the tree of a backbone (the
 * caller's to release each).  Fails on anything else, with nothing to release. */
int growth_parse(const char *text, const struct model_config *c, struct subtasks *subtasks,
                 struct growth *g, struct tree **tree, struct error *e);
#endif
