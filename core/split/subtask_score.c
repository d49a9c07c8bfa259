/* Predictions and scores of all submodels together. */
#include "core/split/subtask_score.h"
#include "core/base/text.h"
#include "core/eval/softmax.h"
#include <stdlib.h>

/* Every class's own logit, and p(class) (1 - p(outside)), of one image. */
static void own_of_image(const struct subtasks *s, struct tensor *const logits[], int64_t image,
                         double *own, double *product)
{
	double *z = xcalloc((size_t)s->classes + 1, sizeof *z);
	double *p = xcalloc((size_t)s->classes + 1, sizeof *p);

	for (int i = 0; i < s->count; i++) {
		int size = s->size[i];
		const int *member = subtasks_members(s, i);
		for (int j = 0; j <= size; j++)
			z[j] = tensor_at(logits[i], image * (size + 1) + j);
		softmax(z, size + 1, p);
		for (int j = 0; j < size; j++) {
			own[member[j]] = z[j];
			product[member[j]] = p[j] * (1 - p[size]);
		}
	}
	free(p);
	free(z);
}

static int largest(const double *value, int count)
{
	int best = 0;

	for (int k = 1; k < count; k++)
		best = value[k] > value[best] ? k : best;
	return best;
}

void subtask_score(const struct subtasks *s, struct tensor *const logits[],
                   const struct subtask_scores *out)
{
	double *own = xcalloc((size_t)s->classes, sizeof *own);
	double *product = xcalloc((size_t)s->classes, sizeof *product);
	int64_t images = logits[0]->shape.d[0];

	for (int i = 0; i < s->count; i++)
		assert(shape_equal(logits[i]->shape, SHAPE(images, s->size[i] + 1)));
	for (int64_t image = 0; image < images; image++) {
		own_of_image(s, logits, image, own, product);
		int predicted = largest(own, s->classes);
		if (out->predicted)
			out->predicted[image] = predicted;
		if (out->id)
			out->id[image] = product[predicted];
		if (out->id_max)
			out->id_max[image] = product[largest(product, s->classes)];
	}
	free(product);
	free(own);
}
