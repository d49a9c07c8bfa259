/* What training minimises: cross-entropy, distillation from a teacher, and the loss whose Fisher
 * trace is a term. */
#include "core/train/objective.h"
#include <math.h>
#include <stdlib.h>

void objective_release(struct objective *o)
{
	model_free(o->teacher);
	*o = (struct objective){0};
}

/* The teacher's softmax at temperature T, in inference mode, outside any tape. */
static struct tensor *teacher_says(const struct objective *o, struct tensor *images)
{
	struct tape t;
	struct forward f;

	tape_init(&t, &backend_onednn);
	t.recording = false;
	model_begin(&f, &t, o->teacher, FORWARD_EVALUATION, NULL);
	struct tensor *logits = model_forward(o->teacher, &f, tape_leaf(&t, images));
	struct tensor *p = op_softmax(&t, op_scale(&t, logits, 1 / o->temperature));
	struct tensor *soft = tensor_copy(p);

	forward_release(&f);
	tape_release(&t);
	return soft;
}

void batch_pass_init(struct batch_pass *b, const struct objective *o, const struct model *m,
                     struct tensor *images, struct tensor *labels)
{
	*b = (struct batch_pass){.objective = o, .model = m, .images = images, .labels = labels};
	if (o->teacher)
		b->soft = teacher_says(o, images);
}

void batch_pass_release(struct batch_pass *b)
{
	tensor_free(b->soft);
	*b = (struct batch_pass){0};
}

/* mean over images of -sum_k p_k log softmax(z)_k, which is the cross-entropy of any label y plus
 * z_y - sum_k p_k z_k. */
static struct tensor *soft_cross_entropy(struct tape *t, struct tensor *z, struct tensor *labels,
                                         struct tensor *p)
{
	struct tensor *label = op_one_hot(t, labels, z->shape.d[1], z->type);
	struct tensor *move = op_sum(t, op_mul(t, op_sub(t, label, p), z));

	move = op_scale(t, move, 1 / (double)z->shape.d[0]);
	return op_add(t, op_mean(t, op_cross_entropy(t, z, labels)), move);
}

/* The labels' probabilities: 1 - s at the label, and s / classes everywhere (Szegedy et al. 2016).
 */
static struct tensor *smooth_labels(struct tape *t, struct tensor *z, struct tensor *labels,
                                    double s)
{
	struct tensor *p = op_one_hot(t, labels, z->shape.d[1], z->type);

	return op_shift(t, op_scale(t, p, 1 - s), s / (double)z->shape.d[1]);
}

/* T^2 KL(teacher | model), but for the teacher's entropy, which is constant. */
static struct tensor *distillation(const struct batch_pass *b, struct tape *t,
                                   struct tensor *labels)
{
	double temperature = b->objective->temperature;
	struct tensor *z = op_scale(t, b->logits, 1 / temperature);
	struct tensor *loss = soft_cross_entropy(t, z, labels, tape_leaf(t, b->soft));

	return op_scale(t, loss, b->objective->distill * temperature * temperature);
}

/* The forward pass; the loss of submodels, or null where there is one network. */
static struct tensor *run_model(struct batch_pass *b, struct forward *f, struct tensor *labels)
{
	const struct objective *o = b->objective;
	struct tensor *images = tape_leaf(f->tape, b->images), *heads[SUBTASKS_MAX];

	f->dropout = b->dropout;
	if (!o->subtasks) {
		b->logits = model_forward(b->model, f, images);
		b->cross_entropy = op_cross_entropy(f->tape, b->logits, labels);
		return NULL;
	}
	model_heads(b->model, f, images, UINT32_MAX, heads);
	struct subtask_losses l =
	        subtask_losses(f->tape, o->subtasks, &o->subtask, heads, b->labels);
	b->logits = l.own;
	b->cross_entropy = l.cross_entropy;
	return l.total;
}

struct losses batch_losses(void *self, struct forward *f)
{
	struct batch_pass *b = self;
	struct tape *t = f->tape;
	struct tensor *labels = tape_leaf(t, b->labels);
	struct tensor *of_submodels = run_model(b, f, labels);
	struct tensor *plain = op_mean(t, b->cross_entropy);
	struct losses l = {of_submodels ? of_submodels : plain, plain};
	if (b->objective->term.lambda > 0 && b->objective->critical)
		l.term = op_mean(
		        t, critical_cross_entropy(t, b->logits, b->labels, b->objective->critical));
	if (b->objective->smoothing > 0) {
		struct tensor *p = smooth_labels(t, b->logits, labels, b->objective->smoothing);
		l.loss = soft_cross_entropy(t, b->logits, labels, p);
	}
	if (b->soft)
		l.loss = op_add(t, l.loss, distillation(b, t, labels));
	return l;
}

void objective_gradient(struct batch_pass *b, struct forward *f, struct losses l,
                        struct tensor **out, double *regularizer)
{
	const struct regularizer *term = &b->objective->term;

	if (term->lambda > 0 && term->difference)
		loss_gradient_difference(f, l, term, batch_losses, b, out, regularizer);
	else
		loss_gradient(f, l, term->lambda, out, regularizer);
}
