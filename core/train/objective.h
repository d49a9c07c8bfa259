/* What training minimises: cross-entropy, distillation from a teacher, and the loss whose Fisher
 * trace is a term. */
#ifndef TRAIN_OBJECTIVE_H
#define TRAIN_OBJECTIVE_H
#include "core/eval/critical.h"
#include "core/fisher/regularizer.h"
#include "core/split/subtask_loss.h"

struct objective {
	struct regularizer term;
	const struct critical *critical; /* the term is of L_F (methods.md A1); null: of L_A */
	struct model *teacher;           /* full precision; null: no distillation.  Owned */
	double smoothing;                /* of the labels in L_A, not in the term's loss */
	const struct subtasks *subtasks; /* L = sum of submodels' losses (B2); null: one network */
	struct subtask_objective subtask;
	double distill, temperature; /* L = L_A + distill * T^2 KL(teacher | model) at T */
};
void objective_release(struct objective *o);

/* One batch: its images, labels and, where there is a teacher, what that says of the images. */
struct batch_pass {
	const struct objective *objective;
	const struct model *model;
	struct tensor *images, *labels; // (n, C, H, W), I32 (n)
	struct dropout dropout;         /* rate 0, unless the caller sets it */
	struct tensor *soft;            // (n, classes) the teacher's softmax at T; null: no teacher
	struct tensor *logits;          // (n, classes) of the last batch_losses, on its tape
	struct tensor *cross_entropy;   // (n) the same
};
void batch_pass_init(struct batch_pass *b, const struct objective *o, const struct model *m,
                     struct tensor *images, struct tensor *labels);
void batch_pass_release(struct batch_pass *b); /* images and labels stay the caller's */

/* A losses_fn: a forward pass of the batch (self, a batch_pass) on f's tape. */
struct losses batch_losses(void *self, struct forward *f);

/* Gradients of l (what batch_losses gave) and of the term, with respect to f->raw, as loss_gradient
 * gives them; *regularizer gets R. */
void objective_gradient(struct batch_pass *b, struct forward *f, struct losses l,
                        struct tensor **out, double *regularizer);
#endif
