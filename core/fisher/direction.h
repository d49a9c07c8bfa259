/* Directions in weight space: a tensor per parameter of a model. */
#ifndef FISHER_DIRECTION_H
#define FISHER_DIRECTION_H
#include "core/models/model.h"

struct direction {
	struct tensor *
	        *part; /* (count) F32, shaped as the parameters; null: that one does not move */
	int count;
};
void direction_release(struct direction *d);

/* Normal numbers of (seed, "landscape", parameter, index), filter-normalised (Li et al. 2018): each
 * output filter has the length of the model's.  Weights of convolutions and linear layers move,
 * biases and batch norms do not. */
void direction_random(struct direction *d, const struct model *m, int64_t seed, uint64_t index);

/* Numbers of (seed, "hessian", parameter, index) for every parameter that varies
 * (parameter_varies): +1 and -1 (Rademacher), or normal ones, where power iteration starts. */
void direction_rademacher(struct direction *d, const struct model *m, int64_t seed, uint64_t index);
void direction_normal(struct direction *d, const struct model *m, int64_t seed, uint64_t index);

/* Scales d to the length of all weights of convolutions and linear layers together, which is a
 * random direction's. */
void direction_scale(struct direction *d, const struct model *m);
#endif
