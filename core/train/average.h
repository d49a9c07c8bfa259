/* A moving average of a model's weights and running statistics, as timm's ModelEmaV2. */
#ifndef TRAIN_AVERAGE_H
#define TRAIN_AVERAGE_H
#include "core/models/reshape.h"

struct average {
	struct tensor **value; /* (count) of the parameters, then of the buffers */
	int count;             /* 0: no average is wanted, and nothing below does anything */
	double decay;
};

/* Values of zeros for m's parameters and buffers; decay 0: no average. */
void average_init(struct average *a, const struct model *m, double decay);
void average_release(struct average *a);

void average_start(struct average *a, const struct model *m); /* takes m's values */

/* value = decay value + (1 - decay) m's, after an update of m. */
void average_update(struct average *a, const struct model *m);

/* Exchanges the values of model and average: to evaluate the average, and back. */
void average_swap(struct average *a, struct model *m);

/* The model takes the average's values for good; then there is none any more. */
void average_settle(struct average *a, struct model *m);

/* Goes on with the values that the items of a model in another shape had. */
void average_reshape(struct average *a, const struct reshape *r);

/* For checkpoints: value `index` and its name, "trawl.average.<parameter>", the caller's to free.
 */
struct tensor *average_value(const struct average *a, const struct model *m, int index,
                             char **name);
#endif
