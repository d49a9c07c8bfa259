/* Laws of bit-widths as text. */
#include "core/models/bits.h"
#include "core/models/cost.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct fixture {
	struct model *model;
	struct quantization q;
};

static void fixture_init(struct fixture *x)
{
	struct quantization_settings s = {.kind = "max",
	                                  .weight_bits = 8,
	                                  .per_channel = true,
	                                  .keep_first = true,
	                                  .keep_last = true};
	struct model_config c;
	struct error e;

	assert_int_equal(model_config_named(&c, "resnet20", 10, NULL, &e), 0);
	x->model = model_new(&c, F32);
	assert_int_equal(quantization_init(&x->q, x->model, &s, &e), 0);
}

static void fixture_release(struct fixture *x)
{
	quantization_release(&x->q);
	model_free(x->model);
}

static void bits_survive_their_text(void **state)
{
	struct fixture x, y;
	struct error e;
	int next = 2;

	fixture_init(&x);
	fixture_init(&y);
	for (int i = 0; i < x.q.count; i++)
		if (x.q.bits[i])
			x.q.bits[i] = next = next == 8 ? 2 : next + 1;
	char *text = bits_text(x.model, &x.q);
	assert_int_equal(bits_parse(&y.q, y.model, text, &e), 0);
	assert_memory_equal(x.q.bits, y.q.bits, (size_t)x.q.count * sizeof(int));
	free(text);
	fixture_release(&x);
	fixture_release(&y);
}

static void weights_that_are_not_named_stay_whole(void **state)
{
	struct fixture x;
	struct error e;
	int quantized = 0;

	fixture_init(&x);
	assert_int_equal(bits_parse(&x.q, x.model, "{\"layer1.0.conv1.weight\": 3}", &e), 0);
	for (int i = 0; i < x.q.count; i++)
		quantized += x.q.bits[i] != 0;
	assert_int_equal(quantized, 1);
	assert_int_equal(x.q.bits[parameter_find(&x.model->parameters, "layer1.0.conv1.weight")],
	                 3);
	fixture_release(&x);
}

static void bad_bits_are_refused_and_change_nothing(void **state)
{
	static const char *const bad[][2] = {
	        {"{\"layer1.0.conv1.weight\": 4", "bits"},
	        {"[4]", "not an object"},
	        {"{\"layer1.0.conv1.weight\": 9}", "layer1.0.conv1.weight"},
	        {"{\"layer1.0.conv1.weight\": 1}", "layer1.0.conv1.weight"},
	        {"{\"layer1.0.conv1.weight\": 2.5}", "layer1.0.conv1.weight"},
	        {"{\"layer1.0.conv1.weight\": \"4\"}", "layer1.0.conv1.weight"},
	        {"{\"bn1.weight\": 4}", "bn1.weight"},
	        {"{\"nothing\": 4}", "nothing"},
	};
	struct fixture x, before;

	fixture_init(&x);
	fixture_init(&before);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct error e = {{0}};
		assert_int_equal(bits_parse(&x.q, x.model, bad[i][0], &e), -1);
		assert_non_null(strstr(e.text, bad[i][1]));
		assert_memory_equal(x.q.bits, before.q.bits, (size_t)x.q.count * sizeof(int));
	}
	fixture_release(&x);
	fixture_release(&before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(bits_survive_their_text),
	        cmocka_unit_test(weights_that_are_not_named_stay_whole),
	        cmocka_unit_test(bad_bits_are_refused_and_change_nothing),
	};
	return cmocka_run_group_tests_name("bits", tests, NULL, NULL);
}
