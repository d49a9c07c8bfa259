/* Deterministic simulation of coordinator, agents and client: one thread, a virtual clock, one
 * seed.
 *
 *   build/tests/sim FIRST_SEED COUNT [--coverage]
 *   VERBOSE=1 build/tests/sim SEED 1      replays a seed that failed
 *
 * While faults last, the laws of laws.h hold after every commit and on every message that leaves;
 * once they stop, everything that is wanted gets done in bounded time, and nothing is done twice.
 * From 200 seeds on every move of trial.def has to be taken; --coverage prints how often each was.
 * Every 64th seed is run twice, and must leave the same trace. */
#include "tests/sim/client.h"
#include "tests/sim/coverage.h"
#include "tests/sim/pool.h"
#include "tests/sim/server.h"
#include <sys/wait.h>
#include <unistd.h>

/* Any bytes, or those that other trials begin with. */
static void corrupt_something(struct sim *s)
{
	struct blob *b = s->blob_count ? &s->blobs[chance_of(s, (uint32_t)s->blob_count)] : NULL;
	char *input = sql_get_text(
	        s->db, "select sha256 from artifact where final and state = 'present' and "
	               "trial in (select input from trial_input)");

	if (input && chance_of(s, 2))
		b = blob_find(s, input);
	free(input);
	if (!b || !b->present)
		return;
	b->corrupt = true;
	note(s, "bytes %.8s go bad", b->sha256);
}

static void jump(struct sim *s)
{
	int64_t ms = 5000 + chance_of(s, 3600000);

	s->wall_offset += chance_of(s, 2) ? ms : -ms;
	note(s, "the wall clock is now off by %" PRId64 " ms", s->wall_offset);
}

static void chaos_on_server(struct sim *s)
{
	switch (chance_of(s, 5)) {
	case 0:
		if (s->up)
			server_die(s, "between turns");
		break;
	case 1: jump(s); break;
	case 2: s->stalled_until = s->now + chance_of(s, 2 * LEASE_MS); break;
	case 3: s->full_until = s->now + chance_of(s, 3000); break;
	case 4: s->slow_until = s->now + chance_of(s, 3 * LEASE_MS); break;
	}
}

/* Often just so long that its leases are given to others, who have not finished yet. */
static void cut_off(struct sim *s, int i)
{
	int64_t least = chance_of(s, 2) ? LEASE_MS : 0;

	if (!s->agents[i].up)
		return;
	s->agents[i].cut_until = s->now + least + chance_of(s, 2 * LEASE_MS - (uint32_t)least);
	note(s, "%s is cut off until %" PRId64, s->agents[i].name, s->agents[i].cut_until);
}

static void on_chaos(struct sim *s)
{
	int i = (int)chance_of(s, AGENTS);
	struct agent *a = &s->agents[i];

	post(s, (struct event){.kind = CHAOS, .at = s->now + 300 + chance_of(s, 1200)});
	if (chance(s, 3 * s->crash))
		cut_off(s, i);
	if (chance(s, s->crash)) /* their network, not one of them */
		for (int all = 0; all < AGENTS; all++)
			cut_off(s, all);
	if (a->up && chance(s, 3 * s->crash)) {
		note(s, "%s dies", a->name);
		a->up = false;
	}
	for (i = 0; i < AGENTS; i++)
		if (!s->agents[i].up && (!faults(s) || chance_of(s, 4) == 0))
			agent_boot(s, i);
	if (chance(s, 8 * s->crash))
		chaos_on_server(s);
	if (chance(s, s->corrupt))
		corrupt_something(s);
}

/* Events of a process that is gone, or of a job that is not there, are nothing. */
static void on_agent_event(struct sim *s, const struct event *e)
{
	struct agent *a = &s->agents[e->who];
	struct job *j = NULL;

	if (!a->up || a->serial != e->serial)
		return;
	j = job_find(a, e->trial, e->attempt);
	if (e->kind == WAKE)
		agent_wake(s, e->who);
	else if (e->kind == TO_AGENT)
		agent_receive(s, e->who, &e->message);
	else if (e->kind == UPLOADED && e->ok)
		agent_uploaded(s, e->who);
	else if (e->kind == START && j && j->phase == STARTING)
		job_start(s, e->who, j);
	else if (e->kind == STEP && j && j->phase == RUNNING)
		job_step(s, e->who, j);
}

static void step(struct sim *s)
{
	struct event e = next_event(s);

	s->now = e.at;
	switch (e.kind) {
	case TO_COORDINATOR:
		server_receive(s, e.message);
		message_init(&e.message);
		break;
	case TO_CLIENT: client_receive(s, &e.message); break;
	case UPLOAD: upload_arrives(s, &e); break;
	case TURN: on_turn(s); break;
	case CHAOS: on_chaos(s); break;
	case CLIENT: client_wake(s); break;
	default: on_agent_event(s, &e); break;
	}
	if (e.message.body)
		message_release(&e.message);
}

static void start(struct sim *s, uint64_t seed)
{
	*s = (struct sim){.seed = seed, .hash = 14695981039346656037ull};
	law_world = s;
	s->drop = (int)chance_of(s, 30);
	s->duplicate = (int)chance_of(s, 30);
	s->slow = (int)chance_of(s, 40);
	s->crash = (int)chance_of(s, 5);
	s->trouble = (int)chance_of(s, 6);
	s->corrupt = chance_of(s, 2) ? 25 : 0;
	s->quota = seed % 3 ? 0 : 100 * (1 + (int64_t)(seed / 3 % 16));
	s->wall_offset = 1000000000;
	s->db = disk_clear(laws_install);
	sql_run(s->db, "delete from freed"); /* a table of the connection, which lives on */
	sqlite3_commit_hook(s->db->handle, on_commit, s);
	s->guarded = chance_of(s, 2);
	keys_add(s);
	server_boot(s);
	client_plan(s);
	for (int i = 0; i < AGENTS; i++)
		agent_boot(s, i);
	post(s, (struct event){.kind = TURN, .at = 5});
	post(s, (struct event){.kind = CHAOS, .at = 500});
	post(s, (struct event){.kind = CLIENT, .at = 1});
}

static void finish(struct sim *s)
{
	for (size_t i = 0; i < s->queued; i++)
		message_release(&s->queue[i].message);
	for (int i = 0; i < s->inbox_count; i++)
		message_release(&s->inbox[i]);
	for (int i = 0; i < s->request_count; i++)
		free(s->requests[i].args);
	free(s->queue);
}

/* Trials of studies that are wanted and not done (one that a person cancelled and another study
 * then pruned is not), requests not answered, jobs not forgotten. */
static int64_t work_left(struct sim *s)
{
	int64_t left = 0;

	for (int i = 0; i < s->request_count; i++)
		left += !s->requests[i].answered;
	for (int i = 0; i < AGENTS; i++)
		for (int k = 0; k < JOBS; k++)
			left += s->agents[i].jobs[k].used;
	if (left)
		return left;
	return sql_get_int(s->db, 0,
	                   "select (select count(*) from study_trial st join trial t on t.id = "
	                   "st.trial join study s on s.id = st.study where s.state = 'active' and "
	                   "t.state <> 'done' and st.verdict is null and not (t.state = 'pruned' "
	                   "and not st.wanted)) + (select count(*) from "
	                   "study where state = 'active' and cursor < total)");
}

static void run_to_end(struct sim *s)
{
	int64_t looked = FAULTS_END, left = 1, since = 0;
	int64_t rest = s->seed % 16 ? REST_MS : DELAY_MS + LEASE_MS; /* till no lease is left */

	while (!s->broken && s->now < END && !(left == 0 && s->now > since + rest)) {
		step(s);
		if (s->now < looked + 500)
			continue;
		looked = s->now;
		left = work_left(s);
		since = left ? s->now : since;
	}
	check_all(s);
	if (!s->broken && left)
		broken(s, "all that is wanted gets done in bounded time");
}

/* The whole story, for whoever replays a seed. */
static void show_all(struct sim *s)
{
	show(s, "select at_ms || ' trial ' || trial || '.' || attempt || ' ' || event || ' -> ' || "
	        "after "
	        "|| ' worker ' || coalesce(worker, 0) || ' ' || coalesce(why, '') from history");
	show(s,
	     "select 'trial ' || t.id || ' ' || state || ' input ' || coalesce((select input from "
	     "trial_input i where i.trial = t.id), 0) || ' accuracy ' || coalesce(value, -1) || "
	     "' oracle ' || oracle(t.id, 1000) from trial t left join result r on r.trial = t.id");
	show(s, "select 'worker ' || id || ' ' || agent || ' ' || state from worker");
}

static const char *run(uint64_t seed, uint64_t *hash)
{
	static struct sim s;

	start(&s, seed);
	run_to_end(&s);
	if (s.broken)
		show_all(&s);
	coverage_add(&s);
	*hash = s.hash;
	finish(&s);
	return s.broken;
}

static int run_seeds(uint64_t first, uint64_t count, uint64_t stride)
{
	enum { TWICE = 64 };

	for (uint64_t seed = first; seed < first + count; seed += stride) {
		uint64_t one = 0, two = 0;
		const char *law = run(seed, &one);
		if (!law && !verbose && seed % TWICE == 0 && (run(seed, &two) || one != two))
			law = "the same seed leaves the same trace";
		if (law) {
			printf("seed %" PRIu64 ": broken law: %s\n"
			       "replay with: VERBOSE=1 build/tests/sim %" PRIu64 " 1\n",
			       seed, law, seed);
			return 1;
		}
	}
	return 0;
}

int main(int argc, char **argv)
{
	enum { PROCESSES = 2 };
	uint64_t first = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
	uint64_t count = argc > 2 ? strtoull(argv[2], NULL, 0) : 100;
	int failed = 0, status = 0;

	sql_configure();
	sqlite3_config(SQLITE_CONFIG_SINGLETHREAD);
	pool_install();
	coverage_begin();
	verbose = getenv("VERBOSE") != NULL;
	if (verbose || count < PROCESSES)
		return run_seeds(first, count, 1);
	for (int i = 0; i < PROCESSES; i++)
		if (fork() == 0)
			exit(run_seeds(first + (uint64_t)i, count - (uint64_t)i, PROCESSES));
	while (wait(&status) > 0)
		failed |= status != 0;
	if (argc > 3 && strcmp(argv[3], "--coverage") == 0)
		coverage_show();
	failed |= count >= COVERED_BY && coverage_missed() > 0;
	if (!failed)
		printf("%" PRIu64 " seeds ok\n", count);
	return failed;
}
