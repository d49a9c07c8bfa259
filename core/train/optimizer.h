/* Optimizers: one update of all parameters from their gradients, and the state that it needs. */
#ifndef TRAIN_OPTIMIZER_H
#define TRAIN_OPTIMIZER_H
#include "core/models/reshape.h"

struct optimizer_settings {
	const char *kind;    /* a row of optimizer_rules[]: "sgd" "adamw" */
	double momentum;     /* sgd; the buffer starts as the first gradient */
	bool nesterov;       /* sgd: step along g + momentum * buffer */
	double weight_decay; /* sgd: added to the gradient; adamw: decoupled, w -= rate decay w */
	double beta[2];      /* adamw: 0.9, 0.999 */
	double eps;          /* adamw: 1e-8 */
	double clip_norm;    /* gradients scaled by min(1, clip / (total norm + 1e-6)); 0: not */
};
extern const struct optimizer_settings optimizer_defaults; /* sgd, no momentum, no clipping */

enum { OPTIMIZER_SLOTS = 2, OPTIMIZER_CHUNK = 256 };

/* One rule: the update of n <= OPTIMIZER_CHUNK elements in double, whatever the parameters' type
 * is. step is 1 at the first update. */
struct optimizer_rule {
	const char *name, *help;
	const char *slot[OPTIMIZER_SLOTS]; /* names of its state per parameter; null: none */
	void (*update)(const struct optimizer_settings *s, double rate, int64_t step, int n,
	               double *w, const double *g, double *const slot[OPTIMIZER_SLOTS]);
};
extern const struct optimizer_rule optimizer_rules[];
extern const int optimizer_rule_count;

struct optimizer {
	struct optimizer_settings settings;
	const struct optimizer_rule *rule;
	struct parameter_set *parameters; /* the model's, borrowed */
	struct tensor *
	        *state[OPTIMIZER_SLOTS]; /* (parameters), shaped and typed as these; or null */
	int64_t steps;                   /* updates made; part of the checkpoint */
};

/* State of zeros, no steps made.  Fails on an unknown kind.  The parameters stay the caller's. */
int optimizer_init(struct optimizer *o, const struct optimizer_settings *s,
                   struct parameter_set *parameters, struct error *e);
void optimizer_release(struct optimizer *o);

/* One update with gradient[i] of parameter i (same type and shape, only read; null: parameter i
 * stays) at learning rate `rate`; learned steps have no weight decay and stay at least STEP_LEAST.
 * Sums in one fixed order.  Returns the total norm of the
 * gradients before clipping. */
double optimizer_step(struct optimizer *o, struct tensor *const gradient[], double rate);

/* Goes on with the parameters of a model in another shape, and the state that theirs had. */
void optimizer_reshape(struct optimizer *o, struct parameter_set *parameters,
                       const struct reshape *r);

/* State for checkpoints: tensor `index` of 0 … count-1 and its name,
 * "optimizer.<slot>.<parameter>", the caller's to free. */
int optimizer_state_count(const struct optimizer *o);
struct tensor *optimizer_state(const struct optimizer *o, int index, char **name);
#endif
