/* Laws of safetensors files: what is written reads back, and no file whatever does harm. */
#include "core/tensor/safetensors.h"
#include "core/base/file.h"
#include "core/base/random.h"
#include "core/base/text.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fixture.h"
#include <cmocka.h>

static char *folder, *path;

static int setup(void **state)
{
	folder = scratch_new();
	path = path_join(folder, "x.safetensors");
	return 0;
}

static int teardown(void **state)
{
	scratch_remove(folder);
	free(path);
	return 0;
}

/* Unlike file_write, does not wait for the disk. */
static void bytes_write(const void *bytes, size_t length)
{
	FILE *f = fopen(path, "wb");

	assert_non_null(f);
	assert_int_equal(fwrite(bytes, 1, length, f), length);
	assert_int_equal(fclose(f), 0);
}

/* A file with this header and so many bytes of values; length 0: the header's own. */
static void file_make(const char *header, uint64_t length, size_t data_bytes)
{
	struct text t = {0};

	if (length == 0)
		length = strlen(header);
	for (int i = 0; i < 8; i++)
		text_add_bytes(&t, &(char){(char)(length >> (8 * i))}, 1);
	text_add(&t, "%s", header);
	for (size_t i = 0; i < data_bytes; i++)
		text_add_bytes(&t, &(char){(char)i}, 1);
	bytes_write(t.data, t.length);
	text_release(&t);
}

static void sample_write(const char *to)
{
	static const double f64[3] = {1.0 / 3, -0.0, 1e300};
	static const int8_t i8[5] = {-127, 0, 1, 7, 127};
	static const int64_t i64[1] = {-(INT64_C(1) << 40)};
	struct safetensors_writer *w = safetensors_writer_new();
	struct tensor *t = tensor_from(F32, SHAPE(2, 2), (float[]){1, -2, 3.5f, 1e-30f});
	struct error e = {{0}};

	safetensors_put(w, "codes", "I8", SHAPE(5), i8);
	safetensors_put_tensor(w, "a \"quoted\"\nname", t);
	safetensors_put(w, "wide", "F64", SHAPE(3), f64);
	safetensors_put(w, "scalar", "I64", SCALAR, i64);
	safetensors_put(w, "empty", "F32", SHAPE(0, 4), NULL);
	safetensors_put_metadata(w, "bits", "{\"conv1\": 4}");
	assert_int_equal(safetensors_write(w, to, &e), 0);
	safetensors_writer_free(w);
	tensor_free(t);
}

static void what_is_written_reads_back_bit_for_bit(void **state)
{
	struct error e = {{0}};
	struct safetensors *f;
	const struct safetensor *s;
	struct tensor *t = tensor_new(F32, SHAPE(4));

	sample_write(path);
	f = safetensors_open(path, &e);
	assert_non_null(f);
	assert_int_equal(safetensors_count(f), 5);
	assert_string_equal(safetensors_metadata(f, "bits"), "{\"conv1\": 4}");
	assert_null(safetensors_metadata(f, "other"));
	assert_null(safetensors_find(f, "nothing"));
	s = safetensors_find(f, "a \"quoted\"\nname");
	assert_true(s && shape_equal(s->shape, SHAPE(2, 2)));
	assert_int_equal(safetensor_read(s, t, &e), 0);
	assert_memory_equal(tensor_plain(t), ((float[]){1, -2, 3.5f, 1e-30f}), 16);
	s = safetensors_find(f, "wide");
	assert_memory_equal(s->data, ((double[]){1.0 / 3, -0.0, 1e300}), 24);
	s = safetensors_find(f, "scalar");
	assert_true(s->shape.n == 0 && safetensor_at(s, 0) == -0x1p40);
	s = safetensors_find(f, "codes");
	assert_true(s->bytes == 5 && safetensor_at(s, 0) == -127);
	assert_int_equal(safetensors_find(f, "empty")->count, 0);
	safetensors_close(f);
	tensor_free(t);
}

static void values_are_aligned_and_bytes_repeat(void **state)
{
	struct error e = {{0}};
	char *second = path_join(folder, "y.safetensors"), *a, *b;
	size_t a_bytes, b_bytes;
	struct safetensors *f;

	sample_write(path);
	sample_write(second);
	f = safetensors_open(path, &e);
	for (int i = 0; i < safetensors_count(f); i++) {
		const struct safetensor *s = safetensors_item(f, i);
		assert_int_equal((uintptr_t)s->data % (s->count ? s->bytes / (size_t)s->count : 1),
		                 0);
	}
	safetensors_close(f);
	a = file_read(path, &a_bytes, &e);
	b = file_read(second, &b_bytes, &e);
	assert_true(a_bytes == b_bytes && memcmp(a, b, a_bytes) == 0);
	assert_int_equal((uint8_t)a[0] % 8, 0);
	free(a);
	free(b);
	free(second);
}

#define ONE(type, shape, range) \
	"{\"a\":{\"dtype\":\"" type "\",\"shape\":" shape ",\"data_offsets\":" range "}}"

/* A header that must be refused, and what the message must say. */
static const struct hostile {
	const char *header;
	uint64_t length; /* that the file claims; 0: the true one */
	size_t data_bytes;
	const char *says;
} hostile[] = {
        {"", 0, 0, "header"},
        {"[]", 0, 0, "not a JSON object"},
        {"{\"a\":", 0, 0, "line"},
        {"{}garbage", 0, 0, "line"},
        {"{}", 1000, 0, "cut short"},
        {"{}", UINT64_MAX, 0, "header of"},
        {"{}", UINT64_C(1) << 40, 0, "header of"},
        {"{}", 0, 4, "behind the last tensor"},
        {"{\"a\":3}", 0, 0, "not an object"},
        {"{\"a\":{\"shape\":[1],\"data_offsets\":[0,4]}}", 0, 4, "no dtype"},
        {"{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 0, 4, "no shape"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", 0, 4, "data_offsets"},
        {ONE("F31", "[1]", "[0,4]"), 0, 4, "F31"},
        {ONE("F32", "[1]", "[0,8]"), 0, 8, "do not fit"},
        {ONE("F32", "[2]", "[0,4]"), 0, 4, "do not fit"},
        {ONE("F32", "[1]", "[0,4]"), 0, 3, "pass the end"},
        {ONE("F32", "[1]", "[4,8]"), 0, 8, "gap"},
        {ONE("F32", "[1]", "[4,0]"), 0, 4, "impossible"},
        {ONE("F32", "[1]", "[-4,0]"), 0, 4, "impossible"},
        {ONE("F32", "[1]", "[0.5,4.5]"), 0, 8, "impossible"},
        {ONE("F32", "[1]", "[0,1e300]"), 0, 4, "impossible"},
        {ONE("F32", "[1]", "[0,4,8]"), 0, 8, "impossible"},
        {ONE("F32", "[-1]", "[0,4]"), 0, 4, "impossible shape"},
        {ONE("F32", "[\"1\"]", "[0,4]"), 0, 4, "impossible shape"},
        {ONE("F32", "[4294967296,4294967296]", "[0,0]"), 0, 0, "impossible shape"},
        {ONE("F64", "[2305843009213693952]", "[0,0]"), 0, 0, "shape"},
        {ONE("F32", "[1,1,1,1,1,1,1]", "[0,4]"), 0, 4, "more than 6"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
         "\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}",
         0, 8, "a"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
         "\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[4,12]}}",
         0, 12, "overlap"},
        {"{\"__metadata__\":{\"a\":1}}", 0, 0, "not text"},
        {"{\"__metadata__\":[]}", 0, 0, "metadata"},
};

static void hostile_headers_get_one_clear_line(void **state)
{
	for (size_t i = 0; i < sizeof(hostile) / sizeof(*hostile); i++) {
		const struct hostile *h = &hostile[i];
		struct error e = {{0}};

		file_make(h->header, h->length, h->data_bytes);
		struct safetensors *f = safetensors_open(path, &e);
		if (f || !strstr(e.text, h->says) || !strstr(e.text, "x.safetensors") ||
		    strchr(e.text, '\n'))
			fail_msg("header %s: %s", h->header, f ? "accepted" : e.text);
	}
}

static void what_is_no_file_is_refused(void **state)
{
	struct error e = {{0}};
	char *none = path_join(folder, "none");

	assert_null(safetensors_open(none, &e));
	assert_non_null(strstr(e.text, "No such file"));
	assert_null(safetensors_open(folder, &e));
	assert_non_null(strstr(e.text, "not a regular file"));
	assert_int_equal(file_write(path, "1234567", 7, &e), 0);
	assert_null(safetensors_open(path, &e));
	free(none);
}

static void a_file_cut_anywhere_is_refused(void **state)
{
	struct error e = {{0}};
	size_t bytes;
	char *whole;

	sample_write(path);
	whole = file_read(path, &bytes, &e);
	for (size_t cut = 0; cut < bytes; cut++) {
		bytes_write(whole, cut);
		assert_null(safetensors_open(path, &e));
	}
	free(whole);
}

/* Reads all that a file claims to hold: a sanitizer or a fault would tell. */
static void read_all(struct safetensors *f)
{
	double sum = 0;

	for (int i = 0; f && i < safetensors_count(f); i++)
		for (int64_t k = 0; k < safetensors_item(f, i)->count; k++)
			sum += safetensor_at(safetensors_item(f, i), k);
	assert_true(sum == sum || isnan(sum));
	safetensors_close(f);
}

static void damaged_headers_never_read_beyond_the_file(void **state)
{
	const int64_t seed = 7;
	struct random_stream r = random_stream(seed, "damage", 0, 0);
	struct error e = {{0}};
	size_t bytes;
	char *whole;

	sample_write(path);
	whole = file_read(path, &bytes, &e);
	for (uint64_t round = 0; round < 1000; round++) {
		char *copy = xmalloc(bytes);

		memcpy(copy, whole, bytes);
		for (uint64_t k = 0; k <= random_below(&r, 8 * round, 3); k++)
			copy[random_below(&r, 8 * round + 1 + k, bytes)] =
			        (char)random_bits(&r, 8 * round + 5 + k);
		bytes_write(copy, bytes);
		read_all(safetensors_open(path, &e));
		free(copy);
	}
	free(whole);
}

static void halves_and_brain_floats_become_their_values(void **state)
{
	static const uint16_t half[] = {0x3c00, 0xc000, 0x7bff, 0x0001, 0x0400, 0x7c00, 0x8000};
	static const double value[] = {1, -2, 65504, 0x1p-24, 0x1p-14, INFINITY, -0.0};
	static const uint16_t brain[] = {0x3f80, 0xc049};
	struct safetensors_writer *w = safetensors_writer_new();
	struct error e = {{0}};
	struct safetensors *f;

	safetensors_put(w, "half", "F16", SHAPE(7), half);
	safetensors_put(w, "brain", "BF16", SHAPE(2), brain);
	assert_int_equal(safetensors_write(w, path, &e), 0);
	safetensors_writer_free(w);
	f = safetensors_open(path, &e);
	for (int i = 0; i < 7; i++)
		assert_true(safetensor_at(safetensors_find(f, "half"), i) == value[i]);
	assert_true(signbit(safetensor_at(safetensors_find(f, "half"), 6)));
	assert_true(safetensor_at(safetensors_find(f, "brain"), 0) == 1);
	assert_true(safetensor_at(safetensors_find(f, "brain"), 1) == -3.140625);
	safetensors_close(f);
}

static void all_types_of_python_files_are_read(void **state)
{
	static const uint8_t e5m2[] = {0x3c, 0xc0, 0x7b, 0x01, 0x7c};
	static const double e5m2_value[] = {1, -2, 57344, 0x1p-16, INFINITY};
	static const uint8_t e4m3[] = {0x38, 0xb8, 0x7e, 0x01, 0x80};
	static const double e4m3_value[] = {1, -1, 448, 0x1p-9, -0.0};
	struct safetensors_writer *w = safetensors_writer_new();
	struct error e = {{0}};

	safetensors_put(w, "e5m2", "F8_E5M2", SHAPE(5), e5m2);
	safetensors_put(w, "e4m3", "F8_E4M3", SHAPE(5), e4m3);
	safetensors_put(w, "bool", "BOOL", SHAPE(2), (uint8_t[]){0, 1});
	safetensors_put(w, "short", "I16", SHAPE(1), (int16_t[]){-32768});
	safetensors_put(w, "word", "U16", SHAPE(1), (uint16_t[]){65535});
	safetensors_put(w, "long", "U32", SHAPE(1), (uint32_t[]){UINT32_MAX});
	safetensors_put(w, "longer", "U64", SHAPE(1), (uint64_t[]){UINT64_C(1) << 63});
	assert_int_equal(safetensors_write(w, path, &e), 0);
	safetensors_writer_free(w);
	struct safetensors *f = safetensors_open(path, &e);
	for (int i = 0; i < 5; i++) {
		assert_true(safetensor_at(safetensors_find(f, "e5m2"), i) == e5m2_value[i]);
		assert_true(safetensor_at(safetensors_find(f, "e4m3"), i) == e4m3_value[i]);
	}
	assert_true(safetensor_at(safetensors_find(f, "bool"), 1) == 1);
	assert_true(safetensor_at(safetensors_find(f, "short"), 0) == -32768);
	assert_true(safetensor_at(safetensors_find(f, "word"), 0) == 65535);
	assert_true(safetensor_at(safetensors_find(f, "long"), 0) == 4294967295.0);
	assert_true(safetensor_at(safetensors_find(f, "longer"), 0) == 0x1p63);
	safetensors_close(f);
}

/* Keys in another order, offsets not in the order of names, spaces up to 8 bytes, a scalar and an
 * empty tensor between others, metadata last. */
static void headers_of_others_are_read(void **state)
{
	static const char header[] =
	        "{\"b\":{\"data_offsets\":[8,16],\"shape\":[2,1],\"dtype\":\"F32\"},"
	        "\"a\":{\"shape\":[],\"dtype\":\"I64\",\"data_offsets\":[0,8]},"
	        "\"none\":{\"dtype\":\"F32\",\"shape\":[3,0],\"data_offsets\":[8,8]},"
	        "\"__metadata__\":{\"format\":\"pt\"}}      ";
	struct error e = {{0}};

	file_make(header, 0, 16);
	struct safetensors *f = safetensors_open(path, &e);
	assert_non_null(f);
	assert_int_equal(safetensors_count(f), 3);
	assert_true(safetensor_at(safetensors_find(f, "a"), 0) == (double)0x0706050403020100);
	assert_true(shape_equal(safetensors_find(f, "b")->shape, SHAPE(2, 1)));
	assert_int_equal(safetensors_find(f, "none")->count, 0);
	assert_string_equal(safetensors_metadata(f, "format"), "pt");
	safetensors_close(f);
}

/* 100,000 brackets; a name that is no UTF-8; one that would end early. */
static void deep_and_odd_json_is_refused(void **state)
{
	static const char *const says[] = {"line", "not UTF-8", "line"};
	char *deep = xmalloc(100002);

	memset(deep, '[', 100001);
	memcpy(deep, "{\"a\":", 5);
	deep[100001] = 0;
	const char *const header[] = {deep, "{\"\xff\":{}}", "{\"a\\u0000b\":{}}"};
	for (int i = 0; i < 3; i++) {
		struct error e = {{0}};
		file_make(header[i], 0, 0);
		assert_null(safetensors_open(path, &e));
		if (!strstr(e.text, says[i]) || strchr(e.text, '\n'))
			fail_msg("%.300s", e.text);
	}
	free(deep);
}

static void integers_that_do_not_fit_are_refused(void **state)
{
	struct safetensors_writer *w = safetensors_writer_new();
	struct tensor *t = tensor_new(I32, SHAPE(2)), *u = tensor_new(U8, SHAPE(2));
	struct error e = {{0}};
	struct safetensors *f;

	safetensors_put(w, "big", "I64", SHAPE(2), (int64_t[]){5, INT64_C(1) << 31});
	safetensors_put(w, "small", "I64", SHAPE(2), (int64_t[]){-7, 255});
	safetensors_put(w, "part", "F32", SHAPE(2), (float[]){1, 1.5f});
	assert_int_equal(safetensors_write(w, path, &e), 0);
	safetensors_writer_free(w);
	f = safetensors_open(path, &e);
	assert_int_equal(safetensor_read(safetensors_find(f, "big"), t, &e), -1);
	assert_non_null(strstr(e.text, "big"));
	assert_int_equal(safetensor_read(safetensors_find(f, "part"), t, &e), -1);
	assert_int_equal(safetensor_read(safetensors_find(f, "small"), t, &e), 0);
	assert_int_equal(tensor_i32(t)[0], -7);
	assert_int_equal(safetensor_read(safetensors_find(f, "small"), u, &e), -1);
	safetensors_close(f);
	tensor_free(t);
	tensor_free(u);
}

static int count_file(void)
{
	char *command = xformat("test $(ls -A %s | wc -l) = 1", folder);
	int same = system(command);

	free(command);
	return same;
}

static void a_failed_write_leaves_nothing_behind(void **state)
{
	struct safetensors_writer *w = safetensors_writer_new();
	char *inside = path_join(path, "below/a/file"), *blocked = path_join(folder, "folder");
	struct error e = {{0}};

	folder_remove(folder, &e);
	folder_make(folder, &e);
	safetensors_put(w, "a", "I8", SHAPE(1), "x");
	assert_int_equal(safetensors_write(w, inside, &e), -1);
	assert_non_null(strstr(e.text, "below/a/file"));
	assert_int_equal(folder_make(blocked, &e), 0);
	assert_int_equal(safetensors_write(w, blocked, &e), -1); /* rename onto a folder */
	assert_int_equal(count_file(), 0);
	safetensors_writer_free(w);
	free(inside);
	free(blocked);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(what_is_written_reads_back_bit_for_bit),
	        cmocka_unit_test(values_are_aligned_and_bytes_repeat),
	        cmocka_unit_test(hostile_headers_get_one_clear_line),
	        cmocka_unit_test(what_is_no_file_is_refused),
	        cmocka_unit_test(a_file_cut_anywhere_is_refused),
	        cmocka_unit_test(damaged_headers_never_read_beyond_the_file),
	        cmocka_unit_test(halves_and_brain_floats_become_their_values),
	        cmocka_unit_test(all_types_of_python_files_are_read),
	        cmocka_unit_test(headers_of_others_are_read),
	        cmocka_unit_test(deep_and_odd_json_is_refused),
	        cmocka_unit_test(integers_that_do_not_fit_are_refused),
	        cmocka_unit_test(a_failed_write_leaves_nothing_behind),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
