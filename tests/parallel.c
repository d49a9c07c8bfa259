/* Laws of data parallelism: the number of ranks changes nothing but the time. */
#include "tests/trial_run.h"

#include "core/train/parallel.h"

enum { VALUES = 300007 }; /* more than one piece of an exchange */

/* Values of very different size, so that another order of adding gives other bits. */
static void shard_values(int shard, float *out)
{
	for (int i = 0; i < VALUES; i++) {
		uint64_t key[2] = {(uint64_t)shard, (uint64_t)i};
		uint64_t h = fnv1a(key, sizeof key);
		out[i] = ((float)(h >> 40) - 8388608.0f) * (h & 1 ? 1.0f : 1e-6f);
	}
}

/* The slow, obvious reference: the tree by recursion. */
static void tree_sum(int first, int count, float *out)
{
	if (count == 1) {
		shard_values(first, out);
		return;
	}
	float *right = xmalloc(VALUES * sizeof *right);
	tree_sum(first, count / 2, out);
	tree_sum(first + count / 2, count / 2, right);
	for (int i = 0; i < VALUES; i++)
		out[i] += right[i];
	free(right);
}

/* What `parallel --sum SHARDS FILE` does on every rank: rank r writes FILE.r, its digest of the
 * sum. */
static int sum_program(int shards, const char *file)
{
	struct parallel p;
	struct shard_sum s;
	struct error e = {0};
	char hex[SHA256_HEX];

	if (parallel_begin(&p, 0, &e) || parallel_divide(&p, shards, &e)) {
		fprintf(stderr, "%s\n", e.text);
		return 1;
	}
	shard_sum_init(&s, VALUES);
	for (int round = 0; round < 2; round++) { /* the buffers are used again */
		for (int i = 0; i < p.count; i++) {
			shard_values(p.first_shard + i, shard_sum_next(&s));
			shard_sum_push(&s);
		}
		sha256_hex(shard_sum_total(&s, &p), VALUES * sizeof(float), hex);
	}
	shard_sum_release(&s);
	double figures[8] = {0};
	figures[p.rank] = 0.1 * (p.rank + 1);
	parallel_merge(&p, figures, 8);
	for (int i = 0; i < 8; i++)
		if (figures[i] != (i < p.ranks ? 0.1 * (i + 1) : 0))
			return 2;
	if (parallel_agree(&p, p.rank == p.ranks - 1 ? 7 : p.rank) != 7)
		return 3;
	char *path = xformat("%s.%d", file, p.rank);
	int status = file_write(path, hex, strlen(hex), &e);
	free(path);
	parallel_end();
	return status ? 4 : 0;
}

static void sum_on_ranks(int shards, int ranks, const char *expect)
{
	struct error e = {0};
	char self[PATH_MAX] = {0}, *file = below("sum");

	assert_true(readlink("/proc/self/exe", self, sizeof self - 1) > 0);
	char *line = xformat("mpiexec.mpich -launcher fork -n %d %s --sum %d %s", ranks, self,
	                     shards, file);
	assert_int_equal(system(line), 0);
	for (int r = 0; r < ranks; r++) {
		char *path = xformat("%s.%d", file, r), *hex = file_read(path, NULL, &e);
		assert_non_null(hex);
		if (strcmp(hex, expect))
			fail_msg("rank %d of %d, %d shards: other bits (%s)", r, ranks, shards,
			         line);
		free(hex);
		free(path);
	}
	free(line);
}

static void sum_has_the_bits_of_the_tree_on_any_number_of_ranks(void **state)
{
	float *values = xmalloc(VALUES * sizeof *values);
	char expect[SHA256_HEX];

	for (int shards = 1; shards <= 8; shards *= 2) {
		tree_sum(0, shards, values);
		sha256_hex(values, VALUES * sizeof *values, expect);
		for (int ranks = 1; ranks <= 4 && ranks <= shards; ranks *= 2)
			sum_on_ranks(shards, ranks, expect);
	}
	free(values);
}

static void shards_cover_every_batch_evenly(void **state)
{
	for (int shards = 1; shards <= 16; shards *= 2)
		for (int64_t samples = 0; samples < 100; samples++) {
			int64_t next = 0;
			for (int i = 0; i < shards; i++) {
				int64_t first, count;
				shard_samples(samples, shards, i, &first, &count);
				assert_int_equal(first, next);
				assert_in_range(count, samples / shards, samples / shards + 1);
				next = first + count;
			}
			assert_int_equal(next, samples);
		}
}

static void ranks_must_divide_shards(void **state)
{
	struct parallel p = {.ranks = 4};
	struct error e = {0};

	assert_int_equal(parallel_divide(&p, 6, &e), -1);
	assert_int_equal(parallel_divide(&p, 2, &e), -1);
	assert_non_null(strstr(e.text, "4 ranks do not divide train.shards = 2"));
	assert_int_equal(parallel_divide(&p, 8, &e), 0);
	assert_int_equal(p.count, 2);
}

/* Trains the same trial on 1, 2 and 4 ranks. */
static void assert_ranks_agree(const char *name)
{
	struct trial_run one = {.ranks = 0, .trial = name, .folder = "ranks0"};

	assert_int_equal(trial_wait(&one), 0);
	for (int ranks = 1; ranks <= 4; ranks *= 2) {
		char *folder = xformat("ranks%d", ranks);
		struct trial_run r = {.ranks = ranks, .trial = name, .folder = folder};
		if (trial_wait(&r))
			fail_msg("%d ranks:\n%s", ranks, trial_log());
		assert_same_file("ranks0", folder, "weights.safetensors");
		assert_same_file("ranks0", folder, "quantized.safetensors");
		free(folder);
	}
}

/* 150 images in batches of 32: the last has 22, that is shards of 5 and 6. */
static void ranks_do_not_change_the_weights(void **state)
{
	trial_write("t.json", SMALL_TRIAL("\"weight_bits\": 4, \"granularity\": \"channel\"",
	                                  "\"epochs\": 2, \"shards\": 4, \"nesterov\": true"));
	assert_ranks_agree("t.json");
}

/* 34 images in batches of 32: the last has 2, so two of four shards are empty. */
static void empty_shards_change_nothing_either(void **state)
{
	trial_write("t.json",
	            "{\"data\": {\"name\": \"shapes\", \"limit\": 34, \"test_limit\": 20},"
	            " \"model\": {\"name\": \"resnet20\", \"width\": 4},"
	            " \"quant\": {\"weight_bits\": 3}, \"fisher\": {\"regularizer\": 0.001},"
	            " \"train\": {\"batch\": 32, \"epochs\": 1, \"shards\": 4}}");
	assert_ranks_agree("t.json");
}

static void threads_and_ranks_both_work(void **state)
{
	struct trial_run threads = {.ranks = 1, .trial = "threads.json", .folder = "threads"};
	struct trial_run ranks = {.ranks = 2, .trial = "ranks.json", .folder = "two"};

	trial_write("threads.json",
	            SMALL_TRIAL("", "\"epochs\": 1, \"shards\": 2, \"threads\": 2"));
	trial_write("ranks.json", SMALL_TRIAL("", "\"epochs\": 1, \"shards\": 2, \"threads\": 1"));
	assert_int_equal(trial_wait(&threads), 0);
	assert_outcome("threads", "done", NULL);
	assert_int_equal(trial_wait(&ranks), 0);
	assert_outcome("two", "done", NULL);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(sum_has_the_bits_of_the_tree_on_any_number_of_ranks),
	        cmocka_unit_test(shards_cover_every_batch_evenly),
	        cmocka_unit_test(ranks_must_divide_shards),
	        cmocka_unit_test(ranks_do_not_change_the_weights),
	        cmocka_unit_test(empty_shards_change_nothing_either),
	        cmocka_unit_test(threads_and_ranks_both_work),
	};

	if (argc == 4 && !strcmp(argv[1], "--sum"))
		return sum_program(atoi(argv[2]), argv[3]);
	return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
