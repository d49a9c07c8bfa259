/* The artifact store's TLS key: made once beside the database, known to agents by its pin.
 *
 * The certificate is signed by itself and never runs out: nobody believes what it says.  Agents are
 * told over CURVE which public key the store shows, and speak to no other. */
#ifndef WEB_CERTIFICATE_H
#define WEB_CERTIFICATE_H
#include "core/base/error.h"

struct certificate {
	char *pem;    /* private key and certificate; secret */
	char pin[64]; /* "sha256//<base64>" of the public key, as curl --pinnedpubkey takes it */
};

/* Reads the file, or makes it, for its owner's eyes only, where there is none.  -1: it holds
 * something else, others may read it, or it cannot be written. */
int certificate_open(const char *path, struct certificate *c, struct error *e);
void certificate_release(struct certificate *c);
#endif
