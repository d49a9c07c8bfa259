/* The loss around a model's weights, along directions.  Steps are taken after quantization:
 * Q(W) + x a + y b. */
#ifndef FISHER_LANDSCAPE_H
#define FISHER_LANDSCAPE_H
#include "core/eval/critical.h"
#include "core/fisher/direction.h"

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
