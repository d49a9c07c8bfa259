/* Laws of finding data sets and digesting them. */
#include "core/data/source.h"
#include "core/base/file.h"
#include "core/base/text.h"
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char *folder; /* of one test; the cache lies in it too */

static int setup(void **state)
{
	const char *root = getenv("TMPDIR");

	folder = xformat("%s/trawl-source-XXXXXX", root ? root : "/tmp");
	assert_non_null(mkdtemp(folder));
	char *cache = path_join(folder, "cache");
	setenv("XDG_CACHE_HOME", cache, 1);
	setenv("XDG_DATA_HOME", "/data-home", 1);
	free(cache);
	return 0;
}

static int teardown(void **state)
{
	folder_remove(folder, NULL);
	free(folder);
	return 0;
}

static char *put(const char *name, const char *text)
{
	struct error e = {{0}};
	char *path = path_join(folder, name), *slash = NULL;

	slash = strrchr(path, '/');
	*slash = 0;
	assert_int_equal(folder_make(path, &e), 0);
	*slash = '/';
	assert_int_equal(file_write(path, text, strlen(text), &e), 0);
	return path;
}

static void digest_of(const char *path, char digest[SHA256_HEX])
{
	struct error e = {{0}};

	if (source_digest("folder", path, digest, &e) != 0)
		fail_msg("%s", e.text);
}

static void roots_come_from_the_environment(void **state)
{
	setenv("TRAWL_DATA", "/a:/b", 1);
	char *roots = source_roots(), *target = source_fetch_folder();
	assert_string_equal(roots, "/a:/b");
	assert_string_equal(target, "/a");
	free(roots);
	free(target);
	unsetenv("TRAWL_DATA");
	roots = source_roots();
	target = source_fetch_folder();
	assert_string_equal(roots, "../shared/data:/data-home/trawl/data");
	assert_string_equal(target, "/data-home/trawl/data");
	free(roots);
	free(target);
}

static void known_names_are_found_below_the_roots(void **state)
{
	struct error e = {{0}};
	char *small = put("two/cifar10-small.tar.xz", "x");
	char *roots = xformat("%s/one:%s/two", folder, folder);
	char *found = source_find("cifar10", NULL, roots, &e);

	assert_string_equal(found, small);
	free(found);
	free(small);
	char *whole = put("two/cifar-10-binary.tar.gz", "x");
	found = source_find("cifar10", NULL, roots, &e);
	assert_string_equal(found, whole);
	free(found);
	free(whole);
	free(roots);
}

static void missing_data_is_one_line_with_places_and_command(void **state)
{
	struct error e = {{0}};

	assert_null(source_find("cifar10", NULL, "/nowhere:/neither", &e));
	assert_non_null(strstr(e.text, "/nowhere:/neither"));
	assert_non_null(strstr(e.text, "cifar-10-binary.tar.gz"));
	assert_non_null(strstr(e.text, "trawl data fetch cifar10"));
	assert_null(strchr(e.text, '\n'));
	assert_null(source_find("folder", NULL, "/nowhere", &e));
	assert_string_equal(e.text, "data set folder: data.path must say where it is");
	assert_null(source_find("folder", "photos", "/nowhere", &e));
	assert_string_equal(e.text, "data set folder: photos is not there, nor below /nowhere");
}

static void given_path_is_taken_as_it_is_or_below_a_root(void **state)
{
	struct error e = {{0}};
	char *photos = put("photos/a.png", "x");
	char *found = source_find("folder", photos, "", &e);
	char *below = source_find("folder", "photos", folder, &e);

	assert_string_equal(found, photos);
	assert_non_null(strstr(below, "/photos"));
	free(below);
	free(found);
	free(photos);
}

static void built_in_set_lies_nowhere(void **state)
{
	struct error e = {{0}};
	char digest[SHA256_HEX], *found = source_find("shapes", NULL, "", &e);

	assert_string_equal(found, "");
	assert_true(source_is_builtin("shapes") && !source_is_builtin("cifar10"));
	assert_int_equal(source_digest("shapes", found, digest, &e), 0);
	assert_int_equal(source_digest("shapes", NULL, digest, &e), 0);
	assert_string_equal(digest, "builtin:shapes:1");
	free(found);
}

static void archive_digest_is_that_of_its_bytes(void **state)
{
	char digest[SHA256_HEX], *path = put("a.tar", "abc");

	digest_of(path, digest);
	assert_string_equal(digest,
	                    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	free(path);
}

static void folders_of_an_archive_are_found_and_have_digests_of_their_own(void **state)
{
	struct error e = {{0}};
	char whole[SHA256_HEX], one[SHA256_HEX], other[SHA256_HEX], expected[SHA256_HEX];
	char *path = put("sets/a.tar", "abc"), *in = xformat("%s/b/c", path);
	char *found = source_find("idx", "sets/a.tar/b/d", folder, &e);

	digest_of(path, whole);
	digest_of(in, one);
	digest_of(found, other);
	char *line = xformat("%s\tb/c\n", whole);
	sha256_hex(line, strlen(line), expected);
	assert_string_equal(one, expected);
	assert_string_not_equal(one, other);
	assert_null(source_find("idx", "sets/none.tar/b", folder, &e));
	assert_null(source_find("idx", "sets/a.tarb", folder, &e));
	free(line);
	free(found);
	free(in);
	free(path);
}

static void folder_digest_depends_on_names_and_bytes_alone(void **state)
{
	char first[SHA256_HEX], copy[SHA256_HEX], other[SHA256_HEX];
	char *paths[] = {put("one/b/1", "x"), put("one/a", "yy"),   put("two/a", "yy"),
	                 put("two/b/1", "x"), put("three/a", "yy"), put("three/b/2", "x")};
	char *one = path_join(folder, "one"), *two = path_join(folder, "two");
	char *three = path_join(folder, "three");

	digest_of(one, first);
	digest_of(two, copy);
	digest_of(three, other);
	assert_string_equal(first, copy);
	assert_string_not_equal(first, other);
	for (int i = 0; i < 6; i++)
		free(paths[i]);
	free(one);
	free(two);
	free(three);
}

static void folder_digest_is_that_of_its_sorted_lines(void **state)
{
	static const char *const names[] = {"c", "a", "f", "b", "e", "d"};
	char digest[SHA256_HEX], expected[SHA256_HEX], hex[SHA256_HEX];
	struct text lines = {0};

	sha256_hex("x", 1, hex);
	for (int i = 0; i < 6; i++) {
		char *name = xformat("set/%s", names[i]), *path = put(name, "x");
		text_add(&lines, "%c\t1\t%s\n", 'a' + i, hex);
		free(name);
		free(path);
	}
	char *set = path_join(folder, "set");
	digest_of(set, digest);
	sha256_hex(lines.data, lines.length, expected);
	assert_string_equal(digest, expected);
	text_release(&lines);
	free(set);
}

static void set_time(const char *path, time_t seconds)
{
	struct timespec times[2] = {{seconds, 0}, {seconds, 0}};

	assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static void overwrite(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);

	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static void digest_is_remembered_until_the_file_changes(void **state)
{
	char first[SHA256_HEX], again[SHA256_HEX], *path = put("a.tar", "abc");

	set_time(path, 1000);
	digest_of(path, first);
	overwrite(path, "xyz"); /* same inode, size and time: the memory is asked, not the bytes */
	set_time(path, 1000);
	digest_of(path, again);
	assert_string_equal(first, again);
	set_time(path, 1001);
	digest_of(path, again);
	assert_string_not_equal(first, again);
	free(path);
}

static void empty_folders_and_absent_files_are_errors(void **state)
{
	struct error e = {{0}};
	char digest[SHA256_HEX], *empty = path_join(folder, "empty");

	assert_int_equal(source_digest("folder", empty, digest, &e), -1);
	assert_int_equal(folder_make(empty, &e), 0);
	assert_int_equal(source_digest("folder", empty, digest, &e), -1);
	assert_non_null(strstr(e.text, "holds no files"));
	free(empty);
}

#define LAW(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        LAW(roots_come_from_the_environment),
	        LAW(known_names_are_found_below_the_roots),
	        LAW(missing_data_is_one_line_with_places_and_command),
	        LAW(given_path_is_taken_as_it_is_or_below_a_root),
	        LAW(built_in_set_lies_nowhere),
	        LAW(archive_digest_is_that_of_its_bytes),
	        LAW(folders_of_an_archive_are_found_and_have_digests_of_their_own),
	        LAW(folder_digest_depends_on_names_and_bytes_alone),
	        LAW(folder_digest_is_that_of_its_sorted_lines),
	        LAW(digest_is_remembered_until_the_file_changes),
	        LAW(empty_folders_and_absent_files_are_errors),
	};

	return cmocka_run_group_tests_name("source", tests, NULL, NULL);
}
