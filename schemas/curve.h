/* CURVE keys: files that hold them, and sockets that use them.
 *
 * A key file has two lines, "public KEY" and "secret KEY", in ZeroMQ's Z85 text of 40 characters,
 * and is for its owner's eyes only. */
#ifndef SCHEMAS_CURVE_H
#define SCHEMAS_CURVE_H
#include "core/base/error.h"

enum { CURVE_KEY = 41 }; /* with the zero behind it */

struct curve_pair {
	char public[CURVE_KEY], secret[CURVE_KEY];
};

/* A fresh pair in a file that must not exist yet, readable by its owner only. */
int curve_new(const char *path, struct curve_pair *pair, struct error *e);

/* Reads one; a file that others may read is an error. */
int curve_read(const char *path, struct curve_pair *pair, struct error *e);

/* The public key that a text is, or that the file of this name holds: a key file, or one of nothing
 * but a public key, such as `trawl keys show FILE` prints. */
int curve_public(const char *text, char public[CURVE_KEY], struct error *e);

/* Makes a socket speak to one server only, as the owner of a key file, as --key and --server-key
 * say, or else $TRAWL_KEY and $TRAWL_SERVER_KEY: 1.  Nothing of either, or empty texts: 0, and the
 * socket stays plain.  One without the other is an error. */
int curve_connect_as_told(void *socket, const char *key, const char *server_key, struct error *e);
#endif
