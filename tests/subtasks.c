/* Laws of cutting a task into subtasks: by hand, by superclass, at random, by likeness. */
#include "core/split/subtasks.h"
#include "core/base/random.h"
#include "core/data/group.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char *const names[7] = {"ant", "bee", "cat", "dog", "eel", "fox", "gnu"};
static const struct dataset animals = {.name = "animals", .classes = 7, .class_name = names};

/* Each class once, in the group and at the place that it is said to have. */
static void assert_sound(const struct subtasks *s)
{
	int classes = 0;

	for (int g = 0; g < s->count; g++) {
		assert_true(s->size[g] >= 2);
		for (int j = 0; j < s->size[g]; j++, classes++) {
			int k = subtasks_members(s, g)[j];
			assert_ptr_equal(&subtasks_members(s, g)[j], s->member + classes);
			assert_int_equal(s->group[k], g);
			assert_int_equal(s->place[k], j);
		}
	}
	assert_int_equal(classes, s->classes);
}

static void assert_even(const struct subtasks *s)
{
	assert_sound(s);
	for (int g = 0; g < s->count; g++)
		assert_true(s->size[g] == s->classes / s->count ||
		            s->size[g] == s->classes / s->count + 1);
}

static int listed(struct subtasks *s, const char *lists, struct error *e)
{
	cJSON *json = cJSON_Parse(lists);
	int status = subtasks_from_lists(s, json, CLASSES_LEAST, &animals, e);

	cJSON_Delete(json);
	return status;
}

static void lists_keep_their_order(void **state)
{
	struct subtasks s, again;
	struct error e = {{0}};

	assert_int_equal(listed(&s, "[[\"dog\", 0, \"gnu\"], [6.0e0, 1]]", &e), -1);
	assert_int_equal(listed(&s, "[[\"dog\", 0, \"gnu\"], [2, 1, \"eel\", 5]]", &e), 0);
	assert_sound(&s);
	assert_memory_equal(s.member, ((int[]){3, 0, 6, 2, 1, 4, 5}), 7 * sizeof(int));
	cJSON *json = subtasks_to_json(&s);
	assert_int_equal(subtasks_from_lists(&again, json, CLASSES_LEAST, &animals, &e), 0);
	assert_memory_equal(s.member, again.member, 7 * sizeof(int));
	cJSON_Delete(json);
	subtasks_release(&again);
	subtasks_release(&s);
}

static void bad_lists_have_their_line(void **state)
{
	static const char *const bad[][2] = {
	        {"[[0, 1], [2, \"dgo\", 4, 5, 6]]", "group 1: animals has no category \"dgo\"; did "
	                                            "you mean \"dog\"?"},
	        {"[[0, 1, 7], [2, 3]]", "group 0: elements are names, or indices from 0 to 6"},
	        {"[[0, 1, 2], [3, \"bee\", 4, 5, 6]]", "bee is in group 0 and in group 1"},
	        {"[[0, 1, \"ant\"], [2, 3]]", "ant is twice in group 0"},
	        {"[[0, 1], [2, 4]]", "dog, fox, gnu are in no group"},
	        {"[[0, 1], [2, 3, 4, 5]]", "gnu is in no group"},
	        {"[[0, 1], [2, 3]]", "eel, fox, gnu are in no group"},
	        {"[[6, 1], [2, 3]]", "ant, eel, fox are in no group"},
	        {"[[1, 2], [3]]", "ant, eel, fox and 1 more are in no group"},
	        {"[[0, 1], [2, 3, 4, 5], [6]]", "group 2 has only gnu"},
	        {"[[0, 1, 2], [], [3, 4, 5, 6]]", "group 1 is empty"},
	        {"[[0, 1], [2, 3], [4, 5], [6]]", "7 classes make 3 at most"},
	        {"[[0, 1, 2, 3, 4, 5, 6]]", "1 group: a task is cut into 2 to 32"},
	        {"[]", "0 groups: a task is cut into 2 to 32"},
	        {"[0, 1]", "group 0 is no list"},
	        {"{}", "no list of lists"},
	};

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct subtasks s;
		struct error e = {{0}};
		assert_int_equal(listed(&s, bad[i][0], &e), -1);
		if (!strstr(e.text, bad[i][1]) || strchr(e.text, '\n'))
			fail_msg("\"%s\" lacks \"%s\"", e.text, bad[i][1]);
		assert_null(s.group);
	}
}

static void superclasses_stay_whole(void **state)
{
	static const int counts[][3] = {
	        {5, 20, 20}, {20, 5, 5}, {0, 5, 5}, {3, 30, 35}, {2, 50, 50}};
	struct dataset d = {.name = "cifar100", .classes = 100};

	for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
		struct subtasks s;
		struct error e = {{0}};
		assert_int_equal(
		        subtasks_from_superclasses(&s, cifar100_groups, counts[i][0], &d, &e), 0);
		assert_sound(&s);
		assert_int_equal(s.count, counts[i][0] ? counts[i][0] : 20);
		for (int g = 0; g < s.count; g++)
			assert_true(s.size[g] == counts[i][1] || s.size[g] == counts[i][2]);
		for (int a = 0; a < 100; a++)
			for (int b = 0; b < a; b++)
				if (strcmp(cifar100_groups[a], cifar100_groups[b]) == 0)
					assert_int_equal(s.group[a], s.group[b]);
		subtasks_release(&s);
	}
}

/* The least sum of squared sizes of any way to put whole superclasses into groups. */
static long least_squares(const int *size, int items, int groups)
{
	long best = 1L << 40, ways = 1;

	for (int i = 0; i < items; i++)
		ways *= groups;
	for (long way = 0; way < ways; way++) {
		int sum[4] = {0};
		long rest = way, squares = 0;
		for (int i = 0; i < items; i++, rest /= groups)
			sum[rest % groups] += size[i];
		for (int g = 0; g < groups; g++)
			squares += (long)sum[g] * sum[g];
		best = squares < best ? squares : best;
	}
	return best;
}

static void superclasses_make_groups_as_even_as_can_be(void **state)
{
	static const char *const letter[8] = {"a", "b", "c", "d", "e", "f", "g", "h"};

	for (int64_t seed = 0; seed < 200; seed++) {
		struct random_stream r = random_stream(seed, "superclass", 0, 0);
		int items = 4 + (int)random_below(&r, 0, 5), size[8], classes = 0;
		int groups = 2 + (int)random_below(&r, 1, 3);
		const char *superclass[200];
		struct dataset d = {.name = "letters"};
		struct subtasks s;
		struct error e = {{0}};

		for (int i = 0; i < items; i++) {
			size[i] = 2 + (int)random_below(&r, (uint64_t)(2 + i), 20);
			for (int k = 0; k < size[i]; k++)
				superclass[classes++] = letter[i];
		}
		d.classes = classes;
		assert_int_equal(subtasks_from_superclasses(&s, superclass, groups, &d, &e), 0);
		assert_sound(&s);
		long squares = 0;
		for (int g = 0; g < groups; g++)
			squares += (long)s.size[g] * s.size[g];
		if (squares != least_squares(size, items, groups))
			fail_msg("seed %d: %ld, not %ld", (int)seed, squares,
			         least_squares(size, items, groups));
		subtasks_release(&s);
	}
}

static const char *const kinds[7] = {"six", "six", "pet", "pet", "water", "wild", "wild"};

static void files_of_superclasses_have_two_forms(void **state)
{
	static const char *const forms[2] = {
	        "{\"six\": [\"ant\", 1], \"pet\": [\"cat\", \"dog\"], \"water\": [4], "
	        "\"wild\": [\"gnu\", \"fox\"]}",
	        "{\"gnu\": \"wild\", \"ant\": \"six\", \"bee\": \"six\", \"cat\": \"pet\", "
	        "\"dog\": \"pet\", \"eel\": \"water\", \"fox\": \"wild\"}"};

	for (int i = 0; i < 2; i++) {
		struct error e = {{0}};
		cJSON *json = cJSON_Parse(forms[i]);
		const char **of = superclasses_of_json(json, &animals, &e);
		assert_non_null(of);
		for (int k = 0; k < 7; k++)
			assert_string_equal(of[k], kinds[k]);
		free(of);
		cJSON_Delete(json);
	}
}

static void bad_superclasses_have_their_line(void **state)
{
	static const char *const bad[][2] = {
	        {"{\"six\": [\"ant\", \"be\"]}", "\"six\": animals has no category \"be\""},
	        {"{\"ant\": \"six\", \"bea\": \"six\"}", "did you mean \"bee\"?"},
	        {"{\"six\": [\"ant\"], \"pet\": [\"ant\"]}", "ant is in six and in pet"},
	        {"{\"six\": [0, 1, 2, 3, 4, 5]}", "gnu has no superclass"},
	        {"{\"six\": [0, 1]}", "cat, dog, eel and 2 more have no superclass"},
	        {"{\"six\": 3}", "\"six\": neither a superclass nor a list"},
	        {"[1]", "no object"},
	};
	struct error e = {{0}};
	struct subtasks s;

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		cJSON *json = cJSON_Parse(bad[i][0]);
		assert_null(superclasses_of_json(json, &animals, &e));
		if (!strstr(e.text, bad[i][1]) || strchr(e.text, '\n'))
			fail_msg("\"%s\" lacks \"%s\"", e.text, bad[i][1]);
		cJSON_Delete(json);
	}
	assert_int_equal(subtasks_from_superclasses(&s, NULL, 0, &animals, &e), -1);
	assert_non_null(strstr(e.text, "animals has no superclasses"));
	assert_int_equal(subtasks_from_superclasses(&s, kinds, 0, &animals, &e), -1);
	assert_non_null(strstr(e.text, "7 classes make 3 at most"));
	assert_int_equal(subtasks_from_superclasses(&s, kinds, 3, &animals, &e), 0);
	assert_sound(&s);
	subtasks_release(&s);
	struct dataset ten = {.name = "cifar10", .classes = 10};
	assert_int_equal(subtasks_from_superclasses(&s, cifar10_groups, 5, &ten, &e), -1);
	assert_non_null(strstr(e.text, "2 superclasses make 2 groups at most, not 5"));
}

static void a_superclass_of_one_class_is_no_group(void **state)
{
	static const char *const few[7] = {"a", "a", "a", "b", "b", "b", "c"};
	struct error e = {{0}};
	struct subtasks s;

	assert_int_equal(subtasks_from_superclasses(&s, few, 0, &animals, &e), -1);
	assert_non_null(strstr(e.text, "group 2 has only gnu"));
}

static void random_groups_are_even_and_follow_the_seed(void **state)
{
	struct error e = {{0}};
	struct subtasks a, b;
	int moved = 0;

	for (int n = 2; n <= 32; n++) {
		assert_int_equal(subtasks_random(&a, 67, n, 5, &e), 0);
		assert_int_equal(subtasks_random(&b, 67, n, 5, &e), 0);
		assert_even(&a);
		assert_int_equal(a.group[0], 0);
		assert_memory_equal(a.member, b.member, 67 * sizeof(int));
		subtasks_release(&b);
		assert_int_equal(subtasks_random(&b, 67, n, 6, &e), 0);
		moved += memcmp(a.member, b.member, 67 * sizeof(int)) != 0;
		subtasks_release(&a);
		subtasks_release(&b);
	}
	assert_int_equal(moved, 31);
	assert_int_equal(subtasks_random(&a, 100, 33, 6, &e), -1);
	assert_int_equal(subtasks_random(&a, 3, 2, 6, &e), -1);
	assert_int_equal(subtasks_random(&a, 3, 0, 6, &e), -1);
}

/* ---- clusters ---- */
static int clustered(struct subtasks *s, const double *feature, int classes, int dims, int count,
                     int64_t seed)
{
	struct error e = {{0}};

	return subtasks_cluster(s, feature, classes, dims, count, seed, &e);
}

static void far_clusters_are_found(void **state)
{
	struct random_stream r = random_stream(3, "blobs", 0, 0);
	double feature[100 * 8];
	struct subtasks s;

	for (int k = 0; k < 100; k++)
		for (int i = 0; i < 8; i++)
			feature[k * 8 + i] = random_normal(&r, (uint64_t)(k * 8 + i)) +
			                     (k * 7 % 5 == i ? 20 : 0);
	assert_int_equal(clustered(&s, feature, 100, 8, 5, 1), 0);
	assert_even(&s);
	for (int k = 0; k < 100; k++)
		assert_int_equal(s.group[k], s.group[k % 5]);
	subtasks_release(&s);
}

/* The least spread of all balanced groupings, by depth-first search. */
static void try_all(int *group, int k, struct subtasks *s, const double *feature, int dims,
                    double *best)
{
	struct error e = {{0}};
	struct subtasks trial;
	int size[4] = {0}, low = s->classes / s->count, large = 0;

	for (int j = 0; j < k; j++)
		size[group[j]]++;
	for (int g = 0; g < s->count; g++)
		large += size[g] > low;
	if (large > s->classes % s->count)
		return;
	if (k == s->classes) {
		assert_int_equal(subtasks_from_groups(&trial, group, k, s->count, NULL, &e), 0);
		*best = fmin(*best, subtasks_spread(&trial, feature, dims));
		subtasks_release(&trial);
		return;
	}
	for (int g = 0; g < s->count; g++) {
		group[k] = g;
		if (size[g] <= low)
			try_all(group, k + 1, s, feature, dims, best);
		if (size[g] == 0)
			break;
	}
}

static void small_clusterings_are_the_best_of_all(void **state)
{
	static const int shapes[][2] = {{6, 3}, {7, 3}, {8, 2}, {9, 3}, {10, 3}, {9, 4}};

	for (int64_t seed = 0; seed < 24; seed++) {
		struct random_stream r = random_stream(seed, "cluster", 0, 0);
		int classes = shapes[seed % 6][0], count = shapes[seed % 6][1], group[10];
		double feature[20], best = INFINITY;
		struct subtasks s;

		for (int i = 0; i < 20; i++)
			feature[i] = random_normal(&r, (uint64_t)i);
		assert_int_equal(clustered(&s, feature, classes, 2, count, seed), 0);
		assert_even(&s);
		try_all(group, 0, &s, feature, 2, &best);
		if (subtasks_spread(&s, feature, 2) > best * (1 + 1e-12))
			fail_msg("seed %d: %g, the best is %g", (int)seed,
			         subtasks_spread(&s, feature, 2), best);
		subtasks_release(&s);
	}
}

enum { MANY = 40, DIMS = 3, GROUPS = 7 };

/* No exchange of two classes, and no move that sizes allow, lowers the sum of squares. */
static void assert_no_step_helps(const struct subtasks *s, const double *feature)
{
	double spread = subtasks_spread(s, feature, DIMS);
	struct error e = {{0}};
	struct subtasks other;
	int group[MANY];

	for (int a = 0; a < MANY; a++)
		for (int b = -GROUPS; b < a; b++) {
			memcpy(group, s->group, sizeof group);
			if (b < 0 && s->size[s->group[a]] <= s->size[b + GROUPS])
				continue;
			group[a] = b < 0 ? b + GROUPS : s->group[b];
			if (b >= 0)
				group[b] = s->group[a];
			assert_int_equal(
			        subtasks_from_groups(&other, group, MANY, GROUPS, NULL, &e), 0);
			assert_true(subtasks_spread(&other, feature, DIMS) >= spread * (1 - 1e-9));
			subtasks_release(&other);
		}
}

static void large_clusterings_cannot_be_improved_in_one_step(void **state)
{
	for (int64_t seed = 0; seed < 20; seed++) {
		struct random_stream r = random_stream(seed, "cluster", 0, 0);
		double feature[MANY * DIMS];
		struct subtasks s;

		for (int i = 0; i < MANY * DIMS; i++)
			feature[i] = random_normal(&r, (uint64_t)i);
		assert_int_equal(clustered(&s, feature, MANY, DIMS, GROUPS, seed), 0);
		assert_no_step_helps(&s, feature);
		subtasks_release(&s);
	}
}

/* One wide dimension says otherwise than three narrow ones: it counts for more. */
static void features_are_not_standardised(void **state)
{
	double feature[8 * 4];
	struct subtasks s;

	for (int k = 0; k < 8; k++)
		for (int i = 0; i < 4; i++)
			feature[k * 4 + i] = i ? k % 2 : 5 * (k / 4);
	assert_int_equal(clustered(&s, feature, 8, 4, 2, 1), 0);
	assert_memory_equal(s.group, ((int[]){0, 0, 0, 0, 1, 1, 1, 1}), 8 * sizeof(int));
	subtasks_release(&s);
}

static void classes_without_difference_are_divided_evenly(void **state)
{
	double feature[11 * 2] = {0};
	struct subtasks s;

	assert_int_equal(clustered(&s, feature, 11, 2, 4, 1), 0);
	assert_even(&s);
	subtasks_release(&s);
}

static void features_that_are_no_numbers_are_refused(void **state)
{
	double feature[8] = {1, 2, 3, 4, 5, NAN, 7, 8};
	struct error e = {{0}};
	struct subtasks s;

	assert_int_equal(subtasks_cluster(&s, feature, 4, 2, 2, 1, &e), -1);
	assert_non_null(strstr(e.text, "feature 1 of class 2"));
	feature[5] = 6;
	assert_int_equal(subtasks_cluster(&s, feature, 4, 2, 3, 1, &e), -1);
	assert_non_null(strstr(e.text, "4 classes make 2 at most"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(lists_keep_their_order),
	        cmocka_unit_test(bad_lists_have_their_line),
	        cmocka_unit_test(superclasses_stay_whole),
	        cmocka_unit_test(superclasses_make_groups_as_even_as_can_be),
	        cmocka_unit_test(files_of_superclasses_have_two_forms),
	        cmocka_unit_test(bad_superclasses_have_their_line),
	        cmocka_unit_test(a_superclass_of_one_class_is_no_group),
	        cmocka_unit_test(random_groups_are_even_and_follow_the_seed),
	        cmocka_unit_test(far_clusters_are_found),
	        cmocka_unit_test(small_clusterings_are_the_best_of_all),
	        cmocka_unit_test(large_clusterings_cannot_be_improved_in_one_step),
	        cmocka_unit_test(features_are_not_standardised),
	        cmocka_unit_test(classes_without_difference_are_divided_evenly),
	        cmocka_unit_test(features_that_are_no_numbers_are_refused),
	};
	return cmocka_run_group_tests_name("subtasks", tests, NULL, NULL);
}
