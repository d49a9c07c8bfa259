/* The loss around a model's weights: directions in weight space, and the loss along them.
 *
 * Random directions are normalised filter by filter (Li et al. 2018): each output filter of a
 * direction has the length of the model's filter, so x = 1 is a step as long as the weights
 * whatever their scale.  Steps are taken after quantization: Q(W) + x a + y b. */
#ifndef FISHER_LANDSCAPE_H
#define FISHER_LANDSCAPE_H
#include "core/eval/critical.h"
#include "core/models/model.h"

/* One tensor per parameter of a model; null: that one does not move. */
struct direction {
	struct tensor **part;
	int count;
};
void direction_release(struct direction *d);

/* Normal numbers of (seed, "landscape", parameter, index), filter-normalised; weights of
 * convolutions and linear layers move, biases and batch norms do not. */
void direction_random(struct direction *d, const struct model *m, int64_t seed, uint64_t index);

/* Scales d to the length of all those weights together, which is a random direction's. */
void direction_scale(struct direction *d, const struct model *m);

/* A point x a + y b; b may be null. */
struct landscape_point {
	const struct direction *a, *b;
	double x, y;
};

/* Sums over the images of cross-entropy and, when c is not null, of that among critical categories
 * and others, in inference mode.  images (n, C, H, W) F32, labels I32 (n). */
void landscape_losses(const struct model *m, const struct quantization *q,
                      const struct landscape_point *p, const struct critical *c,
                      struct tensor *images, struct tensor *labels, double *loss,
                      double *critical_loss);
#endif
