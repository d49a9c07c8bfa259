/* Keys: who is let in, and what one that was revoked can still bring about, which is nothing. */
#ifndef SIM_KEYS_H
#define SIM_KEYS_H
#include "coordinator/gate.h"
#include "tests/sim/world.h"

/* Two for each machine, authorized before the story begins. */
static void keys_add(struct sim *s)
{
	char key[CURVE_KEY], name[16];

	for (int i = 0; s->guarded && i < 2 * AGENTS; i++) {
		snprintf(key, sizeof key, "%040d", 1 + i);
		snprintf(name, sizeof name, "k%d", i);
		sql_run(s->db,
		        "insert into key(public, role, name, created_ms) values(?, 'agent', ?, 1)",
		        (const char *)key, (const char *)name);
	}
}

/* What the door does with a message that is about to be handled (gate_admits): refusals are said.
 */
static bool gate_opens(struct sim *s, const struct message *m)
{
	char *role = m->key[0] ? key_role(s->db, m->key) : NULL;
	bool opens = !m->key[0] || role;
	int i = 0;

	free(role);
	if (opens)
		return true;
	while (i < AGENTS && strncmp(s->agents[i].name, m->route, m->route_bytes) != 0)
		i++;
	if (i < AGENTS) {
		struct error e;
		error_set(&e, "not authorized");
		network(s,
		        (struct event){.kind = TO_AGENT,
		                       .who = i,
		                       .serial = s->agents[i].serial,
		                       .message = message_error(m->route, m->route_bytes, 0, &e)});
	}
	return false;
}

#define REVOKED                                                                                \
	"(select w.id from worker w join key k on k.public = w.key where k.revoked_ms is not " \
	"null)"

static struct silence silence_now(struct sim *s)
{
	struct silence now = {0};
	char *attempts =
	        sql_get_text(s->db, "select group_concat(trial || '.' || attempt || ' ' || step || "
	                            "' ' || coalesce(outcome, '') || coalesce(phase, '')) from "
	                            "attempt where worker in " REVOKED);

	now.keys = sql_get_int(s->db, 0, "select count(*) from key where revoked_ms is not null");
	now.attempts = attempts ? fnv1a(attempts, strlen(attempts)) : 0;
	now.metrics = sql_get_int(s->db, 0,
	                          "select count(*) from attempt a join metric m on m.trial = "
	                          "a.trial and m.attempt = a.attempt where a.worker in " REVOKED);
	now.artifacts = sql_get_int(s->db, 0,
	                            "select count(*) from attempt a join artifact m on m.trial = "
	                            "a.trial and m.attempt = a.attempt where a.worker in " REVOKED);
	now.seen_ms = sql_get_int(s->db, 0, "select max(seen_ms) from worker where id in " REVOKED);
	free(attempts);
	return now;
}

/* After every commit from the one on in which a key was revoked.  `heard`: an agent spoke whose key
 * that is. */
static void check_silence(struct sim *s, bool heard)
{
	struct silence *before = &s->silence;
	bool first = !before->keys;

	if (first &&
	    !sql_get_int(s->db, 0, "select 1 from key where revoked_ms is not null limit 1"))
		return;
	if (sql_get_int(s->db, 0,
	                "select 1 from key k join worker w on w.key = k.public join trial t on "
	                "t.worker = w.id and t.state = 'leased' where k.revoked_ms is not null"))
		broken(s, "a revoked agent holds no lease");
	if (!first && !heard)
		return;
	struct silence now = silence_now(s);
	if (!first && (now.attempts != before->attempts || now.metrics > before->metrics ||
	               now.artifacts > before->artifacts || now.seen_ms > before->seen_ms))
		broken(s, "what a revoked agent says changes nothing");
	s->silence = now;
}

/* Whether one of these messages came from an agent whose key is revoked by now. */
static bool silenced(struct sim *s, const struct message *batch, int count)
{
	bool found = false;

	for (int i = 0; i < count && s->silence.keys && !found; i++)
		found = batch[i].key[0] &&
		        !sql_get_int(s->db, 0,
		                     "select 1 from key where public = ? and revoked_ms is null",
		                     (const char *)batch[i].key);
	return found;
}
#endif
