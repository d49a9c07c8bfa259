/* Equations 1 to 4, composed of ops. */
#include "core/split/subtask_loss.h"
#include "core/base/text.h"
#include <math.h>
#include <stdlib.h>

struct tensor *subtask_target(const struct subtasks *s, int submodel, struct tensor *labels,
                              bool one_hot, enum dtype type)
{
	int size = s->size[submodel];
	int64_t images = shape_count(labels->shape);
	struct tensor *target = tensor_zeros(type, SHAPE(images, size + 1));

	for (int64_t i = 0; i < images; i++) {
		int label = tensor_i32(labels)[i];
		int64_t row = i * (size + 1);
		assert(label >= 0 && label < s->classes);
		if (s->group[label] == submodel) {
			tensor_set(target, row + s->place[label], 1);
			continue;
		}
		double each = one_hot ? 0 : 1.0 / s->classes;
		for (int j = 0; j < size; j++)
			tensor_set(target, row + j, each);
		tensor_set(target, row + size,
		           one_hot ? 1 : (double)(s->classes - size) / s->classes);
	}
	return target;
}

/* (1 - b) / (1 - b^samples), and its limit 1 / samples at b = 1. */
static double weight_of(double beta, double samples)
{
	return beta == 1 ? 1 / samples : (1 - beta) / -expm1(samples * log(beta));
}

void subtask_class_weight(const struct subtasks *s, int submodel, double beta,
                          double samples_per_class, double *weight)
{
	int size = s->size[submodel];
	double own = weight_of(beta, samples_per_class);
	double outside = weight_of(beta, (s->classes - size) * samples_per_class);
	double mean = (size * own + outside) / (size + 1);

	assert(beta >= 0 && beta <= 1 && samples_per_class > 0);
	for (int j = 0; j < size; j++)
		weight[j] = own / mean;
	weight[size] = outside / mean;
}

/* log(1 + e^z), as the cross-entropy of the logits (z, 0) where the second is right: that op
 * neither overflows nor has a kink, to any order. */
static struct tensor *softplus(struct tape *t, struct tensor *z)
{
	int64_t count = shape_count(z->shape), start[2] = {0, 0}, step[2] = {1, 1};
	struct tensor *column = op_reshape(t, z, SHAPE(count, 1));
	struct tensor *pair = op_place(t, column, start, step, SHAPE(count, 2));
	struct tensor *second = op_fill(t, I32, SHAPE(count), 1);

	return op_reshape(t, op_cross_entropy(t, pair, second), z->shape);
}

struct tensor *subtask_loss(struct tape *t, struct tensor *logits, struct tensor *target,
                            struct tensor *weight)
{
	struct tensor *each = op_sub(t, softplus(t, logits), op_mul(t, logits, target));

	assert(shape_equal(logits->shape, target->shape));
	return op_scale(t, op_sum(t, op_mul(t, each, weight)), 1 / (double)logits->shape.d[0]);
}

/* Where the elements of submodel i's own logits lie in (batch, classes). */
static struct tensor *own_index(const struct subtasks *s, int submodel, int64_t images)
{
	int size = s->size[submodel];
	struct tensor *index = tensor_new(I32, SHAPE(images, size));
	int32_t *at = tensor_write(index);

	for (int64_t i = 0; i < images; i++)
		for (int j = 0; j < size; j++)
			*at++ = (int32_t)(i * s->classes + subtasks_members(s, submodel)[j]);
	return index;
}

struct tensor *subtask_own_logits(struct tape *t, const struct subtasks *s,
                                  struct tensor *const logits[])
{
	int64_t images = logits[0]->shape.d[0], start[2] = {0, 0}, step[2] = {1, 1};
	struct tensor *all = NULL;

	for (int i = 0; i < s->count; i++) {
		assert(shape_equal(logits[i]->shape, SHAPE(images, s->size[i] + 1)));
		struct tensor *own = op_slice(t, logits[i], start, step, SHAPE(images, s->size[i]));
		struct tensor *index = tape_adopt(t, own_index(s, i, images));
		own = op_scatter(t, own, index, SHAPE(images, s->classes));
		all = all ? op_add(t, all, own) : own;
	}
	return all;
}

struct tensor *subtask_loss_of(struct tape *t, const struct subtasks *s, int submodel,
                               const struct subtask_objective *o, struct tensor *logits,
                               struct tensor *labels)
{
	int columns = s->size[submodel] + 1;
	double *weight = xcalloc((size_t)columns, sizeof *weight);
	struct tensor *w = tensor_new(logits->type, SHAPE(columns));

	subtask_class_weight(s, submodel, o->beta, o->samples_per_class, weight);
	for (int j = 0; j < columns; j++)
		tensor_set(w, j, weight[j]);
	free(weight);
	struct tensor *target = subtask_target(s, submodel, labels, o->one_hot, logits->type);
	return subtask_loss(t, logits, tape_adopt(t, target), tape_adopt(t, w));
}

struct subtask_losses subtask_losses(struct tape *t, const struct subtasks *s,
                                     const struct subtask_objective *o,
                                     struct tensor *const logits[], struct tensor *labels)
{
	struct subtask_losses l = {.own = subtask_own_logits(t, s, logits)};

	l.cross_entropy = op_cross_entropy(t, l.own, tape_leaf(t, labels));
	l.total = op_scale(t, op_mean(t, l.cross_entropy), o->lambda);
	for (int i = 0; i < s->count; i++) {
		l.subtask[i] = subtask_loss_of(t, s, i, o, logits[i], labels);
		l.total = op_add(t, l.total, l.subtask[i]);
	}
	return l;
}
