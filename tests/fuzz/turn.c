/* Hostile messages: each line of the input is a message's kind, by its first letter, and its body.
 * Whatever comes, the turn commits, answers, and goes on. */
#include "coordinator/turn.h"
#include "coordinator/store.h"
#include "core/base/json.h"
#include "core/base/log.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINES_MOST = 24 };

static unsigned char *fresh; /* the database as it begins */
static sqlite3_int64 fresh_bytes;

static int no_data(void *context, const char *name, const char *path, char digest[SHA256_HEX],
                   struct error *e)
{
	sha256_hex(name, strlen(name), digest);
	return 0;
}

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	struct store store;
	struct error e;

	if (store_open(&store, ":memory:", false, &e)) {
		puts(e.text);
		abort();
	}
	fresh = sqlite3_serialize(store.db.handle, "main", &fresh_bytes, 0);
	store_close(&store);
	return 0;
}

/* The same database for every input. */
static void begin(struct sql *db)
{
	unsigned char *copy = sqlite3_malloc64((sqlite3_uint64)fresh_bytes);
	sqlite3 *handle = NULL;

	memcpy(copy, fresh, (size_t)fresh_bytes);
	if (sqlite3_open(":memory:", &handle) ||
	    sqlite3_deserialize(handle, "main", copy, fresh_bytes, fresh_bytes,
	                        SQLITE_DESERIALIZE_FREEONCLOSE | SQLITE_DESERIALIZE_RESIZEABLE))
		abort();
	sql_init(db, handle);
	sql_script(db, "pragma foreign_keys = on; pragma temp_store = memory");
}

static void say(struct coordinator *c, int64_t now_ms, char *line)
{
	static const struct {
		char letter;
		enum wire_kind kind;
	} kinds[] = {{'h', WIRE_HELLO},   {'b', WIRE_BEAT},    {'m', WIRE_METRICS},
	             {'d', WIRE_DONE},    {'e', WIRE_ENDED},   {'c', WIRE_CHECKPOINT},
	             {'l', WIRE_LOG},     {'v', WIRE_LEAVE},   {'s', WIRE_STORED},
	             {'r', WIRE_REQUEST}, {'n', WIRE_NOTICED}, {'o', WIRE_ORDERS},
	             {'p', WIRE_PROBE}};
	struct message m;
	struct turn_output out;
	struct error e = {{0}};
	enum wire_kind kind = WIRE_KINDS;

	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		if (kinds[i].letter == line[0])
			kind = kinds[i].kind;
	if (kind == WIRE_KINDS)
		return;
	struct wire_frame frames[] = {{WIRE_VERSION, strlen(WIRE_VERSION)},
	                              {wire_name(kind), strlen(wire_name(kind))},
	                              {line + 1, strlen(line + 1)}};
	if (wire_decode(frames, 3, &m, &e))
		return;
	struct message routed = message_make(kind, "a", 1, m.body);
	struct turn_input in = {.wall_ms = now_ms,
	                        .monotonic_ms = now_ms,
	                        .messages = &routed,
	                        .count = 1,
	                        .drained = true,
	                        .free_bytes = -1};
	if (turn_run(c, &in, &out, &e)) {
		fprintf(stderr, "%s\n", e.text);
		abort();
	}
	turn_output_release(&out);
	message_release(&routed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sql db;
	struct coordinator c = {.db = &db, .options = turn_defaults};
	char *text = malloc(size + 1), *rest = text, *line;
	int64_t now_ms = 1000000;

	memcpy(text, data, size);
	text[size] = 0;
	c.options.secret = "secret";
	c.options.url = "http://127.0.0.1:1";
	c.options.notifies = true;
	c.options.metric_rows = 3;
	c.options.quota_bytes = 1000;
	c.options.files = (struct study_files){no_data, NULL, NULL};
	begin(&db);
	for (int i = 0; i < LINES_MOST && (line = strsep(&rest, "\n")); i++)
		say(&c, now_ms += 700, line);
	free(text);
	sql_release(&db);
	return 0;
}
