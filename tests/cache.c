/* Laws of the cache: built once, whole or not at all, and never believed when damaged. */
#include "core/data/cache.h"
#include "tests/fixture.h"
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#define STAMP_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define STAMP_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
enum { IMAGES = 100, IMAGE_BYTES = 3 * 8 * 8, CLASSES = 4 };

/* Counts its calls in memory that forked processes share. */
struct filler {
	int *calls;
	int value, delay_ms, fails;
	int64_t count;
};

static int fill(void *context, struct cache_draft *d, struct error *e)
{
	static const char *const name[CLASSES] = {"a", "", "a longer name", "d"};
	struct filler *f = context;
	struct cache_shape shape = {f->count ? f->count : IMAGES, 3, 8, 8, CLASSES};

	struct stat reserved;

	__atomic_fetch_add(f->calls, 1, __ATOMIC_SEQ_CST);
	if (cache_draft_begin(d, &shape, name, e) != 0)
		return -1;
	/* Disk space is there before it is used: writing to a map of a full disk would be a signal.
	 */
	assert_int_equal(stat(d->temporary, &reserved), 0);
	assert_true((size_t)reserved.st_blocks * 512 >= d->bytes);
	usleep((useconds_t)f->delay_ms * 1000);
	for (int64_t i = 0; i < shape.count; i++) {
		d->label[i] = (int32_t)(i % CLASSES);
		memset(d->pixels + i * IMAGE_BYTES, f->value + (int)i, IMAGE_BYTES);
	}
	return f->fails ? error_set(e, "as asked") : 0;
}

struct bench {
	char *folder, *path;
	struct filler filler;
};

static struct bench bench_new(void)
{
	struct bench b = {.folder = scratch_new()};

	b.path = xformat("%s/x.images", b.folder);
	b.filler.calls =
	        mmap(NULL, sizeof(int), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(b.filler.calls, MAP_FAILED);
	return b;
}

static void bench_remove(struct bench *b)
{
	munmap(b->filler.calls, sizeof(int));
	scratch_remove(b->folder);
	free(b->path);
}

/* Opens, checks all that is in it, closes; returns how often it was built so far. */
static int open_good(struct bench *b, const char *stamp)
{
	struct error e = {{0}};
	struct dataset d = {0};

	if (cache_open(b->path, stamp, fill, &b->filler, &d, &e) != 0)
		fail_msg("%s", e.text);
	assert_int_equal(d.count, IMAGES);
	assert_int_equal(d.channels, 3);
	assert_int_equal(d.height, 8);
	assert_int_equal(d.width, 8);
	assert_int_equal(d.classes, CLASSES);
	assert_string_equal(d.class_name[1], "");
	assert_string_equal(d.class_name[3], "d");
	for (int i = 0; i < IMAGES; i++) {
		assert_int_equal(d.label[i], i % CLASSES);
		for (int k = 0; k < IMAGE_BYTES; k++)
			assert_int_equal(d.pixels[i * IMAGE_BYTES + k], b->filler.value + i);
	}
	cache_close(&d);
	return *b->filler.calls;
}

static void is_built_once(void **state)
{
	struct bench b = bench_new();

	for (int i = 0; i < 3; i++)
		assert_int_equal(open_good(&b, STAMP_A), 1);
	bench_remove(&b);
}

static void another_stamp_builds_again(void **state)
{
	struct bench b = bench_new();

	open_good(&b, STAMP_A);
	b.filler.value = 50;
	assert_int_equal(open_good(&b, STAMP_B), 2);
	assert_int_equal(open_good(&b, STAMP_B), 2);
	bench_remove(&b);
}

static void flip_bit(const char *path, off_t at)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	uint8_t byte;

	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &byte, 1, at), 1);
	byte ^= 16;
	assert_int_equal(pwrite(fd, &byte, 1, at), 1);
	close(fd);
}

/* Any byte: of header, names, labels, pixels.  Padding counts too. */
static void flipped_bit_is_found_and_built_again(void **state)
{
	struct bench b = bench_new();
	int builds = open_good(&b, STAMP_A);
	int64_t bytes = file_bytes(b.path);

	for (int64_t at = 0; at < bytes; at += at < 256 ? 7 : 1009) {
		usleep(5000); /* longer than the file system's clock ticks */
		flip_bit(b.path, at);
		if (open_good(&b, STAMP_A) == builds)
			fail_msg("a flipped bit in byte %lld was not found", (long long)at);
		builds = *b.filler.calls;
	}
	bench_remove(&b);
}

static void cut_file_is_found_and_built_again(void **state)
{
	struct bench b = bench_new();
	int builds = open_good(&b, STAMP_A);
	off_t bytes = (off_t)file_bytes(b.path), length[] = {0, 1, 100, 4095, 4096, bytes - 1};

	for (size_t i = 0; i < sizeof length / sizeof *length; i++) {
		assert_int_equal(truncate(b.path, length[i]), 0);
		assert_int_equal(open_good(&b, STAMP_A), ++builds);
	}
	assert_int_equal(truncate(b.path, bytes + 1), 0);
	assert_int_equal(open_good(&b, STAMP_A), ++builds);
	bench_remove(&b);
}

static void failed_build_leaves_nothing(void **state)
{
	struct bench b = bench_new();
	struct dataset d = {0};
	struct error e;
	char *temporary = xformat("%s.tmp", b.path);

	b.filler.fails = 1;
	assert_int_equal(cache_open(b.path, STAMP_A, fill, &b.filler, &d, &e), -1);
	assert_string_equal(e.text, "as asked");
	assert_false(file_exists(b.path));
	assert_false(file_exists(temporary));
	b.filler.fails = 0;
	assert_int_equal(open_good(&b, STAMP_A), 2);
	free(temporary);
	bench_remove(&b);
}

static void failed_rebuild_keeps_the_error_and_is_tried_again(void **state)
{
	struct bench b = bench_new();
	struct dataset d = {0};
	struct error e;

	open_good(&b, STAMP_A);
	b.filler.fails = 1;
	assert_int_equal(cache_open(b.path, STAMP_B, fill, &b.filler, &d, &e), -1);
	b.filler.fails = 0;
	assert_int_equal(open_good(&b, STAMP_A), 2); /* the old file still stands */
	bench_remove(&b);
}

/* What a killed builder left is neither used nor in the way. */
static void leftover_of_a_killed_builder_is_replaced(void **state)
{
	struct bench b = bench_new();

	b.filler.delay_ms = 10000;
	pid_t child = fork();
	if (child == 0) {
		open_good(&b, STAMP_A);
		_exit(0);
	}
	while (__atomic_load_n(b.filler.calls, __ATOMIC_SEQ_CST) == 0)
		usleep(1000);
	usleep(20000);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	b.filler.delay_ms = 0;
	assert_false(file_exists(b.path));
	assert_int_equal(open_good(&b, STAMP_A), 2);
	bench_remove(&b);
}

static void concurrent_builders_build_once(void **state)
{
	struct bench b = bench_new();
	enum { BUILDERS = 4 };
	int status;

	b.filler.delay_ms = 50;
	for (int i = 0; i < BUILDERS; i++)
		if (fork() == 0)
			_exit(open_good(&b, STAMP_A) == 1 ? 0 : 1);
	for (int i = 0; i < BUILDERS; i++) {
		assert_true(wait(&status) > 0);
		assert_int_equal(status, 0);
	}
	assert_int_equal(*b.filler.calls, 1);
	bench_remove(&b);
}

/* A limit on file size stands for a full disk: both are found when the space is reserved. */
static void full_disk_is_an_error_and_leaves_nothing(void **state)
{
	struct bench b = bench_new();
	struct rlimit old, limit;
	struct dataset d = {0};
	struct error e;

	b.filler.count = 1000000;
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	limit = (struct rlimit){1 << 20, old.rlim_max};
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	assert_int_equal(cache_open(b.path, STAMP_A, fill, &b.filler, &d, &e), -1);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_non_null(strstr(e.text, "no room for"));
	assert_non_null(strstr(e.text, strerror(EFBIG)));
	b.filler.count = 0;
	assert_int_equal(open_good(&b, STAMP_A), 2);
	bench_remove(&b);
}

static void open_file_stays_whole_while_it_is_replaced(void **state)
{
	struct bench b = bench_new();
	struct dataset d = {0};
	struct error e;

	assert_int_equal(cache_open(b.path, STAMP_A, fill, &b.filler, &d, &e), 0);
	b.filler.value = 7;
	open_good(&b, STAMP_B);
	assert_int_equal(d.pixels[0], 0);
	assert_int_equal(d.pixels[99 * IMAGE_BYTES], 99);
	cache_close(&d);
	bench_remove(&b);
}

/* The checksum is not computed again as long as the file is the one that was checked. */
static void good_checksum_is_remembered(void **state)
{
	struct bench b = bench_new();
	char *verified = xformat("%s.verified", b.path);
	struct stat before;
	struct timespec when[2];

	open_good(&b, STAMP_A);
	assert_true(file_exists(verified));
	assert_int_equal(stat(b.path, &before), 0);
	when[0] = before.st_atim;
	when[1] = before.st_mtim;
	flip_bit(b.path, before.st_size - 1);
	assert_int_equal(utimensat(AT_FDCWD, b.path, when, 0), 0); /* as if nothing had happened */
	struct dataset d = {0};
	struct error e;
	assert_int_equal(cache_open(b.path, STAMP_A, fill, &b.filler, &d, &e), 0);
	assert_int_equal(*b.filler.calls, 1);
	cache_close(&d);
	assert_int_equal(unlink(verified), 0); /* forgotten: now it is found */
	assert_int_equal(open_good(&b, STAMP_A), 2);
	free(verified);
	bench_remove(&b);
}

static void folder_comes_from_request_then_environment(void **state)
{
	char *scratch = scratch_new();
	struct error e = {{0}};

	setenv("XDG_CACHE_HOME", scratch, 1);
	char *folder = cache_folder(NULL, &e), *want = xformat("%s/trawl/data", scratch);
	assert_string_equal(folder, want);
	assert_true(file_exists(folder));
	free(folder);
	free(want);
	unsetenv("XDG_CACHE_HOME");
	setenv("HOME", scratch, 1);
	folder = cache_folder(NULL, &e);
	want = xformat("%s/.cache/trawl/data", scratch);
	assert_string_equal(folder, want);
	free(folder);
	free(want);
	put_file(scratch, "file", "", 0);
	want = xformat("%s/file/below", scratch);
	assert_null(cache_folder(want, &e));
	assert_non_null(strstr(e.text, "file/below"));
	free(want);
	scratch_remove(scratch);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(is_built_once),
	        cmocka_unit_test(another_stamp_builds_again),
	        cmocka_unit_test(flipped_bit_is_found_and_built_again),
	        cmocka_unit_test(cut_file_is_found_and_built_again),
	        cmocka_unit_test(failed_build_leaves_nothing),
	        cmocka_unit_test(failed_rebuild_keeps_the_error_and_is_tried_again),
	        cmocka_unit_test(leftover_of_a_killed_builder_is_replaced),
	        cmocka_unit_test(concurrent_builders_build_once),
	        cmocka_unit_test(full_disk_is_an_error_and_leaves_nothing),
	        cmocka_unit_test(open_file_stays_whole_while_it_is_replaced),
	        cmocka_unit_test(good_checksum_is_remembered),
	        cmocka_unit_test(folder_comes_from_request_then_environment),
	};

	return cmocka_run_group_tests_name("cache", tests, NULL, NULL);
}
