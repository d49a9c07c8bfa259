/* Laws of products with the Hessian: they are those of the matrix, written out by differences. */
#include "core/fisher/hessian.h"
#include "core/base/random.h"
#include "core/fisher/spectrum.h"
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

/* ---- the matrix written out ---- */
/* Its elements: parameter `of`, place `at` of each. */
struct element {
	int of;
	int64_t at;
};

struct written {
	double *h; /* (count, count) */
	struct element *element;
	int count;
};

static struct written written_out(const struct fixture *x)
{
	const struct parameter_set *p = &x->model->parameters;
	struct written w = {0};
	struct direction unit;

	for (int i = 0; i < p->count; i++)
		w.count += parameter_varies(&p->item[i]) ? (int)shape_count(p->item[i].value->shape)
		                                         : 0;
	w.element = calloc((size_t)w.count, sizeof *w.element);
	w.h = calloc((size_t)(w.count * w.count), sizeof *w.h);
	for (int i = 0, n = 0; i < p->count; i++)
		for (int64_t k = 0;
		     parameter_varies(&p->item[i]) && k < shape_count(p->item[i].value->shape); k++)
			w.element[n++] = (struct element){i, k};
	direction_normal(&unit, x->model, 1, 0);
	for (int i = 0; i < unit.count; i++)
		for (int64_t k = 0; unit.part[i] && k < shape_count(unit.part[i]->shape); k++)
			((float *)tensor_write(unit.part[i]))[k] = 0;
	for (int r = 0; r < w.count; r++) {
		float *one = (float *)tensor_write(unit.part[w.element[r].of]) + w.element[r].at;
		double **row = zeros(x->model);
		*one = 1;
		product(x, NULL, &unit, row);
		*one = 0;
		for (int c = 0; c < w.count; c++)
			w.h[r * w.count + c] = row[w.element[c].of][w.element[c].at];
		zeros_free(row, x->model);
	}
	direction_release(&unit);
	return w;
}

static void written_release(struct written *w)
{
	free(w->h);
	free(w->element);
}

/* Rotates rows and columns p and q so that a[p, q] becomes 0 (Jacobi). */
static void rotate(double *a, int n, int p, int q)
{
	double theta = 0.5 * atan2(2 * a[p * n + q], a[q * n + q] - a[p * n + p]);
	double c = cos(theta), s = sin(theta);

	for (int k = 0; k < n; k++) {
		double x = a[k * n + p], y = a[k * n + q];
		a[k * n + p] = c * x - s * y;
		a[k * n + q] = s * x + c * y;
	}
	for (int k = 0; k < n; k++) {
		double x = a[p * n + k], y = a[q * n + k];
		a[p * n + k] = c * x - s * y;
		a[q * n + k] = s * x + c * y;
	}
}

static int by_size(const void *a, const void *b)
{
	double x = fabs(*(const double *)a), y = fabs(*(const double *)b);

	return (x < y) - (x > y);
}

/* All eigenvalues, the largest in magnitude first. */
static double *eigenvalues(const struct written *w)
{
	int n = w->count;
	double *a = calloc((size_t)(n * n), sizeof *a), *out = calloc((size_t)n, sizeof *out);

	for (int i = 0; i < n * n; i++)
		a[i] = w->h[i];
	for (int sweep = 0; sweep < 12; sweep++)
		for (int p = 0; p < n; p++)
			for (int q = p + 1; q < n; q++)
				rotate(a, n, p, q);
	for (int i = 0; i < n; i++)
		out[i] = a[i * n + i];
	qsort(out, (size_t)n, sizeof *out, by_size);
	free(a);
	return out;
}

static bool multiply(void *context, const struct direction *v, int64_t done, struct vector *out)
{
	vector_clear(out);
	product(context, NULL, v, out->part);
	return true;
}

static void top_eigenvalues_are_those_of_the_matrix(void **state)
{
	enum { TOP = 3 };
	struct fixture x;
	struct direction vector[TOP];
	struct eigenvalue top[TOP];

	fixture_init(&x);
	struct written w = written_out(&x);
	double *all = eigenvalues(&w);
	assert_true(spectrum_top(&(struct matrix){x.model, multiply, &x, 2}, TOP, top, vector));
	for (int i = 0; i < TOP; i++) {
		assert_true(top[i].residual <= 0.05 * fabs(top[i].value));
		assert_true(fabs(top[i].value - all[i]) < 5e-3 * fabs(all[i]));
		direction_release(&vector[i]);
	}
	free(all);
	written_release(&w);
	fixture_release(&x);
}

static void traces_are_those_of_the_blocks(void **state)
{
	enum { VECTORS = 400 };
	struct fixture x;

	fixture_init(&x);
	int count = x.model->parameters.count;
	struct written w = written_out(&x);
	double *trace = calloc((size_t)count, sizeof *trace);
	double *error = calloc((size_t)count, sizeof *error);
	assert_true(
	        spectrum_traces(&(struct matrix){x.model, multiply, &x, 2}, VECTORS, trace, error));
	for (int p = 0; p < count; p++) {
		double exact = 0,
		       spread = 0; /* of the estimate: the sum of squares off the diagonal */
		for (int r = 0; r < w.count; r++)
			for (int c = 0; c < w.count && w.element[r].of == p; c++) {
				double h = w.h[r * w.count + c];
				exact += r == c ? h : 0;
				spread += r == c ? 0 : w.element[c].of == p ? 2 * h * h : h * h;
			}
		spread = sqrt(spread / VECTORS);
		assert_true(fabs(trace[p] - exact) <= 4 * spread + 1e-9);
		assert_true(fabs(error[p] - spread) <= 0.25 * spread + 1e-9);
	}
	free(trace);
	free(error);
	written_release(&w);
	fixture_release(&x);
}

static bool gives_up(void *context, const struct direction *v, int64_t done, struct vector *out)
{
	return done < 2 && multiply(context, v, done, out);
}

static void an_order_ends_it(void **state)
{
	struct fixture x;
	struct direction vector;
	struct eigenvalue top;

	fixture_init(&x);
	double *room = calloc((size_t)(2 * x.model->parameters.count), sizeof *room);
	struct matrix h = {x.model, gives_up, &x, 2};
	assert_false(spectrum_top(&h, 1, &top, &vector));
	assert_false(spectrum_traces(&h, 5, room, room + x.model->parameters.count));
	free(room);
	fixture_release(&x);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_product_is_the_difference_of_gradients),
	        cmocka_unit_test(so_it_is_of_the_critical_loss),
	        cmocka_unit_test(the_hessian_is_symmetric),
	        cmocka_unit_test(signs_are_fair_and_repeat),
	        cmocka_unit_test(random_directions_have_the_filters_lengths),
	        cmocka_unit_test(top_eigenvalues_are_those_of_the_matrix),
	        cmocka_unit_test(traces_are_those_of_the_blocks),
	        cmocka_unit_test(an_order_ends_it),
	};
	return cmocka_run_group_tests_name("hessian", tests, NULL, NULL);
}
