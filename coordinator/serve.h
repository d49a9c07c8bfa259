/* The coordinator as a process: sockets, timers and signals around the turn. */
#ifndef COORDINATOR_SERVE_H
#define COORDINATOR_SERVE_H
#include "core/base/error.h"
#include <stdbool.h>
#include <stdint.h>

struct serve_options {
	const char *database;
	const char *listen;    /* "tcp://127.0.0.1:5555"; "tcp://127.0.0.1:*" takes any free port */
	const char *artifacts; /* folder of the bytes; null: DATABASE.artifacts */
	const char *http_address;  /* null: 127.0.0.1 */
	int http_port;             /* 0: any free one */
	const char *http_url;      /* what agents are told; null: as the server says */
	int64_t lease_ms, beat_ms; /* 0: the turn's defaults */
	int64_t wal_bytes;         /* a larger write-ahead log is reported; 0: 1 GB */
	bool allow_network;
	const char *notify;     /* URL that notices are sent to; null: none are made */
	int64_t artifact_quota; /* bytes, as quota.h has it; 0: none */
	bool take_over;         /* though a newer copy of the database was met (generation.h) */
	bool insecure;          /* no keys, even where others than this machine can connect */

	/* Called once, when everything listens: with the endpoint, the artifact store's URL and the
	 * server's public key (null: it asks for none). */
	void (*ready)(void *context, const char *endpoint, const char *url, const char *curve);
	/* Called at least twice a second between turns; true ends the loop.  May be null. */
	bool (*ended)(void *context);
	void *context;
};

/* Serves until SIGINT, SIGTERM, a client's `stop`, or ended().  0, or -1 with one line: port in
 * use, database held by another, newer schema … */
int serve_run(const struct serve_options *options, struct error *e);
#endif
