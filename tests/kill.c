/* kill -9 of agent, guard, mpiexec, proxy or rank, alone or together: no process is left behind,
 * and the agent, where it lives, says rightly what happened and goes on. */
#include "tests/fake_coordinator.h"
#include "tests/fake_job.h"

enum { GONE_MS = 5000 };
static const char slow[] = "{\"steps\": 1000, \"step_ms\": 20}";
static const char two_ranks[] = "{\"ranks\": 2}";

static void comm_of(pid_t pid, char comm[32])
{
	char path[64];
	snprintf(path, sizeof path, "/proc/%d/comm", (int)pid);
	FILE *f = fopen(path, "r");
	comm[0] = 0;
	if (f && fgets(comm, 32, f))
		comm[strcspn(comm, "\n")] = 0;
	if (f)
		fclose(f);
}

/* The nth process of the agent's jobs whose command begins with `comm`, by process number. */
static pid_t process_named(struct coordinator_fake *c, const char *comm, int nth)
{
	pid_t *pids, found = 0;
	size_t count = processes_marked(c->agent_name, &pids);
	for (pid_t after = 0; nth >= 0; nth--, after = found) {
		found = 0;
		for (size_t i = 0; i < count; i++) {
			char name[32];
			comm_of(pids[i], name);
			if (pids[i] > after && (!found || pids[i] < found) &&
			    strncmp(name, comm, strlen(comm)) == 0)
				found = pids[i];
		}
	}
	free(pids);
	assert_true(found > 0);
	return found;
}

static pid_t guard_of(struct coordinator_fake *c)
{
	char *path = xformat("/proc/%d/task/%d/children", (int)c->agent, (int)c->agent);
	char *text = file_read(path, NULL, NULL), *rest = text, name[32];
	pid_t guard = 0;
	for (long pid; text && (pid = strtol(rest, &rest, 10));) {
		comm_of((pid_t)pid, name);
		guard = strcmp(name, "trawl-guard") ? guard : (pid_t)pid;
	}
	free(text);
	free(path);
	return guard;
}

/* A job of two ranks in the middle of its work, with a checkpoint behind it. */
static struct fake_lease *running(struct coordinator_fake *c, const char *spec)
{
	struct fake_lease *l = fake_lease_add(c, 1, 1, spec, two_ranks);
	fake_agent_start(c, NULL);
	fake_until(c, l->saved_step >= 5);
	assert_int_equal(fake_processes(c), 4); /* mpiexec, proxy, two ranks */
	return l;
}

/* What is killed by the host is told, nothing is left, and the next attempt goes on from the
 * checkpoint to its end. */
static void killed_and_resumed(struct coordinator_fake *c, const char *comm, int nth)
{
	struct fake_lease *l = running(c, slow);
	kill(process_named(c, comm, nth), SIGKILL);
	fake_until(c, l->endeds == 1);
	assert_string_equal(json_text(l->ended, "outcome", ""), "killed");
	assert_int_equal(fake_processes(c), 0);
	char *resume =
	        xformat("{\"sha256\": \"%s\", \"bytes\": %lld, \"step\": %lld}", l->checkpoint,
	                (long long)l->checkpoint_bytes, (long long)l->saved_step);
	char *spec = xformat("{\"steps\": %lld}", (long long)l->saved_step + 5);
	struct fake_lease *next = fake_lease_add(c, 1, 2, spec, two_ranks);
	next->resume = resume;
	fake_until(c, next->dones == 1);
	assert_int_equal(fake_processes(c), 0);
	free(resume);
	free(spec);
}

static void killed_mpiexec_leaves_nothing(void **state)
{
	killed_and_resumed(*state, "mpiexec", 0);
}

static void killed_proxy_leaves_nothing(void **state)
{
	killed_and_resumed(*state, "hydra_pmi_proxy", 0);
}

static void killed_rank_0_leaves_nothing(void **state)
{
	killed_and_resumed(*state, "kill", 0);
}

static void killed_rank_1_leaves_nothing(void **state)
{
	killed_and_resumed(*state, "kill", 1);
}

/* A stopped proxy neither ends nor ends its ranks when mpiexec is killed: the agent does. */
static void stopped_proxy_ends_with_its_job(void **state)
{
	struct coordinator_fake *c = *state;
	struct fake_lease *l = running(c, slow);
	kill(process_named(c, "hydra_pmi_proxy", 0), SIGSTOP);
	kill(process_named(c, "mpiexec", 0), SIGKILL);
	fake_until(c, l->endeds == 1);
	assert_int_equal(fake_processes(c), 0);
}

static void gone(struct coordinator_fake *c, const char *what)
{
	int64_t begin = clock_monotonic_ms();
	while (fake_processes(c) && clock_monotonic_ms() - begin < GONE_MS)
		usleep(1000);
	print_message("%s: all gone after %lld ms\n", what,
	              (long long)(clock_monotonic_ms() - begin));
	assert_int_equal(fake_processes(c), 0);
}

static void agent_kill(struct coordinator_fake *c)
{
	kill(c->agent, SIGKILL);
	waitpid(c->agent, NULL, 0);
	c->agent = 0;
}

static void killed_agent_leaves_nothing(void **state)
{
	struct coordinator_fake *c = *state;
	running(c, slow);
	char *folder = xformat("%s/%s", c->work, c->agent_name);
	assert_true(file_exists(folder));
	agent_kill(c);
	gone(c, "agent killed");
	for (int i = 0; i < 100 && file_exists(folder); i++)
		usleep(10000);
	assert_false(file_exists(folder));
	free(folder);
}

/* Ranks without a parent-death signal, and one that is stopped: the guard finds them. */
static void killed_agent_leaves_no_stubborn_rank(void **state)
{
	struct coordinator_fake *c = *state;
	running(c, "{\"steps\": 1000, \"step_ms\": 20, \"stubborn\": true}");
	kill(process_named(c, "kill", 1), SIGSTOP);
	kill(process_named(c, "hydra_pmi_proxy", 0), SIGSTOP);
	agent_kill(c);
	gone(c, "agent killed, proxy and rank stopped");
}

static void killed_guard_is_replaced(void **state)
{
	struct coordinator_fake *c = *state;
	running(c, slow);
	pid_t guard = guard_of(c);
	assert_true(guard > 0);
	kill(guard, SIGKILL);
	fake_until(c, guard_of(c) && guard_of(c) != guard);
	kill(process_named(c, "hydra_pmi_proxy", 0), SIGSTOP);
	agent_kill(c);
	gone(c, "agent killed after its guard");
}

/* The parent-death signals alone; should they ever miss one, the next agent clears it. */
static void killed_agent_and_guard_leave_nothing(void **state)
{
	struct coordinator_fake *c = *state;
	running(c, slow);
	kill(guard_of(c), SIGKILL);
	agent_kill(c);
	gone(c, "agent and guard killed");
}

static void next_agent_clears_what_the_guard_could_not(void **state)
{
	struct coordinator_fake *c = *state;
	char before[64];
	struct fake_lease *l = running(c, "{\"steps\": 1000, \"step_ms\": 20, \"stubborn\": true}");
	kill(process_named(c, "hydra_pmi_proxy", 0), SIGSTOP);
	kill(c->agent, SIGSTOP); /* or it may start another guard before it dies */
	kill(guard_of(c), SIGKILL);
	agent_kill(c);
	usleep(100000);
	assert_true(fake_processes(c) > 0);
	strcpy(before, c->agent_name);
	l->listed = false;
	fake_agent_start(c, NULL);
	fake_until(c, strcmp(c->agent_name, before) != 0);
	char *folder = xformat("%s/%s", c->work, before);
	pid_t *pids;
	assert_int_equal(processes_marked(before, &pids), 0);
	assert_false(file_exists(folder));
	free(pids);
	free(folder);
}

#define LAW(f) cmocka_unit_test_setup_teardown(f, fake_setup, fake_teardown)

int main(int argc, char **argv)
{
	if (getenv(PROCESS_MARK))
		return fake_main(argc, argv);
	if (argc == 2 && strcmp(argv[1], "--numerics") == 0)
		return printf("fake\n") < 0;
	const struct CMUnitTest tests[] = {
	        LAW(killed_mpiexec_leaves_nothing),
	        LAW(killed_proxy_leaves_nothing),
	        LAW(killed_rank_0_leaves_nothing),
	        LAW(killed_rank_1_leaves_nothing),
	        LAW(stopped_proxy_ends_with_its_job),
	        LAW(killed_agent_leaves_nothing),
	        LAW(killed_agent_leaves_no_stubborn_rank),
	        LAW(killed_guard_is_replaced),
	        LAW(killed_agent_and_guard_leave_nothing),
	        LAW(next_agent_clears_what_the_guard_could_not),
	};
	cmocka_set_test_filter(getenv("TRAWL_TEST_ONLY"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
