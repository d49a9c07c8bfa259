/* Layers: where their parameters lie in a model's sets, and how they compute. */
#ifndef NN_LAYER_H
#define NN_LAYER_H
#include "core/nn/forward.h"

/* What layers are added to, while a model is built. */
struct builder {
	struct parameter_set *parameters, *buffers;
	enum dtype type;
	double norm_eps;
	int height, width; /* of the image at this point; convolutions and pooling change them */
};

struct conv {
	int weight; /* index of the parameter; no bias: a batch norm follows */
	int stride, pad;
};
struct batch_norm {
	int scale, shift;   /* indices of parameters */
	int mean, variance; /* indices of buffers */
	double eps;
};
struct linear {
	int weight, bias;
};

/* Parameters "<prefix>.weight", "<prefix>.bias", buffers "<prefix>.running_mean", ".running_var".
 */
struct conv conv_add(struct builder *b, const char *prefix, int in, int out, int kernel,
                     int stride);
struct batch_norm batch_norm_add(struct builder *b, const char *prefix, int channels);
struct linear linear_add(struct builder *b, const char *prefix, int in, int out);

/* Padding is kernel / 2: x (N, C, H, W) -> (N, O, ceil(H / stride), ceil(W / stride)). */
struct tensor *conv_forward(const struct conv *c, struct forward *f, struct tensor *x);

/* Training: by the batch's statistics, collected into f->statistics.  Evaluation: as a x + b with
 * a = gamma / sqrt(running variance + eps), b = beta - a running mean; gradients reach gamma and
 * beta.  Plus the residual, if there is one (null: none), then max(0, y) when relu. */
struct tensor *batch_norm_forward(const struct batch_norm *n, struct forward *f, struct tensor *x,
                                  struct tensor *residual, bool relu);

/* x (N, I) -> x W' + bias (N, O). */
struct tensor *linear_forward(const struct linear *l, struct forward *f, struct tensor *x);
#endif
