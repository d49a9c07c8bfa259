/* The loss around a model's weights, along directions. */
#include "core/fisher/landscape.h"

static double sum_of(struct tensor *t)
{
	double sum = 0;

	for (int64_t i = 0; i < shape_count(t->shape); i++)
		sum += tensor_at(t, i);
	return sum;
}

void landscape_losses(const struct model *m, const struct quantization *q,
                      const struct landscape_point *p, const struct critical *c,
                      struct tensor *images, struct tensor *labels, double *loss,
                      double *critical_loss)
{
	struct tape t;
	struct forward f;

	tape_init(&t, &backend_onednn);
	t.recording = false;
	model_begin(&f, &t, m, FORWARD_EVALUATION, q);
	forward_move(&f, p->a->part, p->x);
	if (p->b)
		forward_move(&f, p->b->part, p->y);
	struct tensor *logits = model_forward(m, &f, tape_leaf(&t, images));
	*loss = sum_of(op_cross_entropy(&t, logits, tape_leaf(&t, labels)));
	if (c)
		*critical_loss = sum_of(critical_cross_entropy(&t, logits, labels, c));
	forward_release(&f);
	tape_release(&t);
}
