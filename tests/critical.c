/* Laws of critical categories: how they are named, their logits and labels, and their figures. */
#include "core/eval/critical.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char *const names[5] = {"ant", "bee", "cat", "dog", "eel"};
static const char *const groups[5] = {"insect", "insect", "pet", "pet", "fish"};
static const struct dataset animals = {
        .name = "animals", .classes = 5, .class_name = names, .group_name = groups};

static int init(struct critical *c, const char *categories, const char *group, struct error *e)
{
	cJSON *list = categories ? cJSON_Parse(categories) : NULL;
	int status = critical_init(c, list, group, &animals, e);

	cJSON_Delete(list);
	return status;
}

static void names_indices_and_groups_mean_the_same(void **state)
{
	static const char *const ways[][2] = {{"[\"cat\", \"dog\"]", NULL},
	                                      {"[2, 3]", NULL},
	                                      {"[\"cat\", 3]", NULL},
	                                      {NULL, "pet"}};

	for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
		struct critical c;
		struct error e = {{0}};
		assert_int_equal(init(&c, ways[i][0], ways[i][1], &e), 0);
		assert_int_equal(c.count, 2);
		assert_memory_equal(c.index, ((int[]){2, 3}), 2 * sizeof(int));
		assert_memory_equal(c.place, ((int[]){2, 2, 0, 1, 2}), 5 * sizeof(int));
		critical_release(&c);
	}
}

static void without_names_there_is_no_set(void **state)
{
	struct critical c;
	struct error e = {{0}};

	assert_int_equal(init(&c, NULL, NULL, &e), 0);
	assert_int_equal(c.count, 0);
	assert_int_equal(init(&c, "[]", NULL, &e), 0);
	assert_int_equal(c.count, 0);
	critical_release(&c);
}

static void bad_names_have_their_line(void **state)
{
	static const char *const bad[][3] = {
	        {"[\"dgo\"]", NULL, "did you mean \"dog\"?"},
	        {"[5]", NULL, "from 0 to 4"},
	        {"[-1]", NULL, "from 0 to 4"},
	        {"[1.5]", NULL, "from 0 to 4"},
	        {"[true]", NULL, "from 0 to 4"},
	        {"[\"cat\", 2]", NULL, "cat is named twice"},
	        {"[0, 1, 2, 3, 4]", NULL, "no others"},
	        {NULL, "bird", "insect, pet, fish"},
	};

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct critical c;
		struct error e = {{0}};
		assert_int_equal(init(&c, bad[i][0], bad[i][1], &e), -1);
		if (!strstr(e.text, bad[i][2]) || strchr(e.text, '\n'))
			fail_msg("\"%s\" lacks \"%s\"", e.text, bad[i][2]);
	}
}

static void others_are_merged_by_their_largest_logit(void **state)
{
	const double z[2][5] = {{1, 7, 3, 4, 5}, {2, 2, 9, 8, 2}};
	struct critical c;
	struct error e = {{0}};
	struct tape t;

	assert_int_equal(init(&c, "[3, 0]", NULL, &e), 0);
	tape_init(&t, &backend_ref);
	struct tensor *logits = tape_adopt(&t, tensor_from(F64, SHAPE(2, 5), z));
	struct tensor *merged = critical_logits(&t, logits, &c), *gradient;
	assert_memory_equal(tensor_f64(merged), ((double[]){4, 1, 7, 8, 2, 9}), 6 * sizeof(double));
	struct tensor *weights =
	        tape_adopt(&t, tensor_from(F64, SHAPE(2, 3), (double[]){1, 2, 3, 4, 5, 6}));
	tape_vjp(&t, merged, weights, &logits, 1, &gradient, GRAD_KEEP);
	assert_memory_equal(tensor_f64(gradient), ((double[]){2, 3, 0, 1, 0, 5, 0, 6, 4, 0}),
	                    10 * sizeof(double));
	tape_release(&t);
	critical_release(&c);
}

static void of_equal_logits_the_first_stands_for_the_others(void **state)
{
	struct critical c;
	struct error e = {{0}};
	struct tape t;
	struct tensor *gradient;

	assert_int_equal(init(&c, "[1]", NULL, &e), 0);
	tape_init(&t, &backend_ref);
	struct tensor *logits =
	        tape_adopt(&t, tensor_from(F64, SHAPE(1, 5), (double[5]){2, 9, 4, 4, 4}));
	tape_grad(&t, op_sum(&t, critical_logits(&t, logits, &c)), &logits, 1, &gradient,
	          GRAD_KEEP);
	assert_memory_equal(tensor_f64(gradient), ((double[]){0, 1, 1, 0, 0}), 5 * sizeof(double));
	tape_release(&t);
	critical_release(&c);
}

static void labels_are_places_among_the_critical(void **state)
{
	struct critical c;
	struct error e = {{0}};

	assert_int_equal(init(&c, "[\"dog\", \"ant\"]", NULL, &e), 0);
	struct tensor *labels = tensor_from(I32, SHAPE(5), (int32_t[]){0, 1, 2, 3, 4});
	struct tensor *places = critical_labels(labels, &c);
	assert_memory_equal(tensor_i32(places), ((int32_t[]){1, 2, 2, 0, 2}), 5 * sizeof(int32_t));
	tensor_free(labels);
	tensor_free(places);
	critical_release(&c);
}

static void figures_tell_critical_images_from_the_others(void **state)
{
	const double z[6][5] = {{0, 0, 9, 0, 0}, {0, 0, 0, 9, 0}, {0, 0, 0, 9, 0},
	                        {9, 0, 0, 0, 0}, {0, 9, 0, 0, 0}, {0, 0, 9, 0, 0}};
	const int32_t labels[6] = {2, 2, 3, 0, 0, 0}; /* right, wrong, right; right, wrong, wrong */
	struct accuracy a;
	struct critical c;
	struct error e = {{0}};

	assert_int_equal(init(&c, NULL, "pet", &e), 0);
	accuracy_init(&a, 6, 5);
	accuracy_add(&a, 0, &z[0][0], labels, 6);
	struct critical_figures f = critical_figures(&c, &a);
	assert_true(fabs(f.accuracy - 2. / 3) < 1e-15);
	assert_true(fabs(f.others_accuracy - 1. / 3) < 1e-15);
	assert_true(fabs(f.task_accuracy - 4. / 6) < 1e-15);
	accuracy_release(&a);
	critical_release(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(names_indices_and_groups_mean_the_same),
	        cmocka_unit_test(without_names_there_is_no_set),
	        cmocka_unit_test(bad_names_have_their_line),
	        cmocka_unit_test(others_are_merged_by_their_largest_logit),
	        cmocka_unit_test(of_equal_logits_the_first_stands_for_the_others),
	        cmocka_unit_test(labels_are_places_among_the_critical),
	        cmocka_unit_test(figures_tell_critical_images_from_the_others),
	};
	return cmocka_run_group_tests_name("critical", tests, NULL, NULL);
}
