/* How far the tree of a Split-Ensemble has grown, besides its shape: metadata "growth" of
 * checkpoints. */
#ifndef TRAIN_GROWTH_H
#define TRAIN_GROWTH_H
#include <stdbool.h>
#include <stdint.h>

struct growth {
	bool brought;        /* the tree came with the file that the trial began with */
	int64_t looked;      /* epochs finished when splits were last looked for; 0: never yet */
	int splits, pruned;  /* branches split, channels taken out so far */
	int unpaid;          /* cuts of the last look that the budget has no room for */
	double least;        /* the least cutting threshold of all looks; NaN: there was none */
	char *least_layer;   /* where; null: nowhere */
	int64_t least_epoch; /* after which epoch */
};
void growth_init(struct growth *g);
void growth_release(struct growth *g);

/* On one line, for growth_read; the caller's to free. */
char *growth_text(const struct growth *g);
void growth_read(struct growth *g, const char *text); /* what it lacks stays */
#endif
