/* What rank 0 tells its agent over ipc, and the file outcome.json, which says it when messages
 * fail. */
#include "worker/trial_report.h"
#include "core/base/file.h"
#include "core/base/json.h"
#include "core/base/log.h"
#include "core/base/text.h"
#include "schemas/wire.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zmq.h>

enum { LINGER_MS = 5000, QUEUE_MESSAGES = 10000 };

/* Members that every message of a job has. */
static cJSON *body_new(const struct trial_report *r)
{
	cJSON *body = cJSON_CreateObject();

	cJSON_AddNumberToObject(body, "trial", (double)r->trial);
	cJSON_AddNumberToObject(body, "attempt", (double)r->attempt);
	return body;
}

/* Sends and deletes the body. */
static void send_body(struct trial_report *r, enum wire_kind kind, cJSON *body)
{
	struct error e = {0};

	if (r->socket) {
		struct message m = message_make(kind, NULL, 0, body);
		int status = wire_send(r->socket, &m, &e);
		if (status)
			log_warn("%s was not sent: %s", wire_name(kind),
			         status > 0 ? "the agent does not take it" : e.text);
		message_release(&m);
	} else {
		cJSON_Delete(body);
	}
}

static void add_real(cJSON *body, const char *key, double value)
{
	if (isfinite(value))
		cJSON_AddNumberToObject(body, key, value);
}

static int open_socket(struct trial_report *r, const char *url, struct error *e)
{
	int linger = LINGER_MS, queue = QUEUE_MESSAGES;

	r->context = zmq_ctx_new();
	r->socket = r->context ? zmq_socket(r->context, ZMQ_DEALER) : NULL;
	if (!r->socket)
		return error_set(e, "cannot make a socket: %s", zmq_strerror(errno));
	zmq_setsockopt(r->socket, ZMQ_LINGER, &linger, sizeof linger);
	zmq_setsockopt(r->socket, ZMQ_SNDHWM, &queue, sizeof queue);
	if (zmq_connect(r->socket, url))
		return error_set(e, "--agent %s: %s", url, zmq_strerror(errno));
	return 0;
}

int trial_report_open(struct trial_report *r, const char *url, int64_t trial, int64_t attempt,
                      int ranks, const char *numerics, const char *folder, struct error *e)
{
	*r = (struct trial_report){.trial = trial,
	                           .attempt = attempt,
	                           .folder = folder,
	                           .numerics = xstrdup(numerics)};
	if (folder_make(folder, e) || (url && open_socket(r, url, e)))
		return -1;
	cJSON *body = body_new(r);
	cJSON_AddNumberToObject(body, "pid", getpid());
	cJSON_AddNumberToObject(body, "ranks", ranks);
	cJSON_AddStringToObject(body, "numerics", numerics);
	send_body(r, WIRE_JOB_HELLO, body);
	return 0;
}

void trial_report_release(struct trial_report *r)
{
	if (r->socket)
		zmq_close(r->socket);
	if (r->context)
		zmq_ctx_term(r->context);
	free(r->numerics);
	*r = (struct trial_report){0};
}

static enum order order_named(const char *name)
{
	static const struct {
		const char *name;
		enum order order;
	} orders[] = {
	        {"checkpoint", ORDER_CHECKPOINT}, {"yield", ORDER_YIELD}, {"stop", ORDER_STOP}};

	for (size_t i = 0; i < sizeof orders / sizeof *orders; i++)
		if (!strcmp(orders[i].name, name))
			return orders[i].order;
	log_warn("unknown order \"%s\"", name);
	return ORDER_GO;
}

enum order trial_report_order(struct trial_report *r)
{
	enum order strongest = ORDER_GO;
	int got = r->socket ? 1 : 0;

	while (got) {
		struct message m;
		struct error e = {0};
		got = wire_receive(r->socket, &m, &e);
		if (got < 0)
			log_warn("%s", e.text);
		if (got > 0 && m.kind == WIRE_JOB_ORDER &&
		    json_int(m.body, "trial", -1) == r->trial &&
		    json_int(m.body, "attempt", -1) == r->attempt) {
			enum order order = order_named(json_text(m.body, "order", ""));
			strongest = order > strongest ? order : strongest;
		}
		message_release(&m);
	}
	return strongest;
}

void trial_report_progress(struct trial_report *r, const struct progress *p)
{
	cJSON *body = body_new(r);

	cJSON_AddNumberToObject(body, "step", (double)p->step);
	cJSON_AddNumberToObject(body, "steps", (double)p->steps);
	cJSON_AddNumberToObject(body, "epoch", (double)p->epoch);
	cJSON_AddNumberToObject(body, "epochs", (double)p->epochs);
	cJSON_AddNumberToObject(body, "images_per_second", p->images_per_second);
	add_real(body, "loss", p->loss);
	add_real(body, "accuracy", p->accuracy);
	cJSON_AddStringToObject(body, "phase", p->phase);
	send_body(r, WIRE_JOB_PROGRESS, body);
}

static void add_rows(struct trial_report *r, cJSON *body, const struct result *result, int first)
{
	cJSON_AddNumberToObject(body, "batch", (double)r->batch++);
	cJSON_AddItemToObject(body, "rows", result_rows(result, first));
}

void trial_report_metrics(struct trial_report *r, const struct result *result, int first)
{
	cJSON *body = body_new(r);

	add_rows(r, body, result, first);
	send_body(r, WIRE_JOB_METRICS, body);
}

void trial_report_checkpoint(struct trial_report *r, const struct written *file,
                             const struct position *p, const struct result *result)
{
	cJSON *body = body_new(r);

	cJSON_AddNumberToObject(body, "step", (double)p->step);
	cJSON_AddNumberToObject(body, "epoch", (double)p->epoch);
	cJSON_AddStringToObject(body, "path", file->path);
	cJSON_AddStringToObject(body, "sha256", file->sha256);
	cJSON_AddNumberToObject(body, "bytes", (double)file->bytes);
	cJSON_AddStringToObject(body, "numerics", r->numerics);
	add_rows(r, body, result, 0);
	send_body(r, WIRE_JOB_CHECKPOINT, body);
}

static cJSON *done_body(struct trial_report *r, const struct trainer *t)
{
	cJSON *body = body_new(r), *artifacts = cJSON_CreateArray();

	cJSON_AddStringToObject(body, "numerics", r->numerics);
	add_rows(r, body, &t->result, 0);
	cJSON_AddItemToObject(body, "result", cJSON_Duplicate(t->result.figures, true));
	cJSON_AddItemToObject(body, "categories", cJSON_Duplicate(t->result.categories, true));
	cJSON_AddItemToObject(body, "layers", cJSON_Duplicate(t->result.layers, true));
	cJSON_AddItemToObject(body, "landscape", cJSON_Duplicate(t->result.landscape, true));
	cJSON_AddItemToObject(body, "ood", cJSON_Duplicate(t->result.ood, true));
	cJSON_AddItemToObject(body, "curves", cJSON_Duplicate(t->result.curves, true));
	cJSON_AddItemToObject(body, "tree", cJSON_Duplicate(t->result.tree, true));
	for (int i = 0; i < t->artifacts; i++) {
		cJSON *item = cJSON_CreateObject();
		cJSON_AddStringToObject(item, "name", t->artifact[i].name);
		cJSON_AddStringToObject(item, "path", t->artifact[i].path);
		cJSON_AddStringToObject(item, "sha256", t->artifact[i].sha256);
		cJSON_AddNumberToObject(item, "bytes", (double)t->artifact[i].bytes);
		cJSON_AddItemToArray(artifacts, item);
	}
	cJSON_AddItemToObject(body, "artifacts", artifacts);
	return body;
}

int trial_report_end(struct trial_report *r, enum outcome outcome, const char *text,
                     const struct trainer *t, struct error *e)
{
	enum wire_kind kind = outcome == OUTCOME_DONE ? WIRE_JOB_DONE : WIRE_JOB_ENDED;
	cJSON *file = cJSON_CreateObject(), *body;
	char *path = path_join(r->folder, "outcome.json");

	if (outcome == OUTCOME_DONE) {
		body = done_body(r, t);
	} else {
		body = body_new(r);
		cJSON_AddStringToObject(body, "outcome", outcome_name[outcome]);
		cJSON_AddStringToObject(body, "text", text);
	}
	cJSON_AddStringToObject(file, "kind", wire_name(kind));
	cJSON_AddItemReferenceToObject(file, "body", body);
	int status = json_write(path, file, e);
	cJSON_Delete(file);
	free(path);
	send_body(r, kind, body);
	return status;
}
