/* Trials/s through a coordinator: real sockets, a durable database, simulated agents.
 *
 *   dispatch [--agents N] [--trials N] [--rate N] [--studies N]
 *
 * Starts `trawl serve` and N agents (200) in this process, each of which takes one trial at a time,
 * reports three metrics and ends it at once.  Then as many again at half that rate (--rate: at
 * this), for the time from the end of a trial, which asks for the next, to its lease.  The trials
 * are those of N studies (1), which share the agents.  Then kills the coordinator and starts it
 * again; last, what a person waits for `trawl status`.  Prints `N trials/s`.  Peers:
 * dispatch_optuna.py. */
#include "core/base/clock.h"
#include "core/base/file.h"
#include "core/base/json.h"
#include "core/base/text.h"
#include "schemas/wire.h"
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zmq.h>

static const char endpoint[] = "tcp://127.0.0.1:5777";

struct agent {
	void *socket;
	char name[32];
	long trial, attempt; /* to be ended; 0: none */
	long last;           /* trial that it ended: it may be ordered once more meanwhile */
	double asked;        /* when its last trial ended; 0: not timed */
	double beat;
};

struct load {
	struct agent *agent;
	zmq_pollitem_t *poll;
	int agents;
	long ended, leased, wanted;
	double rate;     /* trials/s at most; 0: as fast as it goes */
	double *latency; /* (wanted) from asking to the lease */
	double began;
};

static void die(const char *what)
{
	fprintf(stderr, "dispatch: %s\n", what);
	exit(1);
}

static void say(struct agent *a, const char *kind, const char *body)
{
	zmq_send(a->socket, WIRE_VERSION, strlen(WIRE_VERSION), ZMQ_SNDMORE);
	zmq_send(a->socket, kind, strlen(kind), ZMQ_SNDMORE);
	zmq_send(a->socket, body, strlen(body), 0);
}

static void hello(struct agent *a)
{
	char *body =
	        xformat("{\"agent\":\"%s\",\"name\":\"%s\",\"pid\":1,\"ranks\":1,\"threads\":1,"
	                "\"memory_mb\":4000,\"gpus\":0,\"labels\":[],\"data\":[],"
	                "\"numerics\":\"n\",\"holds\":[],\"version\":\"" WIRE_VERSION "\"}",
	                a->name, a->name);

	say(a, "hello", body);
	free(body);
}

static void beat(struct agent *a)
{
	char *body = xformat("{\"agent\":\"%s\",\"seq\":1,\"free_ranks\":1,\"free_memory_mb\":4000,"
	                     "\"holds\":[]}",
	                     a->name);

	if (!a->trial)
		say(a, "beat", body);
	a->beat = clock_seconds();
	free(body);
}

static void end_trial(struct load *l, struct agent *a)
{
	static const char metrics[] =
	        "{\"agent\":\"%s\",\"trial\":%ld,\"attempt\":%ld,\"batch\":1,\"rows\":["
	        "{\"name\":\"loss\",\"step\":1,\"epoch\":1,\"value\":0.5},"
	        "{\"name\":\"accuracy\",\"step\":1,\"epoch\":1,\"value\":0.75},"
	        "{\"name\":\"test_loss\",\"step\":1,\"epoch\":1,\"value\":0.25}]}";
	static const char done[] =
	        "{\"agent\":\"%s\",\"trial\":%ld,\"attempt\":%ld,\"numerics\":\"n\",\"batch\":1,"
	        "\"rows\":[],\"result\":{\"accuracy\":0.75},\"artifacts\":[]}";
	char body[1024];

	snprintf(body, sizeof body, metrics, a->name, a->trial, a->attempt);
	say(a, "metrics", body);
	snprintf(body, sizeof body, done, a->name, a->trial, a->attempt);
	say(a, "done", body);
	a->last = a->trial;
	a->trial = 0;
	a->asked = clock_seconds();
	l->ended++;
}

/* "trial":N,"attempt":N,"order":"run" of ORDERS; not parsed as a whole, which would be our time. */
static void take_orders(struct load *l, struct agent *a, const char *text)
{
	const char *at = strstr(text, "\"trial\":");
	long trial = 0, attempt = 0;

	if (a->trial || !at || !strstr(at, "\"token\":") ||
	    sscanf(at, "\"trial\":%ld,\"attempt\":%ld", &trial, &attempt) != 2 || trial == a->last)
		return;
	a->trial = trial;
	a->attempt = attempt;
	if (a->asked > 0 && l->leased < l->wanted)
		l->latency[l->leased++] = clock_seconds() - a->asked;
	a->asked = 0;
}

static void receive(struct load *l, struct agent *a)
{
	char kind[32] = "";
	zmq_msg_t frame;
	int at = 0, more = 1;

	for (; more; at++) {
		zmq_msg_init(&frame);
		if (zmq_msg_recv(&frame, a->socket, ZMQ_DONTWAIT) < 0)
			return;
		more = zmq_msg_more(&frame);
		size_t bytes = zmq_msg_size(&frame);
		if (at == 1)
			snprintf(kind, sizeof kind, "%.*s", (int)bytes,
			         (char *)zmq_msg_data(&frame));
		if (at == 2 && !strcmp(kind, "orders")) {
			char *text = xformat("%.*s", (int)bytes, (char *)zmq_msg_data(&frame));
			take_orders(l, a, text);
			free(text);
		} else if (at == 2 && !strcmp(kind, "error")) {
			fprintf(stderr, "%.*s\n", (int)bytes, (char *)zmq_msg_data(&frame));
		}
		zmq_msg_close(&frame);
	}
}

/* Until so many more trials have ended. */
static double run(struct load *l, long trials, double rate)
{
	double now = l->began = clock_seconds();
	int next = 0;

	l->ended = l->leased = 0;
	l->wanted = trials;
	l->rate = rate;
	while (l->ended < trials) {
		zmq_poll(l->poll, l->agents, 1);
		for (int i = 0; i < l->agents; i++)
			if (l->poll[i].revents & ZMQ_POLLIN)
				receive(l, &l->agent[i]);
		now = clock_seconds();
		for (int k = 0; k < l->agents && l->ended < trials; k++) {
			struct agent *a = &l->agent[(next + k) % l->agents];
			if (a->trial && (!rate || (double)l->ended < rate * (now - l->began)))
				end_trial(l, a);
			if (now - a->beat > 2)
				beat(a);
		}
		next = (next + 1) % l->agents;
	}
	return clock_seconds() - l->began;
}

static pid_t serve(const char *program, const char *database)
{
	pid_t pid = fork();

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		freopen("/dev/null", "w", stdout);
		execl(program, program, "serve", "--db", database, "--listen", endpoint,
		      (char *)NULL);
		_exit(127);
	}
	return pid;
}

static cJSON *request(void *socket, const char *verb, const char *args)
{
	cJSON *body = cJSON_CreateObject();
	struct message m, reply;
	struct error e = {{0}};

	cJSON_AddNumberToObject(body, "id", 1);
	cJSON_AddStringToObject(body, "verb", verb);
	cJSON_AddItemToObject(body, "args", cJSON_Parse(args));
	m = message_make(WIRE_REQUEST, NULL, 0, body);
	wire_send(socket, &m, &e);
	message_release(&m);
	zmq_pollitem_t item = {socket, 0, ZMQ_POLLIN, 0};
	if (zmq_poll(&item, 1, 120000) < 1 || wire_receive(socket, &reply, &e) < 1)
		die("the coordinator does not answer");
	if (!json_bool(reply.body, "ok", false))
		die(json_text(reply.body, "text", "refused"));
	return reply.body;
}

static long query(const char *database, const char *sql)
{
	sqlite3 *db;
	sqlite3_stmt *statement;
	long value = -1;

	sqlite3_open_v2(database, &db, SQLITE_OPEN_READONLY, NULL);
	sqlite3_busy_timeout(db, 10000);
	if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) == SQLITE_OK &&
	    sqlite3_step(statement) == SQLITE_ROW)
		value = (long)sqlite3_column_int64(statement, 0);
	sqlite3_finalize(statement);
	sqlite3_close(db);
	return value;
}

/* Killed, and started again: until it answers. */
static double restart(pid_t *pid, const char *program, const char *database, void *context)
{
	void *client = zmq_socket(context, ZMQ_DEALER);
	kill(*pid, SIGKILL);
	waitpid(*pid, NULL, 0);
	double began = clock_seconds();
	*pid = serve(program, database);
	zmq_connect(client, endpoint);
	cJSON_Delete(request(client, "ping", "{}"));
	zmq_close(client);
	return clock_seconds() - began;
}

/* Of a whole command, its output thrown away. */
static double command_seconds(const char *program, const char *verb, const char *database)
{
	double began = clock_seconds();
	pid_t pid = fork();

	if (pid == 0) {
		freopen("/dev/null", "w", stdout);
		execl(program, program, verb, "--db", database, (char *)NULL);
		_exit(127);
	}
	waitpid(pid, NULL, 0);
	return clock_seconds() - began;
}

static long peak_mb(pid_t pid)
{
	char *path = xformat("/proc/%d/status", (int)pid), *text = file_read(path, NULL, NULL);
	const char *at = text ? strstr(text, "VmHWM:") : NULL;
	long kb = at ? atol(at + 6) : 0;

	free(text);
	free(path);
	return kb / 1024;
}

/* User and system time of a process so far. */
static double cpu_seconds(pid_t pid)
{
	char *path = xformat("/proc/%d/stat", (int)pid), *text = file_read(path, NULL, NULL);
	const char *at = text ? strrchr(text, ')') : NULL;
	unsigned long user = 0, kernel = 0;

	if (at)
		sscanf(at, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &kernel);
	free(text);
	free(path);
	return (double)(user + kernel) / (double)sysconf(_SC_CLK_TCK);
}

static int by_size(const void *left, const void *right)
{
	const double *a = left, *b = right;

	return *a < *b ? -1 : *a > *b;
}

static long option(int argc, char **argv, const char *name, long otherwise)
{
	for (int i = 1; i + 1 < argc; i++)
		if (!strcmp(argv[i], name))
			return atol(argv[i + 1]);
	return otherwise;
}

static void connect_agents(struct load *l, void *context)
{
	for (int i = 0; i < l->agents; i++) {
		struct agent *a = &l->agent[i];
		snprintf(a->name, sizeof a->name, "agent-%04d", i);
		a->socket = zmq_socket(context, ZMQ_DEALER);
		zmq_setsockopt(a->socket, ZMQ_ROUTING_ID, a->name, strlen(a->name));
		zmq_connect(a->socket, endpoint);
		l->poll[i] = (zmq_pollitem_t){a->socket, 0, ZMQ_POLLIN, 0};
		a->beat = clock_seconds();
		hello(a);
	}
}

static void launch(void *client, const char *database, long trials, long studies)
{
	double began = clock_seconds();

	for (long i = 0; i < studies; i++) {
		char *args = xformat(
		        "{\"sweep\":{\"name\":\"dispatch-%ld\",\"trial\":{\"data\":{\"name\":"
		        "\"shapes\"},\"model\":{\"name\":\"resnet20\"},\"train\":{\"epochs\":1}},"
		        "\"space\":{\"train.seed\":{\"min\":%ld,\"max\":%ld,\"step\":1}}}}",
		        i, i * trials / studies + 1, (i + 1) * trials / studies);
		cJSON_Delete(request(client, "launch", args));
		free(args);
	}
	double launched = clock_seconds();
	while (query(database, "select min(cursor = total) from study") != 1)
		usleep(50000);
	printf("%ld trials of %ld studies launched in %.1f s, made in %.1f s more\n", trials,
	       studies, launched - began, clock_seconds() - launched);
}

int main(int argc, char **argv)
{
	struct load l = {.agents = (int)option(argc, argv, "--agents", 200)};
	long trials = option(argc, argv, "--trials", 20000);
	char self[PATH_MAX] = {0}, folder[] = "/var/tmp/trawl-dispatch-XXXXXX";
	void *context = zmq_ctx_new(), *client;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (readlink("/proc/self/exe", self, sizeof self - 1) < 0 || !mkdtemp(folder))
		die("no place for the database");
	char *program = xformat("%s/../../trawl", dirname(self));
	char *database = xformat("%s/study.db", folder);
	zmq_ctx_set(context, ZMQ_MAX_SOCKETS, 4096);
	l.agent = xcalloc((size_t)l.agents, sizeof *l.agent);
	l.poll = xcalloc((size_t)l.agents, sizeof *l.poll);
	l.latency = xcalloc((size_t)trials, sizeof *l.latency);
	pid_t pid = serve(program, database);
	client = zmq_socket(context, ZMQ_DEALER);
	zmq_connect(client, endpoint);
	launch(client, database, trials + l.agents, option(argc, argv, "--studies", 1));
	connect_agents(&l, context);
	double cpu = cpu_seconds(pid);
	double seconds = run(&l, trials / 2, 0), rate = (double)(trials / 2) / seconds;
	printf("%.0f trials/s   %d agents, %.0f metric rows/s, coordinator %ld MB at most, %.0f "
	       "us of CPU time a trial\n",
	       rate, l.agents, 3 * rate, peak_mb(pid),
	       1e6 * (cpu_seconds(pid) - cpu) / (double)(trials / 2));
	double paced = (double)option(argc, argv, "--rate", (long)(rate / 2));
	seconds = run(&l, trials - trials / 2, paced);
	qsort(l.latency, (size_t)l.leased, sizeof *l.latency, by_size);
	printf("at %.0f trials/s a lease comes in %.1f ms (median), %.1f ms (p99)\n",
	       (double)(trials - trials / 2) / seconds, 1e3 * l.latency[l.leased / 2],
	       1e3 * l.latency[l.leased * 99 / 100]);
	sleep(1);
	printf("%ld done, %ld metric rows in the database\n",
	       query(database, "select count(*) from trial where state = 'done'"),
	       query(database, "select count(*) from metric"));
	long peak = peak_mb(pid);
	printf("coordinator %ld MB at most; killed and started again, it answers after %.2f s\n",
	       peak, restart(&pid, program, database, context));
	printf("trawl studies %.0f ms, trawl status %.0f ms\n",
	       1e3 * command_seconds(program, "studies", database),
	       1e3 * command_seconds(program, "status", database));
	kill(pid, SIGTERM);
	waitpid(pid, NULL, 0);
	folder_remove(folder, &(struct error){{0}});
	return 0;
}
