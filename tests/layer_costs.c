/* Laws of layer costs: what a choice of bits is said to cost is what the model then costs. */
#include "core/models/layer_costs.h"
#include "core/base/random.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const int widths[] = {2, 3, 4, 5, 6, 8, 32};
enum { WIDTHS = sizeof(widths) / sizeof(*widths), EIGHT = 5 };

/* A model, quantized, and its costs. */
struct given {
	struct model *m;
	struct quantization q;
	struct layer_costs c;
};

static struct given given(const char *name, bool channel, bool keep, bool tied)
{
	struct quantization_settings s = {.kind = "max",
	                                  .weight_bits = 4,
	                                  .per_channel = channel,
	                                  .keep_first = keep,
	                                  .keep_last = keep};
	struct model_config config;
	struct error e = {{0}};
	struct given g;

	assert_int_equal(model_config_named(&config, name, 10, NULL, &e), 0);
	g.m = model_new(&config, F32);
	assert_int_equal(quantization_init(&g.q, g.m, &s, &e), 0);
	if (layer_costs_init(&g.c, g.m, &g.q, widths, WIDTHS, tied, &e))
		fail_msg("%s", e.text);
	return g;
}

static void given_release(struct given *g)
{
	layer_costs_release(&g->c);
	quantization_release(&g->q);
	model_free(g->m);
}

static int find(const struct layer_costs *c, const char *name)
{
	for (int i = 0; i < c->layers; i++)
		if (strcmp(c->layer[i].name, name) == 0)
			return i;
	fail_msg("no layer %s", name);
	return -1;
}

static void fixed_and_uses_add_up_to_the_model(void **state)
{
	static const char *const names[] = {"resnet20", "resnet18"};
	struct random_stream r = random_stream(1, "bits", 0, 0);

	for (int trial = 0; trial < 16; trial++) {
		struct given g = given(names[trial & 1], trial & 2, trial & 4, trial & 8);
		int chosen[64];
		struct allocation a = {.chosen = chosen, .layers = g.c.layers};
		int64_t bytes = g.c.fixed[BUDGET_BYTES];
		int64_t operations = g.c.fixed[BUDGET_BIT_OPERATIONS];

		for (int i = 0; i < g.c.layers; i++) {
			chosen[i] = (int)random_below(&r, (uint64_t)(trial * 64 + i), WIDTHS);
			bytes += g.c.layer[i].candidate[chosen[i]].use[BUDGET_BYTES];
			operations += g.c.layer[i].candidate[chosen[i]].use[BUDGET_BIT_OPERATIONS];
		}
		layer_costs_apply(&g.c, &a, &g.q);
		assert_int_equal(bytes, model_bytes(g.m, &g.q));
		assert_int_equal(operations, model_bit_operations(g.m, &g.q));
		given_release(&g);
	}
}

/* 16 x 16 x 3 x 3 weights on 32 x 32 pixels; 3 bits, and 16 scales. */
static void a_known_layer_costs_what_it_should(void **state)
{
	struct given g = given("resnet20", true, true, false);
	int i = find(&g.c, "layer1.0.conv1.weight");
	const struct allocation_candidate *three = &g.c.layer[i].candidate[1];
	const struct allocation_candidate *full = &g.c.layer[i].candidate[WIDTHS - 1];

	assert_int_equal(g.c.layers, 18);
	assert_int_equal(three->use[BUDGET_BYTES], 2304 * 3 / 8 + 16 * 4);
	assert_int_equal(three->use[BUDGET_BIT_OPERATIONS], (int64_t)2304 * 1024 * 3 * 32);
	assert_int_equal(full->use[BUDGET_BYTES], 2304 * 4);
	assert_int_equal(full->use[BUDGET_BIT_OPERATIONS], (int64_t)2304 * 1024 * 32 * 32);
	given_release(&g);
}

static void a_uniform_width_takes_what_it_takes(void **state)
{
	struct given g = given("resnet18", true, true, false);

	assert_int_equal(layer_costs_bytes_at(&g.c, 4), model_bytes(g.m, &g.q));
	int64_t half = layer_costs_bytes_at(&g.c, 4.5) - layer_costs_bytes_at(&g.c, 4);
	int64_t whole = layer_costs_bytes_at(&g.c, 5) - layer_costs_bytes_at(&g.c, 4);
	assert_in_range(2 * half, whole, whole + 2 * g.c.layers);
	given_release(&g);
}

static void assert_ties(const char *model, const char *const *tied[], int groups)
{
	struct given g = given(model, false, false, true);
	int count = 0;

	for (int k = 0; k < groups; k++) {
		int tie = g.c.layer[find(&g.c, tied[k][0])].tie;

		assert_true(tie >= 0);
		for (int i = 0; tied[k][i]; i++, count++)
			assert_int_equal(g.c.layer[find(&g.c, tied[k][i])].tie, tie);
		for (int j = 0; j < k; j++)
			assert_int_not_equal(g.c.layer[find(&g.c, tied[j][0])].tie, tie);
	}
	for (int i = 0; i < g.c.layers; i++)
		count -= g.c.layer[i].tie >= 0;
	assert_int_equal(count, 0); /* nothing else is tied */
	given_release(&g);
}

static void what_a_residual_joins_is_tied(void **state)
{
	static const char *const a[] = {"conv1.weight", "layer1.0.conv2.weight",
	                                "layer1.1.conv2.weight", NULL};
	static const char *const b[] = {"layer2.0.conv2.weight", "layer2.0.downsample.0.weight",
	                                "layer2.1.conv2.weight", NULL};
	static const char *const c[] = {"layer3.0.conv2.weight", "layer3.0.downsample.0.weight",
	                                "layer3.1.conv2.weight", NULL};
	static const char *const d[] = {"layer4.0.conv2.weight", "layer4.0.downsample.0.weight",
	                                "layer4.1.conv2.weight", NULL};
	static const char *const f[] = {"conv1.weight", "layer1.0.conv2.weight",
	                                "layer1.1.conv2.weight", "layer1.2.conv2.weight", NULL};
	static const char *const g[] = {"layer2.0.conv2.weight", "layer2.1.conv2.weight",
	                                "layer2.2.conv2.weight", NULL};
	static const char *const h[] = {"layer3.0.conv2.weight", "layer3.1.conv2.weight",
	                                "layer3.2.conv2.weight", NULL};

	assert_ties("resnet18", (const char *const *[]){a, b, c, d}, 4);
	assert_ties("resnet20", (const char *const *[]){f, g, h}, 3);
}

/* Weights' share of noise, 4^-bits each, some layers more sensitive than others. */
static void make_omegas(struct layer_costs *c)
{
	struct random_stream r = random_stream(2, "omega", 0, 0);

	for (int i = 0; i < c->layers; i++)
		for (int k = 0; k < c->bit_count; k++)
			c->candidate[i * c->bit_count + k].omega =
			        exp(2 * random_normal(&r, (uint64_t)i)) * (double)c->elements[i] *
			        pow(4, -c->bits[k]);
}

static void the_chosen_bits_keep_the_budgets_of_the_model(void **state)
{
	static const char *const names[] = {"resnet20", "resnet18", "resnet56"};

	for (int trial = 0; trial < 12; trial++) {
		struct given g = given(names[trial % 3], trial & 1, true, trial & 2);
		int64_t bytes = layer_costs_bytes_at(&g.c, 3.5), operations = NO_BUDGET;
		struct allocation a;
		struct error e = {{0}};

		if (trial & 4)
			operations = model_bit_operations(g.m, &g.q);
		make_omegas(&g.c);
		if (layer_costs_solve(&g.c, bytes, operations, &a, &e))
			fail_msg("%s", e.text);
		assert_true(a.bound == a.omega);
		layer_costs_apply(&g.c, &a, &g.q);
		assert_int_equal(a.used[BUDGET_BYTES], model_bytes(g.m, &g.q));
		assert_int_equal(a.used[BUDGET_BIT_OPERATIONS], model_bit_operations(g.m, &g.q));
		assert_true(a.used[BUDGET_BYTES] <= bytes);
		assert_true(a.used[BUDGET_BIT_OPERATIONS] <= operations);
		for (int i = 0; i < g.c.layers; i++)
			for (int j = 0; j < i; j++)
				if (g.c.layer[i].tie >= 0 && g.c.layer[i].tie == g.c.layer[j].tie)
					assert_int_equal(a.chosen[i], a.chosen[j]);
		allocation_release(&a);
		given_release(&g);
	}
}

static void without_budgets_every_layer_gets_its_best(void **state)
{
	struct given g = given("resnet20", false, true, false);
	struct allocation a;
	struct error e = {{0}};

	make_omegas(&g.c);
	g.c.candidate[3 * WIDTHS + EIGHT].omega = 0;
	assert_int_equal(layer_costs_solve(&g.c, NO_BUDGET, NO_BUDGET, &a, &e), 0);
	for (int i = 0; i < g.c.layers; i++)
		assert_int_equal(a.chosen[i], i == 3 ? EIGHT : WIDTHS - 1);
	allocation_release(&a);
	given_release(&g);
}

static void assert_refused(struct given *g, const int *bits, int count, const char *says)
{
	struct layer_costs c;
	struct error e = {{0}};

	assert_int_equal(layer_costs_init(&c, g->m, &g->q, bits, count, false, &e), -1);
	if (!strstr(e.text, says))
		fail_msg("\"%s\" does not say \"%s\"", e.text, says);
	layer_costs_release(&c);
}

static void bits_that_are_none_are_refused(void **state)
{
	struct given g = given("resnet20", false, true, false);

	assert_refused(&g, (int[]){1, 2}, 2, "weights of 1 bits");
	assert_refused(&g, (int[]){4, 9}, 2, "weights of 9 bits");
	assert_refused(&g, (int[]){4, 4}, 2, "must rise: 4 after 4");
	assert_refused(&g, NULL, 0, "no bit-widths");
	memset(g.q.bits, 0, (size_t)g.q.count * sizeof(*g.q.bits));
	assert_refused(&g, widths, WIDTHS, "no layer is quantized");
	given_release(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(fixed_and_uses_add_up_to_the_model),
	        cmocka_unit_test(a_known_layer_costs_what_it_should),
	        cmocka_unit_test(a_uniform_width_takes_what_it_takes),
	        cmocka_unit_test(what_a_residual_joins_is_tied),
	        cmocka_unit_test(the_chosen_bits_keep_the_budgets_of_the_model),
	        cmocka_unit_test(without_budgets_every_layer_gets_its_best),
	        cmocka_unit_test(bits_that_are_none_are_refused),
	};

	cmocka_set_test_filter(getenv("TRAWL_TEST_ONLY"));
	return cmocka_run_group_tests_name("layer_costs", tests, NULL, NULL);
}
