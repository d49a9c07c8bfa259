/* What is to be done for holdings, as decided by holding.c and done by the agent. */
#ifndef WORKER_ACT_H
#define WORKER_ACT_H
#include "core/base/hash.h"
#include "schemas/wire.h"

enum act_kind {
	ACT_FETCH,  /* file sha256, bytes into the cache */
	ACT_START,  /* the job */
	ACT_ORDER,  /* JOB_ORDER text to rank 0 */
	ACT_KILL,   /* its processes, now */
	ACT_UPLOAD, /* path as sha256, bytes */
	ACT_CANCEL, /* all transfers of it */
	ACT_SEND,   /* message, body (borrowed until the next call) to the coordinator */
	ACT_KEEP,   /* path is acknowledged: into the cache as sha256 */
	ACT_FORGET  /* its folder goes */
};

struct act {
	enum act_kind kind;
	int64_t trial, attempt;
	const char *text; /* order: a literal */
	char sha256[SHA256_HEX];
	int64_t bytes;
	char *path;
	enum wire_kind message;
	const cJSON *body;
};

struct acts {
	struct act *items;
	size_t count, capacity;
};

/* The new act is the caller's to fill in, until the next one is added. */
struct act *act_add(struct acts *a, enum act_kind kind, int64_t trial, int64_t attempt);
void act_add_file(struct acts *a, enum act_kind kind, int64_t trial, int64_t attempt,
                  const char *sha256, const char *path, int64_t bytes);
void acts_release(struct acts *a);
#endif
