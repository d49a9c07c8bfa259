/* Laws of the losses and scores of submodels that tell their own classes from the rest. */
#include "core/split/subtask_loss.h"
#include "core/split/subtask_score.h"
#include "tests/values.h"
#include <stdlib.h>

enum { CLASSES = 7, N = 3, IMAGES = 4 };
static const int sizes[N] = {3, 2, 2};
static const int32_t label[IMAGES] = {5, 0, 3, 6};

static struct subtasks subtasks_of_test(void)
{
	struct dataset d = {.name = "letters", .classes = CLASSES};
	cJSON *lists = cJSON_Parse("[[5, 0, 3], [1, 6], [4, 2]]");
	struct subtasks s;

	assert_int_equal(subtasks_from_lists(&s, lists, CLASSES_LEAST, &d, NULL), 0);
	cJSON_Delete(lists);
	return s;
}

static T *labels_of_test(void)
{
	return tensor_from(I32, SHAPE(IMAGES), label);
}

static void logits_of_test(T *z[N], enum dtype type, double scale)
{
	for (int i = 0; i < N; i++) {
		z[i] = values(type, SHAPE(IMAGES, sizes[i] + 1), (uint64_t)i + 3);
		for (int64_t k = 0; k < shape_count(z[i]->shape); k++)
			tensor_set(z[i], k, scale * tensor_at(z[i], k));
	}
}

static void free_all(T *x[], int count)
{
	for (int i = 0; i < count; i++)
		tensor_free(x[i]);
}

static void targets_are_equation_1(void **state)
{
	struct subtasks s = subtasks_of_test();
	T *labels = labels_of_test(), *soft = subtask_target(&s, 1, labels, false, F64),
	  *hard = subtask_target(&s, 1, labels, true, F32);
	const double want[IMAGES][3] = {{1. / 7, 1. / 7, 5. / 7},
	                                {1. / 7, 1. / 7, 5. / 7},
	                                {1. / 7, 1. / 7, 5. / 7},
	                                {0, 1, 0}};
	const float want_hard[IMAGES][3] = {{0, 0, 1}, {0, 0, 1}, {0, 0, 1}, {0, 1, 0}};

	assert_memory_equal(tensor_f64(soft), want, sizeof want);
	assert_memory_equal(tensor_f32(hard), want_hard, sizeof want_hard);
	tensor_free(soft);
	tensor_free(hard);
	tensor_free(labels);
	subtasks_release(&s);
}

static void weights_are_equation_2_with_mean_one(void **state)
{
	struct subtasks s = subtasks_of_test();
	double w[4], limit[4];

	subtask_class_weight(&s, 0, 0.9999, 500, w);
	assert_true(fabs(w[0] + w[1] + w[2] + w[3] - 4) < 1e-14);
	assert_true(w[0] == w[1] && w[1] == w[2]);
	double ratio = (1 - pow(0.9999, 2000)) / (1 - pow(0.9999, 500));
	assert_true(fabs(w[0] / w[3] - ratio) < 1e-10);
	subtask_class_weight(&s, 0, 1 - 1e-12, 500, w);
	subtask_class_weight(&s, 0, 1, 500, limit);
	for (int j = 0; j < 4; j++)
		assert_true(fabs(w[j] - limit[j]) < 1e-8);
	subtask_class_weight(&s, 0, 0, 500, w);
	for (int j = 0; j < 4; j++)
		assert_true(w[j] == 1);
	subtasks_release(&s);
}

static double loss_of(T *z, T *target, T *weight, const struct backend *backend, T **gradient)
{
	struct tape t;
	T *x, *d;

	tape_init(&t, backend);
	t.recording = true;
	x = tape_leaf(&t, z);
	T *loss = subtask_loss(&t, x, tape_leaf(&t, target), tape_leaf(&t, weight));
	double value = tensor_at(loss, 0);
	tape_grad(&t, loss, &x, 1, &d, GRAD_CONSUME);
	if (gradient)
		*gradient = tensor_copy(d);
	tape_release(&t);
	return value;
}

/* -w (t log p + (1 - t) log(1 - p)), p = 1 / (1 + e^-z), summed over logits, mean over images. */
static void loss_is_weighted_binary_cross_entropy(void **state)
{
	T *z = values(F64, SHAPE(5, 3), 4), *target = values(F64, SHAPE(5, 3), 5),
	  *weight = tensor_from(F64, SHAPE(3), (double[]){0.5, 2, 0.5}), *gradient;
	double want = 0, got = loss_of(z, target, weight, &backend_ref, &gradient);

	for (int i = 0; i < 15; i++) {
		double p = 1 / (1 + exp(-tensor_at(z, i))), y = tensor_at(target, i);
		double w = tensor_at(weight, i % 3);
		want -= w * (y * log(p) + (1 - y) * log(1 - p)) / 5;
		assert_true(fabs(tensor_at(gradient, i) - w * (p - y) / 5) < 1e-15);
	}
	assert_true(fabs(got - want) < 1e-14);
	free_all((T *[]){z, target, weight, gradient}, 4);
}

/* Heads that start at zero, or have gone far, learn as equation 3 says. */
static void no_logit_is_too_large_or_too_zero(void **state)
{
	static const double z[6] = {0, 0, 1e4, -1e4, 1e4, -1e4}, y[6] = {1, 0.25, 1, 1, 0, 0.5};
	const double value[6] = {M_LN2, M_LN2, 0, 1e4, 1e4, 5e3};
	const double slope[6] = {-0.5, 0.25, 0, -1, 1, -0.5};

	for (int i = 0; i < 12; i++) {
		enum dtype type = i < 6 ? F64 : F32;
		T *logit = tensor_new(type, SHAPE(1, 1)), *target = tensor_new(type, SHAPE(1, 1));
		T *one = tensor_new(type, SHAPE(1)), *gradient;
		tensor_set(logit, 0, z[i % 6]);
		tensor_set(target, 0, y[i % 6]);
		tensor_set(one, 0, 1);
		double got = loss_of(logit, target, one,
		                     type == F64 ? &backend_ref : &backend_onednn, &gradient);
		assert_true(fabs(got - value[i % 6]) <= 1e-6);
		assert_true(fabs(tensor_at(gradient, 0) - slope[i % 6]) <= 1e-6);
		free_all((T *[]){logit, target, one, gradient}, 4);
	}
}

static void own_logits_come_in_the_original_order(void **state)
{
	struct subtasks s = subtasks_of_test();
	T *z[N], *d[N];
	struct tape t;

	logits_of_test(z, F64, 1);
	tape_init(&t, &backend_ref);
	for (int i = 0; i < N; i++)
		z[i] = tape_adopt(&t, z[i]);
	T *own = subtask_own_logits(&t, &s, z);
	for (int image = 0; image < IMAGES; image++)
		for (int k = 0; k < CLASSES; k++) {
			int i = s.group[k];
			assert_true(tensor_at(own, image * CLASSES + k) ==
			            tensor_at(z[i], image * (sizes[i] + 1) + s.place[k]));
		}
	T *weigh = random_leaf(&t, F64, SHAPE(IMAGES, CLASSES), 8);
	tape_vjp(&t, own, weigh, z, N, d, GRAD_KEEP);
	for (int i = 0; i < N; i++)
		for (int image = 0; image < IMAGES; image++)
			for (int j = 0; j <= sizes[i]; j++)
				assert_true(tensor_at(d[i], image * (sizes[i] + 1) + j) ==
				            (j == sizes[i] ? 0
				                           : tensor_at(weigh,
				                                       image * CLASSES +
				                                               subtasks_members(
				                                                       &s, i)[j])));
	tape_release(&t);
	subtasks_release(&s);
}

static const struct subtask_objective objective = {
        .beta = 0.9999, .samples_per_class = 500, .lambda = 0.3};

/* The total of order 1; of order 2 the sum of squares of its gradients; of order 3, of theirs. */
static T *scalar(struct tape *t, const struct subtasks *s, T *x[N], T *labels, int order)
{
	T *d[N], *sum = NULL;

	if (order == 1)
		return subtask_losses(t, s, &objective, x, labels).total;
	tape_grad(t, scalar(t, s, x, labels, order - 1), x, N, d, GRAD_RECORD);
	for (int i = 0; i < N; i++) {
		T *part = op_square_sum(t, d[i]);
		sum = sum ? op_add(t, sum, part) : part;
	}
	return sum;
}

static double evaluate(const struct subtasks *s, T *z[N], T *labels, int order,
                       const struct backend *backend, T *gradient[N])
{
	struct tape t;
	T *x[N], *d[N];

	tape_init(&t, backend);
	t.recording = true;
	for (int i = 0; i < N; i++)
		x[i] = tape_leaf(&t, z[i]);
	T *y = scalar(&t, s, x, labels, order);
	double value = tensor_at(y, 0);
	if (gradient)
		tape_grad(&t, y, x, N, d, GRAD_CONSUME);
	for (int i = 0; gradient && i < N; i++)
		gradient[i] = tensor_copy(d[i]);
	tape_release(&t);
	return value;
}

static void gradients_are_differences_to_order_3(void **state)
{
	const double h = 1e-4;
	struct subtasks s = subtasks_of_test();
	T *labels = labels_of_test(), *z[N], *gradient[N];

	logits_of_test(z, F64, 4);
	for (int order = 1; order <= 3; order++) {
		evaluate(&s, z, labels, order, &backend_ref, gradient);
		for (int i = 0; i < N; i++)
			for (int64_t k = 0; k < shape_count(z[i]->shape); k++) {
				double keep = tensor_at(z[i], k), up, down;
				tensor_set(z[i], k, keep + h);
				up = evaluate(&s, z, labels, order, &backend_ref, NULL);
				tensor_set(z[i], k, keep - h);
				down = evaluate(&s, z, labels, order, &backend_ref, NULL);
				tensor_set(z[i], k, keep);
				assert_true(fabs((up - down) / (2 * h) -
				                 tensor_at(gradient[i], k)) < 1e-8);
			}
		free_all(gradient, N);
	}
	free_all(z, N);
	tensor_free(labels);
	subtasks_release(&s);
}

static void the_total_is_the_sum_of_its_terms(void **state)
{
	struct subtasks s = subtasks_of_test();
	T *labels = labels_of_test(), *z[N];
	struct tape t;
	double sum = 0, cross_entropy = 0;

	logits_of_test(z, F32, 4);
	tape_init(&t, &backend_onednn);
	t.recording = false;
	struct subtask_losses l = subtask_losses(&t, &s, &objective, z, labels);
	for (int i = 0; i < N; i++)
		sum += tensor_at(l.subtask[i], 0);
	for (int i = 0; i < IMAGES; i++) {
		double all = 0;
		for (int k = 0; k < CLASSES; k++)
			all += exp(tensor_at(l.own, i * CLASSES + k));
		double want = log(all) - tensor_at(l.own, i * CLASSES + label[i]);
		assert_true(fabs(tensor_at(l.cross_entropy, i) - want) < 1e-5);
		cross_entropy += want / IMAGES;
	}
	assert_true(fabs(tensor_at(l.total, 0) - sum - 0.3 * cross_entropy) < 1e-5);
	tape_release(&t);
	free_all(z, N);
	tensor_free(labels);
	subtasks_release(&s);
}

static void float_loses_no_more_than_its_rounding(void **state)
{
	struct subtasks s = subtasks_of_test();
	T *labels = labels_of_test(), *z[N], *narrow[N], *gradient[N], *of_narrow[N];

	logits_of_test(narrow, F32, 30);
	for (int i = 0; i < N; i++) {
		z[i] = tensor_new(F64, narrow[i]->shape);
		for (int64_t k = 0; k < shape_count(z[i]->shape); k++)
			tensor_set(z[i], k, tensor_at(narrow[i], k));
	}
	double want = evaluate(&s, z, labels, 1, &backend_ref, gradient);
	double got = evaluate(&s, narrow, labels, 1, &backend_onednn, of_narrow);
	assert_true(fabs(got - want) < 1e-6 * want);
	for (int i = 0; i < N; i++)
		assert_close(of_narrow[i], gradient[i], 1e-6);
	free_all(z, N);
	free_all(narrow, N);
	free_all(gradient, N);
	free_all(of_narrow, N);
	tensor_free(labels);
	subtasks_release(&s);
}

/* ---- scores ---- */
static void scores_are_of_the_submodel_that_is_surest(void **state)
{
	struct subtasks s = subtasks_of_test();
	T *z[N] = {tensor_from(F64, SHAPE(1, 4), (double[]){1, 3, 2, 0}),     /* 5 0 3 */
	           tensor_from(F64, SHAPE(1, 3), (double[]){4, 0, 5}),        /* 1 6 */
	           tensor_from(F64, SHAPE(1, 3), (double[]){-1e3, 2, -1e3})}; /* 4 2 */
	int32_t predicted;
	double id, id_max, all = exp(4) + 1 + exp(5);

	subtask_score(&s, z, &(struct subtask_scores){&predicted, &id, &id_max});
	assert_int_equal(predicted, 1);
	assert_true(fabs(id - exp(4) / all * (1 - exp(5) / all)) < 1e-15);
	assert_true(id_max == 1); /* class 2, although its logit is only 2 */
	subtask_score(&s, z, &(struct subtask_scores){.id = &id});
	free_all(z, N);
	subtasks_release(&s);
}

static void of_equal_logits_the_first_class_is_predicted(void **state)
{
	struct subtasks s = subtasks_of_test();
	T *z[N] = {tensor_from(F32, SHAPE(2, 4), (float[]){1, 0, 2, 9, 0, 0, 0, 0}),
	           tensor_from(F32, SHAPE(2, 3), (float[]){1, 2, 9, 0, 0, 0}),
	           tensor_from(F32, SHAPE(2, 3), (float[]){2, 2, 9, 0, 0, 0})};
	int32_t predicted[2];

	subtask_score(&s, z, &(struct subtask_scores){.predicted = predicted});
	assert_int_equal(predicted[0], 2);
	assert_int_equal(predicted[1], 0);
	free_all(z, N);
	subtasks_release(&s);
}

static void large_logits_of_outside_lower_the_score(void **state)
{
	struct subtasks s = subtasks_of_test();
	T *z[N];
	double before[IMAGES], after[IMAGES];

	logits_of_test(z, F32, 4);
	subtask_score(&s, z, &(struct subtask_scores){.id = before});
	for (int i = 0; i < N; i++)
		for (int image = 0; image < IMAGES; image++) {
			int64_t at = (int64_t)image * (sizes[i] + 1) + sizes[i];
			tensor_set(z[i], at, tensor_at(z[i], at) + 1);
		}
	subtask_score(&s, z, &(struct subtask_scores){.id = after});
	for (int image = 0; image < IMAGES; image++)
		assert_true(after[image] < before[image]);
	free_all(z, N);
	subtasks_release(&s);
}

int main(void)
{
#define LAW(f) cmocka_unit_test_setup_teardown(f, count_bytes, nothing_is_left)
	const struct CMUnitTest tests[] = {
	        LAW(targets_are_equation_1),
	        LAW(weights_are_equation_2_with_mean_one),
	        LAW(loss_is_weighted_binary_cross_entropy),
	        LAW(no_logit_is_too_large_or_too_zero),
	        LAW(own_logits_come_in_the_original_order),
	        LAW(gradients_are_differences_to_order_3),
	        LAW(the_total_is_the_sum_of_its_terms),
	        LAW(float_loses_no_more_than_its_rounding),
	        LAW(scores_are_of_the_submodel_that_is_surest),
	        LAW(of_equal_logits_the_first_class_is_predicted),
	        LAW(large_logits_of_outside_lower_the_score),
	};
	return cmocka_run_group_tests_name("subtask_loss", tests, NULL, NULL);
}
