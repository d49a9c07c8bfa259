/* Laws of trawl-trial: clear lines for what is wrong, and what its agent is told. */
#include "tests/trial_run.h"

#include "schemas/wire.h"
#include <time.h>
#include <zmq.h>

enum { WAIT_MS = 30000 };

/* Runs a trial that cannot work: outcome and part of its text, in outcome.json and on the terminal.
 */
static void assert_fails(const char *json, const char *word, const char *part)
{
	struct trial_run r = {.trial = "bad.json", .folder = "bad"};

	trial_write("bad.json", json);
	assert_int_equal(trial_wait(&r), 1);
	assert_outcome("bad", word, part);
	char *log = trial_log();
	if (!strstr(log, part))
		fail_msg("the terminal does not say \"%s\" but:\n%s", part, log);
	free(log);
}

static void all_mistakes_are_listed_with_path_and_nearest_name(void **state)
{
	static const char *const parts[] = {"train.epocs", "\"epochs\"", "train.batch",
	                                    "quant.granularity", "data.name"};

	for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) /* each in the same list */
		assert_fails("{\"data\": {\"name\": \"cifar11\"}, \"model\": {\"name\": "
		             "\"resnet20\"}, \"quant\": {\"granularity\": 3},"
		             " \"train\": {\"epocs\": 3, \"batch\": -1}}",
		             "error", parts[i]);
}

static void a_trial_that_is_not_json_names_file_and_line(void **state)
{
	assert_fails("{\"data\":\n {\"name\": shapes}}", "error", "bad.json: line 2");
}

static void missing_data_names_the_place(void **state)
{
	assert_fails("{\"data\": {\"name\": \"folder\", \"path\": \"/nowhere/at/all\"},"
	             " \"model\": {\"name\": \"resnet20\"}}",
	             "refuse", "/nowhere/at/all");
}

static void other_data_than_meant_is_refused(void **state)
{
	assert_fails("{\"data\": {\"name\": \"shapes\", \"digest\": \"abc\"},"
	             " \"model\": {\"name\": \"resnet20\"}}",
	             "refuse", "the trial wants abc");
}

static void a_corrupt_image_is_named(void **state)
{
	struct error e = {0};

	for (int i = 0; i < 2; i++) {
		char *folder = xformat("%s/images/%s/cat", scratch, i ? "train" : "test");
		char *file = path_join(folder, "broken.png");
		assert_int_equal(folder_make(folder, &e), 0);
		assert_int_equal(file_write(file, "\x89PNG\r\n\x1a\nrest", 12, &e), 0);
		free(file);
		free(folder);
	}
	char *json = xformat("{\"data\": {\"name\": \"folder\", \"path\": \"%s/images\"},"
	                     " \"model\": {\"name\": \"resnet20\"}}",
	                     scratch);
	assert_fails(json, "refuse", "broken.png");
	free(json);
}

static void assert_start_fails(const char *file, const char *model, const char *part)
{
	char *json = xformat("{\"data\": {\"name\": \"shapes\", \"limit\": 20, \"test_limit\": 20},"
	                     " \"model\": {\"name\": \"%s\", \"width\": 4},"
	                     " \"start_from\": {\"file\": \"%s/%s\"}}",
	                     model, scratch, file);

	assert_fails(json, "error", part);
	free(json);
}

static void bad_weights_to_start_from_are_listed(void **state)
{
	struct trial_run r = {.trial = "t.json", .folder = "made"};

	trial_write("t.json", SMALL_TRIAL("", "\"epochs\": 0"));
	assert_int_equal(trial_wait(&r), 0);
	trial_write("junk.safetensors", "no weights at all");
	assert_start_fails("absent.safetensors", "resnet20", "absent.safetensors");
	assert_start_fails("junk.safetensors", "resnet20", "junk.safetensors");
	assert_start_fails("made/weights.safetensors", "resnet32", "layer1.3.conv1.weight");
}

/* By hand the parent is trained on the way; once done it is used again. */
static void a_parent_is_trained_first(void **state)
{
	struct trial_run whole = {.ranks = 2, .trial = "child.json", .folder = "whole"};
	struct trial_run parent = {.trial = "parent.json", .folder = "alone"};
	struct trial_run again = {.trial = "child.json", .folder = "whole"};
	static const char *const json =
	        "{\"data\": {\"name\": \"shapes\", \"limit\": 60, \"test_limit\": 20}, %s"
	        " \"model\": {\"name\": \"resnet20\", \"width\": 4},"
	        " \"train\": {\"batch\": 32, \"epochs\": %d, \"shards\": 2}}";
	char *child = xformat(json,
	                      "\"quant\": {\"weight_bits\": 4}, \"start_from\": {\"change\":"
	                      " {\"quant\": null, \"train\": {\"epochs\": 2}}},",
	                      1);
	char *its_parent = xformat(json, "", 2);

	trial_write("child.json", child);
	trial_write("parent.json", its_parent);
	if (trial_wait(&whole))
		fail_msg("%s", trial_log());
	assert_outcome("whole", "done", NULL);
	assert_int_equal(trial_wait(&parent), 0);
	assert_same_file("whole/parent", "alone", "weights.safetensors");
	char first[SHA256_HEX], second[SHA256_HEX];
	hash_of("whole", "weights.safetensors", first);
	assert_int_equal(trial_wait(&again), 0);
	hash_of("whole", "weights.safetensors", second);
	assert_string_equal(first, second);
	char *log = trial_log();
	assert_null(strstr(log, "first: "));
	free(log);
	free(child);
	free(its_parent);
}

/* An agent has what the coordinator sent: there, a parent's weights that are missing are an error.
 */
static void an_agent_without_the_parent_is_told(void **state)
{
	struct trial_run r = {.trial = "bad.json", .folder = "lacking"};

	trial_write("bad.json", "{\"data\": {\"name\": \"shapes\"}, \"model\": {\"name\": "
	                        "\"resnet20\"}, \"start_from\": {\"change\": {\"train\": "
	                        "{\"epochs\": 1}}}}");
	r.more[0] = "--agent";
	r.more[1] = xformat("ipc://%s/nobody", scratch);
	assert_int_equal(trial_wait(&r), 1);
	assert_outcome("lacking", "error", "--input FILE");
}

static void a_lost_input_is_told_apart(void **state)
{
	struct trial_run r = {.trial = "t.json", .folder = "lost"};

	trial_write("t.json", SMALL_TRIAL("", "\"epochs\": 0"));
	trial_write("junk.safetensors", "no weights at all");
	r.more[0] = "--input";
	r.more[1] = xformat("parent=%s", below("junk.safetensors"));
	assert_int_equal(trial_wait(&r), 1);
	assert_outcome("lost", "input_lost", "junk.safetensors");
}

/* What a parent leaves is what its child evaluates. */
static void a_child_starts_with_the_weights_of_its_parent(void **state)
{
	struct trial_run parent = {.trial = "p.json", .folder = "parent"};
	struct trial_run child = {.trial = "c.json", .folder = "child"};

	trial_write("p.json", SMALL_TRIAL("", "\"epochs\": 1, \"seed\": 7"));
	trial_write("c.json", SMALL_TRIAL("", "\"epochs\": 0, \"seed\": 8"));
	assert_int_equal(trial_wait(&parent), 0);
	child.more[0] = "--input";
	child.more[1] = xformat("start_from=%s", below("parent/weights.safetensors"));
	assert_int_equal(trial_wait(&child), 0);
	cJSON *a = outcome_read("parent"), *b = outcome_read("child");
	assert_true(cJSON_Compare(json_at(a, "body.result.loss"), json_at(b, "body.result.loss"),
	                          true));
	assert_true(
	        cJSON_Compare(json_at(a, "body.categories"), json_at(b, "body.categories"), true));
	cJSON_Delete(a);
	cJSON_Delete(b);
}

static void a_loss_that_is_no_number_is_divergence(void **state)
{
	assert_fails("{\"data\": {\"name\": \"shapes\", \"limit\": 150, \"test_limit\": 60},"
	             " \"model\": {\"name\": \"resnet20\", \"width\": 4},"
	             " \"train\": {\"epochs\": 20, \"batch\": 32, \"lr\": 1000, \"momentum\": 1,"
	             " \"weight_decay\": 10, \"schedule\": \"constant\"}}",
	             "diverged", "the loss is not finite");
}

#ifndef __SANITIZE_ADDRESS__ /* it maps far more than the limit */
static void too_little_memory_is_told_apart(void **state)
{
	struct trial_run r = {.trial = "big.json", .folder = "big"};

	trial_write("big.json", "{\"data\": {\"name\": \"shapes\", \"test_limit\": 10},"
	                        " \"model\": {\"name\": \"resnet18\"},"
	                        " \"train\": {\"batch\": 1024, \"epochs\": 1}}");
	r.memory_limit_bytes = 1500000000;
	trial_wait(&r);
	assert_outcome("big", "out_of_memory", "bytes more could not be had");
}
#endif

static void wrong_arguments_are_said(void **state)
{
	static const struct {
		const char *more[3], *part;
	} rows[] = {
	        {{"--ranks", "2"}, "--ranks 2, but MPI started 1"},
	        {{"--ranks", "two"}, "--ranks two: not a number"},
	        {{"--rnks", "2"}, "--rnks: unknown"},
	        {{"--agent", "nonsense"}, "--agent nonsense"},
	        {{"--resume", "/nowhere"}, "/nowhere"},
	};

	trial_write("t.json", SMALL_TRIAL("", "\"epochs\": 0"));
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct trial_run r = {.trial = "t.json", .folder = "arguments"};
		memcpy(r.more, rows[i].more, sizeof rows[i].more);
		assert_int_equal(trial_wait(&r), 1);
		char *log = trial_log();
		if (!strstr(log, rows[i].part))
			fail_msg("not \"%s\" but:\n%s", rows[i].part, log);
		free(log);
	}
}

static void wrong_numbers_of_ranks_are_said_by_one_of_them(void **state)
{
	struct trial_run three = {.ranks = 3, .trial = "t.json", .folder = "three"};
	struct trial_run other = {
	        .ranks = 2, .trial = "t.json", .folder = "other", .more = {"--ranks", "4"}};

	trial_write("t.json", SMALL_TRIAL("", "\"epochs\": 0"));
	assert_int_equal(trial_wait(&three), 1);
	char *log = trial_log();
	assert_non_null(strstr(log, "3 ranks: a power of two is needed"));
	assert_null(strstr(log, "signal"));
	free(log);
	assert_int_equal(trial_wait(&other), 1);
	log = trial_log();
	assert_non_null(strstr(log, "--ranks 4, but MPI started 2"));
	assert_null(strstr(log, "signal"));
	free(log);
}

/* --- the agent's end of the socket ------------------------------------------------------------ */

struct agent {
	void *context, *socket;
	char *url;
	char route[WIRE_ROUTE_BYTES];
	size_t route_bytes;
};

static void agent_open(struct agent *a)
{
	int wait = WAIT_MS;

	*a = (struct agent){.context = zmq_ctx_new(), .url = xformat("ipc://%s/agent", scratch)};
	a->socket = zmq_socket(a->context, ZMQ_ROUTER);
	zmq_setsockopt(a->socket, ZMQ_RCVTIMEO, &wait, sizeof wait);
	assert_int_equal(zmq_bind(a->socket, a->url), 0);
}

static void agent_close(struct agent *a)
{
	zmq_close(a->socket);
	zmq_ctx_term(a->context);
	free(a->url);
}

static struct message agent_take(struct agent *a)
{
	struct error e = {0};
	struct message m;
	zmq_pollitem_t item = {.socket = a->socket, .events = ZMQ_POLLIN};

	assert_true(zmq_poll(&item, 1, WAIT_MS) > 0);
	if (wire_receive(a->socket, &m, &e) != 1)
		fail_msg("no message: %s", e.text);
	assert_int_equal(json_int(m.body, "trial", 0), 12);
	assert_int_equal(json_int(m.body, "attempt", 0), 3);
	memcpy(a->route, m.route, m.route_bytes);
	a->route_bytes = m.route_bytes;
	return m;
}

static void agent_order(struct agent *a, int attempt, const char *order)
{
	struct error e = {0};
	cJSON *body = cJSON_CreateObject();

	cJSON_AddNumberToObject(body, "trial", 12);
	cJSON_AddNumberToObject(body, "attempt", attempt);
	cJSON_AddStringToObject(body, "order", order);
	struct message m = message_make(WIRE_JOB_ORDER, a->route, a->route_bytes, body);
	assert_int_equal(wire_send(a->socket, &m, &e), 0);
	message_release(&m);
}

static pid_t start_for(struct agent *a, struct trial_run *r)
{
	const char *more[] = {"--agent", a->url, "--trial", "12", "--attempt", "3"};

	memcpy(r->more, more, sizeof more);
	return trial_start(r);
}

static void assert_file_is_named(const cJSON *item)
{
	struct error e = {0};
	char hex[SHA256_HEX];
	const char *path = json_text(item, "path", "");

	assert_int_equal(path[0], '/');
	assert_int_equal(sha256_file(path, hex, &e), 0);
	assert_string_equal(hex, json_text(item, "sha256", ""));
	assert_int_equal(file_bytes(path), json_int(item, "bytes", -1));
}

/* Hello first, done last; batches of metrics are numbered; what is named is on disk. */
static void an_agent_is_told_everything_in_order(void **state)
{
	struct trial_run r = {.ranks = 2, .trial = "t.json", .folder = "told"};
	struct agent a;
	int64_t batch = 0;
	int seen[WIRE_KINDS] = {0};
	bool done = false;

	trial_write("t.json", SMALL_TRIAL("\"weight_bits\": 2", "\"epochs\": 2, \"shards\": 2"));
	agent_open(&a);
	pid_t pid = start_for(&a, &r);
	while (!done) {
		struct message m = agent_take(&a);
		if (!seen[WIRE_JOB_HELLO])
			assert_int_equal(m.kind, WIRE_JOB_HELLO);
		seen[m.kind]++;
		done = m.kind == WIRE_JOB_DONE;
		if (cJSON_GetObjectItem(m.body, "batch"))
			assert_int_equal(json_int(m.body, "batch", -1), batch++);
		if (m.kind == WIRE_JOB_CHECKPOINT) {
			const cJSON *rows = cJSON_GetObjectItem(m.body, "rows");
			assert_file_is_named(m.body);
			assert_int_equal(cJSON_GetArraySize(rows),
			                 7 * json_int(m.body, "epoch", 0));
		}
		if (done)
			assert_true(cJSON_IsArray(cJSON_GetObjectItem(m.body, "landscape")));
		for (int i = 0; done && i < 2; i++)
			assert_file_is_named(
			        cJSON_GetArrayItem(cJSON_GetObjectItem(m.body, "artifacts"), i));
		message_release(&m);
	}
	assert_int_equal(seen[WIRE_JOB_HELLO], 1);
	assert_int_equal(seen[WIRE_JOB_METRICS], 2);
	assert_int_equal(seen[WIRE_JOB_CHECKPOINT], 2);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_outcome("told", "done", NULL);
	agent_close(&a);
}

/* An order takes effect at a step boundary; one for another attempt has none. */
static void assert_obeys(const char *order, const char *word, int checkpoints)
{
	struct trial_run r = {.ranks = 2, .trial = "long.json", .folder = word};
	struct agent a;
	int seen = 0;
	bool ended = false;

	trial_write("long.json", SMALL_TRIAL("", "\"epochs\": 100000, \"shards\": 2"));
	agent_open(&a);
	pid_t pid = start_for(&a, &r);
	struct message hello = agent_take(&a);
	assert_int_equal(hello.kind, WIRE_JOB_HELLO);
	message_release(&hello);
	agent_order(&a, 2, "stop");
	agent_order(&a, 3, order);
	while (!ended) {
		struct message m = agent_take(&a);
		seen += m.kind == WIRE_JOB_CHECKPOINT;
		ended = m.kind == WIRE_JOB_ENDED;
		if (ended)
			assert_string_equal(json_text(m.body, "outcome", ""), word);
		message_release(&m);
	}
	assert_int_equal(seen, checkpoints);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_outcome(word, word, "at step");
	agent_close(&a);
}

static void orders_take_effect_at_a_step_boundary(void **state)
{
	assert_obeys("yield", "yield", 1);
	assert_obeys("stop", "stopped", 0);
}

/* Between epochs too, and the training goes on. */
static void a_checkpoint_is_made_when_ordered(void **state)
{
	struct trial_run r = {.trial = "slow.json", .folder = "ordered"};
	struct agent a;
	int64_t step = 0;

	trial_write("slow.json", SMALL_TRIAL("", "\"epochs\": 1, \"shards\": 2"));
	agent_open(&a);
	pid_t pid = start_for(&a, &r);
	struct message m = agent_take(&a);
	agent_order(&a, 3, "checkpoint");
	while (m.kind != WIRE_JOB_DONE) {
		message_release(&m);
		m = agent_take(&a);
		if (m.kind == WIRE_JOB_CHECKPOINT && !step)
			step = json_int(m.body, "step", 0) + 1;
	}
	assert_in_range(step, 1, 5); /* before the fifth step, the epoch's last */
	message_release(&m);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	agent_close(&a);
}

/* A rank's parent is killed: nothing of the job is left. */
static void ranks_die_with_their_launcher(void **state)
{
	struct trial_run r = {.ranks = 2, .trial = "long.json", .folder = "orphans"};
	struct agent a;

	trial_write("long.json", SMALL_TRIAL("", "\"epochs\": 100000, \"shards\": 2"));
	agent_open(&a);
	pid_t pid = start_for(&a, &r);
	struct message hello = agent_take(&a);
	pid_t rank = (pid_t)json_int(hello.body, "pid", 0);
	char *stat = xformat("/proc/%d/stat", (int)rank), *text = file_read(stat, NULL, NULL);
	int parent = 0;
	assert_non_null(text);
	assert_int_equal(sscanf(strrchr(text, ')'), ") %*c %d", &parent), 1);
	assert_true(parent > 1 && parent != pid); /* the proxy between mpiexec and the rank */
	kill(parent, SIGKILL);
	for (int i = 0; i < 500 && kill(rank, 0) == 0; i++)
		nanosleep(&(struct timespec){0, 10000000}, NULL);
	assert_int_equal(kill(rank, 0), -1);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	message_release(&hello);
	free(stat);
	free(text);
	agent_close(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(all_mistakes_are_listed_with_path_and_nearest_name),
	        cmocka_unit_test(a_trial_that_is_not_json_names_file_and_line),
	        cmocka_unit_test(missing_data_names_the_place),
	        cmocka_unit_test(other_data_than_meant_is_refused),
	        cmocka_unit_test(a_corrupt_image_is_named),
	        cmocka_unit_test(bad_weights_to_start_from_are_listed),
	        cmocka_unit_test(a_parent_is_trained_first),
	        cmocka_unit_test(an_agent_without_the_parent_is_told),
	        cmocka_unit_test(a_lost_input_is_told_apart),
	        cmocka_unit_test(a_child_starts_with_the_weights_of_its_parent),
	        cmocka_unit_test(a_loss_that_is_no_number_is_divergence),
#ifndef __SANITIZE_ADDRESS__
	        cmocka_unit_test(too_little_memory_is_told_apart),
#endif
	        cmocka_unit_test(wrong_arguments_are_said),
	        cmocka_unit_test(wrong_numbers_of_ranks_are_said_by_one_of_them),
	        cmocka_unit_test(an_agent_is_told_everything_in_order),
	        cmocka_unit_test(orders_take_effect_at_a_step_boundary),
	        cmocka_unit_test(a_checkpoint_is_made_when_ordered),
	        cmocka_unit_test(ranks_die_with_their_launcher),
	};

	return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
