/* Laws of core/base: hashes, random streams, JSON, files, text. */
#include "core/base/clock.h"
#include "core/base/file.h"
#include "core/base/hash.h"
#include "core/base/json.h"
#include "core/base/random.h"
#include "core/base/text.h"
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char *test_folder(void)
{
	const char *root = getenv("TMPDIR");
	char *path = xformat("%s/trawl-base-XXXXXX", root ? root : "/tmp");

	assert_non_null(mkdtemp(path));
	return path;
}

static cJSON *parse(const char *text)
{
	struct error e = {{0}};
	cJSON *value = json_parse(text, strlen(text), "test", &e);

	if (!value)
		print_message("%s\n", e.text);
	assert_non_null(value);
	return value;
}

static void philox_gives_the_published_vectors(void **state)
{
	static const uint32_t cases[][10] = {
	        {0, 0, 0, 0, 0, 0, 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8},
	        {~0u, ~0u, ~0u, ~0u, ~0u, ~0u, 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd},
	        {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0, 0xd16cfe09,
	         0x94fdcceb, 0x5001e420, 0x24126ea1},
	};
	uint32_t out[4];

	for (int i = 0; i < 3; i++) {
		philox4x32_10(cases[i], cases[i] + 4, out);
		assert_memory_equal(out, cases[i] + 6, sizeof out);
	}
}

static void streams_differ_in_every_argument(void **state)
{
	struct random_stream streams[] = {
	        random_stream(1, "crop", 2, 3),         random_stream(2, "crop", 2, 3),
	        random_stream(1, "flip", 2, 3),         random_stream(1, "crop", 3, 3),
	        random_stream(1, "crop", 2, 2),         random_stream(1, "crop", 3, 2),
	        random_stream(1, "crop", 1ul << 40, 3), random_stream(-1, "crop", 2, 3),
	};
	int count = sizeof streams / sizeof *streams;
	struct random_stream again = random_stream(1, "crop", 2, 3);

	assert_int_equal(random_bits(streams, 7), random_bits(&again, 7));
	assert_int_not_equal(random_bits(streams, 7), random_bits(streams, 8));
	for (int i = 0; i < count; i++)
		for (int j = 0; j < i; j++)
			assert_int_not_equal(random_bits(streams + i, 0),
			                     random_bits(streams + j, 0));
}

static void random_numbers_have_their_moments(void **state)
{
	enum { COUNT = 100000 };
	struct random_stream s = random_stream(11, "test", 0, 0);
	double uniform = 0, normal = 0, square = 0, fourth = 0;
	int bins[7] = {0};

	for (int i = 0; i < COUNT; i++) {
		double z = random_normal(&s, i), u = random_uniform(&s, i);
		assert_true(u >= 0 && u < 1);
		uniform += u;
		normal += z;
		square += z * z;
		fourth += z * z * z * z;
		bins[random_below(&s, i, 7)]++;
	}
	assert_true(fabs(uniform / COUNT - 0.5) < 0.005);
	assert_true(fabs(normal / COUNT) < 0.015);
	assert_true(fabs(square / COUNT - 1) < 0.02);
	assert_true(fabs(fourth / COUNT - 3) < 0.2);
	for (int i = 0; i < 7; i++)
		assert_true(abs(bins[i] - COUNT / 7) < 600);
}

static void permutation_holds_each_number_once(void **state)
{
	enum { COUNT = 1000 };
	struct random_stream s = random_stream(5, "shuffle", 1, 0),
	                     t = random_stream(5, "shuffle", 2, 0);
	int64_t order[COUNT], other[COUNT];
	bool seen[COUNT] = {0};
	int fixed = 0, same = 0;

	random_permutation(&s, order, COUNT);
	random_permutation(&t, other, COUNT);
	for (int i = 0; i < COUNT; i++) {
		assert_false(seen[order[i]]);
		seen[order[i]] = true;
		fixed += order[i] == i;
		same += order[i] == other[i];
	}
	assert_true(fixed < 10 && same < 10);
}

static void short_permutations_come_equally_often(void **state)
{
	int counts[6] = {0};

	for (int64_t seed = 0; seed < 6000; seed++) {
		struct random_stream s = random_stream(seed, "shuffle", 0, 0);
		int64_t order[3];
		random_permutation(&s, order, 3);
		counts[2 * order[0] + (order[1] > order[2])]++;
	}
	for (int i = 0; i < 6; i++)
		assert_in_range(counts[i], 880, 1120);
}

static void hashes_give_published_values(void **state)
{
	char hex[SHA256_HEX], md5[MD5_HEX];
	struct hash *h = hash_new("md5");

	sha256_hex("abc", 3, hex);
	assert_string_equal(hex,
	                    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	hash_add(h, "a", 1);
	hash_add(h, "bc", 2);
	hash_end(h, md5);
	assert_string_equal(md5, "900150983cd24fb0d6963f7d28e17f72");
	assert_true(fnv1a("", 0) == 0xcbf29ce484222325u);
	assert_true(fnv1a("a", 1) == 0xaf63dc4c8601ec8cu);
	assert_true(fnv1a("foobar", 6) == 0x85944171f73967e8u);
}

static void canonical_form_ignores_order_and_spelling(void **state)
{
	static const char *const same[] = {
	        "{\"a\":1,\"b\":{\"c\":[1,2.5],\"d\":null},\"e\":\"x\\ny\"}",
	        " { \"b\" : {\"d\":null, \"c\":[1.0, 25e-1]}, \"e\":\"x\\u000ay\", \"a\":1e0 } ",
	};

	for (int i = 0; i < 2; i++) {
		cJSON *value = parse(same[i]);
		char *text = json_canonical(value);
		assert_string_equal(text, same[0]);
		free(text);
		cJSON_Delete(value);
	}
}

static void numbers_come_back_with_the_same_bits(void **state)
{
	static const double numbers[] = {0.1,       1.0 / 3, 5e-324,        1.7976931348623157e308,
	                                 0.1 + 0.2, -2.5e-7, 1e15,          9007199254740991.0,
	                                 1e22,      -1,      123456789.125, 0x1p60};
	static const char *const texts[] = {"0.1", "0.3333333333333333", "5e-324",
	                                    "1.7976931348623157e+308"};

	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
		cJSON *value = cJSON_CreateNumber(numbers[i]);
		char *text = json_print(value, false);
		assert_true(strtod(text, NULL) == numbers[i]);
		if (i < 4)
			assert_string_equal(text, texts[i]);
		free(text);
		cJSON_Delete(value);
	}
	cJSON *large = cJSON_CreateNumber(4503599627370497.0);
	char *text = json_canonical(large);
	assert_string_equal(text, "4503599627370497");
	free(text);
	cJSON_Delete(large);
}

static void parser_refuses_what_is_not_strict_json(void **state)
{
	static const char *const bad[][2] = {
	        {"{\"a\":1,\"a\":2}", "twice"},
	        {"{\"b\":[{\"a\":1,\"c\":0,\"a\":2}]}", "twice"},
	        {"{} x", "column 4: something follows"},
	        {"{\"a\":\n  nan}", "line 2, column 3"},
	        {"[1e999]", "too large"},
	        {"\"\xff\"", "not UTF-8"},
	        {"\"\xc0\x80\"", "not UTF-8"},
	        {"\"\xed\xa0\x80\"", "not UTF-8"},
	        {"\"a\\u0000b\"", "\\u0000"},
	        {"{\"a\":", "ends too early"},
	        {"", "ends too early"},
	        {"garbage", "not JSON"},
	};

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct error e = {{0}};
		assert_null(json_parse(bad[i][0], strlen(bad[i][0]), "test", &e));
		if (!strstr(e.text, bad[i][1]))
			fail_msg("%s gives: %s", bad[i][0], e.text);
	}
	cJSON_Delete(parse("\"\\\\u0000 \xe2\x82\xac\""));
}

static void parser_refuses_nesting_beyond_64(void **state)
{
	for (int depth = 64; depth <= 65; depth++) {
		struct error e = {{0}};
		struct text t = {0};
		for (int i = 0; i < depth; i++)
			text_add(&t, "[");
		for (int i = 0; i < depth; i++)
			text_add(&t, "]");
		cJSON *value = json_parse(t.data, t.length, "test", &e);
		assert_true((value != NULL) == (depth == 64));
		cJSON_Delete(value);
		text_release(&t);
	}
}

/* The examples of RFC 7386, appendix A. */
static void merge_patch_follows_the_rfc(void **state)
{
	static const char *const cases[][3] = {
	        {"{\"a\":\"b\"}", "{\"a\":\"c\"}", "{\"a\":\"c\"}"},
	        {"{\"a\":\"b\"}", "{\"b\":\"c\"}", "{\"a\":\"b\",\"b\":\"c\"}"},
	        {"{\"a\":\"b\"}", "{\"a\":null}", "{}"},
	        {"{\"a\":\"b\",\"b\":\"c\"}", "{\"a\":null}", "{\"b\":\"c\"}"},
	        {"{\"a\":[\"b\"]}", "{\"a\":\"c\"}", "{\"a\":\"c\"}"},
	        {"{\"a\":{\"b\":\"c\"}}", "{\"a\":{\"b\":\"d\",\"c\":null}}",
	         "{\"a\":{\"b\":\"d\"}}"},
	        {"{\"a\":[{\"b\":\"c\"}]}", "{\"a\":[1]}", "{\"a\":[1]}"},
	        {"[1,2]", "{\"a\":\"b\",\"c\":null}", "{\"a\":\"b\"}"},
	        {"{}", "{\"a\":{\"bb\":{\"ccc\":null}}}", "{\"a\":{\"bb\":{}}}"},
	        {"{\"e\":null}", "{\"a\":1}", "{\"a\":1,\"e\":null}"},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		cJSON *patch = parse(cases[i][1]);
		cJSON *value = json_merge_patch(parse(cases[i][0]), patch);
		char *text = json_canonical(value);
		assert_string_equal(text, cases[i][2]);
		free(text);
		cJSON_Delete(value);
		cJSON_Delete(patch);
	}
}

static void dotted_paths_make_and_remove_members(void **state)
{
	cJSON *value = cJSON_CreateObject();

	json_put(value, "a.b.c", cJSON_CreateNumber(1));
	json_put(value, "a.b.c", cJSON_CreateNumber(2));
	json_put(value, "a.d", cJSON_CreateTrue());
	json_put(value, "x.y", NULL);
	assert_true(json_at(value, "a.b.c")->valuedouble == 2);
	assert_null(json_at(value, "a.b.c.d"));
	assert_null(json_at(value, "x"));
	json_put(value, "a.b", NULL);
	char *text = json_canonical(value);
	assert_string_equal(text, "{\"a\":{\"d\":true}}");
	free(text);
	cJSON_Delete(value);
}

static void typed_reads_fall_back(void **state)
{
	cJSON *value = parse("{\"i\":3,\"r\":0.5,\"s\":\"x\",\"b\":true,\"large\":1e300}");

	assert_int_equal(json_int(value, "i", 9), 3);
	assert_int_equal(json_int(value, "r", 9), 9);
	assert_int_equal(json_int(value, "large", 9), 9);
	assert_int_equal(json_int(NULL, "i", 9), 9);
	assert_true(json_real(value, "r", 9) == 0.5);
	assert_true(json_bool(value, "b", false));
	assert_string_equal(json_text(value, "s", "y"), "x");
	assert_string_equal(json_text(value, "i", "y"), "y");
	cJSON_Delete(value);
}

static void nearest_name_finds_slips_and_nothing_else(void **state)
{
	static const char *const known[] = {"weight_bits", "granularity", "regularizer", "lr"};

	assert_string_equal(nearest_name("weight_bit", known, 4), "weight_bits");
	assert_string_equal(nearest_name("wieght_bits", known, 4), "weight_bits");
	assert_string_equal(nearest_name("regulariser", known, 4), "regularizer");
	assert_string_equal(nearest_name("rl", known, 4), "lr");
	assert_null(nearest_name("momentum", known, 4));
	assert_null(nearest_name("x", known, 4));
	assert_null(nearest_name("", known, 4));
}

static void file_write_replaces_whole_or_not_at_all(void **state)
{
	struct error e = {{0}};
	char *folder = test_folder(), *path = path_join(folder, "a"),
	     *deep = path_join(folder, "b/c/d");
	size_t length = 0;

	assert_int_equal(file_write(path, "one", 3, &e), 0);
	assert_int_equal(file_write(path, "second", 6, &e), 0);
	char *text = file_read(path, &length, &e);
	assert_string_equal(text, "second");
	assert_int_equal(length, 6);
	assert_int_equal(file_bytes(path), 6);
	assert_int_equal(folder_make(deep, &e), 0);
	assert_int_equal(folder_make(deep, &e), 0);
	assert_int_equal(file_write(deep, "x", 1, &e), -1); /* a folder is in the way */
	assert_int_equal(folder_make(path, &e), -1);
	assert_int_equal(folder_remove(folder, &e), 0);
	assert_int_equal(folder_remove(folder, &e), 0);
	assert_false(file_exists(folder));
	free(text);
	free(deep);
	free(path);
	free(folder);
}

static void failed_write_leaves_no_temporary_file(void **state)
{
	struct error e = {{0}};
	char *folder = test_folder(), *path = path_join(folder, "a");

	assert_int_equal(folder_make(path, &e), 0);
	assert_int_equal(file_write(path, "x", 1, &e), -1);
	assert_non_null(strstr(e.text, "renamed"));
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(rmdir(folder), 0); /* fails when anything is left */
	free(path);
	free(folder);
}

static void json_files_come_back(void **state)
{
	struct error e = {{0}};
	char *folder = test_folder(), *path = path_join(folder, "a.json");
	cJSON *value = parse("{\"z\":[],\"a\":{\"b\":[1,[2]],\"c\":{}}}");

	assert_int_equal(json_write(path, value, &e), 0);
	cJSON *again = json_read(path, &e);
	assert_true(cJSON_Compare(value, again, true));
	char *sha = xcalloc(1, SHA256_HEX);
	assert_int_equal(sha256_file(path, sha, &e), 0);
	assert_int_equal(file_write(path, "{\n", 2, &e), 0);
	assert_null(json_read(path, &e));
	assert_non_null(strstr(e.text, "a.json: line "));
	folder_remove(folder, &e);
	assert_int_equal(sha256_file(path, sha, &e), -1);
	free(sha);
	cJSON_Delete(value);
	cJSON_Delete(again);
	free(path);
	free(folder);
}

static void errors_gather_context(void **state)
{
	struct error e = {{0}};

	errno = ENOENT;
	assert_int_equal(error_errno(&e, "%s", "a"), -1);
	assert_string_equal(e.text, "a: No such file or directory");
	error_prefix(&e, "reading %d", 3);
	assert_string_equal(e.text, "reading 3: a: No such file or directory");
	error_append(&e, "more");
	assert_string_equal(e.text, "reading 3: a: No such file or directory\nmore");
	error_set(NULL, "nothing");
	for (int i = 0; i < 500; i++)
		error_append(&e, "0123456789");
	assert_true(strlen(e.text) < sizeof e.text);
}

static void texts_grow(void **state)
{
	struct text t = {0};

	for (int i = 0; i < 1000; i++)
		text_add(&t, "%d,", i % 10);
	assert_int_equal(t.length, 2000);
	text_clear(&t);
	assert_string_equal(t.data, "");
	char *taken = text_take(&t), *empty = text_take(&t);
	assert_string_equal(empty, "");
	free(taken);
	free(empty);
	char *joined = path_join("a/", "b"), *absolute = path_join("a", "/b");
	assert_string_equal(joined, "a/b");
	assert_string_equal(absolute, "/b");
	free(joined);
	free(absolute);
}

static void clocks_advance_and_disks_have_room(void **state)
{
	double before = clock_seconds();

	assert_true(clock_seconds() >= before);
	assert_true(clock_wall_ms() > 1700000000000);
	assert_true(clock_monotonic_ms() > 0);
	assert_true(disk_free_bytes("/tmp") > 0);
	assert_null(file_network_type("/proc/self/status"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(philox_gives_the_published_vectors),
	        cmocka_unit_test(streams_differ_in_every_argument),
	        cmocka_unit_test(random_numbers_have_their_moments),
	        cmocka_unit_test(permutation_holds_each_number_once),
	        cmocka_unit_test(short_permutations_come_equally_often),
	        cmocka_unit_test(hashes_give_published_values),
	        cmocka_unit_test(canonical_form_ignores_order_and_spelling),
	        cmocka_unit_test(numbers_come_back_with_the_same_bits),
	        cmocka_unit_test(parser_refuses_what_is_not_strict_json),
	        cmocka_unit_test(parser_refuses_nesting_beyond_64),
	        cmocka_unit_test(merge_patch_follows_the_rfc),
	        cmocka_unit_test(dotted_paths_make_and_remove_members),
	        cmocka_unit_test(typed_reads_fall_back),
	        cmocka_unit_test(nearest_name_finds_slips_and_nothing_else),
	        cmocka_unit_test(file_write_replaces_whole_or_not_at_all),
	        cmocka_unit_test(failed_write_leaves_no_temporary_file),
	        cmocka_unit_test(json_files_come_back),
	        cmocka_unit_test(errors_gather_context),
	        cmocka_unit_test(texts_grow),
	        cmocka_unit_test(clocks_advance_and_disks_have_room),
	};

	return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}
