/* Laws of the coordinator's process: real sockets, a real file, killed and started again. */
#include "coordinator/serve.h"
#include "coordinator/store.h"
#include "core/base/clock.h"
#include "core/base/file.h"
#include "core/base/json.h"
#include "core/base/text.h"
#include "schemas/wire.h"
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zmq.h>

#include <cmocka.h>

enum { PATIENCE_MS = 30000 };

static char *folder, *database;
static int ready_pipe;
static int64_t wal_bytes; /* of the coordinators; 0: the default */

static int set_up(void **state)
{
	const char *root = getenv("TMPDIR");

	folder = xformat("%s/trawl-serve-XXXXXX", root ? root : "/tmp");
	if (!mkdtemp(folder))
		return -1;
	database = path_join(folder, "study.db");
	return 0;
}

static int tear_down(void **state)
{
	folder_remove(folder, NULL);
	free(folder);
	free(database);
	return 0;
}

static void tell_endpoint(void *context, const char *endpoint, const char *url, const char *curve)
{
	ssize_t ignored = write(ready_pipe, endpoint, strlen(endpoint) + 1);
	(void)ignored;
}

/* A coordinator in a process of its own; its endpoint is written to `endpoint`. */
static pid_t serve(const char *listen, char endpoint[128])
{
	int ends[2];

	assert_int_equal(pipe(ends), 0);
	pid_t child = fork();
	if (child == 0) {
		struct error e = {{0}};
		struct serve_options options = {.database = database,
		                                .listen = listen,
		                                .wal_bytes = wal_bytes,
		                                .ready = tell_endpoint};
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(ends[0]);
		ready_pipe = ends[1];
		_exit(serve_run(&options, &e) == 0 ? 0 : 1);
	}
	close(ends[1]);
	ssize_t length = read(ends[0], endpoint, 127);
	close(ends[0]);
	assert_true(length > 0);
	endpoint[length] = 0;
	return child;
}

static int end(pid_t child, int number)
{
	int status = 0;

	kill(child, number);
	waitpid(child, &status, 0);
	return status;
}

struct peer {
	void *zmq, *socket;
};

static void peer_init(struct peer *p, const char *name, const char *endpoint)
{
	int linger = 0;

	p->zmq = zmq_ctx_new();
	p->socket = zmq_socket(p->zmq, ZMQ_DEALER);
	zmq_setsockopt(p->socket, ZMQ_LINGER, &linger, sizeof linger);
	zmq_setsockopt(p->socket, ZMQ_ROUTING_ID, name, strlen(name));
	assert_int_equal(zmq_connect(p->socket, endpoint), 0);
}

static void peer_release(struct peer *p)
{
	zmq_close(p->socket);
	zmq_ctx_term(p->zmq);
}

static void say(struct peer *p, enum wire_kind kind, const char *format, ...)
{
	struct error e = {{0}};
	va_list arguments;
	char *text = NULL;

	va_start(arguments, format);
	assert_true(vasprintf(&text, format, arguments) >= 0);
	va_end(arguments);
	struct message m = message_make(kind, NULL, 0, json_parse(text, strlen(text), "test", &e));
	while (wire_send(p->socket, &m, &e) == 1)
		usleep(1000);
	message_release(&m);
	free(text);
}

/* The next message within the time, or false. */
static bool hear(struct peer *p, struct message *m, int wait_ms)
{
	zmq_pollitem_t item = {p->socket, 0, ZMQ_POLLIN, 0};
	struct error e = {{0}};

	return zmq_poll(&item, 1, wait_ms) > 0 && wire_receive(p->socket, m, &e) == 1;
}

static void hear_kind(struct peer *p, struct message *m, enum wire_kind kind)
{
	int64_t until = clock_monotonic_ms() + PATIENCE_MS;

	while (clock_monotonic_ms() < until) {
		if (!hear(p, m, 200))
			continue;
		if (m->kind == kind)
			return;
		message_release(m);
	}
	fail_msg("no %s came", wire_name(kind));
}

static void launch(const char *endpoint, int trials)
{
	struct peer client;
	struct message m;

	peer_init(&client, "client", endpoint);
	say(&client, WIRE_REQUEST,
	    "{\"id\":1,\"verb\":\"launch\",\"args\":{\"sweep\":{\"name\":\"many\",\"trial\":{"
	    "\"data\":"
	    "{\"name\":\"shapes\"},\"model\":{\"name\":\"resnet20\"}},\"search\":{\"kind\":"
	    "\"random\","
	    "\"trials\":%d},\"space\":{\"train.seed\":{\"min\":0,\"max\":9000000,\"step\":1}}}}"
	    "}",
	    trials);
	hear_kind(&client, &m, WIRE_REPLY);
	if (!json_bool(m.body, "ok", false))
		fail_msg("%s", json_text(m.body, "text", ""));
	message_release(&m);
	peer_release(&client);
}

static void done(struct peer *p, const char *name, int64_t trial, int64_t attempt)
{
	say(p, WIRE_DONE,
	    "{\"agent\":\"%s\",\"trial\":%ld,\"attempt\":%ld,\"numerics\":\"n\",\"batch\":1,"
	    "\"rows\":"
	    "[{\"name\":\"loss\",\"step\":1,\"value\":0.5}],\"result\":{\"accuracy\":0.5},"
	    "\"artifacts\":[]}",
	    name, (long)trial, (long)attempt);
}

/* An agent whose trials take no time; it says everything again until it is answered.  Runs until so
 * many are acknowledged; returns how many it was told. */
static int run_agent(const char *endpoint, const char *name, int trials, int wait_ms)
{
	struct peer p;
	struct message m;
	int64_t until = clock_monotonic_ms() + wait_ms, said = 0;
	int acknowledged = 0;
	bool seen[2000] = {false};

	peer_init(&p, name, endpoint);
	say(&p, WIRE_HELLO,
	    "{\"agent\":\"%s\",\"name\":\"%s\",\"pid\":1,\"ranks\":16,\"threads\":1,\"memory_mb\":"
	    "100000,\"gpus\":0,\"labels\":[],\"data\":[],\"numerics\":\"n\",\"holds\":[],"
	    "\"version\":"
	    "\"trawl/1\"}",
	    name, name);
	while (acknowledged < trials && clock_monotonic_ms() < until) {
		if (clock_monotonic_ms() - said > 1000) {
			said = clock_monotonic_ms();
			say(&p, WIRE_BEAT,
			    "{\"agent\":\"%s\",\"seq\":%ld,\"free_ranks\":16,\"free_memory_mb\":"
			    "100000,"
			    "\"holds\":[]}",
			    name, (long)said);
		}
		if (!hear(&p, &m, 100))
			continue;
		const cJSON *hold = NULL;
		cJSON_ArrayForEach (hold, json_at(m.body, "holds"))
			if (m.kind == WIRE_ORDERS && json_at(hold, "spec"))
				done(&p, name, json_int(hold, "trial", 0),
				     json_int(hold, "attempt", 0));
		int64_t trial = json_int(m.body, "trial", 0);
		acknowledged += m.kind == WIRE_DONE_SAVED && !seen[trial];
		seen[trial] = seen[trial] || m.kind == WIRE_DONE_SAVED;
		message_release(&m);
	}
	peer_release(&p);
	return acknowledged;
}

static int64_t count(const char *sql)
{
	struct store s;
	struct error e = {{0}};

	if (store_open_reader(&s, database, &e) != 0)
		fail_msg("%s", e.text);
	int64_t n = sql_get_int(&s.db, -1, sql);
	store_close(&s);
	return n;
}

static void empty_trials_pass_by_the_hundred(void **state)
{
	enum { TRIALS = 600 };
	char endpoint[128];
	pid_t child = serve("tcp://127.0.0.1:*", endpoint);

	launch(endpoint, TRIALS);
	int64_t began = clock_monotonic_ms();
	run_agent(endpoint, "a", TRIALS, PATIENCE_MS * 2);
	int64_t took = clock_monotonic_ms() - began;
	assert_int_equal(count("select count(*) from trial where state = 'done'"), TRIALS);
	assert_int_equal(count("select count(*) from metric"), TRIALS);
	print_message("%d empty trials in %ld ms: %.0f trials/s\n", TRIALS, (long)took,
	              TRIALS * 1000.0 / (double)took);
	assert_int_equal(end(child, SIGTERM), 0);
}

static void killed_at_any_time_it_loses_nothing(void **state)
{
	enum { TRIALS = 150 };
	char endpoint[128], again[128];
	pid_t child = serve("tcp://127.0.0.1:*", endpoint);

	launch(endpoint, TRIALS);
	for (int i = 0; i < 5; i++) {
		pid_t agent = fork();
		if (agent == 0) {
			char name[32];
			snprintf(name, sizeof name, "agent%d", i);
			run_agent(endpoint, name, TRIALS, 100000);
			_exit(0);
		}
		usleep(100000 + (useconds_t)i * 30000);
		end(child, SIGKILL);
		child = serve(endpoint, again);
		assert_string_equal(endpoint, again);
		usleep(100000);
		end(agent, SIGKILL);
	}
	assert_int_equal(count("select count(*) from trial"), TRIALS);
	assert_int_equal(count("select count(*) from trial t where state = 'done' and not exists "
	                       "(select 1 from result r where r.trial = t.id)"),
	                 0);
	assert_int_equal(
	        count("select count(*) from trial t where state <> (select after from history "
	              "h where h.trial = t.id order by seq desc limit 1)"),
	        0);
	end(child, SIGTERM);
}

static void garbage_and_other_versions_are_answered_and_it_serves_on(void **state)
{
	char endpoint[128];
	pid_t child = serve("tcp://127.0.0.1:*", endpoint);
	struct peer p;
	struct message m;

	peer_init(&p, "stranger", endpoint);
	zmq_send(p.socket, "trawl/9", 7, ZMQ_SNDMORE);
	zmq_send(p.socket, "beat", 4, ZMQ_SNDMORE);
	zmq_send(p.socket, "{}", 2, 0);
	hear_kind(&p, &m, WIRE_ERROR);
	assert_non_null(strstr(json_text(m.body, "text", ""), "\"trawl/9\""));
	assert_string_equal(json_text(m.body, "versions", ""), "trawl/1");
	message_release(&m);
	for (int i = 0; i < 200; i++)
		zmq_send(p.socket, "\xff\x00garbage", 9, i % 3 ? ZMQ_SNDMORE : 0);
	zmq_send(p.socket, "", 0, 0);
	say(&p, WIRE_STORED, "{\"sha256\":\"x\",\"bytes\":1}");
	for (;;) {
		hear_kind(&p, &m, WIRE_ERROR);
		bool refused = strstr(json_text(m.body, "text", ""), "came from where") != NULL;
		message_release(&m);
		if (refused)
			break;
	}
	peer_release(&p);
	launch(endpoint, 3);
	assert_int_equal(end(child, SIGTERM), 0);
}

static void a_port_in_use_is_one_line(void **state)
{
	char endpoint[128], *first = database, *line = NULL;
	pid_t child = serve("tcp://127.0.0.1:*", endpoint);
	struct error e = {{0}};

	database = path_join(folder, "other.db");
	assert_int_equal(
	        serve_run(&(struct serve_options){.database = database, .listen = endpoint}, &e),
	        -1);
	assert_non_null(strstr(e.text, endpoint));
	assert_non_null(strstr(e.text, "in use"));
	assert_null(strchr(e.text, '\n'));
	free(database);
	database = first;
	/* And the second on the same database says who holds it. */
	assert_int_equal(serve_run(&(struct serve_options){.database = database,
	                                                   .listen = "tcp://127.0.0.1:*"},
	                           &e),
	                 -1);
	line = xformat("pid %d, endpoint %s", (int)child, endpoint);
	if (!strstr(e.text, line))
		fail_msg("%s", e.text);
	free(line);
	end(child, SIGTERM);
}

static bool comes(const char *sql)
{
	for (int64_t until = clock_monotonic_ms() + PATIENCE_MS; clock_monotonic_ms() < until;) {
		if (count(sql) > 0)
			return true;
		usleep(50000);
	}
	return false;
}

/* One that sends as fast as it can does not keep others from being heard. */
static void a_flood_starves_nobody(void **state)
{
	enum { FLOOD = 10000 };
	char endpoint[128];
	pid_t child = serve("tcp://127.0.0.1:*", endpoint);
	struct peer flood, client;
	struct message m;

	launch(endpoint, 1);
	peer_init(&flood, "flood", endpoint);
	peer_init(&client, "client", endpoint);
	say(&client, WIRE_REQUEST, "{\"id\":1,\"verb\":\"ping\",\"args\":{}}");
	hear_kind(&client, &m, WIRE_REPLY);
	message_release(&m);
	say(&flood, WIRE_HELLO,
	    "{\"agent\":\"flood\",\"name\":\"flood\",\"pid\":1,\"ranks\":1,\"threads\":1,\"memory_"
	    "mb\":"
	    "100000,\"gpus\":0,\"labels\":[],\"data\":[],\"numerics\":\"n\",\"holds\":[],"
	    "\"version\":"
	    "\"trawl/1\"}");
	hear_kind(&flood, &m, WIRE_ORDERS);
	message_release(&m);
	for (int i = 0; i < FLOOD; i++)
		say(&flood, WIRE_METRICS,
		    "{\"agent\":\"flood\",\"trial\":1,\"attempt\":1,\"batch\":%d,\"rows\":[{"
		    "\"name\":\"loss\",\"step\":%d,\"value\":1}]}",
		    i, i);
	say(&client, WIRE_REQUEST, "{\"id\":2,\"verb\":\"ping\",\"args\":{}}");
	hear_kind(&client, &m, WIRE_REPLY);
	int64_t before = count("select coalesce(max(step), 0) from metric");
	message_release(&m);
	assert_in_range(before, 0, FLOOD - FLOOD / 10);
	assert_true(
	        comes("select count(*) from metric where step = 9999")); /* and nothing is lost */
	peer_release(&flood);
	peer_release(&client);
	end(child, SIGTERM);
}

static int64_t wal_size(void)
{
	char *path = xformat("%s-wal", database);
	int64_t bytes = file_bytes(path);

	free(path);
	return bytes;
}

/* A study of that many trials is made, which writes a few kB for each. */
static void make_study(struct peer *p, const char *name, int trials)
{
	struct message m;
	char *made = xformat("select count(*) from study where name = '%s' and cursor = %d", name,
	                     trials);

	say(p, WIRE_REQUEST,
	    "{\"id\":5,\"verb\":\"launch\",\"args\":{\"sweep\":{\"name\":\"%s\",\"trial\":{"
	    "\"data\":"
	    "{\"name\":\"shapes\"},\"model\":{\"name\":\"resnet20\"}},\"space\":{\"train.seed\":{"
	    "\"min\":1,\"max\":%d,\"step\":1}}}}}",
	    name, trials);
	hear_kind(p, &m, WIRE_REPLY);
	assert_true(json_bool(m.body, "ok", false));
	message_release(&m);
	assert_true(comes(made));
	free(made);
}

/* Nobody waits for one that holds a cursor open, and one can read why the log grows. */
static void a_reader_without_an_end_stops_nobody_and_is_named(void **state)
{
	char endpoint[128], named[128];
	sqlite3 *reader = NULL;
	sqlite3_stmt *cursor = NULL;
	struct peer p;

	wal_bytes = 1000000;
	pid_t child = serve("tcp://127.0.0.1:*", endpoint);
	peer_init(&p, "client", endpoint);
	make_study(&p, "before", 10);
	assert_int_equal(sqlite3_open_v2(database, &reader, SQLITE_OPEN_READWRITE, NULL),
	                 SQLITE_OK);
	sqlite3_prepare_v2(reader, "select id from trial", -1, &cursor, NULL);
	assert_int_equal(sqlite3_step(cursor), SQLITE_ROW);
	make_study(&p, "meanwhile", 1000);
	snprintf(named, sizeof named,
	         "select count(*) from event where kind = 'wal_large' and text like '%%(pid %d)%%'",
	         (int)getpid());
	assert_true(comes(named));
	make_study(&p, "afterwards", 20);
	assert_int_equal(sqlite3_step(cursor), SQLITE_ROW); /* and it reads on */
	assert_true(wal_size() >= wal_bytes);
	sqlite3_finalize(cursor);
	assert_true(comes("select count(*) from event where kind = 'wal_small'"));
	assert_true(wal_size() < wal_bytes);
	assert_int_equal(count("select count(*) from event where kind like 'wal%'"), 2);
	sqlite3_close(reader);
	peer_release(&p);
	end(child, SIGTERM);
	wal_bytes = 0;
}

static void a_client_may_stop_it(void **state)
{
	char endpoint[128];
	pid_t child = serve("tcp://127.0.0.1:*", endpoint);
	struct peer p;
	struct message m;
	int status = 0;

	peer_init(&p, "client", endpoint);
	say(&p, WIRE_REQUEST, "{\"id\":5,\"verb\":\"stop\",\"args\":{}}");
	hear_kind(&p, &m, WIRE_REPLY);
	assert_int_equal(json_int(m.body, "id", 0), 5);
	message_release(&m);
	peer_release(&p);
	waitpid(child, &status, 0);
	assert_int_equal(status, 0);
}

int main(void)
{
#define LAW(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	        LAW(empty_trials_pass_by_the_hundred),
	        LAW(killed_at_any_time_it_loses_nothing),
	        LAW(garbage_and_other_versions_are_answered_and_it_serves_on),
	        LAW(a_port_in_use_is_one_line),
	        LAW(a_flood_starves_nobody),
	        LAW(a_reader_without_an_end_stops_nobody_and_is_named),
	        LAW(a_client_may_stop_it),
	};

	return cmocka_run_group_tests_name("serve", tests, NULL, NULL);
}
