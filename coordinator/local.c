/* Changes made without a running coordinator: this process is one, for a moment. */
#include "coordinator/local.h"
#include "coordinator/database.h"
#include "coordinator/generation.h"
#include "coordinator/import.h"
#include "coordinator/store.h"
#include "coordinator/turn.h"
#include "core/base/clock.h"
#include "core/base/file.h"
#include "core/base/json.h"
#include "core/base/text.h"
#include <stdlib.h>
#include <string.h>

int local_create(const char *path, struct error *e)
{
	struct store s;
	if (store_open(&s, path, false, e))
		return -1;
	store_close(&s);
	return 0;
}

/* The request as the turn is given it, from a route that nobody listens on. */
static struct message request(const char *verb, cJSON *args)
{
	cJSON *body = cJSON_CreateObject();
	cJSON_AddNumberToObject(body, "id", 1);
	cJSON_AddStringToObject(body, "verb", verb);
	cJSON_AddItemToObject(body, "args", args ? args : cJSON_CreateObject());
	return message_make(WIRE_REQUEST, "local", 5, body);
}

/* The answer among the messages of a turn: 0, or -1 with what was refused. */
static int take(const struct turn_output *out, cJSON **result, struct error *e)
{
	for (size_t i = 0; i < out->count; i++) {
		cJSON *body = out->messages[i].body;
		if (out->messages[i].kind != WIRE_REPLY)
			continue;
		if (!json_bool(body, "ok", false))
			return error_set(e, "%s", json_text(body, "text", "refused"));
		*result = cJSON_DetachItemFromObject(body, "result");
	}
	return 0;
}

/* One turn for the request, then more until all trials of the study are made. */
static int turns(struct coordinator *c, struct message *m, cJSON **result, struct error *e)
{
	struct turn_input in = {.messages = m, .count = 1, .free_bytes = -1, .alone = true};
	bool more = true;
	while (more) {
		struct turn_output out;
		in.wall_ms = clock_wall_ms();
		in.monotonic_ms = clock_monotonic_ms();
		int rc = turn_run(c, &in, &out, e);
		rc = rc ? rc : take(&out, result, e);
		more = out.more;
		turn_output_release(&out);
		if (rc)
			return -1;
		in.count = 0;
	}
	return 0;
}

cJSON *local_change(const char *path, const char *verb, cJSON *args, struct error *e)
{
	struct message m = request(verb, args);
	char *folder = database_beside(path, "artifacts");
	struct coordinator c = {.options = turn_defaults};
	struct store store;
	cJSON *result = NULL;
	int rc = store_open(&store, path, false, e);
	if (!rc) {
		c.db = &store.db;
		c.options.files = import_files(folder);
		rc = generation_is_newest(&store.db, path, e) || turns(&c, &m, &result, e);
		store_close(&store);
	}
	message_release(&m);
	free(folder);
	if (!rc)
		return result ? result : cJSON_CreateObject();
	cJSON_Delete(result);
	return NULL;
}
