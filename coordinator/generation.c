/* Copies of one database: which of them is the newest, and that only that one is obeyed. */
#include "coordinator/generation.h"
#include "coordinator/lease.h"
#include "coordinator/turn.h"
#include "core/base/json.h"
#include "core/base/log.h"
#include "core/base/text.h"
#include <stdlib.h>
#include <string.h>

enum { ATTEMPTS = 1000, SEAL_HEX = 32 };

/* Rows that were acknowledged after the snapshot are missing in it. */
static int take_back(struct sql *db, int64_t now_ms)
{
	static const char why[] = "this copy of the database does not know all that it reported";
	struct turn t = {.db = db, .now_ms = now_ms};
	struct trial trial;
	int64_t id = 0;
	int count = 0;

	while ((id = sql_get_int(db, 0,
	                         "select min(id) from trial where state = 'leased' and id > ?",
	                         id)) &&
	       trial_load(db, id, &trial)) {
		trial_move(db, now_ms, id, trial.attempt, ON_YIELD,
		           &(struct trial_change){.why = why});
		attempt_end(&t, id, trial.attempt, "yield", why);
		count++;
	}
	return count;
}

int generation_is_newest(struct sql *db, const char *path, struct error *e)
{
	int64_t newer = sql_get_int(db, 0, "select superseded from coordinator");

	return newer ? error_set(e,
	                         "%s: a newer copy of it (generation %ld) is served elsewhere: use "
	                         "that one, or go on with this one by `trawl serve --take-over`",
	                         path, (long)newer)
	             : 0;
}

int generation_begin(struct sql *db, const char *path, bool take_over, int64_t now_ms,
                     struct error *e)
{
	if (!take_over && generation_is_newest(db, path, e))
		return -1;
	sql_run(db, "begin immediate");
	sql_run(db,
	        "update coordinator set generation = superseded + 1, superseded = null, copied = ? "
	        "where superseded is not null",
	        COPY_SNAPSHOT);
	int64_t copied = sql_get_int(db, 0, "select copied from coordinator");
	int64_t generation = sql_get_int(db, 0, "select generation from coordinator");
	int lost = copied == COPY_SNAPSHOT ? take_back(db, now_ms) : 0;
	if (copied != COPY_SERVED) {
		event_add(db, now_ms, "generation", 0, 0, 0,
		          "this copy of the database is served as generation %ld; %d attempts are "
		          "made again",
		          (long)generation, lost);
		log_info(
		        "%s is generation %ld: agents that know it obey no older copy; %d attempts "
		        "are made again",
		        path, (long)generation, lost);
	}
	sql_run(db, "update coordinator set copied = ?", COPY_SERVED);
	sql_run(db, "commit");
	return db->failure ? error_set(e, "%s: %s", path, db->error.text) : 0;
}

static void seal_of(const struct turn *t, int64_t generation, char seal[SEAL_HEX + 1])
{
	const char *secret = t->options->secret ? t->options->secret : "";
	char hex[SHA256_HEX];
	char *text =
	        xformat("%s generation %ld of %s %s", secret, (long)generation, t->uuid, secret);

	sha256_hex(text, strlen(text), hex);
	memcpy(seal, hex, SEAL_HEX);
	seal[SEAL_HEX] = 0;
	free(text);
}

void generation_describe(struct turn *t, cJSON *body)
{
	char seal[SEAL_HEX + 1];

	seal_of(t, t->generation, seal);
	cJSON_AddStringToObject(body, "uuid", t->uuid);
	cJSON_AddStringToObject(body, "seal", seal);
}

/* Whether the message proves that a copy of a higher generation is served. */
static bool proves_newer(struct turn *t, const cJSON *body, int64_t generation)
{
	char seal[SEAL_HEX + 1];

	seal_of(t, generation, seal);
	return generation > t->generation && strcmp(json_text(body, "uuid", ""), t->uuid) == 0 &&
	       strcmp(json_text(body, "seal", ""), seal) == 0;
}

bool generation_admits(struct turn *t, const cJSON *body)
{
	int64_t generation = json_int(body, "generation", t->generation);
	bool introduces = t->message->kind == WIRE_HELLO || t->message->kind == WIRE_PROBE;

	if (generation == t->generation || (introduces && generation < t->generation))
		return true;
	if (!introduces) {
		turn_again(t);
		return false;
	}
	if (strcmp(json_text(body, "uuid", ""), t->uuid) != 0)
		return true; /* it knows another database's: it sees from our answer whose we are */
	if (!proves_newer(t, body, generation))
		return false;
	t->superseded = generation;
	sql_run(t->db, "update coordinator set superseded = ?", generation);
	event_add(
	        t->db, t->now_ms, "superseded", 0, 0, 0,
	        "an agent works for a newer copy of this database, generation %ld: this one gives "
	        "up",
	        (long)generation);
	return false;
}

int64_t generation_attempt(const struct turn *t, int64_t attempt)
{
	int64_t least = ATTEMPTS * (t->generation - 1);

	return (attempt > least ? attempt : least) + 1;
}

void on_probe(struct turn *t, const cJSON *body)
{
	cJSON *present = cJSON_CreateObject();

	generation_describe(t, present);
	turn_reply(t, WIRE_PRESENT, present);
}
