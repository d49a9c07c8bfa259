/* Who may say what: CURVE at the coordinator's door.
 *
 * ZeroMQ asks (ZAP) whether a key may connect, once, at the handshake; so the key behind every
 * message is looked up again, and one that was revoked is nobody from then on.  Agents speak by the
 * name that their first message gave, and a name belongs to the key that gave it; where messages go
 * is where the name's owner last spoke from, which is the server's choice: no peer can take
 * another's place. */
#ifndef COORDINATOR_GATE_H
#define COORDINATOR_GATE_H
#include "coordinator/sql.h"
#include "schemas/curve.h"
#include "schemas/wire.h"

struct gate;

/* Starts answering ZAP; before any socket of the context is bound.  Makes DATABASE.curve, the
 * server's key, and DATABASE.owner, with which people on this machine speak to it.  Null on
 * failure. */
struct gate *gate_open(void *zmq, struct sql *db, const char *database, int64_t now_ms,
                       struct error *e);
void gate_close(struct gate *g); /* after the sockets, before the context */

/* The server's public key. */
const char *gate_public(const struct gate *g);

/* Makes a socket ask for keys; before it is bound. */
int gate_guard(struct gate *g, void *socket, struct error *e);

/* Whether the message may be taken; then an agent's m->route is its name. */
bool gate_admits(struct gate *g, struct message *m, struct error *e);

/* Where a message that is to leave goes: an agent's name becomes its route.  False: the agent has
 * not spoken since we started. */
bool gate_directs(struct gate *g, struct message *m);

/* What a key may be now: "owner", "user", "agent"; null: nobody.  Free it. */
char *key_role(struct sql *db, const char *key);

/* Requests.  args {role: agent | user, key, name}: the key may speak from now on. */
struct turn;
int key_authorize(struct turn *t, const cJSON *args, cJSON **result, struct error *e);
/* args {key: KEY or name}: it is nobody from now on; what its agents hold is lost at once. */
int key_revoke(struct turn *t, const cJSON *args, cJSON **result, struct error *e);
#endif
