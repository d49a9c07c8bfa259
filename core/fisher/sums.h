/* Empirical Fisher information of a model's parameters, from one gradient per image (methods.md
 * A4), of the loss over all categories, of the critical one, and their products. */
#ifndef FISHER_SUMS_H
#define FISHER_SUMS_H
#include "core/eval/critical.h"
#include "core/models/model.h"

/* Of g_A, the gradient of L_A, and g_F, that of L_F: |g_A|^2, |g_F|^2, g_A . g_F.  Any
 * alpha g_A + g_F follows from the three.  Without critical categories there is g_A alone. */
enum fisher_kind { FISHER_ALL, FISHER_CRITICAL, FISHER_CROSS, FISHER_KINDS };
extern const char *const fisher_kind_name[FISHER_KINDS]; /* "fisher_all" … */

struct fisher_sums {
	int parameters;
	int64_t images;
	double *sum;       /* (parameters, 3) over images */
	double *square;    /* (parameters, 3) of the squares of what each image adds */
	double **diagonal; /* (parameters, 3), each (elements) over images; null: not wanted */
};
void fisher_sums_init(struct fisher_sums *s, const struct model *m, bool diagonal);
void fisher_sums_release(struct fisher_sums *s);

/* The mean over images of a parameter, and its standard error (NaN for a single image). */
double fisher_mean(const struct fisher_sums *s, int parameter, enum fisher_kind k);
double fisher_error(const struct fisher_sums *s, int parameter, enum fisher_kind k);

/* Where labels come from: the data, or a draw from the model's own softmax, a function of
 * (seed, "fisher.label", index of the image). */
struct fisher_labels {
	bool sampled;
	int64_t seed, first; /* index of the batch's first image */
};

/* Adds a batch, in inference mode, with respect to Q(W) (q null: full precision).  images
 * (n, C, H, W) F32, labels I32 (n); total (n, 3), may be null, gets what each image adds over all
 * trainable parameters.  The cost is about that of a pass forward and backward. */
void fisher_sums_add(struct fisher_sums *s, const struct model *m, const struct quantization *q,
                     const struct critical *c, struct tensor *images, struct tensor *labels,
                     const struct fisher_labels *from, double *total);
#endif
