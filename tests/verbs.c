/* What the verbs of trawl rest on: options, rows, read-only queries, the live view. */
#include "coordinator/options.h"
#include "coordinator/query.h"
#include "coordinator/screen.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const struct option_row rows_of_options[] = {{"--workers", "-w", "N", "how many"},
                                                    {"--plain", NULL, NULL, "no colours"},
                                                    {NULL, NULL, NULL, NULL}};

static int parse(struct options *o, struct error *e, int argc, ...)
{
	char *argv[8];
	va_list list;
	va_start(list, argc);
	for (int i = 0; i < argc; i++)
		argv[i] = va_arg(list, char *);
	va_end(list);
	return options_parse(o, rows_of_options, argc, argv, e);
}

static void options_in_any_order_and_form(void **state)
{
	struct options o;
	struct error e;
	int64_t n;
	assert_int_equal(parse(&o, &e, 4, "a", "--workers=3", "--plain", "b"), 0);
	assert_int_equal(o.words, 2);
	assert_string_equal(o.word[1], "b");
	assert_true(option_given(&o, "--plain"));
	assert_int_equal(option_int(&o, "--workers", 1, 8, 1, &n, &e), 0);
	assert_int_equal(n, 3);
	assert_int_equal(parse(&o, &e, 2, "-w", "4"), 0);
	assert_string_equal(option_text(&o, "--workers", NULL), "4");
	assert_int_equal(parse(&o, &e, 3, "--", "--plain", "-w"), 0);
	assert_int_equal(o.words, 2);
}

static void wrong_options_are_named(void **state)
{
	struct options o;
	struct error e;
	int64_t n;
	assert_int_equal(parse(&o, &e, 1, "--worker"), -1);
	assert_non_null(strstr(e.text, "did you mean --workers?"));
	assert_int_equal(parse(&o, &e, 1, "--workers"), -1);
	assert_non_null(strstr(e.text, "needs a value"));
	assert_int_equal(parse(&o, &e, 1, "--plain=1"), -1);
	assert_int_equal(parse(&o, &e, 2, "-w", "9"), 0);
	assert_int_equal(option_int(&o, "--workers", 1, 8, 1, &n, &e), -1);
	assert_non_null(strstr(e.text, "from 1 to 8"));
	assert_int_equal(parse(&o, &e, 2, "-w", "3x"), 0);
	assert_int_equal(option_int(&o, "--workers", 1, 8, 1, &n, &e), -1);
}

static void sizes_are_powers_of_1024(void **state)
{
	static const struct {
		char *text;
		int64_t bytes; /* -1: refused */
	} sizes[] = {{"512", 512},
	             {"20G", (int64_t)20 << 30},
	             {"1.5t", (int64_t)3 << 39},
	             {"64k", 64 << 10},
	             {"500M", 500 << 20},
	             {"G", -1},
	             {"0", -1},
	             {"-1G", -1},
	             {"3Q", -1},
	             {"3GB", -1},
	             {"0x10", -1},
	             {"nan", -1},
	             {"99999999T", -1},
	             {"", -1}};
	struct options o;
	struct error e;
	int64_t n;

	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		assert_int_equal(parse(&o, &e, 2, "-w", sizes[i].text), 0);
		int status = option_bytes(&o, "--workers", 7, &n, &e);
		assert_int_equal(status, sizes[i].bytes < 0 ? -1 : 0);
		if (!status)
			assert_int_equal(n, sizes[i].bytes);
	}
	assert_int_equal(parse(&o, &e, 0), 0);
	assert_int_equal(option_bytes(&o, "--workers", 7, &n, &e), 0);
	assert_int_equal(n, 7);
}

/* ---- queries ---- */

static char *make_database(void)
{
	char *path = strdup("/tmp/trawl-verbs-XXXXXX");
	sqlite3 *db;
	close(mkstemp(path));
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(
	        sqlite3_exec(db,
	                     "create table t(a integer, b real, c text);"
	                     "insert into t values(1, 0.1, 'x'), (-2, 1e300, 'say \"a,b\"'),"
	                     "(9007199254740993, null, null)",
	                     NULL, NULL, NULL),
	        SQLITE_OK);
	sqlite3_close(db);
	return path;
}

static int ask(const char *sql, struct query_limits limits, struct rows *r, struct error *e)
{
	char *path = make_database();
	sqlite3 *db = query_open(path, e);
	assert_non_null(db);
	int rc = query_run(db, sql, NULL, 0, limits, r, e);
	sqlite3_close(db);
	unlink(path);
	free(path);
	return rc;
}

static void a_query_changes_nothing(void **state)
{
	static const char *const bad[] = {
	        "delete from t",
	        "update t set a = 1",
	        "drop table t",
	        "insert into t(a) values(1)",
	        "attach 'x' as y",
	        "pragma query_only = off",
	        "vacuum",
	        "select 1; delete from t",
	        "create table u(x)",
	        "",
	};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct rows r;
		struct error e = {""};
		if (ask(bad[i], (struct query_limits){0}, &r, &e) != -1)
			fail_msg("this was allowed: %s", bad[i]);
		assert_true(*e.text);
	}
}

static void rows_keep_every_digit(void **state)
{
	struct rows r, back;
	struct error e;
	struct text out = {0};
	assert_int_equal(ask("select * from t", (struct query_limits){0}, &r, &e), 0);
	assert_int_equal(r.count, 3);
	cJSON *json = rows_to_json(&r);
	assert_int_equal(rows_from_json(&back, json, &e), 0);
	cJSON_Delete(json);
	assert_int_equal(rows_int(&back, 2, "a", 0), 9007199254740993);
	rows_format(&back, ROWS_CSV, false, &out);
	assert_string_equal(out.data, "a,b,c\r\n1,0.1,x\r\n-2,1.0e+300,\"say \"\"a,b\"\"\"\r\n"
	                              "9007199254740993,,\r\n");
	text_clear(&out);
	rows_format(&back, ROWS_JSON, false, &out);
	assert_non_null(strstr(out.data, "9007199254740993"));
	assert_non_null(strstr(out.data, "\"say \\\"a,b\\\"\""));
	text_release(&out);
	rows_release(&r);
	rows_release(&back);
}

static void a_table_is_aligned(void **state)
{
	struct rows r;
	struct error e;
	struct text out = {0};
	assert_int_equal(ask("select a, c from t", (struct query_limits){.rows = 2}, &r, &e), 0);
	assert_true(r.cut);
	rows_format(&r, ROWS_TABLE, false, &out);
	assert_string_equal(out.data, " a  c\n 1  x\n-2  say \"a,b\"\n");
	text_release(&out);
	rows_release(&r);
}

static void a_long_query_is_interrupted(void **state)
{
	struct rows r;
	struct error e;
	assert_int_equal(ask("with recursive n(i) as (select 1 union all select i + 1 from n)"
	                     " select count(*) from n",
	                     (struct query_limits){.seconds = 1}, &r, &e),
	                 -1);
	assert_non_null(strstr(e.text, "longer than 1 s"));
}

/* ---- the live view ---- */

static void durations_and_assignments_read_well(void **state)
{
	char s[24];
	struct text t = {0};
	screen_duration(47.2, s);
	assert_string_equal(s, "47 s");
	screen_duration(200, s);
	assert_string_equal(s, "3m20s");
	screen_duration(7500, s);
	assert_string_equal(s, "2h05m");
	screen_assignment("{\"quant.weight_bits\": 4, \"model.name\": \"resnet20\"}", &t);
	assert_string_equal(t.data, "weight_bits=4 name=resnet20");
	text_release(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(options_in_any_order_and_form),
	        cmocka_unit_test(wrong_options_are_named),
	        cmocka_unit_test(sizes_are_powers_of_1024),
	        cmocka_unit_test(a_query_changes_nothing),
	        cmocka_unit_test(rows_keep_every_digit),
	        cmocka_unit_test(a_table_is_aligned),
	        cmocka_unit_test(a_long_query_is_interrupted),
	        cmocka_unit_test(durations_and_assignments_read_well),
	};
	return cmocka_run_group_tests_name("verbs", tests, NULL, NULL);
}
