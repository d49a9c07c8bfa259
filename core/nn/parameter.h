/* Parameters and buffers of a model: named tensors in the order in which the model defines them. */
#ifndef NN_PARAMETER_H
#define NN_PARAMETER_H
#include "core/base/error.h"
#include "core/tensor/tensor.h"

#define STEP_LEAST 1e-8 /* a learned step stays this large, so that it can grow again */

enum parameter_role {
	PARAMETER_CONV,          /* (O, C / groups, R, S) */
	PARAMETER_LINEAR,        /* (O, I) */
	PARAMETER_BIAS,          /* (O), of a convolution or linear layer */
	PARAMETER_STEP,          /* (1) or (O), of a quantized weight, learned: positive */
	PARAMETER_NORM_SCALE,    /* (C), gamma: starts at 1 */
	PARAMETER_NORM_SHIFT,    /* (C), beta: starts at 0 */
	PARAMETER_NORM_MEAN,     /* (C), a buffer: running mean, starts at 0 */
	PARAMETER_NORM_VARIANCE, /* (C), a buffer: running variance, starts at 1 */
};

struct parameter {
	char *name; /* as in public checkpoints: "layer1.0.conv1.weight" */
	enum parameter_role role;
	struct tensor *value; /* outside any tape; the training loop writes it between steps */
	bool trainable;       /* false: frozen, has no gradient; starts true */
	int64_t fan_in;       /* of a bias: inputs of its layer; else 0 */
	int64_t macs;         /* multiply-accumulates for one image that use this weight; else 0 */
	int stream;           /* of a convolution: the residual stream that its output is part of,
	                         counted from 1; else 0 */
};

struct parameter_set {
	struct parameter *item;
	int count, capacity;
};

/* Adds a parameter of zeros (ones where its role starts there); takes the name over.  Returns its
 * index.  Pointers to items become stale. */
int parameter_add(struct parameter_set *s, char *name, enum parameter_role role, enum dtype type,
                  struct shape shape);
int parameter_find(const struct parameter_set *s, const char *name); /* -1 when absent */
int64_t parameter_elements(const struct parameter_set *s);           /* of all together */
void parameter_release(struct parameter_set *s);

/* Starting values: convolutions normal with variance 2 / (O R S) (He et al. 2015, fan-out); linear
 * weights and biases uniform within 1 / sqrt(I); norms 1 and 0.  Element i of a parameter is a
 * function of (seed, name, i) alone (core/base/random.h, purpose "init"). */
void parameter_start(struct parameter_set *s, int64_t seed);

/* Whether a quantizer may touch it: the weight of a convolution or linear layer. */
bool parameter_quantizable(const struct parameter *p);

/* Whether it is a variable of Fisher information and Hessian, which are with respect to Q(W):
 * trainable, and no learned step. */
bool parameter_varies(const struct parameter *p);
#endif
