/* Laws of what training minimises: distillation, and the loss of the Fisher term. */
#include "core/train/objective.h"
#include "core/base/random.h"
#include "core/models/cost.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

enum { IMAGES = 4, CLASSES = 5 };

static struct model *small_model(int64_t seed)
{
	struct model_config c = {.name = "small",
	                         .stages = 2,
	                         .blocks = {1, 1},
	                         .width = 3,
	                         .shortcut = SHORTCUT_PAD,
	                         .shortcut_name = "shortcut",
	                         .linear_name = "linear",
	                         .channels = 3,
	                         .image_px = 6,
	                         .classes = CLASSES,
	                         .norm_eps = 1e-5,
	                         .norm_momentum = 0.1};
	struct model *m = model_new(&c, F64);

	parameter_start(&m->parameters, seed);
	return m;
}

struct fixture {
	struct model *model;
	struct objective objective;
	struct tensor *images, *labels;
	int critical[2], place[CLASSES];
	struct critical set;
};

/* The teacher is the model itself, or another one. */
static void fixture_init(struct fixture *x, double distill, int64_t teacher_seed)
{
	struct random_stream r = random_stream(4, "images", 0, 0);

	*x = (struct fixture){.model = small_model(4),
	                      .images = tensor_new(F64, SHAPE(IMAGES, 3, 6, 6)),
	                      .labels = tensor_from(I32, SHAPE(IMAGES), (int32_t[]){2, 0, 3, 4})};
	for (int64_t i = 0; i < shape_count(x->images->shape); i++)
		((double *)tensor_write(x->images))[i] = random_normal(&r, (uint64_t)i);
	x->objective.distill = distill;
	x->objective.temperature = 2;
	if (distill > 0)
		x->objective.teacher = small_model(teacher_seed);
}

static void fixture_release(struct fixture *x)
{
	objective_release(&x->objective);
	model_free(x->model);
	tensor_free(x->images);
	tensor_free(x->labels);
}

struct pass {
	struct batch_pass batch;
	struct tape tape;
	struct forward forward;
	struct losses losses;
};

static void pass_init(struct pass *p, struct fixture *x, enum forward_mode mode)
{
	tape_init(&p->tape, &backend_ref);
	batch_pass_init(&p->batch, &x->objective, x->model, x->images, x->labels);
	model_begin(&p->forward, &p->tape, x->model, mode, NULL);
	p->losses = batch_losses(&p->batch, &p->forward);
}

static void pass_release(struct pass *p)
{
	forward_release(&p->forward);
	tape_release(&p->tape);
	batch_pass_release(&p->batch);
}

/* The gradient times a fixed direction, and w += h times that direction. */
static double along(struct tensor *const gradient[], const struct parameter_set *ps)
{
	double sum = 0;

	for (int i = 0; i < ps->count; i++)
		for (int64_t k = 0; k < shape_count(gradient[i]->shape); k++)
			sum += tensor_at(gradient[i], k) * cos((double)(i + 3 * k));
	return sum;
}

static void move(struct parameter_set *ps, double h)
{
	for (int i = 0; i < ps->count; i++)
		for (int64_t k = 0; k < shape_count(ps->item[i].value->shape); k++)
			((double *)tensor_write(ps->item[i].value))[k] +=
			        h * cos((double)(i + 3 * k));
}

static double slope(struct fixture *x, enum forward_mode mode)
{
	int count = x->model->parameters.count;
	struct tensor **gradient = calloc((size_t)count, sizeof(*gradient));
	struct pass p;
	double r;

	pass_init(&p, x, mode);
	objective_gradient(&p.batch, &p.forward, p.losses, gradient, &r);
	double s = along(gradient, &x->model->parameters);
	pass_release(&p);
	free(gradient);
	return s;
}

static double value(struct fixture *x)
{
	struct pass p;

	pass_init(&p, x, FORWARD_TRAINING);
	double v = tensor_at(p.losses.loss, 0);
	if (x->objective.term.lambda > 0)
		v += x->objective.term.lambda *
		     tensor_at(fisher_regularizer(&p.forward, p.losses.term), 0);
	pass_release(&p);
	return v;
}

static void assert_slope_is_that_of_the_value(struct fixture *x)
{
	const double h = 1e-6;
	double analytic = slope(x, FORWARD_TRAINING), up, down;

	move(&x->model->parameters, h);
	up = value(x);
	move(&x->model->parameters, -2 * h);
	down = value(x);
	assert_true(fabs((up - down) / (2 * h) - analytic) < 1e-6 * fabs(analytic) + 1e-9);
}

static void distillation_has_the_gradient_of_its_value(void **state)
{
	struct fixture x;

	fixture_init(&x, 0.8, 9);
	assert_slope_is_that_of_the_value(&x);
	fixture_release(&x);
}

static void a_model_that_is_its_own_teacher_learns_nothing_from_it(void **state)
{
	struct fixture plain, taught, other;

	fixture_init(&plain, 0, 0);
	fixture_init(&taught, 3, 4);
	fixture_init(&other, 3, 9);
	double without = slope(&plain, FORWARD_EVALUATION);
	assert_true(fabs(slope(&taught, FORWARD_EVALUATION) - without) < 1e-12);
	assert_true(fabs(slope(&other, FORWARD_EVALUATION) - without) > 1e-3);
	fixture_release(&plain);
	fixture_release(&taught);
	fixture_release(&other);
}

/* -(1 - s) log p_y - s / K sum_k log p_k, as PyTorch's cross_entropy, beside teacher and term. */
static void smoothed_labels_are_pytorchs(void **state)
{
	struct fixture x;
	struct pass p;
	double want = 0, plain = 0;

	fixture_init(&x, 0, 0);
	x.objective.smoothing = 0.3;
	pass_init(&p, &x, FORWARD_TRAINING);
	for (int i = 0; i < IMAGES; i++) {
		double sum = 0, mean = 0, z[CLASSES];
		for (int k = 0; k < CLASSES; k++) {
			z[k] = tensor_at(p.batch.logits, i * CLASSES + k);
			sum += exp(z[k]);
			mean += z[k] / CLASSES;
		}
		double label = z[tensor_i32(x.labels)[i]];
		want += (log(sum) - 0.7 * label - 0.3 * mean) / IMAGES;
		plain += (log(sum) - label) / IMAGES;
	}
	assert_true(fabs(tensor_at(p.losses.loss, 0) - want) < 1e-12);
	assert_true(fabs(tensor_at(p.losses.term, 0) - plain) < 1e-12);
	pass_release(&p);
	assert_slope_is_that_of_the_value(&x);
	fixture_release(&x);
}

static void use_critical(struct fixture *x, double lambda)
{
	x->critical[0] = 3;
	x->critical[1] = 1;
	for (int k = 0; k < CLASSES; k++)
		x->place[k] = k == 3 ? 0 : k == 1 ? 1 : 2;
	x->set = (struct critical){CLASSES, 2, x->critical, x->place};
	x->objective.critical = &x->set;
	x->objective.term = (struct regularizer){.lambda = lambda, .radius = 1e-5};
}

static void the_term_of_the_critical_loss_has_the_gradient_of_its_value(void **state)
{
	struct fixture x;

	fixture_init(&x, 0.5, 9);
	use_critical(&x, 0.7);
	assert_slope_is_that_of_the_value(&x);
	fixture_release(&x);
}

static void the_term_of_the_critical_loss_is_another(void **state)
{
	struct fixture all, critical;

	fixture_init(&all, 0, 0);
	fixture_init(&critical, 0, 0);
	use_critical(&all, 0.7);
	use_critical(&critical, 0.7);
	all.objective.critical = NULL;
	assert_true(fabs(value(&all) - value(&critical)) > 1e-6);
	fixture_release(&all);
	fixture_release(&critical);
}

static void the_difference_form_serves_the_whole_objective(void **state)
{
	struct fixture exact, near;

	fixture_init(&exact, 0.5, 9);
	fixture_init(&near, 0.5, 9);
	use_critical(&exact, 0.7);
	use_critical(&near, 0.7);
	near.objective.term.difference = true;
	double want = slope(&exact, FORWARD_TRAINING), got = slope(&near, FORWARD_TRAINING);
	assert_true(fabs(want - got) < 1e-4 * fabs(want));
	fixture_release(&exact);
	fixture_release(&near);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(distillation_has_the_gradient_of_its_value),
	        cmocka_unit_test(a_model_that_is_its_own_teacher_learns_nothing_from_it),
	        cmocka_unit_test(smoothed_labels_are_pytorchs),
	        cmocka_unit_test(the_term_of_the_critical_loss_has_the_gradient_of_its_value),
	        cmocka_unit_test(the_term_of_the_critical_loss_is_another),
	        cmocka_unit_test(the_difference_form_serves_the_whole_objective),
	};
	return cmocka_run_group_tests_name("objective", tests, NULL, NULL);
}
