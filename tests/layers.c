/* Laws of the drawing of layers: a bar per layer where bits differ, one line where they do not. */
#include "coordinator/layers.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct measured {
	const char *layer, *metric;
	double value;
};

static char *draw(const struct measured *m, int count, struct layers_look look)
{
	struct rows r;
	struct text out = {0};

	rows_init(&r, 3);
	rows_name(&r, 0, "layer");
	rows_name(&r, 1, "metric");
	rows_name(&r, 2, "value");
	for (int i = 0; i < count; i++) {
		struct cell *row = rows_add(&r);
		cell_set_text(&row[0], m[i].layer);
		cell_set_text(&row[1], m[i].metric);
		cell_set_real(&row[2], m[i].value);
	}
	layers_draw(&r, look, &out);
	rows_release(&r);
	return text_take(&out);
}

static const struct measured mixed[] = {
        {"a", "bits", 8},       {"a", "elements", 100},      {"b", "bits", 4},
        {"b", "elements", 200}, {"b", "sensitivity_4", 0.5}, {"b", "sensitivity_8", 0.1},
        {"c", "bits", 32},      {"c", "elements", 50}};
static const struct measured equal[] = {
        {"a", "bits", 4},       {"a", "elements", 100}, {"a", "perturbation", 1}, {"b", "bits", 4},
        {"b", "elements", 200}, {"c", "bits", 32},      {"c", "elements", 50}};
enum { MIXED = sizeof mixed / sizeof *mixed, EQUAL = sizeof equal / sizeof *equal };

static void layers_of_different_bits_have_bars(void **state)
{
	char *out = draw(mixed, MIXED, (struct layers_look){0});

	/* 100, 100 and 200 bytes; no layer's bar is longer than that of the most bits below 32 */
	assert_string_equal(out, "layer  bits                    elements  % bytes  sensitivity\n"
	                         "a         8  ################       100       25             \n"
	                         "b         4  ########               200       25          0.5\n"
	                         "c        32  ################        50       50             \n");
	free(out);
	out = draw(mixed, MIXED, (struct layers_look){.unicode = true});
	assert_non_null(strstr(out, "  ████████         "));
	free(out);
}

static void layers_of_equal_bits_are_one_line(void **state)
{
	char *out = draw(equal, EQUAL, (struct layers_look){0});

	assert_string_equal(out,
	                    "3 layers: 2 at 4 bits, 1 in full precision; --layers lists them\n");
	free(out);
	out = draw(equal, EQUAL, (struct layers_look){.all = true});
	assert_non_null(strstr(out, "b         4  ################"));
	free(out);
}

static void what_was_measured_has_a_column_and_no_bars(void **state)
{
	static const struct measured m[] = {{"a", "bits", 32},
	                                    {"a", "fisher_all", 2.5},
	                                    {"b", "bits", 32},
	                                    {"b", "fisher_all", 1.5}};
	char *out = draw(m, 4, (struct layers_look){0});

	assert_string_equal(out, "layer  bits  fisher_all\na        32         2.5\n"
	                         "b        32         1.5\n");
	free(out);
}

static void terminals_say_whether_they_take_blocks(void **state)
{
	setenv("LC_ALL", "", 1);
	setenv("LC_CTYPE", "de_DE.UTF-8", 1);
	setenv("LANG", "C", 1);
	assert_true(layers_unicode());
	setenv("LC_ALL", "C", 1);
	assert_false(layers_unicode());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(layers_of_different_bits_have_bars),
	        cmocka_unit_test(layers_of_equal_bits_are_one_line),
	        cmocka_unit_test(what_was_measured_has_a_column_and_no_bars),
	        cmocka_unit_test(terminals_say_whether_they_take_blocks),
	};

	cmocka_set_test_filter(getenv("TRAWL_TEST_ONLY"));
	return cmocka_run_group_tests_name("layers", tests, NULL, NULL);
}
