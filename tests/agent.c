/* The agent and one coordinator: what is leased runs, what ended is told until it was heard, and
 * why it ended is told apart. */
#include "tests/fake_coordinator.h"
#include "tests/fake_job.h"

static const char *outcome(const struct fake_lease *l)
{
	return json_text(l->ended, "outcome", "");
}

static const char *ended_text(const struct fake_lease *l)
{
	return json_text(l->ended, "text", "");
}

static void lease_runs_and_its_result_is_told(void **state)
{
	struct coordinator_fake *c = *state;
	struct fake_lease *l = fake_lease_add(c, 1, 1, "{\"steps\": 12}", "{\"ranks\": 2}");
	fake_agent_start(c, NULL);
	fake_until(c, l->dones == 1);
	assert_int_equal(l->saved_step % FAKE_CHECKPOINT_STEPS, 0);
	assert_true(json_real(json_at(l->done, "result"), "accuracy", 0) == 0.5);
	const cJSON *artifacts = json_at(l->done, "artifacts");
	assert_int_equal(cJSON_GetArraySize(artifacts), 1); /* it printed nothing: no log */
	assert_null(json_at(cJSON_GetArrayItem(artifacts, 0), "path"));
	fake_pump_ms(c, 200);
	assert_int_equal(l->dones, 1);
	assert_int_equal(fake_processes(c), 0);
}

static void several_run_at_once(void **state)
{
	struct coordinator_fake *c = *state;
	struct fake_lease *a = fake_lease_add(c, 1, 1, "{\"steps\": 20}", "{\"ranks\": 1}");
	struct fake_lease *b = fake_lease_add(c, 2, 1, "{\"steps\": 20}", "{\"ranks\": 2}");
	fake_agent_start(c, NULL);
	fake_until(c, strcmp(a->phase, "train") == 0 && strcmp(b->phase, "train") == 0);
	fake_until(c, a->dones == 1 && b->dones == 1);
}

/* Lost acknowledgements, and a coordinator that goes and comes back, change nothing. */
static void what_is_not_acknowledged_is_said_again(void **state)
{
	struct coordinator_fake *c = *state;
	struct fake_lease *l = fake_lease_add(c, 1, 1, "{\"steps\": 10}", NULL);
	c->mute = true;
	fake_agent_start(c, NULL);
	fake_until(c, l->dones >= 2);
	c->mute = false;
	fake_until(c, !l->listed);
	int dones = l->dones;
	fake_pump_ms(c, 300);
	assert_int_equal(l->dones, dones);
}

/* Few batches at a time, each with all that has come meanwhile; beats go on. */
static void metrics_keep_to_the_credits_and_all_arrive(void **state)
{
	enum { STEPS_RUN = 100, CREDITS = 3 };
	struct coordinator_fake *c = *state;
	/* Checkpoints part what waits into a message for five steps, of more than METRICS_QUEUED
	 * the oldest is forgotten: steps come slower than acknowledgements. */
	struct fake_lease *l =
	        fake_lease_add(c, 1, 1, "{\"steps\": 100000, \"step_ms\": 20}", NULL);
	c->slow = true;
	c->credits = CREDITS;
	fake_agent_start(c, NULL);
	fake_until(c, l->step >= STEPS_RUN);
	assert_int_equal(c->batch_most, CREDITS);
	int beats = c->beats, arrived = 0;
	fake_until(c, c->beats > beats); /* those wait for no credits */
	for (int64_t until = clock_monotonic_ms() + PATIENCE_MS;
	     arrived < STEPS_RUN && clock_monotonic_ms() < until; arrived = 0) {
		fake_acknowledge(c, l);
		fake_pump_ms(c, 30);
		for (int i = 1; i <= STEPS_RUN; i++)
			arrived += c->steps[i];
		if (arrived >= STEPS_RUN)
			break;
	}
	assert_int_equal(arrived, STEPS_RUN);
	assert_int_equal(c->batch_most, CREDITS);
	l->listed = false;
}

static void job_goes_on_while_the_coordinator_is_away(void **state)
{
	struct coordinator_fake *c = *state;
	struct fake_lease *l = fake_lease_add(c, 1, 1, "{\"steps\": 30, \"step_ms\": 20}", NULL);
	fake_agent_start(c, NULL);
	fake_until(c, l->step > 2);
	fake_away(c);
	fake_pump_ms(c, 1500); /* the job ends in that time */
	assert_int_equal(l->dones, 0);
	fake_listen(c);
	fake_until(c, l->dones == 1);
	assert_true(c->hellos >= 2);
	assert_true(l->metrics + l->checkpoints > 0);
}

static void stop_ends_without_a_checkpoint(void **state)
{
	struct coordinator_fake *c = *state;
	struct fake_lease *l = fake_lease_add(c, 1, 1, "{\"steps\": 4, \"step_ms\": 300}", NULL);
	fake_agent_start(c, NULL);
	fake_until(c, l->step == 1);
	l->order = "stop";
	fake_until(c, l->endeds == 1);
	assert_string_equal(outcome(l), "stopped");
	assert_int_equal(l->checkpoints, 0);
}

static void yield_sends_its_checkpoint_before_the_lease_goes_back(void **state)
{
	struct coordinator_fake *c = *state;
	struct fake_lease *l = fake_lease_add(c, 1, 1, "{\"steps\": 400, \"step_ms\": 30}", NULL);
	fake_agent_start(c, NULL);
	fake_until(c, l->step >= 2);
	l->order = "yield";
	fake_until(c, l->endeds == 1);
	assert_string_equal(outcome(l), "yield");
	assert_true(l->checkpoints >= 1);
	assert_true(l->saved_step >= 2);
}

static void resumed_attempt_goes_on_from_the_checkpoint(void **state)
{
	struct coordinator_fake *c = *state;
	struct fake_lease *l = fake_lease_add(c, 1, 1, "{\"steps\": 100, \"step_ms\": 10}", NULL);
	fake_agent_start(c, NULL);
	fake_until(c, l->saved_step >= 5);
	l->order = "yield";
	fake_until(c, l->endeds == 1);
	int64_t step = l->saved_step;
	char *resume = xformat("{\"sha256\": \"%s\", \"bytes\": %lld, \"step\": %lld}",
	                       l->checkpoint, (long long)l->checkpoint_bytes, (long long)step);
	struct fake_lease *next = fake_lease_add(c, 1, 2, "{\"steps\": 100}", NULL);
	next->resume = resume;
	fake_until(c, next->dones == 1);
	assert_true(next->metrics <= 100 - step);
	free(resume);
}

static void unlisted_is_stopped_and_nothing_is_left(void **state)
{
	struct coordinator_fake *c = *state;
	struct fake_lease *l =
	        fake_lease_add(c, 1, 1, "{\"steps\": 400, \"step_ms\": 50}", "{\"ranks\": 2}");
	fake_agent_start(c, NULL);
	fake_until(c, l->step >= 2);
	assert_true(fake_processes(c) >= 4);
	l->listed = false;
	fake_until(c, l->endeds == 1);
	assert_string_equal(outcome(l), "stopped");
	assert_int_equal(fake_processes(c), 0);
}

static void deaf_job_is_killed_after_its_grace(void **state)
{
	struct coordinator_fake *c = *state;
	struct fake_lease *l =
	        fake_lease_add(c, 1, 1, "{\"does\": \"deaf\", \"steps\": 400, \"step_ms\": 50}",
	                       "{\"ranks\": 2, \"grace_seconds\": 0.3}");
	fake_agent_start(c, NULL);
	fake_until(c, l->step >= 2);
	l->order = "stop";
	fake_until(c, l->endeds == 1);
	assert_string_equal(outcome(l), "stopped");
	assert_int_equal(fake_processes(c), 0);
}

static void hang_is_told_apart(void **state)
{
	struct coordinator_fake *c = *state;
	struct fake_lease *l = fake_lease_add(c, 1, 1,
	                                      "{\"does\": \"hang\", \"steps\": 400, "
	                                      "\"stall\": {\"minutes\": 0.01}}",
	                                      "{\"ranks\": 2}");
	fake_agent_start(c, NULL);
	fake_until(c, l->endeds == 1);
	assert_string_equal(outcome(l), "hung");
	assert_non_null(strstr(ended_text(l), "stall.minutes"));
	assert_int_equal(fake_processes(c), 0);
}

static void own_memory_limit_is_told_apart(void **state)
{
	struct coordinator_fake *c = *state;
	struct fake_lease *l = fake_lease_add(c, 1, 1, "{\"does\": \"memory\", \"steps\": 400}",
	                                      "{\"ranks\": 2, \"memory_mb\": 200}");
	fake_agent_start(c, NULL);
	fake_until(c, l->endeds == 1);
	assert_string_equal(outcome(l),
	                    "out_of_memory"); /* no rank has as much, both together have */
	assert_non_null(strstr(ended_text(l), "resources.memory_mb is 200"));
	assert_int_equal(fake_processes(c), 0);
}

static void memory_within_the_limit_is_no_matter(void **state)
{
	struct coordinator_fake *c = *state;
	struct fake_lease *l =
	        fake_lease_add(c, 1, 1, "{\"does\": \"train\", \"steps\": 5, \"step_ms\": 200}",
	                       "{\"ranks\": 2, \"memory_mb\": 200}");
	fake_agent_start(c, NULL);
	fake_until(c, l->dones == 1);
}

static void memory_that_ranks_share_counts_once(void **state)
{
	struct coordinator_fake *c = *state;
	struct fake_lease *l = fake_lease_add(c, 1, 1, "{\"does\": \"share\", \"steps\": 5}",
	                                      "{\"ranks\": 2, \"memory_mb\": 270}");
	fake_agent_start(c, NULL);
	fake_until(c, l->dones == 1 || l->endeds == 1);
	assert_int_equal(l->dones, 1);
}

static void crash_is_an_error_with_the_end_of_the_log(void **state)
{
	struct coordinator_fake *c = *state;
	struct fake_lease *l = fake_lease_add(c, 1, 1, "{\"does\": \"crash\"}", "{\"ranks\": 2}");
	fake_agent_start(c, NULL);
	fake_until(c, l->endeds == 1);
	assert_string_equal(outcome(l), "error");
	assert_non_null(strstr(json_text(l->ended, "log", ""), "about to crash"));
}

static void own_words_of_the_trial_are_told(void **state)
{
	struct coordinator_fake *c = *state;
	struct fake_lease *a = fake_lease_add(c, 1, 1, "{\"does\": \"error\"}", NULL);
	struct fake_lease *b = fake_lease_add(c, 2, 1, "{\"does\": \"diverge\"}", NULL);
	fake_agent_start(c, NULL);
	fake_until(c, a->endeds == 1 && b->endeds == 1);
	assert_string_equal(outcome(a), "error");
	assert_string_equal(ended_text(a), "no such model");
	assert_string_equal(outcome(b), "diverged");
}

static void outcome_on_disk_counts_when_its_message_is_lost(void **state)
{
	struct coordinator_fake *c = *state;
	struct fake_lease *l =
	        fake_lease_add(c, 1, 1, "{\"does\": \"mumble\", \"steps\": 7}", "{\"ranks\": 2}");
	fake_agent_start(c, NULL);
	fake_until(c, l->dones == 1 || l->endeds == 1);
	assert_int_equal(l->endeds, 0);
}

static void what_the_store_lost_is_uploaded_again(void **state)
{
	struct coordinator_fake *c = *state;
	struct fake_lease *l = fake_lease_add(c, 1, 1, "{\"steps\": 7}", NULL);
	c->need = true;
	fake_agent_start(c, NULL);
	fake_until(c, !l->listed);
	assert_int_equal(l->dones, 2);
}

/* 40 MB of lines: beats go on, the files stay small, the end is kept. */
static void flood_of_output_disturbs_nothing(void **state)
{
	struct coordinator_fake *c = *state;
	struct fake_lease *l = fake_lease_add(c, 1, 1, "{\"does\": \"flood\", \"steps\": 5}", NULL);
	fake_agent_start(c, NULL);
	fake_until(c, l->dones == 1);
	const cJSON *log = cJSON_GetArrayItem(json_at(l->done, "artifacts"), 1);
	assert_string_equal(json_text(log, "name", ""), "log");
	assert_true(json_int(log, "bytes", 0) <= 2 << 20);
	char *path = artifact_path(c->store, json_text(log, "sha256", ""));
	char *text = file_read(path, NULL, NULL);
	assert_non_null(strstr(text, "00399999 a line"));
	print_message("longest time between beats: %lld ms\n", (long long)c->gap_ms);
	assert_true(c->gap_ms < 1000);
	free(text);
	free(path);
}

static void told_to_leave_it_yields_and_hands_back(void **state)
{
	struct coordinator_fake *c = *state;
	struct fake_lease *l =
	        fake_lease_add(c, 1, 1, "{\"steps\": 400, \"step_ms\": 20}", "{\"ranks\": 2}");
	int status;
	fake_agent_start(c, NULL);
	fake_until(c, l->step >= 2);
	kill(c->agent, SIGTERM);
	fake_until(c, c->left);
	assert_int_equal(l->endeds, 1);
	assert_string_equal(outcome(l), "yield");
	assert_true(l->saved_step >= 2);
	assert_int_equal(waitpid(c->agent, &status, 0), c->agent);
	c->agent = 0;
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	assert_int_equal(fake_processes(c), 0);
	char *listing = xformat("%s/%s", c->work, c->agent_name);
	assert_false(file_exists(listing));
	free(listing);
}

/* Told by signals, one and another that comes well after it, the agent lets its job, whose steps
 * take longer than that, write its checkpoint. */
static void leaves_with_a_checkpoint(struct coordinator_fake *c, int first, int second)
{
	struct fake_lease *l = fake_lease_add(c, 1, 1, "{\"steps\": 400, \"step_ms\": 2500}", NULL);
	fake_agent_start(c, NULL);
	fake_until(c, l->step >= 1);
	kill(c->agent, first);
	fake_pump_ms(c, 1300);
	kill(c->agent, second);
	fake_until(c, c->left);
	assert_string_equal(outcome(l), "yield");
	assert_true(l->saved_step >= 1);
	waitpid(c->agent, NULL, 0);
	c->agent = 0;
}

static void a_scheduler_that_repeats_itself_does_not_hurry(void **state)
{
	leaves_with_a_checkpoint(*state, SIGUSR1, SIGXCPU);
}

static void nor_does_slurm_by_its_sigterm(void **state)
{
	setenv("SLURM_JOB_ID", "1", 1);
	leaves_with_a_checkpoint(*state, SIGTERM, SIGTERM);
	unsetenv("SLURM_JOB_ID");
}

/* As Slurm does at preemption: every process of the agent's step is told, launcher and ranks. */
static void a_signal_to_all_processes_yields_too(void **state)
{
	struct coordinator_fake *c = *state;
	struct fake_lease *l =
	        fake_lease_add(c, 1, 1, "{\"steps\": 400, \"step_ms\": 20}", "{\"ranks\": 2}");
	static const int told[] = {SIGCONT, SIGTERM, SIGUSR1};
	pid_t *pids;
	fake_agent_start(c, NULL);
	fake_until(c, l->step >= 2);
	size_t count = processes_marked(c->agent_name, &pids);
	assert_true(count >= 3);
	for (size_t i = 0; i < count * 3; i++)
		kill(pids[i / 3], told[i % 3]);
	free(pids);
	kill(c->agent, SIGTERM);
	fake_until(c, c->left);
	assert_string_equal(outcome(l), "yield");
	assert_true(l->saved_step >= 2);
	waitpid(c->agent, NULL, 0);
	c->agent = 0;
}

/* A batch job's walltime: what runs yields in time. */
static void an_agent_leaves_before_its_time_is_over(void **state)
{
	struct coordinator_fake *c = *state;
	struct fake_lease *l =
	        fake_lease_add(c, 1, 1, "{\"steps\": 4000, \"step_ms\": 20}", "{\"ranks\": 2}");
	const char *more[] = {"--time-limit", "0.08", "--leave", "3", NULL};
	fake_agent_start(c, more);
	fake_until(c, c->left);
	assert_int_equal(l->endeds, 1);
	assert_string_equal(outcome(l), "yield");
	assert_true(l->saved_step >= 1);
	waitpid(c->agent, NULL, 0);
	c->agent = 0;
}

static void idle_agent_leaves(void **state)
{
	struct coordinator_fake *c = *state;
	const char *more[] = {"--idle-exit", "0.3", NULL};
	fake_agent_start(c, more);
	fake_until(c, c->left);
	waitpid(c->agent, NULL, 0);
	c->agent = 0;
}

static void bad_checkpoint_and_lost_input_are_told_apart(void **state)
{
	struct coordinator_fake *c = *state;
	static const char absent[] =
	        "{\"sha256\": "
	        "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\", "
	        "\"bytes\": 7, \"role\": \"start_from\", \"step\": 3}";
	char *list = xformat("[%s]", absent);
	struct fake_lease *a = fake_lease_add(c, 1, 1, "{}", NULL);
	struct fake_lease *b = fake_lease_add(c, 2, 1, "{}", NULL);
	a->resume = absent;
	b->inputs = list;
	fake_agent_start(c, NULL);
	fake_until(c, a->endeds == 1 && b->endeds == 1);
	assert_string_equal(outcome(a), "checkpoint_bad");
	assert_string_equal(outcome(b), "input_lost");
	assert_int_equal(strlen(json_text(b->ended, "sha256", "")), 64);
	free(list);
}

static void garbage_from_the_coordinator_is_survived(void **state)
{
	struct coordinator_fake *c = *state;
	struct fake_lease *l = fake_lease_add(c, 1, 1, "{\"steps\": 10}", NULL);
	struct message m;
	fake_agent_start(c, NULL);
	while (wire_receive(c->socket, &m, NULL) <= 0)
		usleep(1000);
	for (int i = 0; i < 3; i++) {
		static const char *const frames[][3] = {
		        {"trawl/9", "orders", "{}"}, {"trawl/1", "orders", "{"}, {"\1\2", "", ""}};
		zmq_send(c->socket, m.route, m.route_bytes, ZMQ_SNDMORE);
		for (int f = 0; f < 3; f++)
			zmq_send(c->socket, frames[i][f], strlen(frames[i][f]),
			         f < 2 ? ZMQ_SNDMORE : 0);
	}
	message_release(&m);
	fake_until(c, l->dones == 1);
}

static void launcher_that_is_absent_is_a_refusal(void **state)
{
	struct coordinator_fake *c = *state;
	const char *more[] = {"--launcher", "no-such-launcher", NULL};
	struct fake_lease *l = fake_lease_add(c, 1, 1, "{}", NULL);
	fake_agent_start(c, more);
	fake_until(c, l->endeds == 1);
	assert_string_equal(outcome(l), "refuse");
	assert_non_null(strstr(ended_text(l), "cannot start no-such-launcher"));
}

#define LAW(f) cmocka_unit_test_setup_teardown(f, fake_setup, fake_teardown)

int main(int argc, char **argv)
{
	if (getenv(PROCESS_MARK))
		return fake_main(argc, argv);
	if (argc == 2 && strcmp(argv[1], "--numerics") == 0)
		return printf("fake\n") < 0;
	const struct CMUnitTest tests[] = {
	        LAW(lease_runs_and_its_result_is_told),
	        LAW(several_run_at_once),
	        LAW(what_is_not_acknowledged_is_said_again),
	        LAW(metrics_keep_to_the_credits_and_all_arrive),
	        LAW(job_goes_on_while_the_coordinator_is_away),
	        LAW(stop_ends_without_a_checkpoint),
	        LAW(yield_sends_its_checkpoint_before_the_lease_goes_back),
	        LAW(resumed_attempt_goes_on_from_the_checkpoint),
	        LAW(unlisted_is_stopped_and_nothing_is_left),
	        LAW(deaf_job_is_killed_after_its_grace),
	        LAW(hang_is_told_apart),
	        LAW(own_memory_limit_is_told_apart),
	        LAW(memory_within_the_limit_is_no_matter),
	        LAW(memory_that_ranks_share_counts_once),
	        LAW(crash_is_an_error_with_the_end_of_the_log),
	        LAW(own_words_of_the_trial_are_told),
	        LAW(outcome_on_disk_counts_when_its_message_is_lost),
	        LAW(what_the_store_lost_is_uploaded_again),
	        LAW(flood_of_output_disturbs_nothing),
	        LAW(told_to_leave_it_yields_and_hands_back),
	        LAW(a_scheduler_that_repeats_itself_does_not_hurry),
	        LAW(nor_does_slurm_by_its_sigterm),
	        LAW(a_signal_to_all_processes_yields_too),
	        LAW(an_agent_leaves_before_its_time_is_over),
	        LAW(idle_agent_leaves),
	        LAW(bad_checkpoint_and_lost_input_are_told_apart),
	        LAW(garbage_from_the_coordinator_is_survived),
	        LAW(launcher_that_is_absent_is_a_refusal),
	};
	cmocka_set_test_filter(getenv("TRAWL_TEST_ONLY"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
