/* Laws of checkpoints: an interrupted training ends with the bits of one that was left alone. */
#include "tests/trial_run.h"

#include <math.h>
#include <time.h>

enum { STEPS_PER_EPOCH = 5 }; /* 150 images in batches of 32 */
#define TRIAL \
	SMALL_TRIAL("\"weight_bits\": 4", "\"epochs\": 2, \"shards\": 2, \"warmup_epochs\": 1")

/* The undisturbed run that everything is compared with. */
static int make_reference(void **state)
{
	struct trial_run r = {.ranks = 0, .trial = "t.json", .folder = "reference"};

	if (scratch_make(state))
		return -1;
	trial_write("t.json", TRIAL);
	return trial_wait(&r);
}

/* Metrics and results that do not measure time or memory. */
static bool is_computed(const char *name)
{
	return strcmp(name, "seconds") && strcmp(name, "images_per_second") &&
	       strcmp(name, "input_wait_seconds") && strcmp(name, "peak_memory_bytes");
}

static void assert_same_rows(const cJSON *a, const cJSON *b)
{
	assert_int_equal(cJSON_GetArraySize(a), cJSON_GetArraySize(b));
	for (int i = 0; i < cJSON_GetArraySize(a); i++) {
		const cJSON *x = cJSON_GetArrayItem(a, i), *y = cJSON_GetArrayItem(b, i);
		const char *name = json_text(x, "name", "?");
		assert_string_equal(name, json_text(y, "name", "!"));
		if (is_computed(name) && !cJSON_Compare(x, y, true))
			fail_msg("metric %s differs: %s, %s", name, json_canonical(x),
			         json_canonical(y));
	}
}

static void assert_same_result(const cJSON *a, const cJSON *b)
{
	const cJSON *x;

	assert_true(cJSON_GetArraySize(a) > 5);
	cJSON_ArrayForEach (x, a) {
		const cJSON *y = cJSON_GetObjectItem(b, x->string);
		if (is_computed(x->string) && (!y || y->valuedouble != x->valuedouble))
			fail_msg("result %s differs", x->string);
	}
}

static void assert_like_reference(const char *folder)
{
	cJSON *a = outcome_read("reference"), *b = outcome_read(folder);

	assert_outcome(folder, "done", NULL);
	assert_same_file("reference", folder, "weights.safetensors");
	assert_same_file("reference", folder, "quantized.safetensors");
	assert_same_rows(json_at(a, "body.rows"), json_at(b, "body.rows"));
	assert_same_result(json_at(a, "body.result"), json_at(b, "body.result"));
	assert_true(
	        cJSON_Compare(json_at(a, "body.categories"), json_at(b, "body.categories"), true));
	cJSON_Delete(a);
	cJSON_Delete(b);
}

/* Evaluating after the last epoch alone: the same figures, and fewer points. */
static void rarer_evaluations_change_no_result(void **state)
{
	struct trial_run r = {.trial = "rare.json", .folder = "rare"};
	cJSON *trial = cJSON_Parse(TRIAL), *reference = outcome_read("reference"), *rare;
	const cJSON *row;
	char *text;

	json_put(trial, "eval.every", cJSON_CreateNumber(3));
	trial_write("rare.json", text = json_canonical(trial));
	assert_runs(&r);
	rare = outcome_read("rare");
	assert_same_result(json_at(reference, "body.result"), json_at(rare, "body.result"));
	assert_int_equal(cJSON_GetArraySize(json_at(rare, "body.rows")),
	                 cJSON_GetArraySize(json_at(reference, "body.rows")) - 2);
	cJSON_ArrayForEach (row, json_at(rare, "body.rows"))
		if (!strcmp(json_text(row, "name", "?"), "accuracy"))
			assert_int_equal(json_int(row, "epoch", 0), 2);
	free(text);
	cJSON_Delete(trial);
	cJSON_Delete(reference);
	cJSON_Delete(rare);
}

static char *checkpoint_of(const char *folder, int step)
{
	char *name = xformat("checkpoint-%08d.safetensors", step);
	char *path = path_join(below(folder), name);

	free(name);
	return path;
}

/* Stops after so many steps, goes on, and so forth; every part on another number of ranks. */
static void stopping_anywhere_changes_no_bit(void **state)
{
	static const int part[] = {3, 2, 4, 0}; /* 5: at the end of an epoch */
	static const int ranks[] = {0, 2, 1, 2};
	int step = 0;

	for (int i = 0; i < 4; i++) {
		struct trial_run r = {.ranks = ranks[i], .trial = "t.json", .folder = "parts"};
		int n = 0;
		if (part[i]) {
			r.more[n++] = "--stop-after";
			r.more[n++] = xformat("%d", part[i]);
		}
		if (step) {
			r.more[n++] = "--resume";
			r.more[n++] = checkpoint_of("parts", step);
		}
		if (trial_wait(&r))
			fail_msg("part %d:\n%s", i, trial_log());
		step += part[i];
		if (part[i])
			assert_outcome("parts", "yield", NULL);
	}
	assert_like_reference("parts");
}

/* Let go on by an epoch, by none, to the end; every part on another number of ranks. */
static void rungs_change_no_bit(void **state)
{
	static const char *const until[] = {"1", "1", NULL};
	int trained = 0;

	for (int i = 0; i < 3; i++) {
		struct trial_run r = {.ranks = i, .trial = "t.json", .folder = "rungs"};
		int n = 0;
		if (until[i]) {
			r.more[n++] = "--until-epoch";
			r.more[n++] = until[i];
		}
		if (trained) {
			r.more[n++] = "--resume";
			r.more[n++] = checkpoint_of("rungs", 5 * trained);
		}
		if (trial_wait(&r))
			fail_msg("part %d:\n%s", i, trial_log());
		if (until[i])
			assert_outcome("rungs", "rung", "as far as it was let");
		trained = until[i] ? atoi(until[i]) : 0;
	}
	assert_like_reference("rungs");
}

/* A training resumed after its last step, before it said so, says the same. */
static void resuming_at_the_end_repeats_the_result(void **state)
{
	struct trial_run r = {.trial = "t.json", .folder = "end"};

	r.more[0] = "--resume";
	r.more[1] = checkpoint_of("reference", 2 * STEPS_PER_EPOCH);
	assert_int_equal(trial_wait(&r), 0);
	assert_like_reference("end");
}

/* The newest checkpoint of a folder, or null. */
static char *newest(const char *folder)
{
	for (int step = 2 * STEPS_PER_EPOCH; step > 0; step--) {
		char *path = checkpoint_of(folder, step);
		if (file_exists(path))
			return path;
		free(path);
	}
	return NULL;
}

static void sleep_ms(long ms)
{
	nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
}

/* Checkpoints as often as can be, killed at times that a seed decides. */
static void being_killed_at_any_time_changes_no_bit(void **state)
{
	const char *given = getenv("TRAWL_SEED");
	unsigned seed = given ? (unsigned)atoi(given) : (unsigned)time(NULL), random = seed;
	int status = -1, kills = 0;

	print_message("replay with TRAWL_SEED=%u build/tests/checkpoint\n", seed);
	trial_write("often.json", SMALL_TRIAL("\"weight_bits\": 4",
	                                      "\"epochs\": 2, \"shards\": 2, \"warmup_epochs\": 1},"
	                                      " \"checkpoint\": {\"minutes\": 0.01"));
	for (int run = 0; run < 40 && status != 0; run++) {
		struct trial_run r = {.trial = "often.json", .folder = "killed"};
		char *from = newest("killed");
		if (from) {
			r.more[0] = "--resume";
			r.more[1] = from;
		}
		pid_t pid = trial_start(&r);
		if (kills < 6) {
			sleep_ms(100 + rand_r(&random) % 700);
			kill(pid, SIGKILL);
			kills++;
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		free(from);
	}
	assert_like_reference("killed");
}

/* A training without an end, with its first checkpoint on disk. */
static pid_t start_long(struct trial_run *r)
{
	int status;

	trial_write("long.json", SMALL_TRIAL("", "\"epochs\": 100000, \"shards\": 2"));
	pid_t pid = trial_start(r);
	while (!file_exists(checkpoint_of(r->folder, STEPS_PER_EPOCH)))
		if (waitpid(pid, &status, WNOHANG) == 0)
			sleep_ms(5);
		else
			fail_msg("%s", trial_log());
	return pid;
}

static void a_signal_makes_a_checkpoint_and_yields(void **state)
{
	struct trial_run r = {.trial = "long.json", .folder = "signal"};
	pid_t pid = start_long(&r);
	int status;

	kill(pid, SIGTERM);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	assert_outcome("signal", "yield", "with a checkpoint");
}

/* The process of a rank: any of the program whose arguments name the folder. */
static pid_t rank_process(const char *folder)
{
	char *line = xformat("pgrep -f '^[^ ]*trawl-trial.*%s'", below(folder));
	FILE *found = popen(line, "r");
	int pid = 0;

	while (fscanf(found, "%d", &pid) == 1) {
	}
	pclose(found);
	free(line);
	return pid;
}

/* All stop, whichever of them is told to. */
static void ranks_do_not_disagree_on_when_to_stop(void **state)
{
	struct trial_run r = {.ranks = 2, .trial = "long.json", .folder = "signal2"};
	pid_t pid = start_long(&r), rank = rank_process("signal2");

	assert_true(rank > 0 && rank != pid);
	kill(rank, SIGTERM);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_outcome("signal2", "yield", NULL);
}

/* Writes `bytes` of the reference's checkpoint, one of them changed, and tries to resume from it.
 */
static void assert_bad(size_t bytes, size_t changed, const char *part)
{
	struct trial_run r = {.trial = "t.json", .folder = "bad"};
	struct error e = {0};
	size_t length;
	char *content = file_read(checkpoint_of("reference", STEPS_PER_EPOCH), &length, &e);

	assert_non_null(content);
	if (changed < length)
		content[changed] ^= 0x20;
	r.more[0] = "--resume";
	r.more[1] = below("bad.safetensors");
	assert_int_equal(file_write(r.more[1], content, bytes < length ? bytes : length, &e), 0);
	assert_int_equal(trial_wait(&r), 1);
	assert_outcome("bad", "checkpoint_bad", part);
	free(content);
}

static void a_damaged_checkpoint_is_one_clear_line(void **state)
{
	assert_bad(0, SIZE_MAX, "bad.safetensors");
	assert_bad(5, SIZE_MAX, "bad.safetensors");
	assert_bad(1000, SIZE_MAX, "bad.safetensors");
	assert_bad(100000, SIZE_MAX, "bad.safetensors");
	assert_bad(SIZE_MAX, 3, "bad.safetensors");
}

static void a_checkpoint_of_another_trial_is_refused(void **state)
{
	struct trial_run r = {.trial = "other.json", .folder = "other"};

	trial_write("other.json",
	            SMALL_TRIAL("\"weight_bits\": 5", "\"epochs\": 2, \"shards\": 2"));
	r.more[0] = "--resume";
	r.more[1] = checkpoint_of("reference", STEPS_PER_EPOCH);
	assert_int_equal(trial_wait(&r), 1);
	assert_outcome("other", "checkpoint_bad", "belongs to another trial");
}

static char *last_in(const char *folder)
{
	char *line = xformat("ls %s/checkpoint-*", below(folder)), name[PATH_MAX] = {0};
	FILE *found = popen(line, "r");

	while (fscanf(found, "%4095s", name) == 1) {
	}
	pclose(found);
	free(line);
	return xstrdup(name);
}

/* A file-size limit, set while it runs, stands for the full disk: write(2) fails just so. */
static void a_full_disk_is_said_and_older_checkpoints_stay(void **state)
{
	struct trial_run r = {.trial = "long.json", .folder = "full"};
	struct rlimit small = {20000, 20000};
	pid_t pid = start_long(&r);
	int status;

	assert_int_equal(prlimit(pid, RLIMIT_FSIZE, &small, NULL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(WIFEXITED(status) ? WEXITSTATUS(status) : -1, 1);
	assert_outcome("full", "refuse", "cannot write the checkpoint of step");
	r.more[0] = "--resume";
	r.more[1] = last_in("full");
	r.more[2] = "--stop-after";
	r.more[3] = "1";
	assert_int_equal(trial_wait(&r), 0);
	assert_outcome("full", "yield", NULL);
	char *left = xformat("ls %s | grep -v '^checkpoint-.*safetensors$\\|^outcome.json$'",
	                     below("full"));
	assert_int_not_equal(system(left), 0); /* no half-written file */
	free(left);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(stopping_anywhere_changes_no_bit),
	        cmocka_unit_test(rungs_change_no_bit),
	        cmocka_unit_test(rarer_evaluations_change_no_result),
	        cmocka_unit_test(resuming_at_the_end_repeats_the_result),
	        cmocka_unit_test(being_killed_at_any_time_changes_no_bit),
	        cmocka_unit_test(a_signal_makes_a_checkpoint_and_yields),
	        cmocka_unit_test(ranks_do_not_disagree_on_when_to_stop),
	        cmocka_unit_test(a_damaged_checkpoint_is_one_clear_line),
	        cmocka_unit_test(a_checkpoint_of_another_trial_is_refused),
	        cmocka_unit_test(a_full_disk_is_said_and_older_checkpoints_stay),
	};

	return cmocka_run_group_tests(tests, make_reference, scratch_remove);
}
