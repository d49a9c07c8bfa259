/* The Fisher trace per parameter in the plainest way: a loop over single images. */
#include "core/fisher/trace.h"
#include "core/base/text.h"
#include <math.h>
#include <stdlib.h>

/* Image i of a batch, as a batch of one. */
static struct tensor *one_of(struct tensor *batch, int64_t i)
{
	struct shape s = batch->shape;
	size_t bytes = (size_t)(shape_count(s) / s.d[0]) * dtype_bytes(batch->type);

	s.d[0] = 1;
	return tensor_from(batch->type, s, (const char *)tensor_plain(batch) + (size_t)i * bytes);
}

/* |d loss / d w_p|^2 of one image, for each parameter. */
static void image_squares(const struct model *m, const struct backend *backend,
                          struct tensor *image, struct tensor *label, const struct quantization *q,
                          double *square)
{
	struct tape t;
	struct forward f;
	int count = m->parameters.count;
	struct tensor **g = xcalloc((size_t)count, sizeof(*g));

	tape_init(&t, backend);
	model_begin(&f, &t, m, FORWARD_EVALUATION, q);
	struct tensor *logits = model_forward(m, &f, tape_leaf(&t, image)); // (1, classes)
	struct tensor *loss = op_mean(&t, op_cross_entropy(&t, logits, tape_leaf(&t, label)));
	tape_grad(&t, loss, f.used, count, g, GRAD_CONSUME);
	for (int p = 0; p < count; p++)
		square[p] = parameter_varies(&m->parameters.item[p]) ? tensor_square_sum(g[p]) : 0;
	forward_release(&f);
	tape_release(&t);
	free(g);
}

void fisher_trace(const struct model *m, const struct backend *backend, struct tensor *images,
                  struct tensor *labels, const struct quantization *q, double *trace, double *error)
{
	int64_t n = images->shape.d[0];
	int count = m->parameters.count;
	double *square = xcalloc((size_t)(n * count), sizeof(*square)); // (images, parameters)

	for (int64_t i = 0; i < n; i++) {
		struct tensor *image = one_of(images, i), *label = one_of(labels, i);

		image_squares(m, backend, image, label, q, square + i * count);
		tensor_free(image);
		tensor_free(label);
	}
	for (int p = 0; p < count; p++) {
		double sum = 0, deviation = 0;

		for (int64_t i = 0; i < n; i++)
			sum += square[i * count + p];
		trace[p] = sum / (double)n;
		for (int64_t i = 0; i < n; i++)
			deviation += pow(square[i * count + p] - trace[p], 2);
		if (error)
			error[p] = n > 1 ? sqrt(deviation / (double)(n - 1) / (double)n) : NAN;
	}
	free(square);
}
