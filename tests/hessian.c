/* Laws of products with the Hessian: they are those of the matrix, written out by differences. */
#include "core/fisher/hessian.h"
#include "core/base/random.h"
#include "core/models/cost.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

enum { IMAGES = 3, CLASSES = 4 };

struct fixture {
	struct model *model;
	struct tensor *images, *labels;
};

static void fixture_init(struct fixture *x)
{
	struct model_config c = {.name = "small",
	                         .stages = 1,
	                         .blocks = {1},
	                         .width = 2,
	                         .shortcut = SHORTCUT_PAD,
	                         .shortcut_name = "shortcut",
	                         .linear_name = "linear",
	                         .channels = 3,
	                         .image_px = 5,
	                         .classes = CLASSES,
	                         .norm_eps = 1e-5,
	                         .norm_momentum = 0.1};
	struct random_stream r = random_stream(4, "images", 0, 0);

	*x = (struct fixture){model_new(&c, F64), tensor_new(F64, SHAPE(IMAGES, 3, 5, 5)),
	                      tensor_from(I32, SHAPE(IMAGES), (int32_t[]){2, 0, 3})};
	parameter_start(&x->model->parameters, 4);
	for (int64_t i = 0; i < shape_count(x->images->shape); i++)
		((double *)tensor_write(x->images))[i] = random_normal(&r, (uint64_t)i);
}

static void fixture_release(struct fixture *x)
{
	model_free(x->model);
	tensor_free(x->images);
	tensor_free(x->labels);
}

static double **zeros(const struct model *m)
{
	double **out = calloc((size_t)m->parameters.count, sizeof *out);

	for (int i = 0; i < m->parameters.count; i++)
		out[i] = calloc((size_t)shape_count(m->parameters.item[i].value->shape),
		                sizeof **out);
	return out;
}

static void zeros_free(double **v, const struct model *m)
{
	for (int i = 0; i < m->parameters.count; i++)
		free(v[i]);
	free(v);
}

static void product(const struct fixture *x, const struct critical *c, const struct direction *v,
                    double **out)
{
	hessian_product(x->model, NULL, c, &backend_ref, x->images, x->labels, v, out);
}

/* Gradient of the summed loss, into out. */
static void gradient(const struct fixture *x, const struct critical *c, double **out)
{
	int count = x->model->parameters.count;
	struct tensor **g = calloc((size_t)count, sizeof *g);
	struct tape t;
	struct forward f;

	tape_init(&t, &backend_ref);
	model_begin(&f, &t, x->model, FORWARD_EVALUATION, NULL);
	struct tensor *z = model_forward(x->model, &f, tape_leaf(&t, x->images));
	struct tensor *labels = tape_leaf(&t, x->labels);
	if (c) {
		labels = tape_adopt(&t, critical_labels(x->labels, c));
		z = critical_logits(&t, z, c);
	}
	tape_grad(&t, op_sum(&t, op_cross_entropy(&t, z, labels)), f.raw, count, g, GRAD_CONSUME);
	for (int i = 0; i < count; i++)
		for (int64_t k = 0; k < shape_count(g[i]->shape); k++)
			out[i][k] += tensor_at(g[i], k);
	forward_release(&f);
	tape_release(&t);
	free(g);
}

static void move(const struct model *m, const struct direction *v, double h)
{
	for (int i = 0; i < m->parameters.count; i++)
		for (int64_t k = 0; k < shape_count(v->part[i]->shape); k++)
			((double *)tensor_write(m->parameters.item[i].value))[k] +=
			        h * tensor_at(v->part[i], k);
}

static void check_product(const struct critical *c)
{
	const double h = 1e-5;
	struct fixture x;
	struct direction v;

	fixture_init(&x);
	direction_normal(&v, x.model, 1, 0);
	double **got = zeros(x.model), **up = zeros(x.model), **down = zeros(x.model);
	product(&x, c, &v, got);
	move(x.model, &v, h);
	gradient(&x, c, up);
	move(x.model, &v, -2 * h);
	gradient(&x, c, down);
	double distance = 0, length = 0;
	for (int i = 0; i < x.model->parameters.count; i++)
		for (int64_t k = 0; k < shape_count(v.part[i]->shape); k++) {
			double want = (up[i][k] - down[i][k]) / (2 * h);
			distance += pow(got[i][k] - want, 2);
			length += want * want;
		}
	assert_true(length > 0 && sqrt(distance) < 1e-6 * sqrt(length));
	zeros_free(got, x.model);
	zeros_free(up, x.model);
	zeros_free(down, x.model);
	direction_release(&v);
	fixture_release(&x);
}

static void a_product_is_the_difference_of_gradients(void **state)
{
	check_product(NULL);
}

static void so_it_is_of_the_critical_loss(void **state)
{
	int index[2] = {3, 1}, place[CLASSES] = {2, 1, 2, 0};
	struct critical c = {CLASSES, 2, index, place};

	check_product(&c);
}

static double dot(const struct direction *v, double **h, const struct model *m)
{
	double sum = 0;

	for (int i = 0; i < m->parameters.count; i++)
		for (int64_t k = 0; k < shape_count(v->part[i]->shape); k++)
			sum += tensor_at(v->part[i], k) * h[i][k];
	return sum;
}

static void the_hessian_is_symmetric(void **state)
{
	struct fixture x;
	struct direction a, b;

	fixture_init(&x);
	direction_normal(&a, x.model, 1, 0);
	direction_rademacher(&b, x.model, 1, 1);
	double **ha = zeros(x.model), **hb = zeros(x.model);
	product(&x, NULL, &a, ha);
	product(&x, NULL, &b, hb);
	double ab = dot(&a, hb, x.model), ba = dot(&b, ha, x.model);
	assert_true(fabs(ab - ba) < 1e-9 * fabs(ab));
	zeros_free(ha, x.model);
	zeros_free(hb, x.model);
	direction_release(&a);
	direction_release(&b);
	fixture_release(&x);
}

static void signs_are_fair_and_repeat(void **state)
{
	struct fixture x;
	struct direction a, b, other;
	double sum = 0, same = 0, count = 0;

	fixture_init(&x);
	direction_rademacher(&a, x.model, 1, 0);
	direction_rademacher(&b, x.model, 1, 0);
	direction_rademacher(&other, x.model, 1, 1);
	for (int i = 0; i < a.count; i++)
		for (int64_t k = 0; k < shape_count(a.part[i]->shape); k++) {
			double v = tensor_at(a.part[i], k);
			assert_true(v == tensor_at(b.part[i], k) && fabs(v) == 1);
			sum += v;
			same += v == tensor_at(other.part[i], k);
			count++;
		}
	assert_true(fabs(sum) < 4 * sqrt(count) && fabs(same - count / 2) < 2 * sqrt(count));
	direction_release(&a);
	direction_release(&b);
	direction_release(&other);
	fixture_release(&x);
}

static void random_directions_have_the_filters_lengths(void **state)
{
	struct model_config c;
	struct direction d;
	struct error e;

	assert_int_equal(model_config_named(&c, "resnet20", 10, NULL, &e), 0);
	c.width = 4;
	struct model *m = model_new(&c, F32);
	parameter_start(&m->parameters, 2);
	direction_random(&d, m, 5, 0);
	for (int i = 0; i < d.count; i++) {
		struct tensor *w = m->parameters.item[i].value;
		assert_true((d.part[i] != NULL) == parameter_quantizable(&m->parameters.item[i]));
		int64_t n = d.part[i] ? shape_count(w->shape) / w->shape.d[0] : 0;
		for (int64_t f = 0; n && f < w->shape.d[0]; f++) {
			double of_w = 0, of_d = 0;
			for (int64_t k = f * n; k < (f + 1) * n; k++) {
				of_w += pow(tensor_at(w, k), 2);
				of_d += pow(tensor_at(d.part[i], k), 2);
			}
			assert_true(fabs(of_w - of_d) < 1e-5 * of_w);
		}
	}
	direction_release(&d);
	model_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_product_is_the_difference_of_gradients),
	        cmocka_unit_test(so_it_is_of_the_critical_loss),
	        cmocka_unit_test(the_hessian_is_symmetric),
	        cmocka_unit_test(signs_are_fair_and_repeat),
	        cmocka_unit_test(random_directions_have_the_filters_lengths),
	};
	return cmocka_run_group_tests_name("hessian", tests, NULL, NULL);
}
