/* Who may say what: ZAP, keys, and the agents' names. */
#include "coordinator/gate.h"
#include "coordinator/lease.h"
#include "coordinator/turn.h"
#include "core/base/file.h"
#include "core/base/json.h"
#include "core/base/random.h"
#include "core/base/text.h"
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#define ZAP "inproc://zeromq.zap.01"

/* An agent that spoke: whose it is, and from where. */
struct speaker {
	char *name, key[CURVE_KEY], *route;
	size_t route_bytes;
};

struct gate {
	struct curve_pair pair;
	struct sql *db;
	struct speaker *speaker; /* by hash of the name, open addressing */
	size_t capacity, count;
	void *zap;
	sqlite3 *reader; /* of the ZAP thread */
	pthread_t thread;
	bool started;
};

static const char role_sql[] = "select role from key where public = ? and revoked_ms is null";

/* ---- at the handshake ---- */

static bool may_connect(sqlite3 *db, const char *key)
{
	sqlite3_stmt *statement = NULL;
	bool found = false;

	if (sqlite3_prepare_v2(db, role_sql, -1, &statement, NULL) == SQLITE_OK &&
	    sqlite3_bind_text(statement, 1, key, -1, SQLITE_TRANSIENT) == SQLITE_OK)
		found = sqlite3_step(statement) == SQLITE_ROW;
	sqlite3_finalize(statement);
	return found;
}

enum { ZAP_FRAMES = 7, ZAP_BYTES = 256 };

/* version, request id, domain, address, identity, mechanism, key.  0: a whole request; 1: another
 * number of frames; -1: the socket is closed. */
static int zap_receive(void *socket, char frame[ZAP_FRAMES][ZAP_BYTES], int size[ZAP_FRAMES])
{
	int count = 0, more = 1;
	size_t bytes = sizeof more;
	char spare[ZAP_BYTES];

	for (; more; count++) {
		char *into = count < ZAP_FRAMES ? frame[count] : spare;
		int got = zmq_recv(socket, into, ZAP_BYTES, 0);
		if (got < 0)
			return -1;
		if (count < ZAP_FRAMES)
			size[count] = got < ZAP_BYTES ? got : ZAP_BYTES;
		zmq_getsockopt(socket, ZMQ_RCVMORE, &more, &bytes);
	}
	return count == ZAP_FRAMES ? 0 : 1;
}

/* 300 is "not now": whoever hears 400 never tries again, though the key may be authorized soon. */
static void zap_reply(void *socket, const char *id, int id_bytes, bool fine, const char *user)
{
	zmq_send(socket, "1.0", 3, ZMQ_SNDMORE);
	zmq_send(socket, id, (size_t)id_bytes, ZMQ_SNDMORE);
	zmq_send(socket, fine ? "200" : "300", 3, ZMQ_SNDMORE);
	zmq_send(socket, fine ? "OK" : "not authorized", fine ? 2 : 14, ZMQ_SNDMORE);
	zmq_send(socket, user, strlen(user), ZMQ_SNDMORE);
	zmq_send(socket, "", 0, 0);
}

static void *zap_serve(void *self)
{
	struct gate *g = self;
	char frame[ZAP_FRAMES][ZAP_BYTES], key[CURVE_KEY] = "";
	int size[ZAP_FRAMES] = {0}, got;

	while ((got = zap_receive(g->zap, frame, size)) >= 0) {
		bool fine = got == 0 && size[5] == 5 && memcmp(frame[5], "CURVE", 5) == 0 &&
		            size[6] == 32 && zmq_z85_encode(key, (uint8_t *)frame[6], 32) &&
		            may_connect(g->reader, key);
		zap_reply(g->zap, frame[1], size[1], fine, fine ? key : "");
	}
	zmq_close(g->zap);
	return NULL;
}

/* ---- the server's keys ---- */

static int pair_of(const char *database, const char *suffix, struct curve_pair *pair,
                   struct error *e)
{
	char *path = xformat("%s.%s", database, suffix);
	int status = file_exists(path) ? curve_read(path, pair, e) : curve_new(path, pair, e);

	free(path);
	return status;
}

struct gate *gate_open(void *zmq, struct sql *db, const char *database, int64_t now_ms,
                       struct error *e)
{
	struct gate *g = xcalloc(1, sizeof *g);
	struct curve_pair owner;

	g->db = db;
	if (pair_of(database, "curve", &g->pair, e) || pair_of(database, "owner", &owner, e))
		goto fail;
	sql_run(db,
	        "insert or ignore into key(public, role, name, created_ms) values(?, 'owner', "
	        "'owner', ?)",
	        (const char *)owner.public, now_ms);
	if (db->failure || sqlite3_open_v2(database, &g->reader, SQLITE_OPEN_READONLY, NULL)) {
		error_set(e, "%s: the keys cannot be read", database);
		goto fail;
	}
	sqlite3_busy_timeout(g->reader, 5000);
	g->zap = zmq_socket(zmq, ZMQ_REP);
	if (!g->zap || zmq_bind(g->zap, ZAP) || pthread_create(&g->thread, NULL, zap_serve, g)) {
		error_set(e, "%s: %s", ZAP, zmq_strerror(errno));
		goto fail;
	}
	g->started = true;
	return g;
fail:
	gate_close(g);
	return NULL;
}

void gate_close(struct gate *g)
{
	if (!g)
		return;
	if (g->started)
		pthread_join(g->thread, NULL); /* the context's end has woken it */
	else if (g->zap)
		zmq_close(g->zap);
	for (size_t i = 0; i < g->capacity; i++) {
		free(g->speaker[i].name);
		free(g->speaker[i].route);
	}
	free(g->speaker);
	sqlite3_close(g->reader);
	free(g);
}

const char *gate_public(const struct gate *g)
{
	return g->pair.public;
}

int gate_guard(struct gate *g, void *socket, struct error *e)
{
	int server = 1;

	if (zmq_setsockopt(socket, ZMQ_CURVE_SERVER, &server, sizeof server) ||
	    zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, g->pair.secret, CURVE_KEY) ||
	    zmq_setsockopt(socket, ZMQ_ZAP_DOMAIN, "trawl", 5))
		return error_set(e, "this ZeroMQ has no CURVE: %s", zmq_strerror(errno));
	return 0;
}

/* ---- at every message ---- */

char *key_role(struct sql *db, const char *key)
{
	return sql_get_text(db, role_sql, key);
}

static struct speaker *slot_of(struct gate *g, const char *name)
{
	size_t at = (size_t)random_name(name);

	while (g->speaker[at % g->capacity].name &&
	       strcmp(g->speaker[at % g->capacity].name, name) != 0)
		at++;
	return &g->speaker[at % g->capacity];
}

static void grow(struct gate *g)
{
	struct gate larger = {.capacity = g->capacity ? 2 * g->capacity : 64};

	if (2 * g->count < g->capacity)
		return;
	larger.speaker = xcalloc(larger.capacity, sizeof *larger.speaker);
	for (size_t i = 0; i < g->capacity; i++)
		if (g->speaker[i].name)
			*slot_of(&larger, g->speaker[i].name) = g->speaker[i];
	free(g->speaker);
	g->speaker = larger.speaker;
	g->capacity = larger.capacity;
}

/* The key that a name belongs to: as we heard, or as the database knows from before. */
static bool owns(struct gate *g, const struct speaker *s, const char *name, const char *key)
{
	if (s->name)
		return strcmp(s->key, key) == 0;
	char *known = sql_get_text(g->db, "select key from worker where agent = ?", name);
	bool own = !known || strcmp(known, key) == 0;
	free(known);
	return own;
}

static void remember(struct gate *g, struct speaker *s, const char *name, const struct message *m)
{
	if (!s->name) {
		s->name = xstrdup(name);
		memcpy(s->key, m->key, CURVE_KEY);
		g->count++;
	}
	free(s->route);
	s->route = memcpy(xmalloc(m->route_bytes + 1), m->route, m->route_bytes);
	s->route_bytes = m->route_bytes;
}

/* From here on the turn knows the agent by its name. */
static void rename_route(struct message *m, const char *route, size_t bytes)
{
	char *copy = memcpy(xmalloc(bytes + 1), route, bytes);

	free(m->route);
	m->route = copy;
	m->route_bytes = bytes;
}

static bool admit_agent(struct gate *g, struct message *m, struct error *e)
{
	const char *name = json_text(m->body, "agent", "");

	grow(g);
	struct speaker *s = slot_of(g, name);
	if (!*name || !owns(g, s, name, m->key)) {
		error_set(e, "message \"%s\": agent \"%.40s\" is not this key's",
		          wire_name(m->kind), name);
		return false;
	}
	if (m->kind == WIRE_PROBE) /* not over the connection at which it is to be found */
		return true;
	remember(g, s, name, m);
	rename_route(m, name, strlen(name));
	return true;
}

bool gate_admits(struct gate *g, struct message *m, struct error *e)
{
	const char *from = wire_from(m->kind);
	char *role = key_role(g->db, m->key);
	bool owner = role && strcmp(role, "owner") == 0;
	bool agent = strcmp(from, "agent") == 0, client = strcmp(from, "client") == 0;
	bool fine = role && ((agent && (owner || strcmp(role, "agent") == 0)) ||
	                     (client && (owner || strcmp(role, "user") == 0)));

	if (!fine)
		error_set(e,
		          "message \"%s\": key %.40s is %s%s: `trawl keys authorize` on the "
		          "coordinator's machine changes that",
		          wire_name(m->kind), m->key,
		          role ? "authorized only as " : "not authorized", role ? role : "");
	free(role);
	return fine && (!agent || admit_agent(g, m, e));
}

bool gate_directs(struct gate *g, struct message *m)
{
	char name[WIRE_ROUTE_BYTES + 1];

	/* Routes that ROUTER gives begin with a zero; those are clients, and stay. */
	if (!m->route_bytes || !m->route[0] || m->route_bytes >= sizeof name)
		return m->route_bytes > 0;
	memcpy(name, m->route, m->route_bytes);
	name[m->route_bytes] = 0;
	struct speaker *s = g->capacity ? slot_of(g, name) : NULL;
	if (!s || !s->name)
		return false;
	rename_route(m, s->route, s->route_bytes);
	return true;
}

/* ---- requests ---- */

/* Keys are the owner's business; where nobody is asked for keys, everybody's. */
static bool is_owner(struct turn *t, struct error *e)
{
	const char *key = t->message ? t->message->key : "";
	char *role = key_role(t->db, key);
	bool fine = !*key || (role && strcmp(role, "owner") == 0);

	free(role);
	if (!fine)
		error_set(e, "keys: only the coordinator's owner may change them");
	return fine;
}

int key_authorize(struct turn *t, const cJSON *args, cJSON **result, struct error *e)
{
	const char *role = json_text(args, "role", ""), *key = json_text(args, "key", "");
	const char *name = json_text(args, "name", key);
	char public[CURVE_KEY];

	if (!is_owner(t, e))
		return -1;
	if (sql_get_int(t->db, 0, "select 1 from key where public = ? and role = 'owner'", key))
		return error_set(e, "keys authorize: that is an owner's key");
	if (strcmp(role, "agent") != 0 && strcmp(role, "user") != 0)
		return error_set(e, "keys authorize: role \"%.20s\": agent or user is expected",
		                 role);
	if (strlen(key) != 40 || curve_public(key, public, e))
		return error_set(e, "keys authorize: \"%.60s\" is no public key", key);
	if (sql_get_int(t->db, 0, "select 1 from key where name = ?1 and public <> ?2", name, key))
		return error_set(e, "keys authorize: there is another key of the name \"%s\"",
		                 name);
	sql_run(t->db,
	        "insert into key(public, role, name, created_ms) values(?1, ?2, ?3, ?4) on "
	        "conflict "
	        "do update set role = ?2, name = ?3, revoked_ms = null",
	        key, role, name, t->now_ms);
	return 0;
}

int key_revoke(struct turn *t, const cJSON *args, cJSON **result, struct error *e)
{
	const char *which = json_text(args, "key", "");
	int64_t id = 0;
	struct trial trial;

	if (!is_owner(t, e))
		return -1;
	/* Of owners not the last one. */
	char *key = sql_get_text(
	        t->db,
	        "select public from key k where revoked_ms is null and ((role <> 'owner' and ?1 in "
	        "(public, name)) or (public = ?1 and exists (select 1 from key o where o.role = "
	        "'owner' and o.revoked_ms is null and o.public <> k.public)))",
	        which);
	if (!key)
		return error_set(e,
		                 "keys revoke: no authorized key \"%.60s\" (see `trawl keys show`)",
		                 which);
	sql_run(t->db, "update key set revoked_ms = ? where public = ?", t->now_ms,
	        (const char *)key);
	while ((id = sql_get_int(t->db, 0,
	                         "select min(t.id) from trial t join worker w on w.id = t.worker "
	                         "where t.state = 'leased' and w.key = ? and t.id > ?",
	                         (const char *)key, id)) &&
	       trial_load(t->db, id, &trial)) {
		static const char why[] = "the key of its agent was revoked";
		trial_move(t->db, t->now_ms, id, trial.attempt, ON_YIELD,
		           &(struct trial_change){.why = why});
		attempt_end(t, id, trial.attempt, "revoked", why); /* it does not come back */
	}
	sql_run(t->db, "update worker set state = 'lost' where key = ?", (const char *)key);
	event_add(t->db, t->now_ms, "key_revoked", 0, 0, 0, "%s", which);
	t->all = true;
	free(key);
	return 0;
}
