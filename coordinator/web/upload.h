/* One upload on its way into the artifact store: a .part file, appended to, checked, named. */
#ifndef WEB_UPLOAD_H
#define WEB_UPLOAD_H
#include "core/base/error.h"
#include "core/base/hash.h"
#include <stdbool.h>
#include <stdint.h>

struct upload {
	char sha256[SHA256_HEX];
	char *path, *part; /* the final name, and the one before */
	int fd;            /* of the part, locked; -1 when the bytes are here already */
	int64_t offset;    /* bytes in it */
	int64_t total;
};

/* How many bytes of it lie here: *whole says whether they are all.  Looks only. */
int64_t upload_look(const char *folder, const char *sha256, bool *whole);

/* All functions below return 0, or the HTTP status of what failed, with a line in *e. */

/* Opens the part and locks it.  `first`: where the coming bytes begin; -1: none come.
 * 409: not where it ends; 423: another upload holds it; 507: no room. */
int upload_open(struct upload *u, const char *folder, const char *sha256, int64_t first,
                int64_t total, int64_t free_bytes_floor, struct error *e);
int upload_add(struct upload *u, const void *bytes, size_t length, struct error *e);

/* Checks the digest (422, and the part is removed), fsyncs, renames, fsyncs the folder. */
int upload_finish(struct upload *u, struct error *e);
void upload_release(struct upload *u); /* keeps what has come */
#endif
