/* Laws of the Fisher trace and its regularizer. */
#include "core/base/random.h"
#include "core/fisher/regularizer.h"
#include "core/fisher/trace.h"
#include "core/models/cost.h"
#include "core/models/quantized.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { IMAGES = 3, CLASSES = 4 };

struct fixture {
	struct model *model;
	struct tensor *images, *labels;
};

static struct fixture fixture_new(void)
{
	struct model_config c = {.name = "small",
	                         .stages = 2,
	                         .blocks = {1, 1},
	                         .width = 3,
	                         .shortcut = SHORTCUT_PROJECTION,
	                         .shortcut_name = "shortcut",
	                         .linear_name = "linear",
	                         .channels = 3,
	                         .image_px = 6,
	                         .classes = CLASSES,
	                         .norm_eps = 1e-5,
	                         .norm_momentum = 0.1};
	struct fixture x = {model_new(&c, F64), tensor_new(F64, SHAPE(IMAGES, 3, 6, 6)),
	                    tensor_from(I32, SHAPE(IMAGES), (int32_t[]){2, 0, 3})};
	struct random_stream r = random_stream(4, "images", 0, 0);

	parameter_start(&x.model->parameters, 4);
	for (int64_t i = 0; i < shape_count(x.images->shape); i++)
		((double *)tensor_write(x.images))[i] = random_normal(&r, (uint64_t)i);
	return x;
}

static void fixture_free(struct fixture *x)
{
	model_free(x->model);
	tensor_free(x->images);
	tensor_free(x->labels);
}

/* A loss besides the loss: the same images, other labels. */
static struct tensor *other_loss(struct tape *t, struct tensor *logits)
{
	int32_t other[IMAGES] = {1, 1, 0};
	struct tensor *labels = tensor_from(I32, SHAPE(logits->shape.d[0]), other);
	struct tensor *leaf = tape_leaf(t, labels);

	tensor_free(labels);
	return op_mean(t, op_cross_entropy(t, logits, leaf));
}

struct pass {
	struct tape tape;
	struct forward forward;
	struct tensor *loss, *other; /* mean cross-entropy; the same with other labels */
};

static void pass_init(struct pass *p, const struct fixture *x, enum forward_mode mode,
                      const struct quantization *q)
{
	struct tape *t = &p->tape;

	tape_init(t, &backend_ref);
	t->recording = true;
	model_begin(&p->forward, t, x->model, mode, q);
	struct tensor *logits = model_forward(x->model, &p->forward, tape_leaf(t, x->images));
	p->loss = op_mean(t, op_cross_entropy(t, logits, tape_leaf(t, x->labels)));
	p->other = other_loss(t, logits);
}

static struct losses pass_losses(const struct pass *p)
{
	return (struct losses){p->loss, p->loss};
}

static void pass_release(struct pass *p)
{
	forward_release(&p->forward);
	tape_release(&p->tape);
}

/* L + lambda R. */
static double objective(const struct fixture *x, double lambda)
{
	struct pass p;
	double value;

	pass_init(&p, x, FORWARD_TRAINING, NULL);
	value = tensor_at(p.loss, 0);
	value += lambda * tensor_at(fisher_regularizer(&p.forward, p.loss), 0);
	pass_release(&p);
	return value;
}

/* w += h d, d a fixed direction. */
static void move(struct parameter_set *ps, double h)
{
	for (int i = 0; i < ps->count; i++)
		for (int64_t k = 0; k < shape_count(ps->item[i].value->shape); k++)
			((double *)tensor_write(ps->item[i].value))[k] +=
			        h * cos((double)(i + 3 * k));
}

/* Along that direction, by central differences: (f(w + h d) - f(w - h d)) / 2h. */
static void the_regularized_gradient_is_that_of_the_objective(void **state)
{
	struct fixture x = fixture_new();
	struct parameter_set *ps = &x.model->parameters;
	struct tensor **gradient = calloc((size_t)ps->count, sizeof(*gradient));
	const double lambda = 0.7, h = 1e-6;
	double analytic = 0, up, down, r;
	struct pass p;

	pass_init(&p, &x, FORWARD_TRAINING, NULL);
	loss_gradient(&p.forward, pass_losses(&p), lambda, gradient, &r);
	assert_true(r > 0);
	for (int i = 0; i < ps->count; i++)
		for (int64_t k = 0; k < shape_count(gradient[i]->shape); k++)
			analytic += tensor_at(gradient[i], k) * cos((double)(i + 3 * k));
	pass_release(&p);
	free(gradient);
	move(ps, h);
	up = objective(&x, lambda);
	move(ps, -2 * h);
	down = objective(&x, lambda);
	assert_true(fabs((up - down) / (2 * h) - analytic) < 1e-6 * fabs(analytic));
	fixture_free(&x);
}

static void no_lambda_is_the_plain_gradient(void **state)
{
	struct fixture x = fixture_new();
	int count = x.model->parameters.count;
	struct tensor **with = calloc((size_t)count, sizeof(*with));
	struct tensor **plain = calloc((size_t)count, sizeof(*plain));
	struct pass p, q;
	double r = 1;

	pass_init(&p, &x, FORWARD_TRAINING, NULL);
	pass_init(&q, &x, FORWARD_TRAINING, NULL);
	loss_gradient(&p.forward, pass_losses(&p), 0, with, &r);
	tape_grad(&q.tape, q.loss, q.forward.raw, count, plain, GRAD_CONSUME);
	assert_true(r == 0);
	for (int i = 0; i < count; i++)
		assert_memory_equal(tensor_plain(with[i]), tensor_plain(plain[i]),
		                    (size_t)shape_count(with[i]->shape) * 8);
	pass_release(&p);
	pass_release(&q);
	free(with);
	free(plain);
	fixture_free(&x);
}

/* With one image per batch, in inference mode, R is the sum of the traces (methods.md A6). */
static void traces_are_means_over_images_of_the_regularizer(void **state)
{
	struct fixture x = fixture_new();
	struct quantization_settings s = {.kind = "max",
	                                  .weight_bits = 3,
	                                  .per_channel = true,
	                                  .keep_first = true,
	                                  .keep_last = false};
	int count = x.model->parameters.count;
	double *trace = calloc((size_t)count, sizeof(*trace)), sum = 0, mean = 0;
	double *deviation = calloc((size_t)count, sizeof(*deviation));
	struct quantization q;
	struct error e;

	assert_int_equal(quantization_init(&q, x.model, &s, &e), 0);
	fisher_trace(x.model, &backend_ref, x.images, x.labels, &q, trace, deviation);
	for (int i = 0; i < count; i++) {
		sum += trace[i];
		assert_true(deviation[i] > 0 && deviation[i] <= trace[i]);
	}
	for (int i = 0; i < IMAGES; i++) {
		struct fixture one = {x.model, NULL, NULL};
		struct pass p;

		one.images = tensor_from(F64, SHAPE(1, 3, 6, 6), tensor_f64(x.images) + 108 * i);
		one.labels = tensor_from(I32, SHAPE(1), tensor_i32(x.labels) + i);
		pass_init(&p, &one, FORWARD_EVALUATION, &q);
		mean += tensor_at(fisher_regularizer(&p.forward, p.loss), 0) / IMAGES;
		pass_release(&p);
		tensor_free(one.images);
		tensor_free(one.labels);
	}
	assert_true(fabs(sum - mean) < 1e-12 * sum);
	quantization_release(&q);
	free(trace);
	free(deviation);
	fixture_free(&x);
}

static void frozen_parameters_have_no_gradient_and_no_part_in_r(void **state)
{
	struct fixture x = fixture_new();
	int count = x.model->parameters.count;
	struct tensor **gradient = calloc((size_t)count, sizeof(*gradient));
	struct tensor **frozen = calloc((size_t)count, sizeof(*frozen));
	double all, some;
	struct pass p, q;

	pass_init(&p, &x, FORWARD_TRAINING, NULL);
	loss_gradient(&p.forward, pass_losses(&p), 1e-300, gradient, &all);
	x.model->parameters.item[2].trainable = false;
	pass_init(&q, &x, FORWARD_TRAINING, NULL);
	loss_gradient(&q.forward, pass_losses(&q), 1e-300, frozen, &some);
	assert_null(frozen[2]);
	for (int i = 0; i < count; i++)
		if (i != 2)
			assert_true(fabs(tensor_at(frozen[i], 0) - tensor_at(gradient[i], 0)) <
			            1e-12);
	assert_true(some < all);
	pass_release(&p);
	pass_release(&q);
	free(gradient);
	free(frozen);
	fixture_free(&x);
}

struct losses_again {
	const struct fixture *fixture;
	bool other;
};

static struct losses losses_again(void *self, struct forward *f)
{
	const struct losses_again *a = self;
	const struct fixture *x = a->fixture;
	struct tape *t = f->tape;
	struct tensor *logits = model_forward(x->model, f, tape_leaf(t, x->images));
	struct tensor *loss = op_mean(t, op_cross_entropy(t, logits, tape_leaf(t, x->labels)));

	return (struct losses){loss, a->other ? other_loss(t, logits) : loss};
}

/* |difference - exact| / |exact| of the whole gradient, weights quantized to 4 bits. */
static double distance_of_forms(const char *quantizer, bool other)
{
	struct fixture x = fixture_new();
	struct quantization_settings s = {.kind = quantizer,
	                                  .weight_bits = 4,
	                                  .per_channel = true,
	                                  .keep_first = true,
	                                  .keep_last = true};
	struct regularizer r = {.lambda = 0.7, .difference = true, .radius = 1e-5};
	struct losses_again again = {&x, other};
	double distance = 0, length = 0, r_exact, r_near;
	struct quantization q;
	struct pass a, b;
	struct error e;

	assert_int_equal(quantization_init(&q, x.model, &s, &e), 0);
	quantized_learn(&q, x.model);
	quantized_start(&q, x.model);
	int count = x.model->parameters.count;
	struct tensor **exact = calloc((size_t)count, sizeof(*exact));
	struct tensor **near = calloc((size_t)count, sizeof(*near));
	pass_init(&a, &x, FORWARD_TRAINING, &q);
	pass_init(&b, &x, FORWARD_TRAINING, &q);
	struct losses la = {a.loss, other ? a.other : a.loss};
	struct losses lb = {b.loss, other ? b.other : b.loss};
	loss_gradient(&a.forward, la, r.lambda, exact, &r_exact);
	loss_gradient_difference(&b.forward, lb, &r, losses_again, &again, near, &r_near);
	assert_true(fabs(r_exact - r_near) < 1e-12 * r_exact);
	for (int i = 0; i < count; i++)
		for (int64_t k = 0; k < shape_count(exact[i]->shape); k++) {
			double d = tensor_at(exact[i], k) - tensor_at(near[i], k);
			distance += d * d;
			length += pow(tensor_at(exact[i], k), 2);
		}
	pass_release(&a);
	pass_release(&b);
	quantization_release(&q);
	free(exact);
	free(near);
	fixture_free(&x);
	return sqrt(distance / length);
}

static void the_difference_form_comes_near_the_exact_one(void **state)
{
	assert_true(distance_of_forms("max", false) < 1e-4);
	assert_true(distance_of_forms("lsq", false) < 1e-4);
}

static void the_term_may_be_of_another_loss(void **state)
{
	assert_true(distance_of_forms("max", true) < 1e-4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(the_regularized_gradient_is_that_of_the_objective),
	        cmocka_unit_test(no_lambda_is_the_plain_gradient),
	        cmocka_unit_test(traces_are_means_over_images_of_the_regularizer),
	        cmocka_unit_test(frozen_parameters_have_no_gradient_and_no_part_in_r),
	        cmocka_unit_test(the_difference_form_comes_near_the_exact_one),
	        cmocka_unit_test(the_term_may_be_of_another_loss),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
