/* Laws of cores: each rank has its own, nobody takes what another has, and the kernel sees it so.
 */
#include "tests/trial_run.h"

#include "core/base/cores.h"
#include <dirent.h>
#include <time.h>

enum { EIGHT = 8, WAIT_S = 60 };

static const int eight[EIGHT] = {0, 2, 4, 6, 1, 3, 5, 7}; /* two nodes of four */

/* A node of which `self` (bits) is taken. */
static bool take_bit(void *self, int core)
{
	unsigned *taken = self;

	if (*taken >> core & 1)
		return false;
	*taken |= 1U << core;
	return true;
}

static void ranks_have_cores_of_their_own_side_by_side(void **state)
{
	unsigned taken = 0;
	int out[4];

	for (int rank = 0; rank < 4; rank++) {
		assert_int_equal(cores_choose(eight, EIGHT, rank, 4, 2, take_bit, &taken, out), 0);
		assert_int_equal(out[0], eight[2 * rank]);
		assert_int_equal(out[1], eight[2 * rank + 1]);
	}
	assert_int_equal(taken, 0xff);
}

static void cores_of_others_are_gone_round(void **state)
{
	unsigned taken = 1U << 0 | 1U << 4; /* another trial has them */
	int out[3];

	assert_int_equal(cores_choose(eight, EIGHT, 0, 2, 3, take_bit, &taken, out), 0);
	assert_true(out[0] == 2 && out[1] == 6 && out[2] == 1);
	assert_int_equal(cores_choose(eight, EIGHT, 1, 2, 3, take_bit, &taken, out), 0);
	assert_true(out[0] == 3 && out[1] == 5 && out[2] == 7);
	assert_int_equal(cores_choose(eight, EIGHT, 0, 1, 1, take_bit, &taken, out), -1);
}

static void more_threads_than_cores_have_none(void **state)
{
	unsigned taken = 0;
	int out[9];

	assert_int_equal(cores_choose(eight, EIGHT, 0, 3, 3, take_bit, &taken, out), -1);
	assert_int_equal(cores_choose(eight, EIGHT, 0, 1, 9, take_bit, &taken, out), -1);
	assert_int_equal(cores_choose(eight, 0, 0, 1, 1, take_bit, &taken, out), -1);
	assert_int_equal(taken, 0);
}

/* The affinity of the processes that run in our scratch folder, told apart from MPI's launcher by
 * their name: a bit per core; how many are bound to one core alone. */
static int bound_to_one(unsigned long long *cores)
{
	DIR *all = opendir("/proc");
	struct dirent *d;
	int count = 0;

	*cores = 0;
	while (all && (d = readdir(all))) {
		struct error e = {0};
		size_t bytes;
		int core, more = 0;
		char *name = xformat("/proc/%s/cmdline", d->d_name), *line;
		char *words = atoi(d->d_name) ? file_read(name, &bytes, &e) : NULL;
		free(name);
		bool ours = words && strstr(words, "trawl-trial") &&
		            memmem(words, bytes, scratch, strlen(scratch));
		free(words);
		if (!ours)
			continue;
		name = xformat("/proc/%s/status", d->d_name);
		char *status = file_read(name, NULL, &e);
		free(name);
		line = status ? strstr(status, "Cpus_allowed_list:") : NULL;
		if (line && sscanf(line, "Cpus_allowed_list: %d%*[,-]%d", &core, &more) == 1) {
			*cores |= 1ULL << core % 64;
			count++;
		}
		free(status);
	}
	closedir(all);
	return count;
}

/* Whether this machine has two cores that no other trial has now. */
static bool two_are_free(void)
{
	bool free = cores_take(0, 1, 2) == 0;

	cores_leave();
	return free;
}

static bool ranks_get_bound(const char *pin, int patience_s)
{
	struct trial_run r = {
	        .ranks = 2, .trial = "t.json", .folder = "out", .more = {"--pin", pin}};
	time_t end = time(NULL) + patience_s;
	unsigned long long cores = 0;
	int status, count = 0;
	pid_t pid = trial_start(&r);

	while (count < 2 && time(NULL) < end && waitpid(pid, &status, WNOHANG) == 0) {
		usleep(20000);
		count = bound_to_one(&cores);
	}
	kill(pid, SIGTERM);
	waitpid(pid, &status, 0);
	return count == 2 && __builtin_popcountll(cores) == 2;
}

static void ranks_are_bound_unless_told_otherwise(void **state)
{
	struct error e = {0};
	const char *trial = "{\"data\": {\"name\": \"shapes\", \"limit\": 512, \"test_limit\": 1},"
	                    "\"model\": {\"name\": \"resnet20\"}, \"train\": {\"shards\": 2, "
	                    "\"epochs\": 1000}}";

	assert_int_equal(file_write(below("t.json"), trial, strlen(trial), &e), 0);
	if (!two_are_free())
		skip();
	bool bound = ranks_get_bound("auto", WAIT_S);
	if (!bound && !two_are_free()) /* somebody else was quicker */
		skip();
	assert_true(bound);
	assert_false(ranks_get_bound("none", 5));
}

int main(void)
{
	const struct CMUnitTest laws[] = {
	        cmocka_unit_test(ranks_have_cores_of_their_own_side_by_side),
	        cmocka_unit_test(cores_of_others_are_gone_round),
	        cmocka_unit_test(more_threads_than_cores_have_none),
	        cmocka_unit_test(ranks_are_bound_unless_told_otherwise),
	};

	cmocka_set_test_filter(getenv("TRAWL_TEST_ONLY"));
	return cmocka_run_group_tests_name("cores", laws, scratch_make, scratch_remove);
}
