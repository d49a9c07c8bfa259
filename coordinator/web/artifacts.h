/* The artifact store over HTTP: checkpoints, weights and logs, named by their SHA-256.
 *
 *   HEAD /artifacts/<64 hex>   200, Content-Length        the bytes are stored
 *                              404, Upload-Offset: N      N bytes of an upload lie here (0: none)
 *   PUT  /artifacts/<64 hex>   with Content-Range: bytes A-B/TOTAL, or whole without it, or with
 *                              an asterisk for A-B and an empty body: commit what is here
 *                              201 stored and committed
 *                              202 a range taken, more to come
 *                              409 A is not Upload-Offset
 *                              413 too large
 *                              422 the SHA-256 differs
 *                              423 another upload of it is under way
 *                              503 the commit did not come in time: say it again
 *                              507 the disk is full
 *   GET  /artifacts/<64 hex>   200, or 206 for Range: bytes=A-
 *
 * Every request carries `Authorization: Bearer <token of the lease>`; 403 unless that token belongs
 * to an attempt of a trial that has not ended.  Bytes lie in <folder>/ab/<64 hex>, uploads beside
 * them as <64 hex>.part.  201 is answered only after the file and its folder were fsynced and the
 * turn has committed the row of `upload`: each upload sends the three frames of STORED over a
 * DEALER socket to `turn_endpoint` and waits for STORED_SAVED with ok = true.
 *
 * With a certificate it speaks TLS and nothing else. */
#ifndef WEB_ARTIFACTS_H
#define WEB_ARTIFACTS_H
#include "coordinator/web/certificate.h"
#include <stdint.h>

struct artifacts_options {
	const char *folder;                    /* where the bytes lie, made when absent */
	const char *database;                  /* read here through a connection of its own */
	const char *address;                   /* to listen on; null: 127.0.0.1 */
	int port;                              /* 0: any free one */
	const struct certificate *certificate; /* null: plain HTTP; outlives the store */
	void *zmq_context;                     /* the one whose inproc:// the turn has bound */
	const char *turn_endpoint; /* "inproc://…", bound by a ROUTER before the first PUT */
	int64_t upload_bytes_max;  /* larger ones are refused; 0: 64 GiB */
	int64_t free_bytes_floor;  /* uploads are refused below; 0: 256 MiB */
	int commit_wait_ms;        /* 0: 10,000 */
};

struct artifacts; /* a running server with its threads */

/* Starts listening; all strings are copied.  Null on failure (port in use, folder not writable). */
struct artifacts *artifacts_start(const struct artifacts_options *options, struct error *e);
int artifacts_port(const struct artifacts *a);        /* that it listens on */
const char *artifacts_url(const struct artifacts *a); /* "http[s]://127.0.0.1:41234" */
void artifacts_stop(struct artifacts *a);             /* ends open connections; null is fine */

/* <folder>/ab/<64 hex>, for readers on the same machine.  Free with free(). */
char *artifact_path(const char *folder, const char *sha256);
#endif
