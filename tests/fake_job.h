/* A small MPI program that speaks as trawl-trial does and misbehaves on request.
 *
 * trial.json: {"does": "train" | "hang" | "deaf" | "flood" | "memory" | "share" | "crash" | "error"
 * | "diverge" | "mumble" (the last word is on disk only), "steps": N, "step_ms": M, "stubborn":
 * true (outlives its parent)}.  A checkpoint holds its step as text, so that a resumed job goes on.
 */
#ifndef TESTS_FAKE_JOB_H
#define TESTS_FAKE_JOB_H
#include "core/base/file.h"
#include "core/base/hash.h"
#include "core/base/json.h"
#include "core/base/text.h"
#include "schemas/wire.h"
#include <fcntl.h>
#include <mpi.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>
#include <zmq.h>

enum { FAKE_CHECKPOINT_STEPS = 5 };

struct fake {
	const char *agent, *folder, *resume, *path, *does;
	int64_t trial, attempt, step, steps, step_ms, batch;
	int rank;
	void *zmq, *socket;
};

static cJSON *fake_body(struct fake *f)
{
	cJSON *body = cJSON_CreateObject();
	cJSON_AddNumberToObject(body, "trial", (double)f->trial);
	cJSON_AddNumberToObject(body, "attempt", (double)f->attempt);
	return body;
}

static void fake_send(struct fake *f, enum wire_kind kind, cJSON *body)
{
	struct message m = message_make(kind, NULL, 0, body);
	wire_send(f->socket, &m, NULL);
	message_release(&m);
}

static void fake_add_rows(struct fake *f, cJSON *body)
{
	cJSON_AddNumberToObject(body, "batch", (double)++f->batch);
	cJSON *rows = cJSON_AddArrayToObject(body, "rows"), *row = cJSON_CreateObject();
	cJSON_AddStringToObject(row, "name", "loss");
	cJSON_AddNumberToObject(row, "step", (double)f->step);
	cJSON_AddNumberToObject(row, "epoch", 0);
	cJSON_AddNumberToObject(row, "value", 1.0 / (double)(f->step + 1));
	cJSON_AddItemToArray(rows, row);
}

static cJSON *fake_file(struct fake *f, const char *name)
{
	char hex[SHA256_HEX], *file = xformat("%s/%s-%lld", f->folder, name, (long long)f->step);
	char *text = xformat("%lld %s", (long long)f->step, name);
	file_write(file, text, strlen(text), NULL);
	sha256_hex(text, strlen(text), hex);
	cJSON *item = cJSON_CreateObject();
	cJSON_AddStringToObject(item, "name", name);
	cJSON_AddStringToObject(item, "path", file);
	cJSON_AddStringToObject(item, "sha256", hex);
	cJSON_AddNumberToObject(item, "bytes", (double)strlen(text));
	free(file);
	free(text);
	return item;
}

static void fake_checkpoint(struct fake *f)
{
	cJSON *body = fake_file(f, "checkpoint");
	cJSON_AddNumberToObject(body, "trial", (double)f->trial);
	cJSON_AddNumberToObject(body, "attempt", (double)f->attempt);
	cJSON_AddNumberToObject(body, "step", (double)f->step);
	cJSON_AddNumberToObject(body, "epoch", 0);
	cJSON_AddStringToObject(body, "numerics", "fake");
	fake_add_rows(f, body);
	fake_send(f, WIRE_JOB_CHECKPOINT, body);
}

/* outcome.json first, then the message. */
static void fake_end(struct fake *f, enum wire_kind kind, cJSON *body)
{
	char *path = path_join(f->folder, "outcome.json");
	cJSON *file = cJSON_CreateObject();
	cJSON_AddStringToObject(file, "kind", wire_name(kind));
	cJSON_AddItemToObject(file, "body", cJSON_Duplicate(body, true));
	json_write(path, file, NULL);
	cJSON_Delete(file);
	free(path);
	if (strcmp(f->does, "mumble"))
		fake_send(f, kind, body);
	else
		cJSON_Delete(body);
}

static void fake_ended(struct fake *f, const char *outcome, const char *text)
{
	cJSON *body = fake_body(f);
	cJSON_AddStringToObject(body, "outcome", outcome);
	cJSON_AddStringToObject(body, "text", text);
	fake_end(f, WIRE_JOB_ENDED, body);
}

static void fake_done(struct fake *f)
{
	cJSON *body = fake_body(f);
	cJSON_AddStringToObject(body, "numerics", "fake");
	fake_add_rows(f, body);
	cJSON_AddNumberToObject(cJSON_AddObjectToObject(body, "result"), "accuracy", 0.5);
	cJSON_AddItemToArray(cJSON_AddArrayToObject(body, "artifacts"), fake_file(f, "weights"));
	fake_end(f, WIRE_JOB_DONE, body);
}

/* What rank 0 was told: 0 nothing, 1 yield, 2 stop; every rank learns it. */
static int fake_order(struct fake *f)
{
	int order = 0;
	struct message m;
	while (f->rank == 0 && wire_receive(f->socket, &m, NULL)) {
		const char *text = json_text(m.body, "order", "");
		order = strcmp(text, "stop") == 0 ? 2 : strcmp(text, "yield") == 0 ? 1 : order;
		message_release(&m);
	}
	MPI_Bcast(&order, 1, MPI_INT, 0, MPI_COMM_WORLD);
	return order;
}

/* All ranks map the same 150 MB, and write to every page. */
static void fake_share(struct fake *f)
{
	size_t bytes = (size_t)150 << 20;
	char *path = path_join(f->folder, "shared");
	int fd = open(path, O_RDWR | O_CREAT, 0600);
	if (ftruncate(fd, (off_t)bytes))
		abort();
	volatile char *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	for (size_t i = 0; i < bytes; i += 4096)
		memory[i] = 1;
	sleep(2);
	free(path);
}

static void fake_misbehave(struct fake *f)
{
	if (strcmp(f->does, "hang") == 0)
		for (;;)
			sleep(1);
	if (strcmp(f->does, "crash") == 0 && f->rank == 0) {
		fprintf(stderr, "about to crash\n");
		abort();
	}
	if (strcmp(f->does, "flood") == 0 && f->rank == 0)
		for (int i = 0; i < 400000; i++)
			printf("%08d a line that nobody will ever read, of a hundred bytes "
			       "or so, as floods have them\n",
			       i);
	if (strcmp(f->does, "share") == 0)
		fake_share(f);
	if (strcmp(f->does, "memory") == 0) {
		size_t bytes = (size_t)150 << 20;
		volatile char *memory = malloc(bytes);
		for (size_t i = 0; i < bytes; i += 4096)
			memory[i] = 1;
		sleep(10);
	}
}

static void fake_progress(struct fake *f)
{
	cJSON *body = fake_body(f);
	cJSON_AddNumberToObject(body, "step", (double)f->step);
	cJSON_AddNumberToObject(body, "steps", (double)f->steps);
	cJSON_AddNumberToObject(body, "epoch", 0);
	cJSON_AddNumberToObject(body, "epochs", 1);
	cJSON_AddNumberToObject(body, "images_per_second", 100);
	cJSON_AddStringToObject(body, "phase", "train");
	fake_send(f, WIRE_JOB_PROGRESS, body);
	body = fake_body(f);
	fake_add_rows(f, body);
	fake_send(f, WIRE_JOB_METRICS, body);
}

static void fake_train(struct fake *f)
{
	while (f->step < f->steps) {
		int order = fake_order(f);
		if (order && strcmp(f->does, "deaf")) {
			if (f->rank == 0 && order == 1)
				fake_checkpoint(f);
			if (f->rank == 0)
				fake_ended(f, order == 1 ? "yield" : "stopped", "as told");
			return;
		}
		usleep((useconds_t)f->step_ms * 1000);
		f->step++;
		if (f->rank == 0)
			fake_progress(f);
		if (f->rank == 0 && f->step % FAKE_CHECKPOINT_STEPS == 0)
			fake_checkpoint(f);
		if (f->step == 2)
			fake_misbehave(f);
	}
	if (f->rank)
		return;
	if (strcmp(f->does, "error") == 0)
		fake_ended(f, "error", "no such model");
	else if (strcmp(f->does, "diverge") == 0)
		fake_ended(f, "diverged", "loss is not a number at step 3");
	else
		fake_done(f);
}

static void fake_options(struct fake *f, int argc, char **argv)
{
	for (int i = 1; i + 1 < argc; i += 2) {
		const char *name = argv[i], *value = argv[i + 1];
		f->agent = strcmp(name, "--agent") ? f->agent : value;
		f->folder = strcmp(name, "--folder") ? f->folder : value;
		f->resume = strcmp(name, "--resume") ? f->resume : value;
		f->trial = strcmp(name, "--trial") ? f->trial : atoll(value);
		f->attempt = strcmp(name, "--attempt") ? f->attempt : atoll(value);
	}
	f->path = argv[argc - 1];
}

/* The whole program; a test's main calls it when it was started as a job. */
static int fake_main(int argc, char **argv)
{
	struct fake f = {0};
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	fake_options(&f, argc, argv);
	cJSON *trial = json_read(f.path, NULL);
	char *begun = f.resume ? file_read(f.resume, NULL, NULL) : NULL;
	if (json_bool(trial, "stubborn", false)) {
		prctl(PR_SET_PDEATHSIG, 0);
		signal(SIGTERM, SIG_IGN);
	}
	f.does = json_text(trial, "does", "train");
	f.steps = json_int(trial, "steps", 10);
	f.step_ms = json_int(trial, "step_ms", 10);
	f.step = begun ? atoll(begun) : 0;
	MPI_Init(&argc, &argv);
	MPI_Comm_rank(MPI_COMM_WORLD, &f.rank);
	if (f.rank == 0) {
		f.zmq = zmq_ctx_new();
		f.socket = zmq_socket(f.zmq, ZMQ_DEALER);
		zmq_connect(f.socket, f.agent);
		cJSON *body = fake_body(&f);
		cJSON_AddNumberToObject(body, "pid", getpid());
		cJSON_AddNumberToObject(body, "ranks", 1);
		cJSON_AddStringToObject(body, "numerics", "fake");
		fake_send(&f, WIRE_JOB_HELLO, body);
	}
	fake_train(&f);
	if (f.rank == 0) {
		zmq_close(f.socket);
		zmq_ctx_term(f.zmq);
	}
	free(begun);
	cJSON_Delete(trial);
	MPI_Finalize();
	return 0;
}
#endif
