/* Turns by hand, for tests: a database, a clock, messages as JSON text, answers to look at. */
#ifndef TESTS_TURNS_H
#define TESTS_TURNS_H
#include "coordinator/store.h"
#include "coordinator/turn.h"
#include "core/base/json.h"
#include "core/base/text.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

struct turns {
	struct store store;
	struct coordinator coordinator;
	int64_t now_ms;
	struct turn_output out; /* of the last turn */
	char *folder;
};

static int fake_data(void *context, const char *name, const char *path, char digest[SHA256_HEX],
                     struct error *e)
{
	if (strcmp(name, "folder") == 0)
		return error_set(e, "no such folder");
	if (strcmp(name, "shapes") == 0)
		snprintf(digest, SHA256_HEX, "builtin:shapes:1");
	else
		sha256_hex(name, strlen(name), digest);
	return 0;
}

static int fake_file(void *context, const char *path, bool import, char digest[SHA256_HEX],
                     int64_t *bytes, struct error *e)
{
	sha256_hex(path, strlen(path), digest);
	*bytes = 1000;
	return 0;
}

static inline void turns_start(struct turns *t, const char *path)
{
	struct error e = {{0}};

	if (store_open(&t->store, path, false, &e) != 0)
		fail_msg("%s", e.text);
	t->coordinator = (struct coordinator){.db = &t->store.db, .options = turn_defaults};
	t->coordinator.options.secret = "secret";
	t->coordinator.options.url = "http://127.0.0.1:1";
	t->coordinator.options.files = (struct study_files){fake_data, fake_file, NULL};
}

static inline void turns_init(struct turns *t)
{
	*t = (struct turns){.now_ms = 1000000};
	turns_start(t, ":memory:");
}

static inline void turns_release(struct turns *t)
{
	turn_output_release(&t->out);
	store_close(&t->store);
}

/* One turn with one message (text null: none); the messages that it sends are in t->out. */
static inline int turns_say(struct turns *t, const char *route, enum wire_kind kind,
                            const char *format, ...)
{
	struct message m;
	struct error e = {{0}};
	va_list arguments;
	char *text = NULL;

	message_init(&m);
	if (format) {
		va_start(arguments, format);
		assert_true(vasprintf(&text, format, arguments) >= 0);
		va_end(arguments);
		cJSON *body = json_parse(text, strlen(text), "test", &e);
		if (!body || wire_check(kind, body, &e) != 0)
			fail_msg("%s: %s", text, e.text);
		m = message_make(kind, route, strlen(route), body);
	}
	struct turn_input in = {.wall_ms = t->now_ms,
	                        .monotonic_ms = t->now_ms,
	                        .messages = &m,
	                        .count = format ? 1 : 0,
	                        .drained = true,
	                        .free_bytes = -1};
	if (t->store.db.failure) /* of the test's own: the turn would end for it */
		fail_msg("%s", t->store.db.error.text);
	turn_output_release(&t->out);
	int status = turn_run(&t->coordinator, &in, &t->out, &e);
	message_release(&m);
	free(text);
	return status;
}

static inline void turns_wait(struct turns *t, int64_t ms)
{
	/* In small steps: a long time without turns would extend the leases. */
	for (int64_t left = ms; left > 0; left -= 1000) {
		t->now_ms += left < 1000 ? left : 1000;
		turns_say(t, "", WIRE_ERROR, NULL);
	}
}

/* The body of the last turn's nth message of that kind, or null. */
static inline const cJSON *turns_reply(struct turns *t, enum wire_kind kind)
{
	for (size_t i = 0; i < t->out.count; i++)
		if (t->out.messages[i].kind == kind)
			return t->out.messages[i].body;
	return NULL;
}

static inline const cJSON *turns_hold(struct turns *t, int64_t trial)
{
	const cJSON *hold = NULL, *orders = turns_reply(t, WIRE_ORDERS);

	cJSON_ArrayForEach (hold, json_at(orders, "holds"))
		if (json_int(hold, "trial", 0) == trial)
			return hold;
	return NULL;
}

static inline int64_t turns_int(struct turns *t, const char *sql)
{
	int64_t value = sql_get_int(&t->store.db, -1, sql);

	if (t->store.db.failure)
		fail_msg("%s", t->store.db.error.text);
	return value;
}

static inline void turns_state(struct turns *t, int64_t trial, const char *state)
{
	char *is = sql_get_text(&t->store.db, "select state from trial where id = ?", trial);

	assert_non_null(is);
	assert_string_equal(is, state);
	free(is);
}

static inline void turns_hello(struct turns *t, const char *agent)
{
	turns_say(t, agent, WIRE_HELLO,
	          "{\"agent\":\"%s\",\"name\":\"%s\",\"pid\":1,\"ranks\":4,\"threads\":1,"
	          "\"memory_mb\":8000,\"gpus\":0,\"labels\":[],\"data\":[],\"numerics\":\"n\","
	          "\"holds\":[],\"version\":\"trawl/1\"}",
	          agent, agent);
}

static inline void turns_beat(struct turns *t, const char *agent, const char *holds)
{
	turns_say(t, agent, WIRE_BEAT,
	          "{\"agent\":\"%s\",\"seq\":1,\"free_ranks\":4,\"free_memory_mb\":8000,\"holds\":%"
	          "s}",
	          agent, holds);
}

/* Launches a sweep over the values of quant.weight_bits, with a shared parent when told. */
static inline void turns_launch(struct turns *t, const char *name, const char *bits, bool parent)
{
	turns_say(t, "client", WIRE_REQUEST,
	          "{\"id\":7,\"verb\":\"launch\",\"args\":{\"sweep\":{\"name\":\"%s\",\"trial\":{"
	          "\"data\":{\"name\":\"shapes\"},\"model\":{\"name\":\"resnet20\"},%s"
	          "\"train\":{\"epochs\":2}},\"space\":{\"quant.weight_bits\":{\"values\":%s}}}}}",
	          name, parent ? "\"start_from\":{\"change\":{\"quant\":null}}," : "", bits);
	const cJSON *reply = turns_reply(t, WIRE_REPLY);
	if (!json_bool(reply, "ok", false))
		fail_msg("%s", json_text(reply, "text", "no reply"));
	turns_say(t, "", WIRE_ERROR, NULL);
}

static const char turns_sha[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

static inline void turns_store(struct turns *t, const char *sha256)
{
	turns_say(t, "http", WIRE_STORED, "{\"sha256\":\"%s\",\"bytes\":10}", sha256);
}

static inline void turns_done(struct turns *t, const char *agent, int64_t trial, int64_t attempt,
                              double accuracy)
{
	turns_say(t, agent, WIRE_DONE,
	          "{\"agent\":\"%s\",\"trial\":%ld,\"attempt\":%ld,\"numerics\":\"n\",\"batch\":1,"
	          "\"rows\":[{\"name\":\"accuracy\",\"step\":5,\"epoch\":1,\"value\":%g}],"
	          "\"result\":{\"accuracy\":%g},"
	          "\"artifacts\":[{\"name\":\"weights\",\"sha256\":\"%s\",\"bytes\":10}]}",
	          agent, (long)trial, (long)attempt, accuracy, accuracy, turns_sha);
}

static inline void turns_ended(struct turns *t, const char *agent, int64_t trial, int64_t attempt,
                               const char *outcome)
{
	turns_say(t, agent, WIRE_ENDED,
	          "{\"agent\":\"%s\",\"trial\":%ld,\"attempt\":%ld,\"outcome\":\"%s\","
	          "\"text\":\"because\"}",
	          agent, (long)trial, (long)attempt, outcome);
}

static inline void turns_checkpoint(struct turns *t, const char *agent, int64_t trial,
                                    int64_t attempt, int64_t step, const char *sha256)
{
	turns_say(t, agent, WIRE_CHECKPOINT,
	          "{\"agent\":\"%s\",\"trial\":%ld,\"attempt\":%ld,\"step\":%ld,\"epoch\":1,"
	          "\"sha256\":\"%s\",\"bytes\":10,\"numerics\":\"n\",\"batch\":1,\"rows\":"
	          "[{\"name\":\"loss\",\"step\":%ld,\"epoch\":1,\"value\":0.5}]}",
	          agent, (long)trial, (long)attempt, (long)step, sha256, (long)step);
}

/* One trial that agent "a" holds as attempt 1. */
static inline void turns_one(struct turns *t)
{
	turns_init(t);
	turns_launch(t, "one", "[4]", false);
	turns_hello(t, "a");
	turns_state(t, 1, "leased");
}

static inline void turns_keep_alive(struct turns *t, const char *agent, int64_t ms)
{
	for (; ms > 0; ms -= 2000) {
		t->now_ms += 2000;
		turns_beat(t, agent, "[]");
	}
}

/* Steps of SQLite's machine that all statements have taken since last asked. */
static inline int64_t turns_steps(struct turns *t)
{
	sqlite3_stmt *s = NULL;
	int64_t sum = 0;

	while ((s = sqlite3_next_stmt(t->store.db.handle, s)))
		sum += sqlite3_stmt_status(s, SQLITE_STMTSTATUS_VM_STEP, 1);
	return sum;
}

static inline void turns_request(struct turns *t, const char *verb, const char *args)
{
	turns_say(t, "client", WIRE_REQUEST, "{\"id\":9,\"verb\":\"%s\",\"args\":%s}", verb, args);
}

static inline const char *turns_refusal(struct turns *t)
{
	const cJSON *reply = turns_reply(t, WIRE_REPLY);

	assert_non_null(reply);
	return json_bool(reply, "ok", true) ? "" : json_text(reply, "text", "?");
}
#endif
