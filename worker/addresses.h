/* Where the coordinator may be: the addresses of --connect, and at which of them it is now.
 *
 * An agent speaks to one address.  At the others it asks now and then who is there (PROBE), and
 * moves when a newer copy of the database answers, or the same one while its own address is silent
 * (coordinator/generation.h).  What it has met goes with it, so an old copy that comes back learns
 * that it is one. */
#ifndef WORKER_ADDRESSES_H
#define WORKER_ADDRESSES_H
#include "schemas/endpoints.h"
#include "schemas/wire.h"

struct address {
	char *endpoint;
	void *socket;       /* DEALER; by its routing id the one in use is known as the agent's, and
	                     * only that: two could lead to the same coordinator */
	int64_t generation; /* that answered here last; 0: nobody yet */
	bool foreign;       /* another database is served here, which was said */
};

struct addresses {
	struct address address[ENDPOINTS_MAX];
	void *zmq;
	const char *name, *key, *server_key; /* the caller's, as long as it is open */
	int count, at;
	int learnt;              /* the address that told which database is ours */
	bool greeted;            /* hello was said */
	char uuid[40], seal[40]; /* of the database; what proves the generation */
	int64_t generation;      /* the highest met; 0: none yet */
	int64_t begun_ms, probed_ms;
};

enum heard_from {
	HEARD_NOTHING, /* an answer to a probe, or an older copy, which is not obeyed */
	HEARD_OURS,    /* the coordinator's: handle it */
	HEARD_MOVED    /* we have moved to this address: say hello there */
};

/* Connects to all of a list (endpoints.h); `name` becomes the routing id where no keys are asked
 * for.  key and server_key as curve_connect_as_told has them. */
int addresses_open(struct addresses *a, void *zmq, const char *name, const char *connect,
                   const char *key, const char *server_key, struct error *e);
void addresses_close(struct addresses *a);

const char *addresses_here(const struct addresses *a); /* the address in use, for people */

/* Whether all have answered the first probe, or had their time: before that no hello is said, so
 * that no old copy gets an agent that a newer one could have. */
bool addresses_settled(const struct addresses *a, int64_t now_ms);

/* Sends to the address in use; the body gets our generation, HELLO also what proves it. */
int addresses_send(struct addresses *a, enum wire_kind kind, cJSON *body, struct error *e);

/* Asks who is at the other addresses, when it is time to; often while our own is `silent`. */
void addresses_probe(struct addresses *a, const char *agent, bool silent, int64_t now_ms);

/* What a message from address i is.  Of several databases the one at the first address is ours, as
 * long as no hello was said. */
enum heard_from addresses_heard(struct addresses *a, int i, const struct message *m, bool silent);
#endif
