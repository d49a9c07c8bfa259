/* Laws of who shares what, and of the splits of a round. */
#include "core/split/partition.h"
#include "core/base/random.h"
#include "core/split/overlap.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void assert_prints(const struct partition *p, const char *want)
{
	struct text t = {0};

	partition_print(&t, p);
	assert_string_equal(t.data, want);
	text_release(&t);
}

static void parts_are_divided_and_printed(void **state)
{
	struct partition p = partition_whole(5), before = p;

	assert_prints(&p, "{0,1,2,3,4}");
	assert_int_equal(partition_members(&p, 3), 0x1f);
	partition_divide(&p, 1u << 3);
	assert_prints(&p, "{0,1,2,4},{3}");
	assert_true(partition_refines(&p, &before) && !partition_refines(&before, &p));
	before = p;
	partition_divide(&p, 1u << 3);
	assert_true(partition_equal(&p, &before));
	partition_divide(&p, 1u << 0 | 1u << 3 | 1u << 1);
	assert_prints(&p, "{0,1},{2,4},{3}");
	assert_int_equal(partition_count(&p), 3);
	assert_int_equal(partition_members(&p, 4), 1u << 2 | 1u << 4);
	p = partition_whole(SUBTASKS_MAX);
	partition_divide(&p, 1u << 31);
	assert_int_equal(partition_members(&p, 31), 1u << 31);
	assert_int_equal(partition_members(&p, 0), 0x7fffffff);
}

/* Backbones of a few layers, with an overlap for each pair in each. */
enum { LAYERS = 17, MOST = 7 };
struct fixture {
	int layers, submodels;
	struct partition layer[LAYERS];
	double overlap[LAYERS][MOST * MOST];
	const double *seen[LAYERS];
	struct branch_split found[SPLITS_MAX];
};

static void fixture_init(struct fixture *x, int layers, int submodels, double overlap)
{
	*x = (struct fixture){.layers = layers, .submodels = submodels};
	for (int l = 0; l < layers; l++) {
		x->layer[l] = partition_whole(submodels);
		x->seen[l] = x->overlap[l];
		for (int k = 0; k < submodels * submodels; k++)
			x->overlap[l][k] = overlap;
	}
}

static void set(struct fixture *x, int layer, int a, int b, double overlap)
{
	x->overlap[layer][a * x->submodels + b] = overlap;
	x->overlap[layer][b * x->submodels + a] = overlap;
}

/* From this layer on, whoever is apart overlaps with no other by more than this. */
static void part_ways(struct fixture *x, int layer, uint32_t apart, double overlap)
{
	for (int l = layer; l < x->layers; l++)
		for (int a = 0; a < x->submodels; a++)
			for (int b = 0; b < x->submodels; b++)
				if ((apart >> a & 1) != (apart >> b & 1))
					set(x, l, a, b, overlap);
}

static int round_of_splits(struct fixture *x, double threshold)
{
	int count = split_find(x->layer, x->layers, x->seen, threshold, x->found);

	for (int i = 0; i < count; i++)
		split_apply(x->layer, x->layers, &x->found[i]);
	return count;
}

static const char *const resnet18[LAYERS] = {
        "conv1",          "layer1.0.conv1", "layer1.0.conv2", "layer1.1.conv1", "layer1.1.conv2",
        "layer2.0.conv1", "layer2.0.conv2", "layer2.1.conv1", "layer2.1.conv2", "layer3.0.conv1",
        "layer3.0.conv2", "layer3.1.conv1", "layer3.1.conv2", "layer4.0.conv1", "layer4.0.conv2",
        "layer4.1.conv1", "layer4.1.conv2"};

static void assert_log(const struct fixture *x, const char *want)
{
	struct text t = {0};

	partition_log(&t, x->layer, resnet18, x->layers);
	assert_string_equal(t.data ? t.data : "", want);
	text_release(&t);
}

#define LOG_1 "layer3.0.conv2 -> {0,1,2,4},{3}"
#define LOG_2 "layer3.1.conv1 -> {0,1,4},{2},{3}"
#define LOG_3 "layer3.1.conv2 -> {0,4},{1},{2},{3}"
#define LOG_4 "layer4.0.conv1 -> {0},{1},{2},{3},{4}"

/* CIFAR-100, 5 subtasks, threshold 0.4: who overlaps little from where on comes to be known as
 * training goes on. */
static void the_published_log_is_replayed(void **state)
{
	struct fixture x;

	fixture_init(&x, LAYERS, 5, 0.6);
	assert_int_equal(round_of_splits(&x, 0.4), 0);
	assert_log(&x, "");
	part_ways(&x, 10, 1u << 3, 0.39);
	assert_int_equal(round_of_splits(&x, 0.4), 1);
	assert_int_equal(x.found[0].layer, 10);
	assert_int_equal(x.found[0].branch, 0x1f);
	assert_int_equal(x.found[0].apart, 1u << 3);
	assert_true(x.found[0].threshold == 0.39);
	assert_log(&x, LOG_1);
	assert_int_equal(round_of_splits(&x, 0.4), 0);
	part_ways(&x, 11, 1u << 2, 0.3);
	assert_int_equal(round_of_splits(&x, 0.4), 1);
	assert_log(&x, LOG_1 "; " LOG_2);
	part_ways(&x, 12, 1u << 1, 0.2);
	part_ways(&x, 13, 1u << 4, 0.1);
	assert_int_equal(round_of_splits(&x, 0.4), 1);
	assert_log(&x, LOG_1 "; " LOG_2 "; " LOG_3);
	assert_int_equal(round_of_splits(&x, 0.4), 1);
	assert_int_equal(x.found[0].branch, 1u << 0 | 1u << 4);
	assert_log(&x, LOG_1 "; " LOG_2 "; " LOG_3 "; " LOG_4);
	assert_int_equal(round_of_splits(&x, 0.4), 0);
}

/* Were all of it known from the start, a round would still take one split of each branch. */
static void a_branch_is_split_once_a_round(void **state)
{
	struct fixture x;

	fixture_init(&x, LAYERS, 5, 0.6);
	part_ways(&x, 10, 1u << 3, 0.1);
	part_ways(&x, 11, 1u << 2, 0.1);
	part_ways(&x, 12, 1u << 1, 0.1);
	part_ways(&x, 13, 1u << 4, 0.1);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(round_of_splits(&x, 0.4), 1);
		assert_int_equal(x.found[0].layer, 10 + i);
	}
	assert_log(&x, LOG_1 "; " LOG_2 "; " LOG_3 "; " LOG_4);
	assert_int_equal(round_of_splits(&x, 0.4), 0);
}

static void branches_are_split_side_by_side(void **state)
{
	struct fixture x;

	fixture_init(&x, 4, 4, 0.6);
	part_ways(&x, 1, 0xc, 0.1); /* {0,1},{2,3} */
	assert_int_equal(round_of_splits(&x, 0.4), 1);
	set(&x, 2, 2, 3, 0.2);
	set(&x, 3, 0, 1, 0.3);
	assert_int_equal(round_of_splits(&x, 0.4), 2);
	assert_int_equal(x.found[0].layer, 2);
	assert_int_equal(x.found[0].branch, 0xc);
	assert_int_equal(x.found[1].layer, 3);
	assert_int_equal(x.found[1].branch, 0x3);
	assert_prints(&x.layer[0], "{0,1,2,3}");
	assert_prints(&x.layer[1], "{0,1},{2,3}");
	assert_prints(&x.layer[2], "{0,1},{2},{3}");
	assert_prints(&x.layer[3], "{0},{1},{2},{3}");
}

/* The trunk is a branch like others.  Its cut divides the branches below, which wait when it does.
 */
static void a_cut_above_divides_what_lies_below(void **state)
{
	struct fixture x;

	fixture_init(&x, 5, 5, 0.6);
	part_ways(&x, 3, 1u << 3, 0.1);
	assert_int_equal(round_of_splits(&x, 0.4), 1); /* {0,1,2,4},{3} from layer 3 on */
	part_ways(&x, 1, 0x18, 0.2);                   /* {0,1,2},{3,4} from layer 1 on */
	for (int i = 0; i < 5; i++)
		set(&x, 3, 2, i, 0.05); /* 2 would go too, but 4 goes first */
	assert_int_equal(round_of_splits(&x, 0.4), 1);
	assert_prints(&x.layer[0], "{0,1,2,3,4}");
	assert_prints(&x.layer[1], "{0,1,2},{3,4}");
	assert_prints(&x.layer[2], "{0,1,2},{3,4}");
	assert_prints(&x.layer[3], "{0,1,2},{3},{4}");
	assert_int_equal(round_of_splits(&x, 0.4), 1);
	assert_prints(&x.layer[2], "{0,1,2},{3,4}");
	assert_prints(&x.layer[3], "{0,1},{2},{3},{4}");
}

/* Where the trunk's cut only moves a fork up, the branches below are as they were, and do not wait.
 */
static void a_branch_that_no_cut_divides_does_not_wait(void **state)
{
	struct fixture x;

	fixture_init(&x, 4, 3, 0.6);
	part_ways(&x, 2, 1u << 2, 0.1);
	assert_int_equal(round_of_splits(&x, 0.4), 1);
	part_ways(&x, 1, 1u << 2, 0.1);
	set(&x, 3, 0, 1, 0.1);
	assert_int_equal(round_of_splits(&x, 0.4), 2);
	assert_prints(&x.layer[1], "{0,1},{2}");
	assert_prints(&x.layer[3], "{0},{1},{2}");
}

static void layers_without_overlaps_are_passed_over(void **state)
{
	struct fixture x;

	fixture_init(&x, 3, 2, 0.1);
	x.seen[0] = NULL;
	assert_int_equal(round_of_splits(&x, 0.4), 1);
	assert_int_equal(x.found[0].layer, 1);
	fixture_init(&x, 3, 2, 0.4); /* not below it */
	assert_int_equal(round_of_splits(&x, 0.4), 0);
}

/* Whether a split of this round comes to layer l of a branch. */
static bool is_parted(const struct fixture *x, int count, int l, uint32_t branch)
{
	for (int k = 0; k < count; k++)
		if (x->found[k].layer <= l && (x->found[k].apart & branch) &&
		    (branch & ~x->found[k].apart))
			return true;
	return false;
}

/* Every branch with a layer below the threshold is parted there at the latest, and no split is
 * other than its layer's cut, or at a layer whose value is not below. */
static void assert_round_is_right(const struct fixture *x, int count, double threshold)
{
	for (int l = 0; l < x->layers; l++)
		for (int i = 0; i < x->submodels; i++) {
			uint32_t branch = partition_members(&x->layer[l], i);
			struct cut c = overlap_cut(x->overlap[l], x->submodels, branch);
			assert_true(c.threshold >= threshold || is_parted(x, count, l, branch));
		}
	for (int k = 0; k < count; k++) {
		const struct branch_split *f = &x->found[k];
		struct cut c = overlap_cut(x->overlap[f->layer], x->submodels, f->branch);
		assert_int_equal(c.apart, f->apart);
		assert_true(c.threshold == f->threshold && c.threshold < threshold);
		assert_false(is_parted(x, k, f->layer, f->branch));
	}
}

static void random_rounds_end_with_nothing_to_split(void **state)
{
	for (uint64_t seed = 0; seed < 300; seed++) {
		struct random_stream s = random_stream((int64_t)seed, "partition", 0, 0);
		struct fixture x;
		int rounds = 0, count;

		fixture_init(&x, 6, 2 + (int)random_below(&s, 0, MOST - 1), 0.6);
		for (int l = 0, n = x.submodels; l < x.layers; l++)
			for (int a = 0; a < n; a++)
				for (int b = 0; b < a; b++)
					set(&x, l, a, b,
					    (double)random_below(
					            &s, (uint64_t)(1 + (l * MOST + a) * MOST + b),
					            10) /
					            10);
		do {
			struct fixture before = x;
			count = round_of_splits(&x, 0.3);
			memcpy(before.found, x.found, sizeof x.found);
			assert_round_is_right(&before, count, 0.3);
			for (int l = 0; l < x.layers; l++) {
				assert_true(partition_refines(&x.layer[l], &before.layer[l]));
				assert_true(l == 0 ||
				            partition_refines(&x.layer[l], &x.layer[l - 1]));
			}
			for (int k = 1; k < count; k++)
				assert_true(x.found[k].layer >= x.found[k - 1].layer);
			assert_true(++rounds < 100);
		} while (count);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(parts_are_divided_and_printed),
	        cmocka_unit_test(the_published_log_is_replayed),
	        cmocka_unit_test(a_branch_is_split_once_a_round),
	        cmocka_unit_test(branches_are_split_side_by_side),
	        cmocka_unit_test(a_cut_above_divides_what_lies_below),
	        cmocka_unit_test(a_branch_that_no_cut_divides_does_not_wait),
	        cmocka_unit_test(layers_without_overlaps_are_passed_over),
	        cmocka_unit_test(random_rounds_end_with_nothing_to_split),
	};
	return cmocka_run_group_tests_name("partition", tests, NULL, NULL);
}
