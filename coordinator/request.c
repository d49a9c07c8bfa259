/* REQUESTs of clients: one row per verb. */
#include "coordinator/gate.h"
#include "coordinator/turn.h"
#include "coordinator/worker.h"
#include "core/base/json.h"
#include <string.h>

typedef int verb(struct turn *t, const cJSON *args, cJSON **result, struct error *e);

static int drain(struct turn *t, const cJSON *args, cJSON **result, struct error *e)
{
	return worker_drain(t, json_text(args, "worker", ""), e);
}

static int undrain(struct turn *t, const cJSON *args, cJSON **result, struct error *e)
{
	return worker_undrain(t, json_text(args, "worker", ""), e);
}

static int stop(struct turn *t, const cJSON *args, cJSON **result, struct error *e)
{
	t->out->stop = true;
	return 0;
}

/* Changes nothing: the answer is that there is one. */
static int ping(struct turn *t, const cJSON *args, cJSON **result, struct error *e)
{
	return 0;
}

static const struct {
	const char *name;
	verb *run;
} verbs[] = {{"launch", study_launch}, {"add", study_add},           {"pause", study_pause},
             {"resume", study_resume}, {"cancel", study_cancel},     {"retry", study_retry},
             {"drain", drain},         {"undrain", undrain},         {"stop", stop},
             {"ping", ping},           {"authorize", key_authorize}, {"revoke", key_revoke}};

static verb *find(const char *name, struct error *e)
{
	enum { COUNT = sizeof verbs / sizeof *verbs };
	const char *names[COUNT];

	for (int i = 0; i < COUNT; i++) {
		names[i] = verbs[i].name;
		if (strcmp(name, names[i]) == 0)
			return verbs[i].run;
	}
	const char *nearest = nearest_name(name, names, COUNT);
	error_set(e, "unknown request \"%.40s\"%s%s%s", name, nearest ? "; did you mean \"" : "",
	          nearest ? nearest : "", nearest ? "\"?" : "");
	return NULL;
}

/* What a request that fails has changed by then is taken back. */
void on_request(struct turn *t, const cJSON *body)
{
	struct error e = {{0}};
	cJSON *result = NULL, *reply = cJSON_CreateObject();
	verb *run = find(json_text(body, "verb", ""), &e);

	sql_run(t->db, "savepoint request");
	int status = run ? run(t, json_at(body, "args"), &result, &e) : -1;
	t->wants = true;
	sql_run(t->db, status == 0 ? "release request" : "rollback to request");
	if (status != 0)
		sql_run(t->db, "release request");
	cJSON_AddNumberToObject(reply, "id", (double)json_int(body, "id", 0));
	cJSON_AddBoolToObject(reply, "ok", status == 0);
	if (status != 0)
		cJSON_AddStringToObject(reply, "text", e.text);
	if (result)
		cJSON_AddItemToObject(reply, "result", result);
	turn_reply(t, WIRE_REPLY, reply);
}
