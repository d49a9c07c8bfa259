/* Laws of per-image gradients: products of batched passes are those of single images. */
#include "core/tensor/onednn/per_image.h"
#include "core/base/random.h"
#include "core/fisher/sums.h"
#include "core/models/cost.h"
#include "core/models/tree.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { IMAGES = 3, USES_MOST = 2 };

static void assert_near(double got, double want, double scale, const char *what)
{
	if (!(fabs(got - want) <= 1e-5 * scale))
		fail_msg("%s: %.9g, not %.9g (beside %.3g)", what, got, want, scale);
}

static struct tensor *noise(struct shape s, const char *name, uint64_t index)
{
	struct random_stream r = random_stream(7, "test", random_name(name), index);
	struct tensor *t = tensor_new(F32, s);

	for (int64_t i = 0; i < shape_count(s); i++)
		((float *)tensor_write(t))[i] = (float)random_normal(&r, (uint64_t)i);
	return t;
}

/* ---- convolutions by themselves ---- */
struct shapes {
	int64_t in, out, size, window;
	int stride;
	bool gram;
};

static struct tensor *image_of(struct tensor *t, int64_t i)
{
	struct shape s = t->shape;
	int64_t n = shape_count(s) / s.d[0];

	s.d[0] = 1;
	return tensor_from(F32, s, tensor_f32(t) + i * n);
}

/* The weight gradient of one image, all uses together, by the reference back end. */
static double *gradient_of(const struct per_image_use *use, int uses, int loss, struct shape w,
                           int64_t image)
{
	double *sum = calloc((size_t)shape_count(w), sizeof *sum);

	for (int u = 0; u < uses; u++) {
		struct tape t;
		tape_init(&t, &backend_ref);
		struct tensor *x = tape_adopt(&t, image_of(use[u].x, image));
		struct tensor *g = tape_adopt(&t, image_of(use[u].g[loss], image));
		struct tensor *d = op_conv_grad_weight(&t, x, g, w, use[u].stride, use[u].pad, 1);
		for (int64_t i = 0; i < shape_count(w); i++)
			sum[i] += (double)tensor_f32(d)[i];
		tape_release(&t);
	}
	return sum;
}

static void use_init(struct per_image_use *u, const struct shapes *c, int index, int losses)
{
	int64_t out = (c->size - 1) / c->stride + 1;

	*u = (struct per_image_use){
	        .x = noise(SHAPE(IMAGES, c->in, c->size, c->size), "x", (uint64_t)index),
	        .stride = c->stride,
	        .pad = (int)c->window / 2};
	for (int k = 0; k < losses; k++)
		u->g[k] = noise(SHAPE(IMAGES, c->out, out, out), "g", (uint64_t)(2 * index + k));
}

static void check_products(const struct per_image_use *use, int uses, int losses, struct shape w,
                           const double *product, double *const diagonal[])
{
	int64_t count = shape_count(w);
	double *want = calloc((size_t)(count * PER_IMAGE_PRODUCTS), sizeof *want), mean = 0;

	for (int64_t i = 0; i < IMAGES; i++) {
		double *g[PER_IMAGE_LOSSES] = {0}, sum[PER_IMAGE_PRODUCTS] = {0};
		for (int k = 0; k < losses; k++)
			g[k] = gradient_of(use, uses, k, w, i);
		for (int k = 0; k < PER_IMAGE_PRODUCTS; k++) {
			double *a = g[per_image_of[k][0]], *b = g[per_image_of[k][1]];
			for (int64_t e = 0; a && b && e < count; e++) {
				sum[k] += a[e] * b[e];
				want[k * count + e] += a[e] * b[e];
			}
			double scale = k == PRODUCT_AB ? sqrt(sum[0] * sum[1]) : sum[k];
			assert_near(product[i * PER_IMAGE_PRODUCTS + k], sum[k], scale, "product");
		}
		free(g[0]);
		free(g[1]);
	}
	for (int64_t e = 0; e < count; e++)
		mean += want[e] / (double)count;
	for (int k = 0; k < PER_IMAGE_PRODUCTS; k++)
		for (int64_t e = 0; diagonal[k] && e < count; e++) {
			const double *a = want + per_image_of[k][0] * count;
			const double *b = want + per_image_of[k][1] * count;
			assert_near(diagonal[k][e], want[k * count + e], sqrt(a[e] * b[e]) + mean,
			            "diagonal");
		}
	free(want);
}

static void check_conv(const struct shapes *c, int uses, int losses, bool diagonal)
{
	struct shape w = SHAPE(c->out, c->in, c->window, c->window);
	struct per_image_use use[USES_MOST];
	double product[IMAGES * PER_IMAGE_PRODUCTS] = {0};
	struct per_image_sums s = {product, {0}};

	for (int u = 0; u < uses; u++)
		use_init(&use[u], c, u, losses);
	assert_true(per_image_by_gram(use->x->shape, use->g[0]->shape, w) == c->gram);
	for (int k = 0; diagonal && k < (losses == 2 ? PER_IMAGE_PRODUCTS : 1); k++)
		s.diagonal[k] = calloc((size_t)shape_count(w), sizeof(double));
	per_image_conv(use, uses, w, &s);
	check_products(use, uses, losses, w, product, s.diagonal);
	for (int k = 0; k < PER_IMAGE_PRODUCTS; k++)
		free(s.diagonal[k]);
	for (int u = 0; u < uses; u++) {
		tensor_free(use[u].x);
		tensor_free(use[u].g[0]);
		tensor_free(use[u].g[1]);
	}
}

static void convolutions_have_the_products_of_single_images(void **state)
{
	static const struct shapes cases[] = {
	        {3, 16, 9, 3, 1, false},   {16, 16, 8, 3, 1, false}, {16, 32, 7, 3, 2, false},
	        {5, 6, 6, 1, 2, false},    {32, 48, 4, 3, 1, true},  {32, 32, 5, 3, 2, true},
	        {64, 32, 4, 1, 2, true},   {20, 24, 3, 3, 1, true},  {4, 4, 11, 7, 2, false},
	        {16, 48, 14, 3, 1, false}, /* Winograd, tiles that are not full */
	        {48, 32, 32, 3, 1, false}, /* more than one group of images */
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		for (int k = 0; k < 4; k++)
			check_conv(&cases[i], 1 + k % 2, 1 + (k + (int)i) % 2, k / 2);
}

/* ---- whole models ---- */
static const int critical_index[2] = {1, 3};
static const int critical_place[10] = {2, 0, 2, 1, 2, 2, 2, 2, 2, 2};

/* What one image adds, parameter by parameter, by a tape of its own. */
static void add_image(const struct model *m, const struct quantization *q, const struct critical *c,
                      struct tensor *image, struct tensor *label, double *sum, double **diagonal)
{
	int count = m->parameters.count;
	struct tensor **g[2] = {calloc((size_t)count, sizeof **g),
	                        calloc((size_t)count, sizeof **g)};
	struct tape t;
	struct forward f;

	tape_init(&t, &backend_onednn);
	model_begin(&f, &t, m, FORWARD_EVALUATION, q);
	struct tensor *z = model_forward(m, &f, tape_leaf(&t, image));
	struct tensor *all = op_sum(&t, op_cross_entropy(&t, z, tape_leaf(&t, label)));
	struct tensor *place = tape_adopt(&t, critical_labels(label, c));
	struct tensor *few = op_sum(&t, op_cross_entropy(&t, critical_logits(&t, z, c), place));
	tape_grad(&t, all, f.used, count, g[0], GRAD_KEEP);
	tape_grad(&t, few, f.used, count, g[1], GRAD_KEEP);
	for (int p = 0; p < count; p++)
		for (int k = 0; k < FISHER_KINDS; k++)
			for (int64_t e = 0; e < shape_count(g[0][p]->shape); e++) {
				double v = (double)tensor_f32(g[per_image_of[k][0]][p])[e] *
				           (double)tensor_f32(g[per_image_of[k][1]][p])[e];
				sum[p * FISHER_KINDS + k] += v;
				diagonal[p * FISHER_KINDS + k][e] += v;
			}
	forward_release(&f);
	tape_release(&t);
	free(g[0]);
	free(g[1]);
}

/* Means and variances as training would leave them. */
static void buffers_move(struct model *m)
{
	for (int i = 0; i < m->buffers.count; i++) {
		struct tensor *b = m->buffers.item[i].value;
		struct random_stream r = random_stream(9, "buffers", (uint64_t)i, 0);
		for (int64_t k = 0; b->type == F32 && k < shape_count(b->shape); k++)
			((float *)tensor_write(b))[k] +=
			        0.3f * (float)random_uniform(&r, (uint64_t)k);
	}
}

/* Three submodels: {0, 2} and {1} from the fifth layer on, then {0} and {2}. */
static struct model *split_model(struct model_config config, const struct subtasks *subtasks)
{
	struct backbone b;

	backbone_init(&b, &config);
	struct tree *t = tree_trunk(&b, 3);
	tree_split(t, 4, 2);
	tree_split(t, 8, 4);
	config.subtasks = subtasks;
	config.tree = t;
	struct model *m = model_new(&config, F32);
	tree_free(t);
	backbone_release(&b);
	return m;
}

/* `split`: as a tree of three submodels. */
static void check_model(const char *name, int width, bool diagonal, int bits, bool split)
{
	struct critical c = {10, 2, (int *)critical_index, (int *)critical_place};
	struct quantization_settings settings = {
	        .kind = "max", .weight_bits = bits, .per_channel = true, .keep_first = true};
	struct tensor *images = noise(SHAPE(IMAGES, 3, 32, 32), "images", 0);
	struct tensor *labels = tensor_from(I32, SHAPE(IMAGES), (int32_t[]){1, 4, 3});
	struct fisher_labels from = {0};
	struct fisher_sums got, want;
	struct model_config config;
	struct quantization q;
	struct error e;
	double total[IMAGES * FISHER_KINDS], all = 0;

	assert_int_equal(model_config_named(&config, name, 10, NULL, &e), 0);
	config.width = width;
	struct subtasks subtasks;
	assert_int_equal(subtasks_random(&subtasks, 10, 3, 1, &e), 0);
	struct model *m = split ? split_model(config, &subtasks) : model_new(&config, F32);
	parameter_start(&m->parameters, 3);
	buffers_move(m);
	assert_int_equal(quantization_init(&q, m, &settings, &e), 0);
	fisher_sums_init(&got, m, diagonal);
	fisher_sums_init(&want, m, true);
	fisher_sums_add(&got, m, &q, &c, images, labels, &from, total);
	for (int64_t i = 0; i < IMAGES; i++) {
		struct tensor *image = image_of(images, i);
		struct tensor *label = tensor_from(I32, SHAPE(1), tensor_i32(labels) + i);
		add_image(m, &q, &c, image, label, want.sum, want.diagonal);
		tensor_free(image);
		tensor_free(label);
	}
	for (int i = 0; i < m->parameters.count * FISHER_KINDS; i++) {
		const double *w = want.sum + i / FISHER_KINDS * FISHER_KINDS;
		double scale = i % FISHER_KINDS == FISHER_CROSS ? sqrt(w[0] * w[1]) : want.sum[i];
		assert_near(got.sum[i], want.sum[i], scale,
		            m->parameters.item[i / FISHER_KINDS].name);
		int64_t n = shape_count(m->parameters.item[i / FISHER_KINDS].value->shape);
		for (int64_t k = 0; diagonal && k < n; k++)
			assert_near(got.diagonal[i][k], want.diagonal[i][k],
			            fabs(want.diagonal[i][k]) + 10 * scale / (double)n + 1e-9,
			            "diagonal");
		all += got.sum[i];
	}
	for (int i = 0; i < IMAGES * FISHER_KINDS; i++)
		all -= total[i];
	assert_true(fabs(all) < 1e-9 * fabs(got.sum[0]) + 1e-6);
	fisher_sums_release(&got);
	fisher_sums_release(&want);
	quantization_release(&q);
	model_free(m);
	subtasks_release(&subtasks);
	tensor_free(images);
	tensor_free(labels);
}

static void models_have_the_sums_of_single_images(void **state)
{
	check_model("resnet20", 16, false, 4, false);
	check_model("resnet20", 16, true, 32, false);
	check_model("resnet18", 16, false, 3, false);
	check_model("resnet18", 16, true, 4, true);
}

/* ---- labels drawn, errors ---- */
static void drawn_labels_follow_the_softmax_and_the_index(void **state)
{
	struct model_config config;
	struct fisher_sums a, b, d;
	struct error e;
	struct tensor *images = noise(SHAPE(IMAGES, 3, 32, 32), "images", 0);
	struct tensor *labels = tensor_zeros(I32, SHAPE(IMAGES));
	struct fisher_labels from = {true, 5, 0}, later = {true, 5, 1000}, data = {0};

	assert_int_equal(model_config_named(&config, "resnet20", 10, NULL, &e), 0);
	config.width = 4;
	struct model *m = model_new(&config, F32);
	parameter_start(&m->parameters, 3);
	struct tensor *linear = m->parameters.item[m->parameters.count - 2].value;
	for (int64_t i = 0; i < shape_count(linear->shape); i++)
		((float *)tensor_write(linear))[i] *= 0.01f; /* all classes about as likely */
	fisher_sums_init(&a, m, false);
	fisher_sums_init(&b, m, false);
	fisher_sums_init(&d, m, false);
	fisher_sums_add(&a, m, NULL, NULL, images, labels, &from, NULL);
	fisher_sums_add(&b, m, NULL, NULL, images, labels, &from, NULL);
	fisher_sums_add(&d, m, NULL, NULL, images, labels, &data, NULL);
	assert_true(a.sum[0] == b.sum[0] && a.sum[0] != d.sum[0]);
	fisher_sums_add(&b, m, NULL, NULL, images, labels, &later, NULL);
	assert_true(b.sum[0] != 2 * a.sum[0]);
	fisher_sums_release(&a);
	fisher_sums_release(&b);
	fisher_sums_release(&d);
	model_free(m);
	tensor_free(images);
	tensor_free(labels);
}

static void errors_are_those_of_a_mean(void **state)
{
	double sum[3] = {10, 0, 0}, square[3] = {30, 0, 0}; /* of 1, 2, 3, 4 */
	struct fisher_sums s = {1, 4, sum, square, NULL};

	assert_true(fabs(fisher_mean(&s, 0, FISHER_ALL) - 2.5) < 1e-15);
	assert_true(fabs(fisher_error(&s, 0, FISHER_ALL) - sqrt(5. / 3 / 4)) < 1e-12);
	s.images = 1;
	assert_true(isnan(fisher_error(&s, 0, FISHER_ALL)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(convolutions_have_the_products_of_single_images),
	        cmocka_unit_test(models_have_the_sums_of_single_images),
	        cmocka_unit_test(drawn_labels_follow_the_softmax_and_the_index),
	        cmocka_unit_test(errors_are_those_of_a_mean),
	};
	return cmocka_run_group_tests_name("per_image", tests, NULL, NULL);
}
